//! Carries out what a plan says of teams.

use super::run::Run;
use super::view::WantedTeam;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::AccountId;
use crate::ledger::Claim;
use crate::store::LastWrite;

impl Run<'_> {
    /// Puts the account into the team of a group, which is made or adopted first if it has none.
    pub(super) async fn join(
        &mut self,
        account: AccountId,
        wanted: &WantedTeam,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let anypoint = &self.provisioner.anypoint;
        let accounts = [account];
        if let Some(team) = &wanted.team {
            self.written.insert(team.clone(), LastWrite::Joined);
            match anypoint.add_members(team, &accounts, deadline).await {
                // The team was deleted by hand: make it again below.
                Err(error) if error.is_not_found() => {}
                other => return other.map_err(Failure::from),
            }
        }
        let link = self
            .provisioner
            .ensure_team(&wanted.group, &wanted.group_name, claim, deadline)
            .await?;
        let [account] = &accounts;
        let membership = (account.clone(), link.team_id.clone());
        if self.view.special.contains(&membership) {
            // The team was there and became the group's just now: a maintainer stays one.
            return Ok(());
        }
        self.written.insert(link.team_id.clone(), LastWrite::Joined);
        match anypoint
            .add_members(&link.team_id, &accounts, deadline)
            .await
        {
            Err(error) if error.is_not_found() => Err(Failure::retryable(
                Side::Anypoint,
                "the team was deleted since it was found; the next look makes it again",
            )),
            other => other.map_err(Failure::from),
        }
    }

    /// Reads of memberships lag behind writes for a moment; the next look must not trust them.
    pub(super) async fn remember_memberships(&self) -> Result<(), Failure> {
        if self.written.is_empty() {
            return Ok(());
        }
        let mut teams = self.view.fresh.clone();
        teams.extend(self.written.clone());
        self.provisioner
            .store
            .note_memberships(&self.view.user, &teams)
            .await
    }
}
