//! Reads the members of one group or one team.
//!
//! An unreadable list is a problem of its group. The group's team stays as it is, and the run goes on. The run stops if
//! the side itself is at fault: it refuses a call that is not about one object, or all such lists failed.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::reader::{ReadOne, SideReader};
use super::snapshot::{Members, PushedGroup};
use crate::anypoint::Member;
use crate::failure::{Cause, Class, Failure, Side};
use crate::http::{CallError, Listed};
use crate::ids::{OktaGroupId, TeamId};
use crate::okta::{Group, User};

impl SideReader<'_> {
    /// Reads one object. If the side refuses it alone, or its form is wrong, that is the object's own problem.
    pub(super) async fn one<T>(
        &self,
        read: impl Future<Output = Result<Option<T>, CallError>>,
    ) -> Result<ReadOne<T>, Failure> {
        match read.await {
            Ok(found) => Ok(Ok(found)),
            Err(error) if error.is_refusal() => {
                self.check(Side::Okta).await?;
                Ok(Err(error.into()))
            }
            Err(error) if error.is_about_the_object() => Ok(Err(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// The members of a group; `None` when Okta has no such group.
    ///
    /// # Errors
    /// When Okta itself is at fault, or the time is up.
    pub(crate) async fn group_members(
        &self,
        group: &OktaGroupId,
    ) -> Result<ReadOne<Listed<User>>, Failure> {
        let okta = &self.scheduler.ports.okta;
        let list = okta.list_group_members(group, self.deadline);
        self.run(1, self.list(Side::Okta, list)).await
    }

    /// The members of a team; `None` when Anypoint has no such team.
    ///
    /// # Errors
    /// When Anypoint itself is at fault, or the time is up.
    pub(crate) async fn team_members(
        &self,
        team: &TeamId,
    ) -> Result<ReadOne<Listed<Member>>, Failure> {
        let anypoint = &self.scheduler.ports.anypoint;
        let list = anypoint.list_members(team, self.deadline);
        self.run(1, self.list(Side::Anypoint, list)).await
    }

    async fn list<T>(
        &self,
        side: Side,
        read: impl Future<Output = Result<Option<T>, CallError>>,
    ) -> Result<ReadOne<T>, Failure> {
        let failure = match read.await {
            // A team that was just listed cannot be gone, so this does not count as an answer.
            Ok(None) if side == Side::Anypoint => return Ok(Ok(None)),
            Ok(found) => {
                self.lists_read().entry(side).or_default().answered += 1;
                return Ok(Ok(found));
            }
            Err(error) => Failure::from(error),
        };
        if matches!(failure.cause, Cause::OutOfTime | Cause::Throttled) {
            return Err(failure);
        }
        self.check(side).await?;
        Ok(Err(self.note_failed_list(side, failure)))
    }

    /// Counts a failed list. Returns the failure of its group.
    fn note_failed_list(&self, side: Side, failure: Failure) -> Failure {
        let mut lists_read = self.lists_read();
        let failed = &mut lists_read.entry(side).or_default().failed;
        failed.push(failure.clone());
        let advice = match failure.class {
            Class::Retryable => failure.advice.clone(),
            // The group itself is in order, and there is no event to replay.
            Class::Permanent => None,
        };
        Failure {
            class: Class::Retryable,
            message: format!("{}; the group's team stays as it is", failure.message),
            advice,
            ..failure
        }
    }

    /// Fails if a side also refuses a call that is not about one object.
    pub(super) async fn check(&self, side: Side) -> Result<(), Failure> {
        let ports = &self.scheduler.ports;
        if side == Side::Okta {
            ports.okta.check_app(&ports.app, self.deadline).await?;
        } else {
            ports.anypoint.check_organization(self.deadline).await?;
        }
        Ok(())
    }

    /// Fails if several lists of a side were read and all failed, because that is the side's fault.
    ///
    /// # Errors
    /// The failure of one of them.
    pub(crate) fn check_lists(&self) -> Result<(), Failure> {
        let lists_read = self.lists_read();
        let lost = lists_read
            .values()
            .find(|lists| lists.answered == 0 && lists.failed.len() > 1);
        match lost.and_then(|lists| lists.failed.first()) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// The group with its members. `None`: the group is listed but its members cannot be read, which is noted.
    pub(super) async fn with_members(&self, group: Group) -> Result<Option<PushedGroup>, Failure> {
        // Only the ids are kept, because the app's list has everything else.
        let listed = match self.group_members(&group.id).await? {
            Ok(Some(listed)) => listed.map(|user| user.id),
            Ok(None) => {
                self.unread().groups.insert(group.id, listed_and_gone());
                return Ok(None);
            }
            Err(failure) => {
                self.unread().groups.insert(group.id, failure);
                return Ok(None);
            }
        };
        self.unread().note_members_of_group(&group.id, &listed);
        Ok(Some(PushedGroup {
            group,
            unread: listed.ids_unread().collect(),
            extent: listed.extent,
            members: listed.with_unread(|id| id),
        }))
    }

    /// The members of teams, each with its group. Teams whose members cannot be read are noted.
    pub(super) async fn members_of(
        &self,
        teams: impl IntoIterator<Item = (TeamId, OktaGroupId)>,
    ) -> Result<Members, Failure> {
        let mut reads = Vec::new();
        for (team, group) in teams {
            reads.push(self.members(team, group));
        }
        let found: Vec<_> = try_join_all(reads).await?;
        Ok(found.into_iter().flatten().collect::<HashMap<_, _>>())
    }

    async fn members(
        &self,
        team: TeamId,
        group: OktaGroupId,
    ) -> Result<Option<(TeamId, Vec<Member>)>, Failure> {
        let failure = match self.team_members(&team).await? {
            Ok(Some(listed)) => {
                self.unread().note_members_of_team(&team, &listed);
                return Ok(Some((team, listed.with_unread(Member::unread))));
            }
            Ok(None) => self.note_failed_list(Side::Anypoint, vanished()),
            Err(failure) => failure,
        };
        self.unread()
            .note_team_without_members(team, group, failure);
        Ok(None)
    }
}

pub(super) fn listed_and_gone() -> Failure {
    Failure::retryable(
        Side::Okta,
        "the group is listed and cannot be read; its team stays as it is",
    )
    .because(Cause::Contradiction)
    .advising("Look at the group in Okta; unassign it from the app if it is gone.")
}

/// The failure when a team that was just listed has no list of members.
fn vanished() -> Failure {
    Failure::retryable(
        Side::Anypoint,
        "the team is listed, and its members are not there",
    )
    .because(Cause::Contradiction)
}
