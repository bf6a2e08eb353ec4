//! Changes of a team's members, in batches. Source of shapes: Anypoint Access Management API, "Teams".

use http::{Method, StatusCode};
use serde_json::json;

use super::client::Anypoint;
use super::team::denied;
use crate::deadline::Deadline;
use crate::http::{Call, CallError, RemoteAnswer};
use crate::ids::{AccountId, TeamId};

/// Members in one PATCH or DELETE at the most.
const MAX_MEMBERS_PER_CALL: usize = 100;
/// If so many accounts are refused one after another and none is accepted, the team is refused, not an account.
const MAX_REFUSED_MEMBERS: usize = 20;

impl Anypoint {
    /// Makes the accounts plain members, `MAX_MEMBERS_PER_CALL` a call. Members stay members. Returns the accounts that
    /// Anypoint refused.
    pub async fn add_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        self.in_batches(team, accounts, MemberChange::Join, deadline)
            .await
    }

    /// Takes the accounts out of a team, `MAX_MEMBERS_PER_CALL` a call. An account that is not in it, or a team that is
    /// gone, is no error: if the answer says so, the client reads the membership. Returns the accounts that Anypoint
    /// refused.
    pub async fn remove_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        let removed = self.in_batches(team, accounts, MemberChange::Leave, deadline);
        match removed.await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    /// Sends the accounts in batches. One account may fail its whole batch: that is not documented. So a refused batch is
    /// sent in halves, until only single accounts are refused.
    ///
    /// # Errors
    /// When the calls fail for everybody. A 404: the team is gone.
    async fn in_batches(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        change: MemberChange,
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        let mut left: Vec<&[AccountId]> = accounts.chunks(MAX_MEMBERS_PER_CALL).collect();
        left.reverse();
        let (mut refused, mut accepted, mut is_there) = (Vec::new(), 0, false);
        while let Some(batch) = left.pop() {
            let sent = match change {
                MemberChange::Join => self.add_batch(team, batch, deadline).await,
                MemberChange::Leave => self.remove_batch(team, batch, deadline).await,
            };
            let error = match sent {
                Ok(()) => {
                    accepted += 1;
                    continue;
                }
                Err(error) => error,
            };
            if !error.is_about_this_call() && !is_absent(&error) && !error.is_unreadable() {
                return Err(error);
            }
            if error.is_not_found() && !is_there {
                is_there = self.team(team, deadline).await?.is_some();
                if !is_there {
                    return Err(error);
                }
            }
            let [account] = batch else {
                let (first, second) = batch.split_at(batch.len() / 2);
                left.extend([second, first]);
                continue;
            };
            if accepted == 0 && refused.len() + 1 >= MAX_REFUSED_MEMBERS {
                return Err(error);
            }
            let account = account.clone();
            refused.push(RefusedMember { account, error });
        }
        Ok(refused)
    }

    async fn add_batch(
        &self,
        team: &TeamId,
        batch: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let body: Vec<_> = batch
            .iter()
            .map(|account| json!({"id": account, "membership_type": "member"}))
            .collect();
        let call = self
            .call("add the team's members", Method::PATCH, &path)
            .json(json!(body));
        let added = self.send_batch(&call, batch, deadline).await;
        added
            .map_err(CallError::passing_conflict)?
            .check_empty(&call)
    }

    /// Sends a refused call about one account once more. One about several is repeated anyway, in halves.
    async fn send_batch(
        &self,
        call: &Call,
        batch: &[AccountId],
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        match batch {
            [_] => self.send_without_values(call, deadline).await,
            _ => self.send(call, deadline).await,
        }
    }

    async fn remove_batch(
        &self,
        team: &TeamId,
        batch: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let call = self
            .call("remove the team's members", Method::DELETE, &path)
            .json(json!(batch));
        match self.send_batch(&call, batch, deadline).await {
            Err(error) if is_absent(&error) && batch.len() == 1 => {
                // One strange answer must not leave anybody in the team. The list may show the past for a moment, so
                // both are asked once more before the answers count as a contradiction.
                for _ in 0..2 {
                    if (self.members_among(team, batch, deadline).await?).is_empty() {
                        return Ok(());
                    }
                    match self.send(&call, deadline).await {
                        Err(error) if is_absent(&error) => {}
                        other => return other?.check_empty(&call),
                    }
                }
                Err(denied(
                    &call,
                    "the account is no member, but the team lists it",
                ))
            }
            other => other?.check_empty(&call),
        }
    }
}

/// What a call does with accounts.
#[derive(Debug, Clone, Copy)]
enum MemberChange {
    Join,
    Leave,
}

/// An account whose membership Anypoint refused to change, alone.
#[derive(Debug)]
pub struct RefusedMember {
    /// The account.
    pub account: AccountId,
    /// The refusal.
    pub error: CallError,
}

impl RefusedMember {
    /// The result of a call about one account.
    pub(crate) fn alone(refused: Vec<Self>) -> Result<(), CallError> {
        match refused.into_iter().next() {
            Some(refused) => Err(refused.error),
            None => Ok(()),
        }
    }
}

/// 404 and 409 both mean "not a member" here, as the vendor's own Terraform provider reads them.
fn is_absent(error: &CallError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)
    )
}
