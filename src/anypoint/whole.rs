//! Lists of which every entry has to be read: one that cannot be is an error.

use super::account::Account;
use super::client::Anypoint;
use super::team::{Member, Team, TeamOfAccount};
use crate::deadline::Deadline;
use crate::http::{CallError, Listed};
use crate::ids::{AccountId, TeamId};

impl Anypoint {
    /// [`Anypoint::list_accounts`], whole.
    pub async fn accounts(&self, deadline: Deadline) -> Result<Vec<Account>, CallError> {
        self.list_accounts(deadline).await?.whole()
    }

    /// [`Anypoint::list_teams`], whole.
    pub async fn teams(&self, deadline: Deadline) -> Result<Vec<Team>, CallError> {
        self.list_teams(deadline).await?.whole()
    }

    /// [`Anypoint::list_members`], whole.
    pub async fn members(
        &self,
        team: &TeamId,
        deadline: Deadline,
    ) -> Result<Option<Vec<Member>>, CallError> {
        let members = self.list_members(team, deadline).await?;
        members.map(Listed::whole).transpose()
    }

    /// [`Anypoint::list_teams_of_account`], whole.
    pub async fn teams_of_account(
        &self,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<Option<Vec<TeamOfAccount>>, CallError> {
        let teams = self.list_teams_of_account(account, deadline).await?;
        teams.map(Listed::whole).transpose()
    }
}
