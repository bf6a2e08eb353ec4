//! Writes and removes a link and its reverse entry together, while the run has the lease.

use aws_sdk_dynamodb::types::builders::{DeleteBuilder, PutBuilder, UpdateBuilder};
use serde::Serialize;

use super::{CURRENT, DynamoDbStore, FORMER, old_intent_pk};
use crate::aws::table::{Item, Transacted, Writes as _, string, text};
use crate::failure::Failure;
use crate::ids::{OktaGroupId, OktaUserId};
use crate::ledger::{Lease, Memo, under_lease};
use crate::store::Linked;

/// The Okta side of a link, which decides how the items of the link are named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pair<'a> {
    User(&'a OktaUserId),
    Group(&'a OktaGroupId),
}

/// The position of the reverse entry in a transaction. The lease comes first.
const REVERSE: usize = 1;

impl Pair<'_> {
    fn pk(self) -> String {
        match self {
            Self::User(user) => format!("user#{user}"),
            Self::Group(group) => format!("group#{group}"),
        }
    }

    fn id(self) -> String {
        match self {
            Self::User(user) => user.to_string(),
            Self::Group(group) => group.to_string(),
        }
    }

    fn reverse_pk(self, target: &str) -> String {
        match self {
            Self::User(_) => format!("account#{target}"),
            Self::Group(_) => format!("team#{target}"),
        }
    }

    fn target_attribute(self) -> &'static str {
        match self {
            Self::User(_) => "anypoint_id",
            Self::Group(_) => "team_id",
        }
    }

    fn owner_attribute(self) -> &'static str {
        match self {
            Self::User(_) => "okta_user",
            Self::Group(_) => "okta_group",
        }
    }

    /// The reverse entry of the current link.
    pub(super) fn reverse(self, target: &str) -> Item {
        let mut item = Item::from([
            ("pk".to_owned(), text(self.reverse_pk(target))),
            (self.owner_attribute().to_owned(), text(self.id())),
        ]);
        if let Self::User(_) = self {
            item.insert("tenure".to_owned(), text(CURRENT));
        }
        item
    }
}

impl DynamoDbStore {
    /// Writes the link to `target` and its reverse entry, instead of the link to `before`.
    pub(super) async fn link<Owner: TryFrom<String>>(
        &self,
        pair: Pair<'_>,
        lease: &Lease,
        target: &str,
        before: Option<&str>,
        link: &impl Serialize,
        memo: &Memo,
    ) -> Result<Linked<Owner>, Failure> {
        let pk = pair.pk();
        let mut item: Item = serde_dynamo::to_item(link).map_err(|_| self.unreadable(&pk))?;
        item.insert("pk".to_owned(), text(pk));
        let mut writes = vec![
            under_lease(&self.table, lease, memo).or_stop()?,
            self.put_reverse(pair, target).or_stop()?,
            self.table.put(item).or_stop()?,
        ];
        if let Some(before) = before.filter(|before| *before != target) {
            // If another Okta object has that object by now, this run must not change its entry.
            writes.push(match pair {
                Pair::User(_) => self.make_former(pair, before).or_leave_out()?,
                Pair::Group(_) => self.delete_reverse(pair, before).or_leave_out()?,
            });
        }
        if let Pair::User(user) = pair {
            writes.push(self.table.delete(old_intent_pk(user)).or_stop()?);
        }
        match self.table.transact(writes).await? {
            Transacted::Written { .. } => Ok(Linked::Written),
            Transacted::Refused { position, item } if position == REVERSE => {
                string(&item, pair.owner_attribute())
                    .and_then(|owner| Owner::try_from(owner.to_owned()).ok())
                    .map(Linked::TakenBy)
                    .ok_or_else(|| self.unreadable(&pair.reverse_pk(target)))
            }
            Transacted::Refused { .. } => Err(lease.lost()),
        }
    }

    /// Removes the link, and its reverse entry if that still names the same Okta object.
    pub(super) async fn unlink(&self, pair: Pair<'_>, lease: &Lease) -> Result<(), Failure> {
        let Some(link) = self.table.get(&pair.pk()).await? else {
            return Ok(());
        };
        let target =
            string(&link, pair.target_attribute()).ok_or_else(|| self.unreadable(&pair.pk()))?;
        let writes = vec![
            under_lease(&self.table, lease, &Memo::Keep).or_stop()?,
            self.delete_reverse(pair, target).or_leave_out()?,
            self.table.delete(pair.pk()).or_stop()?,
        ];
        match self.table.transact(writes).await? {
            Transacted::Written { .. } => Ok(()),
            Transacted::Refused { .. } => Err(lease.lost()),
        }
    }

    fn put_reverse(&self, pair: Pair<'_>, target: &str) -> PutBuilder {
        let put = self.table.put(pair.reverse(target));
        let put = match pair {
            Pair::User(_) => put
                .condition_expression(
                    "attribute_not_exists(pk) OR #owner = :owner OR tenure = :former",
                )
                .expression_attribute_values(":former", text(FORMER)),
            Pair::Group(_) => put.condition_expression(FREE_OR_OURS),
        };
        put.expression_attribute_names("#owner", pair.owner_attribute())
            .expression_attribute_values(":owner", text(pair.id()))
    }

    fn make_former(&self, pair: Pair<'_>, account: &str) -> UpdateBuilder {
        self.table
            .update(pair.reverse_pk(account))
            .update_expression("SET #owner = :owner, tenure = :former")
            .condition_expression(FREE_OR_OURS)
            .expression_attribute_names("#owner", pair.owner_attribute())
            .expression_attribute_values(":owner", text(pair.id()))
            .expression_attribute_values(":former", text(FORMER))
    }

    fn delete_reverse(&self, pair: Pair<'_>, target: &str) -> DeleteBuilder {
        self.table
            .delete(pair.reverse_pk(target))
            .condition_expression(FREE_OR_OURS)
            .expression_attribute_names("#owner", pair.owner_attribute())
            .expression_attribute_values(":owner", text(pair.id()))
    }
}

const FREE_OR_OURS: &str = "attribute_not_exists(pk) OR #owner = :owner";
