//! A link and its reverse entry, written and removed together, as long as the lease is held.

use aws_sdk_dynamodb::types::{
    Delete, Put, ReturnValuesOnConditionCheckFailure as OnRefusal, TransactWriteItem, Update,
};

use super::{CURRENT, DynamoDbStore, FORMER};
use crate::aws::table::{BACKOFF, Item, Sent, built, refused, string, text};
use crate::failure::Failure;
use crate::ledger::{Lease, Memo, lease_pk};
use crate::store::Linked;

/// How often a transaction is tried that others get in the way of.
const MAX_ROUNDS: u32 = 8;

/// What happens to the reverse entry of an object that is linked no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It stays and says so.
    Former,
    /// It goes.
    Deleted,
}

/// One side of a link: how its items are named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub side: &'static str,
    pub id: &'a str,
    pub target_attribute: &'static str,
    pub reverse_side: &'static str,
    pub owner_attribute: &'static str,
    pub left: Left,
    pub old_intent: bool,
}

impl Pair<'_> {
    fn pk(&self) -> String {
        format!("{}{}", self.side, self.id)
    }

    fn reverse_pk(&self, target: &str) -> String {
        format!("{}{target}", self.reverse_side)
    }

    /// The reverse entry: its key and the whole item.
    pub(super) fn reverse(&self, target: &str, tenure: Option<&str>) -> (String, Item) {
        let pk = self.reverse_pk(target);
        let mut item = Item::from([
            ("pk".to_owned(), text(&pk)),
            (self.owner_attribute.to_owned(), text(self.id)),
        ]);
        if let Some(tenure) = tenure {
            item.insert("tenure".to_owned(), text(tenure));
        }
        (pk, item)
    }
}

/// The conditions that can refuse, in the order of the transaction's items.
const LEASE: usize = 0;
const REVERSE: usize = 1;
const LEFT: usize = 2;

impl DynamoDbStore {
    /// Writes the link to `target` and its reverse entry; `before`, the object linked before, is left.
    pub(super) async fn link(
        &self,
        pair: &Pair<'_>,
        lease: &Lease,
        target: &str,
        before: Option<&str>,
        mut attributes: Item,
        memo: &Memo,
    ) -> Result<Linked<String>, Failure> {
        attributes.insert("pk".to_owned(), text(pair.pk()));
        let mut left = before.filter(|before| *before != target);
        let mut backoff = BACKOFF;
        for _ in 0..MAX_ROUNDS {
            let mut items = vec![self.held(lease, memo)?, self.put_reverse(pair, target)?];
            if let Some(left) = left {
                items.push(self.leave(pair, left)?);
            }
            items.push(self.put(attributes.clone())?);
            if pair.old_intent {
                items.push(self.delete(&format!("intent#{}", pair.id))?);
            }
            let reasons = match self.table.transact(items).await? {
                Sent::Written => return Ok(Linked::Written),
                Sent::Refused(reasons) => reasons,
            };
            if refused(&reasons, LEASE).is_some() {
                return Err(lease.lost());
            }
            if let Some(item) = refused(&reasons, REVERSE) {
                let owner = string(item, pair.owner_attribute)
                    .ok_or_else(|| self.unreadable(&pair.reverse_pk(target)))?;
                return Ok(Linked::TakenBy(owner.to_owned()));
            }
            if refused(&reasons, LEFT).is_some() {
                // The object linked before belongs to another by now: that entry is not ours.
                left = None;
            } else {
                backoff.wait().await;
            }
        }
        Err(self.table.contended())
    }

    /// Removes the link and its reverse entry, if that is ours.
    pub(super) async fn unlink(&self, pair: &Pair<'_>, lease: &Lease) -> Result<(), Failure> {
        let Some(link) = self.table.get(&pair.pk()).await? else {
            return Ok(());
        };
        let target =
            string(&link, pair.target_attribute).ok_or_else(|| self.unreadable(&pair.pk()))?;
        let mut is_foreign = false;
        let mut backoff = BACKOFF;
        for _ in 0..MAX_ROUNDS {
            let mut items = vec![self.held(lease, &Memo::Keep)?];
            if !is_foreign {
                items.push(self.delete_reverse(pair, target)?);
            }
            items.push(self.delete(&pair.pk())?);
            match self.table.transact(items).await? {
                Sent::Written => return Ok(()),
                Sent::Refused(reasons) if refused(&reasons, LEASE).is_some() => {
                    return Err(lease.lost());
                }
                Sent::Refused(reasons) if refused(&reasons, REVERSE).is_some() => is_foreign = true,
                Sent::Refused(_) => backoff.wait().await,
            }
        }
        Err(self.table.contended())
    }

    /// Writes a reverse entry unless there is one, with the memo of the lease.
    pub(super) async fn put_reverse_if_absent(
        &self,
        lease: &Lease,
        item: Item,
        memo: &Memo,
    ) -> Result<(), Failure> {
        let mut is_there = false;
        let mut backoff = BACKOFF;
        for _ in 0..MAX_ROUNDS {
            let mut items = vec![self.held(lease, memo)?];
            if !is_there {
                let put = Put::builder()
                    .table_name(&self.table.name)
                    .set_item(Some(item.clone()))
                    .condition_expression("attribute_not_exists(pk)");
                let put = built(put.build())?;
                items.push(TransactWriteItem::builder().put(put).build());
            }
            match self.table.transact(items).await? {
                Sent::Written => return Ok(()),
                Sent::Refused(reasons) if refused(&reasons, LEASE).is_some() => {
                    return Err(lease.lost());
                }
                Sent::Refused(reasons) if refused(&reasons, REVERSE).is_some() => is_there = true,
                Sent::Refused(_) => backoff.wait().await,
            }
        }
        Err(self.table.contended())
    }

    /// Makes a transaction depend on the lease, and writes its memo. An update that changes nothing asks
    /// for no right that the functions have no other use for, as a condition check would.
    fn held(&self, lease: &Lease, memo: &Memo) -> Result<TransactWriteItem, Failure> {
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(lease_pk(lease.subject())))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(lease.owner()));
        let update = match memo {
            Memo::Keep => update.update_expression("SET #owner = :owner"),
            Memo::Write(Some(memo)) => update
                .update_expression("SET memo = :memo")
                .expression_attribute_values(":memo", text(memo)),
            Memo::Write(None) => update.update_expression("REMOVE memo"),
        };
        let update = built(update.build())?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn put(&self, item: Item) -> Result<TransactWriteItem, Failure> {
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item));
        Ok(TransactWriteItem::builder()
            .put(built(put.build())?)
            .build())
    }

    fn delete(&self, pk: &str) -> Result<TransactWriteItem, Failure> {
        let delete = Delete::builder()
            .table_name(&self.table.name)
            .key("pk", text(pk));
        let delete = built(delete.build())?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    fn put_reverse(&self, pair: &Pair<'_>, target: &str) -> Result<TransactWriteItem, Failure> {
        let mut free = "attribute_not_exists(pk) OR #owner = :owner".to_owned();
        let mut put = Put::builder();
        let tenure = match pair.left {
            Left::Deleted => None,
            Left::Former => {
                free.push_str(" OR tenure = :former");
                put = put.expression_attribute_values(":former", text(FORMER));
                Some(CURRENT)
            }
        };
        let (_, item) = pair.reverse(target, tenure);
        built(
            put.table_name(&self.table.name)
                .set_item(Some(item))
                .condition_expression(free)
                .expression_attribute_names("#owner", pair.owner_attribute)
                .expression_attribute_values(":owner", text(pair.id))
                .return_values_on_condition_check_failure(OnRefusal::AllOld)
                .build()
                .map(|put| TransactWriteItem::builder().put(put).build()),
        )
    }

    /// What becomes of the reverse entry of the object linked before.
    fn leave(&self, pair: &Pair<'_>, before: &str) -> Result<TransactWriteItem, Failure> {
        if pair.left == Left::Deleted {
            return self.delete_reverse(pair, before);
        }
        built(
            Update::builder()
                .table_name(&self.table.name)
                .key("pk", text(pair.reverse_pk(before)))
                .update_expression("SET #owner = :owner, tenure = :former")
                .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
                .expression_attribute_names("#owner", pair.owner_attribute)
                .expression_attribute_values(":owner", text(pair.id))
                .expression_attribute_values(":former", text(FORMER))
                .return_values_on_condition_check_failure(OnRefusal::AllOld)
                .build()
                .map(|update| TransactWriteItem::builder().update(update).build()),
        )
    }

    fn delete_reverse(&self, pair: &Pair<'_>, target: &str) -> Result<TransactWriteItem, Failure> {
        built(
            Delete::builder()
                .table_name(&self.table.name)
                .key("pk", text(pair.reverse_pk(target)))
                .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
                .expression_attribute_names("#owner", pair.owner_attribute)
                .expression_attribute_values(":owner", text(pair.id))
                .return_values_on_condition_check_failure(OnRefusal::AllOld)
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }
}
