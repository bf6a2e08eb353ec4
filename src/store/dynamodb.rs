//! The store on DynamoDB: items `user#`, `group#`, `account#`, `team#`, `document#`.
//!
//! Reads are consistent, so a run always sees a link that an earlier invocation wrote. No item here has `expires_at`,
//! because a link must never expire.

mod pair;
mod removals;

use std::collections::{HashMap, HashSet};
use std::fmt;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure as OnRefusal;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;

use super::{
    AccountOwner, Document, Documents, Linked, Origin, Recalled, RemovalCount, Store, Stored,
    TeamLink, TeamPairs, UserLink,
};
use crate::aws::explain;
use crate::aws::table::{
    DynamoDbTable, Item, Transacted, Writes as _, integer, key_of, number, string, text,
};
use crate::clock::Clock;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::ledger::{Lease, Memo, under_lease};

use pair::Pair;

/// Conditional writes of a repair that run at the same time.
const REPAIRS_AT_ONCE: usize = 8;

/// See the module.
#[derive(Clone)]
pub struct DynamoDbStore {
    table: DynamoDbTable,
    clock: std::sync::Arc<dyn Clock>,
}

impl DynamoDbStore {
    /// A store in `table`.
    pub fn new(client: Client, table: impl Into<String>, clock: std::sync::Arc<dyn Clock>) -> Self {
        let name = table.into();
        Self {
            table: DynamoDbTable { client, name },
            clock,
        }
    }

    /// One item as `T`; `None` when there is none.
    async fn one<T: DeserializeOwned>(&self, pk: String) -> Result<Option<T>, Failure> {
        match self.table.get(&pk).await? {
            None => Ok(None),
            Some(item) => self.parse(&pk, item).map(Some),
        }
    }

    /// Many items as `T`, by id. `prefix` + id is the key.
    async fn many<Id, T>(&self, prefix: &str, ids: &[Id]) -> Result<HashMap<Id, T>, Failure>
    where
        Id: Clone + Eq + std::hash::Hash + fmt::Display,
        T: DeserializeOwned,
    {
        let by_key: HashMap<String, &Id> =
            ids.iter().map(|id| (format!("{prefix}{id}"), id)).collect();
        let keys: HashSet<String> = by_key.keys().cloned().collect();
        let mut found = HashMap::new();
        for (pk, item) in self.table.get_batch(keys).await? {
            if let Some(id) = by_key.get(&pk) {
                found.insert((*id).clone(), self.parse(&pk, item)?);
            }
        }
        Ok(found)
    }

    /// Every item under `prefix` as `T`, by id. Reads `pk` and `attributes` only.
    async fn all<Id, T>(&self, prefix: &str, attributes: &str) -> Result<HashMap<Id, T>, Failure>
    where
        Id: TryFrom<String> + Eq + std::hash::Hash,
        T: DeserializeOwned,
    {
        let mut found = HashMap::new();
        let scan = self.table.scan(prefix);
        let scan = scan.projection_expression(format!("pk, {attributes}"));
        for item in self.table.all_of(scan).await? {
            let pk = key_of(&item).unwrap_or_default().to_owned();
            let id = pk
                .strip_prefix(prefix)
                .and_then(|id| Id::try_from(id.to_owned()).ok())
                .ok_or_else(|| self.unreadable(prefix))?;
            found.insert(id, self.parse(&pk, item)?);
        }
        Ok(found)
    }

    fn parse<T: DeserializeOwned>(&self, pk: &str, item: Item) -> Result<T, Failure> {
        serde_dynamo::from_item(item).map_err(|_| self.unreadable(pk))
    }

    /// The failure for one bad item, which ends the read. "Could not read" never counts as "nobody there".
    fn unreadable(&self, pk: &str) -> Failure {
        Failure::permanent(
            Side::Table,
            format!(
                "item {pk} of {} lacks an attribute or has one of another type",
                self.table.name
            ),
            "correct or delete it; items made by hand need all attributes",
        )
    }

    fn put(&self) -> PutItemFluentBuilder {
        let put = self.table.client.put_item().table_name(&self.table.name);
        put.return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// The item for which the condition of a put does not hold; `None`: it is written.
    async fn refused(&self, put: PutItemFluentBuilder) -> Result<Option<Item>, Failure> {
        match put.send().await {
            Ok(_) => Ok(None),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(Some(refusal.item.clone().unwrap_or_default()))
                }
                _ => Err(explain(self.table.target("dynamodb:PutItem"), &error)),
            },
        }
    }
}

#[async_trait]
impl Store for DynamoDbStore {
    async fn user_link(&self, user: &OktaUserId) -> Result<Option<UserLink>, Failure> {
        self.one(format!("user#{user}")).await
    }

    async fn user_links(
        &self,
        users: &[OktaUserId],
    ) -> Result<HashMap<OktaUserId, UserLink>, Failure> {
        self.many("user#", users).await
    }

    async fn all_user_links(&self) -> Result<HashMap<OktaUserId, UserLink>, Failure> {
        self.all("user#", "anypoint_id, username, origin, agreed, reset_mail")
            .await
    }

    async fn recall_user(&self, user: &OktaUserId) -> Result<Recalled, Failure> {
        let (link, intent) = (format!("user#{user}"), old_intent_pk(user));
        let keys = HashSet::from([link.clone(), intent.clone()]);
        let mut items = self.table.get_batch(keys).await?;
        let now_s = self.clock.now_ms().div_euclid(1000);
        let lasts = |item: &Item| integer(item, "expires_at").is_none_or(|at| at > now_s);
        Ok(Recalled {
            link: match items.remove(&link) {
                Some(item) => Some(self.parse(&link, item)?),
                None => None,
            },
            old_intent: items
                .remove(&intent)
                .filter(lasts)
                .and_then(|item| string(&item, "username").map(str::to_owned)),
        })
    }

    async fn link_user(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        link: &UserLink,
        before: Option<&UserLink>,
        memo: Memo,
    ) -> Result<Linked<OktaUserId>, Failure> {
        let before = before.map(|before| before.anypoint_id.as_str());
        let target = link.anypoint_id.as_str();
        self.link(Pair::User(user), lease, target, before, link, &memo)
            .await
    }

    async fn unlink_user(&self, lease: &Lease, user: &OktaUserId) -> Result<(), Failure> {
        self.unlink(Pair::User(user), lease).await
    }

    async fn record_orphan(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        account: &AccountId,
        memo: Memo,
    ) -> Result<(), Failure> {
        let mut item = Pair::User(user).reverse(account.as_str());
        item.insert("tenure".to_owned(), text(FORMER));
        item.insert("origin".to_owned(), text(Origin::Created.as_str()));
        let writes = vec![
            under_lease(&self.table, lease, &memo).or_stop()?,
            self.table
                .put(item)
                .condition_expression(ABSENT)
                .or_leave_out()?,
        ];
        match self.table.transact(writes).await? {
            Transacted::Written { .. } => Ok(()),
            Transacted::Refused { .. } => Err(lease.lost()),
        }
    }

    async fn forget_old_intent(&self, user: &OktaUserId) -> Result<(), Failure> {
        self.table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .key("pk", text(old_intent_pk(user)))
            .send()
            .await
            .map_err(|error| explain(self.table.target("dynamodb:DeleteItem"), &error))?;
        Ok(())
    }

    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, AccountOwner>, Failure> {
        self.many("account#", accounts).await
    }

    async fn team_pairs(
        &self,
        groups: &[OktaGroupId],
        teams: &[TeamId],
    ) -> Result<TeamPairs, Failure> {
        let links: HashMap<String, &OktaGroupId> = groups
            .iter()
            .map(|id| (format!("group#{id}"), id))
            .collect();
        let owners: HashMap<String, &TeamId> =
            teams.iter().map(|id| (format!("team#{id}"), id)).collect();
        let keys: HashSet<String> = links.keys().chain(owners.keys()).cloned().collect();
        let mut pairs = TeamPairs::default();
        for (pk, item) in self.table.get_batch(keys).await? {
            if let Some(group) = links.get(&pk) {
                pairs.0.insert((*group).clone(), self.parse(&pk, item)?);
            } else if let Some(team) = owners.get(&pk) {
                let owner: TeamOwner = self.parse(&pk, item)?;
                pairs.1.insert((*team).clone(), owner.okta_group);
            }
        }
        Ok(pairs)
    }

    async fn all_team_links(&self) -> Result<HashMap<OktaGroupId, TeamLink>, Failure> {
        self.all("group#", "team_id, team_name, origin").await
    }

    async fn link_team(
        &self,
        lease: &Lease,
        group: &OktaGroupId,
        link: &TeamLink,
        before: Option<&TeamLink>,
    ) -> Result<Linked<OktaGroupId>, Failure> {
        let before = before.map(|before| before.team_id.as_str());
        let target = link.team_id.as_str();
        self.link(Pair::Group(group), lease, target, before, link, &Memo::Keep)
            .await
    }

    async fn unlink_team(&self, lease: &Lease, group: &OktaGroupId) -> Result<(), Failure> {
        self.unlink(Pair::Group(group), lease).await
    }

    async fn repair_reverse_entries(
        &self,
        users: &HashMap<OktaUserId, UserLink>,
        teams: &HashMap<OktaGroupId, TeamLink>,
    ) -> Result<(), Failure> {
        let users = users
            .iter()
            .map(|(user, link)| Pair::User(user).reverse(link.anypoint_id.as_str()));
        let teams = teams
            .iter()
            .map(|(group, link)| Pair::Group(group).reverse(link.team_id.as_str()));
        let wanted: HashMap<String, Item> = users
            .chain(teams)
            .filter_map(|item| Some((key_of(&item)?.to_owned(), item)))
            .collect();
        let there = self
            .table
            .get_batch(wanted.keys().cloned().collect())
            .await?;
        stream::iter(wanted)
            .filter(|(pk, _)| std::future::ready(!there.contains_key(pk)))
            .map(|(_, item)| {
                self.refused(self.put().set_item(Some(item)).condition_expression(ABSENT))
            })
            .buffer_unordered(REPAIRS_AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
    }
}

#[async_trait]
impl Documents for DynamoDbStore {
    async fn document(&self, name: &str) -> Result<Option<Document>, Failure> {
        self.one(format!("document#{name}")).await
    }

    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure> {
        // Tells a repetition by the SDK, after a lost first answer, from another writer.
        let writer = uuid::Uuid::new_v4().to_string();
        let put = self
            .put()
            .item("pk", text(format!("document#{name}")))
            .item("json", text(json))
            .item("version", number(expected + 1))
            .item("writer", text(&writer));
        let put = match expected {
            0 => put.condition_expression(ABSENT),
            _ => put
                .condition_expression("version = :expected")
                .expression_attribute_values(":expected", number(expected)),
        };
        Ok(match self.refused(put).await? {
            Some(item) if string(&item, "writer") != Some(&writer) => Stored::Conflict,
            _ => Stored::Written,
        })
    }

    async fn count_removals(
        &self,
        people: &[String],
        now_ms: i64,
    ) -> Result<RemovalCount, Failure> {
        removals::count(&self.table, people, now_ms).await
    }

    async fn uncount_removals(&self, people: &[String], now_ms: i64) -> Result<(), Failure> {
        removals::uncount(&self.table, people, now_ms).await
    }
}

const ABSENT: &str = "attribute_not_exists(pk)";
const CURRENT: &str = "current";
const FORMER: &str = "former";

fn old_intent_pk(user: &OktaUserId) -> String {
    format!("intent#{user}")
}

#[derive(serde::Deserialize)]
struct TeamOwner {
    okta_group: OktaGroupId,
}
