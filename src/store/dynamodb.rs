//! The store on DynamoDB: items `user#`, `group#`, `account#`, `team#`, `intent#`, `fresh#`,
//! `document#`.
//!
//! Reads are consistent: a link that the invocation before wrote is always seen. Only intents and
//! fresh memberships carry `expires_at`; a link must never go away by itself.

mod memory;
mod pair;
mod read;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;

use super::{
    AccountOwner, Document, FreshTeams, Intended, Linked, ResetMail, Store, Stored, TeamLink,
    UserLink, UserMemory,
};
use crate::aws::table::{Item, number, string, target, text};
use crate::aws::{Target, explain};
use crate::clock::Clock;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};

use pair::{Left, Pair};

/// The pause after a call that was not carried out whole; it doubles from round to round.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Conditional writes of a repair that run at the same time.
const REPAIRS_AT_ONCE: usize = 8;

/// See the module.
#[derive(Clone)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl DynamoDbStore {
    /// A store in `table`.
    pub fn new(client: Client, table: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            table: table.into(),
            clock,
        }
    }

    fn target<'a>(&'a self, operation: &'a str) -> Target<'a> {
        target(&self.table, operation)
    }

    /// One item as `T`; `None` when there is none.
    async fn one<T: DeserializeOwned>(&self, pk: String) -> Result<Option<T>, Failure> {
        match self.get(&pk).await? {
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
        for (pk, item) in self.get_batch(keys).await? {
            if let Some(id) = by_key.get(&pk) {
                found.insert((*id).clone(), self.parse(&pk, item)?);
            }
        }
        Ok(found)
    }

    /// Every item under `prefix` as `T`, by id.
    async fn all<Id, T>(&self, prefix: &str, attributes: &str) -> Result<HashMap<Id, T>, Failure>
    where
        Id: TryFrom<String> + Eq + std::hash::Hash,
        T: DeserializeOwned,
    {
        let mut found = HashMap::new();
        for item in self.scan_prefix(prefix, attributes).await? {
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

    /// "Could not read" is never "nobody there": one bad item stops the answer.
    fn unreadable(&self, pk: &str) -> Failure {
        Failure::permanent(
            Side::Table,
            format!(
                "item {pk} of {} lacks an attribute or has one of another type",
                self.table
            ),
            "correct or delete it; items made by hand need all attributes",
        )
    }

    /// Writes an item unless there is one with its key.
    async fn put_if_absent(&self, item: Item) -> Result<(), Failure> {
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(explain(self.target("dynamodb:PutItem"), &error)),
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

    async fn link_user(
        &self,
        user: &OktaUserId,
        link: &UserLink,
    ) -> Result<Linked<OktaUserId>, Failure> {
        let mut attributes = Item::from([
            ("anypoint_id".to_owned(), text(link.anypoint_id.as_str())),
            ("username".to_owned(), text(&link.username)),
            ("origin".to_owned(), text(link.origin.as_str())),
        ]);
        if let Some(agreed) = &link.agreed {
            let names = [
                ("first_name".to_owned(), text(&agreed.first_name)),
                ("last_name".to_owned(), text(&agreed.last_name)),
            ];
            attributes.insert("agreed".to_owned(), AttributeValue::M(names.into()));
        }
        if link.reset_mail != ResetMail::default() {
            let word = text(link.reset_mail.as_str());
            attributes.insert("reset_mail".to_owned(), word);
        }
        let linked = self
            .link(&user_pair(user), link.anypoint_id.as_str(), attributes)
            .await?;
        taken_by(linked, |owner| {
            OktaUserId::parse(owner).map_err(|_| self.unreadable("account#"))
        })
    }

    async fn unlink_user(&self, user: &OktaUserId) -> Result<(), Failure> {
        self.unlink(&user_pair(user)).await
    }

    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, AccountOwner>, Failure> {
        self.many("account#", accounts).await
    }

    async fn user_memory(&self, user: &OktaUserId) -> Result<UserMemory, Failure> {
        self.read_memory(user).await
    }

    async fn intend_account(
        &self,
        user: &OktaUserId,
        username: &str,
        holder: &str,
        lease: Duration,
    ) -> Result<Intended, Failure> {
        self.put_intent(user, username, holder, lease).await
    }

    async fn release_intent(&self, user: &OktaUserId, holder: &str) -> Result<(), Failure> {
        self.end_intent(user, holder).await
    }

    async fn forget_intent(&self, user: &OktaUserId) -> Result<(), Failure> {
        self.forget(user).await
    }

    async fn note_memberships(&self, user: &OktaUserId, teams: &FreshTeams) -> Result<(), Failure> {
        self.put_fresh_teams(user, teams).await
    }

    async fn team_link(&self, group: &OktaGroupId) -> Result<Option<TeamLink>, Failure> {
        self.one(format!("group#{group}")).await
    }

    async fn team_links(
        &self,
        groups: &[OktaGroupId],
    ) -> Result<HashMap<OktaGroupId, TeamLink>, Failure> {
        self.many("group#", groups).await
    }

    async fn all_team_links(&self) -> Result<HashMap<OktaGroupId, TeamLink>, Failure> {
        self.all("group#", "team_id, team_name, origin").await
    }

    async fn link_team(
        &self,
        group: &OktaGroupId,
        link: &TeamLink,
    ) -> Result<Linked<OktaGroupId>, Failure> {
        let attributes = Item::from([
            ("team_id".to_owned(), text(link.team_id.as_str())),
            ("team_name".to_owned(), text(&link.team_name)),
            ("origin".to_owned(), text(link.origin.as_str())),
        ]);
        let linked = self
            .link(&team_pair(group), link.team_id.as_str(), attributes)
            .await?;
        taken_by(linked, |owner| {
            OktaGroupId::parse(owner).map_err(|_| self.unreadable("team#"))
        })
    }

    async fn unlink_team(&self, group: &OktaGroupId) -> Result<(), Failure> {
        self.unlink(&team_pair(group)).await
    }

    async fn team_owners(&self, teams: &[TeamId]) -> Result<HashMap<TeamId, OktaGroupId>, Failure> {
        let owners: HashMap<TeamId, TeamOwner> = self.many("team#", teams).await?;
        Ok(owners
            .into_iter()
            .map(|(team, owner)| (team, owner.okta_group))
            .collect())
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, Failure> {
        self.one(format!("document#{name}")).await
    }

    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure> {
        // Tells a repetition by the SDK, whose first answer was lost, from another writer.
        let writer = uuid::Uuid::new_v4().to_string();
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(format!("document#{name}")))
            .item("json", text(json))
            .item("version", number(expected + 1))
            .item("writer", text(&writer))
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        put = if expected == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :expected")
                .expression_attribute_values(":expected", number(expected))
        };
        match put.send().await {
            Ok(_) => Ok(Stored::Written),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    let by = refusal
                        .item
                        .as_ref()
                        .and_then(|item| string(item, "writer"));
                    Ok(if by == Some(&writer) {
                        Stored::Written
                    } else {
                        Stored::Conflict
                    })
                }
                _ => Err(explain(self.target("dynamodb:PutItem"), &error)),
            },
        }
    }

    async fn repair_reverse_entries(
        &self,
        users: &HashMap<OktaUserId, UserLink>,
        teams: &HashMap<OktaGroupId, TeamLink>,
    ) -> Result<(), Failure> {
        let wanted: HashMap<String, Item> = users
            .iter()
            .map(|(user, link)| user_pair(user).reverse(link.anypoint_id.as_str(), Some(CURRENT)))
            .chain(
                teams
                    .iter()
                    .map(|(group, link)| team_pair(group).reverse(link.team_id.as_str(), None)),
            )
            .collect();
        let there = self.get_batch(wanted.keys().cloned().collect()).await?;
        stream::iter(wanted)
            .filter(|(pk, _)| std::future::ready(!there.contains_key(pk)))
            .map(|(_, item)| self.put_if_absent(item))
            .buffer_unordered(REPAIRS_AT_ONCE)
            .try_collect::<()>()
            .await
    }
}

const CURRENT: &str = "current";
const FORMER: &str = "former";

#[derive(serde::Deserialize)]
struct TeamOwner {
    okta_group: OktaGroupId,
}

fn user_pair(user: &OktaUserId) -> Pair<'_> {
    Pair {
        side: "user#",
        id: user.as_str(),
        target_attribute: "anypoint_id",
        reverse_side: "account#",
        owner_attribute: "okta_user",
        left: Left::Former,
        intent: true,
    }
}

fn team_pair(group: &OktaGroupId) -> Pair<'_> {
    Pair {
        side: "group#",
        id: group.as_str(),
        target_attribute: "team_id",
        reverse_side: "team#",
        owner_attribute: "okta_group",
        left: Left::Deleted,
        intent: false,
    }
}

fn taken_by<Id>(
    linked: Linked<String>,
    parse: impl FnOnce(String) -> Result<Id, Failure>,
) -> Result<Linked<Id>, Failure> {
    Ok(match linked {
        Linked::Written => Linked::Written,
        Linked::TakenBy(owner) => Linked::TakenBy(parse(owner)?),
    })
}

/// Lets others go first: until the next round of a call that they were in the way of.
async fn pause(round: u32) {
    let longest = FIRST_PAUSE * 2_u32.saturating_pow(round);
    let longest = longest.min(LONGEST_PAUSE);
    tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
}

fn key_of(item: &Item) -> Option<&str> {
    string(item, "pk")
}
