//! Carries out a group's plans until a look finds nothing left to do.
//!
//! Looking again after writing does two jobs: reads of members lag behind writes for a moment, and a
//! membership may have changed in Okta while a large group was at work.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::try_join_all;
use http::StatusCode;

use super::look::GroupState;
use super::plan::{GroupAction, GroupView, MemberFound, plan_group, who_can_leave};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, TeamId};
use crate::ledger::Claim;
use crate::provision::provisioner::{Applied, Provisioner};
use crate::store::{LastWrite, Tenure};

/// Accounts that are read at once.
const AT_ONCE: usize = 5;
/// Looks at the most, before the group goes back to the queue.
const MOST_LOOKS: u32 = 8;
/// The pause before the second look; it doubles from look to look.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The memberships that one round wrote: the next look tells whether the team is still the group's.
#[derive(Default)]
struct Written(HashMap<TeamId, HashMap<AccountId, LastWrite>>);

impl Written {
    fn note(&mut self, team: &TeamId, accounts: &[AccountId], write: LastWrite) {
        let noted = self.0.entry(team.clone()).or_default();
        noted.extend(accounts.iter().map(|account| (account.clone(), write)));
    }
}

impl Provisioner {
    pub(crate) async fn provision_group(
        &self,
        group: &OktaGroupId,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<Applied, Failure> {
        let mut applied = Applied::default();
        let mut gone = HashSet::new();
        let mut written = Written::default();
        let mut pause = FIRST_PAUSE;
        for look in 0..MOST_LOOKS {
            let (wrote, refused) = self
                .one_round(
                    group,
                    claim,
                    deadline,
                    &mut applied,
                    &mut gone,
                    &mut written,
                )
                .await?;
            match refused {
                _ if wrote => {}
                None => return Ok(applied),
                Some(refused) => return Err(refused),
            }
            // The first look after a write comes at once; the next ones wait for lagging reads.
            if look > 0 {
                tokio::time::sleep(pause.min(deadline.remaining())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Err(Failure::retryable(
            Side::Anypoint,
            "the team's members do not show what was written; the group is looked at again later",
        ))
    }

    /// One look, and what follows from it. Says whether anything was written, and whether the team
    /// cannot have its name: the members of a team that is there follow all the same.
    async fn one_round(
        &self,
        group: &OktaGroupId,
        claim: &Claim,
        deadline: Deadline,
        applied: &mut Applied,
        gone: &mut HashSet<AccountId>,
        written: &mut Written,
    ) -> Result<(bool, Option<Failure>), Failure> {
        let mut refused = None;
        let view = match self.group_state(group, deadline).await? {
            GroupState::Pushed(found) => {
                let team = self.ensure_team(group, found.name(), claim, deadline);
                match team.await {
                    Err(failure) if !failure.is_retryable() => refused = Some(failure),
                    other => drop(other?),
                }
                self.look_at_members(group, deadline).await?
            }
            GroupState::Unpushed(reason) => self.look_at_remains(group, reason, deadline).await?,
        };
        self.hand_over(std::mem::take(written), &view, applied)
            .await?;
        let mut wrote = false;
        for step in plan_group(&view, &self.policy) {
            let name = step.action.name();
            match step.action {
                GroupAction::AddMembers { team, mut accounts } => {
                    accounts.retain(|account| !gone.contains(account));
                    if accounts.is_empty() {
                        continue;
                    }
                    written.note(&team, &accounts, LastWrite::Joined);
                    self.add_members(&team, &accounts, gone, deadline).await?;
                    wrote = true;
                }
                GroupAction::RemoveMembers { team, accounts } => {
                    written.note(&team, &accounts, LastWrite::Left);
                    self.anypoint
                        .remove_members(&team, &accounts, deadline)
                        .await?;
                    wrote = true;
                }
                GroupAction::DeleteTeam { team } => {
                    self.delete_team(group, &team, view.found.as_deref(), claim, deadline)
                        .await?;
                }
                GroupAction::FollowUp(user) => {
                    if applied.follow_ups.contains(&user) {
                        continue;
                    }
                    applied.follow_ups.push(user);
                }
            }
            applied.actions.push(name);
        }
        Ok((wrote, refused))
    }

    /// Another group took the team over while this one wrote to it, and may have read the members
    /// before: the users of the accounts that were written are looked at once more.
    async fn hand_over(
        &self,
        written: Written,
        view: &GroupView,
        applied: &mut Applied,
    ) -> Result<(), Failure> {
        let own = view.link.as_ref().map(|link| &link.team_id);
        for (team, accounts) in written.0 {
            if own == Some(&team) {
                continue;
            }
            let ids: Vec<AccountId> = accounts.keys().cloned().collect();
            for (account, owner) in self.store.account_owners(&ids).await? {
                let Some(write) = accounts.get(&account) else {
                    continue;
                };
                if owner.tenure != Tenure::Current {
                    continue;
                }
                let user = owner.okta_user;
                let mut fresh = self.store.user_memory(&user).await?.fresh_teams;
                fresh.insert(team.clone(), *write);
                self.store.note_memberships(&user, &fresh).await?;
                if !applied.follow_ups.contains(&user) {
                    applied.follow_ups.push(user);
                }
            }
        }
        Ok(())
    }

    /// Adds members. One whose account was deleted in Anypoint fails a whole batch; such accounts are
    /// put into `gone` and told of in their users' own events.
    async fn add_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        gone: &mut HashSet<AccountId>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let refused = match self.anypoint.add_members(team, accounts, deadline).await {
            Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => error,
            // The team was deleted since the look: the next one makes it again.
            Err(error) if error.is_not_found() => return Ok(()),
            other => return other.map_err(Failure::from),
        };
        let mut there = Vec::new();
        for batch in accounts.chunks(AT_ONCE) {
            let reads = batch
                .iter()
                .map(|account| self.anypoint.account(account, deadline));
            for (account, found) in batch.iter().zip(try_join_all(reads).await?) {
                match found {
                    Some(_) => there.push(account.clone()),
                    None => {
                        gone.insert(account.clone());
                    }
                }
            }
        }
        if there.len() == accounts.len() {
            return Err(refused.into());
        }
        self.anypoint.add_members(team, &there, deadline).await?;
        Ok(())
    }

    async fn delete_team(
        &self,
        group: &OktaGroupId,
        team: &TeamId,
        found: Option<&[MemberFound]>,
        _claim: &Claim,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        if self.has_children(team, deadline).await? {
            // Nobody keeps access because of that.
            let pushed = who_can_leave(found.unwrap_or_default());
            self.anypoint
                .remove_members(team, &pushed, deadline)
                .await?;
            return Err(Failure::permanent(
                Side::Anypoint,
                format!("team {team} has teams below it, and deleting it would delete them, too."),
                "Move the teams below it elsewhere in Anypoint, then replay the event; or set \
                 TEAM_REMOVAL=empty.",
            ));
        }
        self.anypoint.delete_team(team, deadline).await?;
        self.store.unlink_team(group).await
    }
}
