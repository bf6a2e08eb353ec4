//! Changes of a team's members. Source of shapes: Anypoint Access Management API, "Teams".

use http::{Method, StatusCode};
use serde_json::json;

use super::client::Anypoint;
use super::team::denied;
use crate::deadline::Deadline;
use crate::http::{Call, CallError, RemoteAnswer};
use crate::ids::{AccountId, TeamId};

/// Accounts in one call at the most.
pub(crate) const MAX_MEMBERS_PER_CALL: usize = 100;

/// What a call does with accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// They become plain members. Members stay members.
    Join,
    /// They leave the team.
    Leave,
}

impl Anypoint {
    /// Changes the membership of at most `MAX_MEMBERS_PER_CALL` accounts. One account may fail the whole call: that is not
    /// documented. An account alone that is not in the team it should leave is no error: if the answer says so, the client
    /// reads the membership.
    ///
    /// # Errors
    /// When the call fails. A 404: the team is gone.
    pub async fn change_members(
        &self,
        change: MemberChange,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        match change {
            MemberChange::Join => self.add_members(team, accounts, deadline).await,
            MemberChange::Leave => self.remove_members(team, accounts, deadline).await,
        }
    }

    async fn add_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let body: Vec<_> = accounts
            .iter()
            .map(|account| json!({"id": account, "membership_type": "member"}))
            .collect();
        let call = self
            .call("add the team's members", Method::PATCH, &path)
            .json(json!(body));
        let added = self.send_members(&call, accounts, deadline).await;
        added
            .map_err(CallError::passing_conflict)?
            .check_empty(&call)
    }

    /// Sends a refused call about one account once more. The caller repeats one about several, in halves.
    async fn send_members(
        &self,
        call: &Call,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        match accounts {
            [_] => self.send_without_values(call, deadline).await,
            _ => self.send(call, deadline).await,
        }
    }

    async fn remove_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let call = self
            .call("remove the team's members", Method::DELETE, &path)
            .json(json!(accounts));
        match self.send_members(&call, accounts, deadline).await {
            Err(error) if is_no_member(&error) && accounts.len() == 1 => {
                // One strange answer must not leave anybody in the team. The list may show the past for a moment, so
                // both are asked once more before the answers count as a contradiction.
                for _ in 0..2 {
                    if (self.members_among(team, accounts, deadline).await?).is_empty() {
                        return Ok(());
                    }
                    match self.send(&call, deadline).await {
                        Err(error) if is_no_member(&error) => {}
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

/// 404 and 409 both mean "not a member", or no team, as the vendor's own Terraform provider reads them.
pub(crate) fn is_no_member(error: &CallError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)
    )
}
