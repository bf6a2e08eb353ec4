//! Adds a user's account to the teams of pushed groups, and removes it from them.
//!
//! A membership has two subjects, and this run has leased only the user. It creates a missing team under the lease on
//! the team's group.

use super::steps::why;
use super::view::{Membership, WantedTeam};
use crate::anypoint::MemberChange;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{OktaGroupId, OktaUserId, Subject, TeamId};
use crate::ledger::SUBJECT_WAIT;
use crate::provision::progress::FollowUp;
use crate::provision::run::Run;
use crate::provision::step::{AccountRef, Applied, action};
use crate::provision::team::{Ensured, EnsuredTeam, NamedBy, Past, is_unchanged_since, overtaken};
use crate::store::LastWrite;

/// A membership that this run made.
struct Joined {
    group: OktaGroupId,
    team: TeamId,
    /// No run that had the group before this time changed it since the look, in milliseconds since the epoch.
    as_of_ms: i64,
}

impl Run<'_> {
    /// Joins these teams. A team that cannot be joined does not keep the user out of the others.
    pub(super) async fn join_all(
        &mut self,
        user: &OktaUserId,
        account: AccountRef<'_>,
        teams: &[WantedTeam],
        began_ms: i64,
    ) -> Result<(), Failure> {
        let (mut joined, mut ended) = (Vec::new(), Ok(()));
        for team in teams {
            match self.join(account, team, began_ms).await {
                Ok(made) => joined.extend(made),
                // The group decides about its team's name. The group's own look reports the reason, and adds the
                // members once there is a team.
                Err(failure) if failure.cause.is_about_team_name() => {
                    let group = Subject::Group(team.group.clone());
                    tracing::warn!(subject = self.lease.subject(), %group, "the group has no team: {failure}");
                    self.progress.follow_group(&team.group);
                }
                Err(failure) => ended = self.set_aside(failure),
            }
            if ended.is_err() {
                break;
            }
        }
        let verified = self.verify_joins(user, account, joined).await;
        ended.and(verified)
    }

    /// Leaves these teams. A team that cannot be left does not keep the account in the others.
    pub(super) async fn leave_all(
        &mut self,
        account: AccountRef<'_>,
        teams: &[TeamId],
        why: &'static str,
    ) -> Result<(), Failure> {
        for team in teams {
            if let Err(failure) = self.leave(account, team, why).await {
                self.set_aside(failure)?;
            }
        }
        Ok(())
    }

    pub(super) async fn leave(
        &mut self,
        account: AccountRef<'_>,
        team: &TeamId,
        why: &'static str,
    ) -> Result<(), Failure> {
        let (anypoint, deadline) = (&self.ports().anypoint, self.look.deadline);
        let one = std::slice::from_ref(account.id);
        let call = anypoint.change_members(MemberChange::Leave, team, one, deadline);
        let what = Applied::on(action::LEAVE_TEAM, team, why).of_account(account.username);
        self.write(what, call).await??;
        self.note_membership(team, LastWrite::Left);
        Ok(())
    }

    fn note_membership(&mut self, team: &TeamId, written: LastWrite) {
        let now_ms = self.ports().clock.now_ms();
        self.memory.note_membership(team.clone(), written, now_ms);
        self.keep_memory();
    }

    /// Adds the account to the team of a group. Creates or adopts the team first if the group has none.
    async fn join(
        &mut self,
        account: AccountRef<'_>,
        wanted: &WantedTeam,
        began_ms: i64,
    ) -> Result<Option<Joined>, Failure> {
        let joined = |team: &TeamId, as_of_ms| Joined {
            group: wanted.group.clone(),
            team: team.clone(),
            as_of_ms,
        };
        if let Some(team) = &wanted.team {
            let made_now = |done: &Applied| done.action == action::CREATE_ACCOUNT;
            let is_expected = self.evidence.announces_joining(&wanted.group)
                || self.progress.applied.iter().any(made_now);
            // No event announced it, so the account's list may be missing a team. Adding a maintainer again would make
            // them a plain member.
            if !is_expected && self.look.ask_team_for(account.id, team).await?.is_some() {
                return Ok(None);
            }
            // A team that was deleted by hand is created again below.
            if self.add(account, team).await? {
                return Ok(Some(joined(team, began_ms)));
            }
        }
        let (ensured, as_of_ms) = self.team_of(wanted, began_ms).await?;
        let EnsuredTeam { link, past } = match ensured {
            Ensured::Team(team) => team,
            // The group's own look waits until it is known, and adds the members.
            Ensured::InDoubt(_) => {
                self.progress.follow_group(&wanted.group);
                return Ok(None);
            }
        };
        // The group has just adopted an existing team, whose members keep their membership type. Lists may still show
        // people whom the former group's run removed.
        let id = link.team_id.to_string();
        let is_made =
            |done: &Applied| done.action == action::CREATE_TEAM && done.id.as_ref() == Some(&id);
        if !self.progress.applied.iter().any(is_made) {
            let left = self.memory.last_write(&link.team_id) == Some(LastWrite::Left);
            let found = self.look.ask_team_for(account.id, &link.team_id).await?;
            match found.as_ref().map(Membership::from) {
                Some(Membership::Special | Membership::Unread) => return Ok(None),
                Some(_) if past == Past::OfNoOther && !left => return Ok(None),
                _ => {}
            }
        }
        if self.add(account, &link.team_id).await? {
            return Ok(Some(joined(&link.team_id, as_of_ms)));
        }
        let what = "the team was deleted since it was found; the next look makes it again";
        Err(Failure::retryable(Side::Anypoint, what).because(Cause::Overtaken))
    }

    /// Removes the account again if another run worked on the group since the look and the user no longer belongs to it.
    async fn verify_joins(
        &mut self,
        user: &OktaUserId,
        account: AccountRef<'_>,
        joined: Vec<Joined>,
    ) -> Result<(), Failure> {
        if joined.is_empty() {
            return Ok(());
        }
        let subject = |joined: &Joined| Subject::Group(joined.group.clone()).to_string();
        let subjects: Vec<String> = joined.iter().map(subject).collect();
        let leased = self.ports().ledger.last_leased(&subjects).await?;
        let mut is_overtaken = false;
        for joined in joined {
            let meanwhile = leased.get(&subject(&joined));
            if meanwhile.is_none_or(|at_ms| *at_ms < joined.as_of_ms)
                || self.look.belongs(user, &joined.group).await?
            {
                continue;
            }
            self.leave(account, &joined.team, why::NOT_IN_GROUP).await?;
            is_overtaken = true;
        }
        match is_overtaken {
            true => Err(overtaken()),
            false => Ok(()),
        }
    }

    /// Adds the account to the team. Returns whether the team exists.
    async fn add(&mut self, account: AccountRef<'_>, team: &TeamId) -> Result<bool, Failure> {
        let (anypoint, deadline) = (&self.ports().anypoint, self.look.deadline);
        let one = std::slice::from_ref(account.id);
        let call = anypoint.change_members(MemberChange::Join, team, one, deadline);
        let what = Applied::on(action::JOIN_TEAM, team, why::IN_GROUP).of_account(account.username);
        match self.write(what, call).await? {
            Err(error) if error.is_not_found() => Ok(false),
            other => {
                other?;
                self.note_membership(team, LastWrite::Joined);
                Ok(true)
            }
        }
    }

    /// Finds or creates the team of a group, under a lease on the group. After it created or adopted one, the group
    /// becomes a follow-up, whose look adds the other members. Returns also the [`Joined::as_of_ms`] of a join.
    async fn team_of(
        &mut self,
        wanted: &WantedTeam,
        began_ms: i64,
    ) -> Result<(Ensured, i64), Failure> {
        let group = Subject::Group(wanted.group.clone());
        let lease = self.lease_other(group.clone(), SUBJECT_WAIT).await?;
        let before = self.progress.applied.len();
        let named_by = NamedBy::LookAt(began_ms);
        let ensured = self
            .ensure_team(&wanted.group, &wanted.group_name, named_by, &lease)
            .await;
        let done = self.progress.applied.get(before..).unwrap_or_default();
        let is_new =
            |done: &Applied| [action::CREATE_TEAM, action::ADOPT_TEAM].contains(&done.action);
        let has_new_team = done.iter().any(is_new);
        // The look before the lease found the group pushed. A run that had the group since then may know better. If
        // none had it, only those count that take the lease after this run.
        let is_current = is_unchanged_since(&lease, began_ms);
        let as_of_ms = match is_current {
            true => self.ports().clock.now_ms() + 1,
            false => began_ms,
        };
        self.give_back(lease, done).await?;
        if has_new_team {
            self.progress.follow(FollowUp::Once(group));
        }
        Ok((ensured?, as_of_ms))
    }
}
