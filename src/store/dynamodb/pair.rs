//! A link and its reverse entry, written and removed together.
//!
//! The present link is not read first: the transaction assumes there is none and is told by its
//! refusal when there is. So the usual case, a first link, is one call.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure as OnRefusal,
    TransactWriteItem, Update,
};

use super::{CURRENT, DynamoDbStore, FORMER, pause};
use crate::aws::explain;
use crate::aws::table::{Item, string, text};
use crate::failure::{Failure, Side};
use crate::store::{Linked, Origin};

/// How often a transaction is tried that others get in the way of.
const ROUNDS: u32 = 8;

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
    pub intent: bool,
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

/// The conditions that can refuse, in the order of the transaction's items. In the last place may be the
/// intent instead: it has no condition.
const LINK: usize = 0;
const REVERSE: usize = 1;
const LEFT: usize = 2;

const ADOPTED: &str = Origin::Adopted.as_str();
const CREATED: &str = Origin::Created.as_str();

enum Sent {
    Written,
    /// One reason for each item of the transaction.
    Refused(Vec<CancellationReason>),
}

impl DynamoDbStore {
    /// Writes the link to `target` and its reverse entry; the object linked before is left.
    pub(super) async fn link(
        &self,
        pair: &Pair<'_>,
        target: &str,
        mut attributes: Item,
    ) -> Result<Linked<String>, Failure> {
        attributes.insert("pk".to_owned(), text(pair.pk()));
        let mut before: Option<String> = None;
        let mut foreign_left = false;
        for round in 0..ROUNDS {
            let mut items = vec![
                self.put_link(pair, target, attributes.clone(), before.as_deref())?,
                self.put_reverse(pair, target)?,
            ];
            if let Some(before) = before
                .as_deref()
                .filter(|before| !foreign_left && *before != target)
            {
                items.push(self.leave(pair, before)?);
            }
            if pair.intent {
                items.push(self.delete_intent(pair)?);
            }
            let reasons = match self.transact(items).await? {
                Sent::Written => return Ok(Linked::Written),
                Sent::Refused(reasons) => reasons,
            };
            if let Some(item) = refused(&reasons, REVERSE) {
                let owner = string(item, pair.owner_attribute)
                    .ok_or_else(|| self.unreadable(&pair.reverse_pk(target)))?;
                return Ok(Linked::TakenBy(owner.to_owned()));
            }
            if let Some(item) = refused(&reasons, LINK) {
                before = match string(item, pair.target_attribute) {
                    Some(before) => {
                        if before == target && string(item, "origin") == Some(CREATED) {
                            // What another run of ours made stays "created" for whoever finds it.
                            attributes.insert("origin".to_owned(), text(CREATED));
                        }
                        Some(before.to_owned())
                    }
                    None if item.is_empty() => None,
                    None => return Err(self.unreadable(&pair.pk())),
                };
                foreign_left = false;
            } else if refused(&reasons, LEFT).is_some() {
                // The object linked before belongs to another by now: that entry is not ours.
                foreign_left = true;
            } else {
                pause(round).await;
            }
        }
        Err(self.contended())
    }

    /// Removes the link and its reverse entry, if that is ours.
    pub(super) async fn unlink(&self, pair: &Pair<'_>) -> Result<(), Failure> {
        let mut foreign = false;
        for round in 0..ROUNDS {
            let Some(link) = self.get(&pair.pk()).await? else {
                return Ok(());
            };
            let target =
                string(&link, pair.target_attribute).ok_or_else(|| self.unreadable(&pair.pk()))?;
            let mut items = vec![built(
                Delete::builder()
                    .table_name(&self.table)
                    .key("pk", text(pair.pk()))
                    .condition_expression("#target = :target")
                    .expression_attribute_names("#target", pair.target_attribute)
                    .expression_attribute_values(":target", text(target))
                    .build()
                    .map(|delete| TransactWriteItem::builder().delete(delete).build()),
            )?];
            if !foreign {
                items.push(self.delete_reverse(pair, target)?);
            }
            match self.transact(items).await? {
                Sent::Written => return Ok(()),
                Sent::Refused(reasons) => {
                    if refused(&reasons, REVERSE).is_some() {
                        foreign = true;
                    } else {
                        pause(round).await;
                    }
                }
            }
        }
        Err(self.contended())
    }

    fn put_link(
        &self,
        pair: &Pair<'_>,
        target: &str,
        item: Item,
        before: Option<&str>,
    ) -> Result<TransactWriteItem, Failure> {
        let adopts = string(&item, "origin") == Some(ADOPTED);
        let mut put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .expression_attribute_names("#target", pair.target_attribute);
        put = match before {
            None if adopts => put
                .condition_expression(
                    "attribute_not_exists(pk) OR (#target = :target AND origin <> :created)",
                )
                .expression_attribute_values(":target", text(target))
                .expression_attribute_values(":created", text(CREATED)),
            None => put
                .condition_expression("attribute_not_exists(pk) OR #target = :target")
                .expression_attribute_values(":target", text(target)),
            Some(before) => put
                .condition_expression("#target = :before")
                .expression_attribute_values(":before", text(before)),
        };
        built(
            put.build()
                .map(|put| TransactWriteItem::builder().put(put).build()),
        )
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
            put.table_name(&self.table)
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
                .table_name(&self.table)
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
                .table_name(&self.table)
                .key("pk", text(pair.reverse_pk(target)))
                .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
                .expression_attribute_names("#owner", pair.owner_attribute)
                .expression_attribute_values(":owner", text(pair.id))
                .return_values_on_condition_check_failure(OnRefusal::AllOld)
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }

    fn delete_intent(&self, pair: &Pair<'_>) -> Result<TransactWriteItem, Failure> {
        built(
            Delete::builder()
                .table_name(&self.table)
                .key("pk", text(format!("intent#{}", pair.id)))
                .build()
                .map(|delete| TransactWriteItem::builder().delete(delete).build()),
        )
    }

    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Sent, Failure> {
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Sent::Written),
            Err(error) => error,
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let expected = |reason: &CancellationReason| {
                matches!(
                    reason.code(),
                    None | Some("None" | "ConditionalCheckFailed" | "TransactionConflict")
                )
            };
            if reasons.iter().all(expected) {
                return Ok(Sent::Refused(reasons.to_vec()));
            }
            let healing = |reason: &CancellationReason| {
                expected(reason)
                    || matches!(
                        reason.code(),
                        Some("ThrottlingError" | "ProvisionedThroughputExceeded")
                    )
            };
            if reasons.iter().all(healing) {
                return Err(Failure::retryable(
                    Side::Table,
                    format!("a transaction on {} was throttled", self.table),
                ));
            }
        }
        // A transaction needs the permissions of the writes in it.
        Err(explain(
            self.target("dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem"),
            &error,
        ))
    }

    fn contended(&self) -> Failure {
        Failure::retryable(
            Side::Table,
            format!("others kept changing the same link in {}", self.table),
        )
    }
}

/// The item that made the condition at `index` fail; empty when there is none.
fn refused(reasons: &[CancellationReason], index: usize) -> Option<&Item> {
    static NOTHING: std::sync::LazyLock<Item> = std::sync::LazyLock::new(Item::new);
    let reason = reasons.get(index)?;
    (reason.code() == Some("ConditionalCheckFailed"))
        .then(|| reason.item().unwrap_or_else(|| &*NOTHING))
}

fn built(
    item: Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError>,
) -> Result<TransactWriteItem, Failure> {
    item.map_err(|_| {
        Failure::permanent(
            Side::Program,
            "a transaction lacks a required field",
            "report this as a bug",
        )
    })
}
