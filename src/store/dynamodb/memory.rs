//! What is remembered of one user: link, intent and fresh memberships.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal};

use super::DynamoDbStore;
use crate::aws::explain;
use crate::aws::table::{integer, number, text};
use crate::clock::later;
use crate::failure::Failure;
use crate::ids::OktaUserId;
use crate::store::{AccountIntent, FRESH_MS, FreshTeams, INTENT_DAYS, Intended, UserMemory};

#[derive(serde::Deserialize)]
struct Note {
    teams: FreshTeams,
    until_ms: i64,
}

fn intent_pk(user: &OktaUserId) -> String {
    format!("intent#{user}")
}

fn fresh_pk(user: &OktaUserId) -> String {
    format!("fresh#{user}")
}

impl DynamoDbStore {
    pub(super) async fn read_memory(&self, user: &OktaUserId) -> Result<UserMemory, Failure> {
        let (link, intent, fresh) = (format!("user#{user}"), intent_pk(user), fresh_pk(user));
        let keys = HashSet::from([link.clone(), intent.clone(), fresh.clone()]);
        let mut items = self.get_batch(keys).await?;
        let now_ms = self.clock.now_ms();
        let mut memory = UserMemory::default();
        if let Some(item) = items.remove(&link) {
            memory.link = Some(self.parse(&link, item)?);
        }
        if let Some(item) = items.remove(&intent) {
            let lasts = integer(&item, "expires_at").is_none_or(|at| at > now_ms / 1000);
            let found: AccountIntent = self.parse(&intent, item)?;
            memory.intent = lasts.then_some(found);
        }
        if let Some(item) = items.remove(&fresh) {
            let found: Note = self.parse(&fresh, item)?;
            if found.until_ms > now_ms {
                memory.fresh_teams = found.teams;
            }
        }
        Ok(memory)
    }

    pub(super) async fn put_intent(
        &self,
        user: &OktaUserId,
        username: &str,
        holder: &str,
        lease: Duration,
    ) -> Result<Intended, Failure> {
        let now_ms = self.clock.now_ms();
        let until_ms = later(now_ms, lease);
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(intent_pk(user)))
            .item("username", text(username))
            .item("holder", text(holder))
            .item("until_ms", number(until_ms))
            .item("expires_at", number(now_ms / 1000 + INTENT_DAYS * 86_400))
            .condition_expression(
                "attribute_not_exists(pk) OR until_ms <= :now OR holder = :holder",
            )
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":holder", text(holder))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Intended::Noted),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    let held = refusal
                        .item
                        .as_ref()
                        .and_then(|item| integer(item, "until_ms"));
                    Ok(Intended::Held {
                        until_ms: held.unwrap_or(now_ms),
                    })
                }
                _ => Err(explain(self.target("dynamodb:PutItem"), &error)),
            },
        }
    }

    pub(super) async fn end_intent(&self, user: &OktaUserId, holder: &str) -> Result<(), Failure> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(intent_pk(user)))
            .update_expression("SET until_ms = :over")
            .condition_expression("holder = :holder")
            .expression_attribute_values(":over", number(0))
            .expression_attribute_values(":holder", text(holder))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(explain(self.target("dynamodb:UpdateItem"), &error)),
            },
        }
    }

    pub(super) async fn forget(&self, user: &OktaUserId) -> Result<(), Failure> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(intent_pk(user)))
            .send()
            .await
            .map_err(|error| explain(self.target("dynamodb:DeleteItem"), &error))?;
        Ok(())
    }

    pub(super) async fn put_fresh_teams(
        &self,
        user: &OktaUserId,
        teams: &FreshTeams,
    ) -> Result<(), Failure> {
        let until_ms = self.clock.now_ms() + FRESH_MS;
        let teams = teams
            .iter()
            .map(|(team, written)| (team.to_string(), text(written.as_str())))
            .collect();
        self.client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(fresh_pk(user)))
            .item("teams", AttributeValue::M(teams))
            .item("until_ms", number(until_ms))
            .item("expires_at", number(until_ms / 1000 + 60))
            .send()
            .await
            .map_err(|error| explain(self.target("dynamodb:PutItem"), &error))?;
        Ok(())
    }
}
