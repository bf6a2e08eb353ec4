//! What Okta says of one user. Finds answers that contradict each other or an announcement.

use std::collections::HashSet;

use futures_util::future::{OptionFuture, try_join};
use futures_util::try_join;

use super::view::GroupsSeen;
use crate::failure::{Failure, Side};
use crate::http::Listed;
use crate::ids::{OktaGroupId, OktaUserId};
use crate::okta::{AppUser, Group, User, UserStatus};
use crate::provision::announced::{Fact, Sense};
use crate::provision::evidence::{Evidence, contradiction};
use crate::provision::finding::Finding;
use crate::provision::policy::{Policy, SuspendedUsers};
use crate::provision::provisioner::Look;
use crate::provision::selection::{GroupSelection, Selected};
use crate::provision::wanted::standing;

pub(super) struct OktaSide {
    pub(super) user: Option<User>,
    pub(super) app_user: Option<AppUser>,
    /// `None`: groups are not pushed, or there is no such user.
    groups: Option<Listed<Group>>,
    /// Read only where the assignment decides.
    pub(super) app_groups: Option<HashSet<OktaGroupId>>,
}

impl OktaSide {
    pub(super) fn groups(&self) -> &[Group] {
        self.groups.as_ref().map_or(&[], |listed| &listed.items)
    }

    /// The groups of the user that become teams, and those that the list of the app's groups lacks. One answer may lack
    /// a group that is assigned.
    pub(super) fn selected(&self, policy: &Policy) -> (Vec<&Group>, Vec<&Group>) {
        let groups = self.groups().iter();
        let groups = groups.filter(|group| {
            !policy.excluded.group(group) && policy.groups.selects(group) != Selected::No
        });
        groups.partition(|group| match policy.groups.selects(group) {
            Selected::Yes => true,
            Selected::No => false,
            Selected::IfAssigned => {
                let groups = self.app_groups.as_ref();
                groups.is_some_and(|groups| groups.contains(&group.id))
            }
        })
    }

    pub(super) fn groups_seen(&self) -> GroupsSeen {
        let Some(groups) = &self.groups else {
            return GroupsSeen::Unread;
        };
        let read = groups.items.iter().map(|group| group.id.clone());
        let ids = read.chain(groups.ids_unread()).collect();
        if groups.is_complete_for_user() {
            GroupsSeen::Whole(ids)
        } else {
            GroupsSeen::Incomplete(ids)
        }
    }

    /// Checks that the answers can all be true. An announcement outweighs them.
    pub(super) fn check(&self, evidence: &Evidence) -> Result<(), Failure> {
        if self.user.is_some() || evidence.user_ended() {
            return Ok(());
        }
        let what = if self.app_user.as_ref().is_some_and(AppUser::is_assigned) {
            "there is no such user, and the user is assigned to the app"
        } else if self.groups.is_some() {
            "there is no such user, and the user is in groups"
        } else {
            return Ok(());
        };
        Err(contradiction(Side::Okta, what))
    }

    /// Until when announcements that the look does not show are too young to be overruled.
    pub(super) fn unshown(&self, evidence: &Evidence) -> Option<i64> {
        let too_young = |fact, is_shown| {
            let shown = if is_shown { Sense::Holds } else { Sense::Ended };
            evidence.too_young(&fact, shown)
        };
        let status = self.user.as_ref().map(|user| &user.status);
        if matches!(status, None | Some(UserStatus::Deprovisioned)) {
            // Such a user is no longer assigned, suspended or in a group.
            return too_young(Fact::Active, false);
        }
        let is_assigned = self.app_user.as_ref().is_some_and(AppUser::is_assigned);
        let is_suspended = status == Some(&UserStatus::Suspended);
        let mut until = vec![
            too_young(Fact::Active, true),
            too_young(Fact::Assigned, is_assigned),
            too_young(Fact::Suspended, is_suspended),
        ];
        let is_pushed = |group: &&OktaGroupId| {
            let pushed = self.app_groups.as_ref();
            pushed.is_none_or(|pushed| pushed.contains(*group))
        };
        if let Some(groups) = &self.groups {
            let announced = evidence.announced_groups().filter(is_pushed);
            until.extend(
                announced.map(|group| too_young(Fact::InGroup(group.clone()), groups.names(group))),
            );
        }
        until.into_iter().flatten().max()
    }
}

impl Look<'_> {
    pub(super) async fn okta_side(&self, user: &OktaUserId) -> Result<OktaSide, Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        let selection = &ports.policy.groups;
        let pushes_groups = *selection != GroupSelection::None;
        let by_assignment = *selection == GroupSelection::Assigned;
        let groups = OptionFuture::from(
            pushes_groups.then(|| ports.okta.list_groups_of_user(user, deadline)),
        );
        let app_groups = OptionFuture::from(
            by_assignment.then(|| ports.okta.list_app_groups(&ports.app, deadline)),
        );
        let (user, app_user, groups, app_groups) = try_join!(
            ports.okta.user(user, deadline),
            ports.okta.app_user(&ports.app, user, deadline),
            async { groups.await.transpose() },
            async { app_groups.await.transpose() },
        )?;
        if let (Some(_), Some(None)) = (&user, &groups) {
            return Err(contradiction(
                Side::Okta,
                "the user is there, and the user's groups are not",
            ));
        }
        Ok(OktaSide {
            user,
            app_user,
            groups: groups.flatten().map(Listed::telling),
            app_groups: app_groups
                .map(|listed| listed.telling().with_unread(|id| id).into_iter().collect()),
        })
    }

    /// Reads the owner of an account.
    pub(super) async fn owner(
        &self,
        owner: &OktaUserId,
    ) -> Result<(Option<User>, Option<AppUser>), Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        let app_user = ports.okta.app_user(&ports.app, owner, deadline);
        let read = try_join(ports.okta.user(owner, deadline), app_user).await;
        read.map_err(Failure::from)
    }

    /// Reads a finding again. Returns whether Okta still does not show it.
    pub(super) async fn still_unshown(
        &self,
        user: &OktaUserId,
        finding: &Finding,
    ) -> Result<bool, Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        Ok(match finding {
            Finding::NoUser => ports.okta.user(user, deadline).await?.is_none(),
            Finding::OwnerGone(owner) => {
                let (user, app_user) = self.owner(owner).await?;
                let kept = SuspendedUsers::Keep;
                let standing = standing(user.as_ref(), app_user.as_ref(), kept);
                standing.is_err_and(|reason| reason.finding().is_some())
            }
            Finding::NotAssigned => {
                let found = ports.okta.app_user(&ports.app, user, deadline).await?;
                found.is_none_or(|app_user| !app_user.is_assigned())
            }
            Finding::NotInGroup(group) => {
                let groups = ports.okta.list_groups_of_user(user, deadline).await?;
                groups.is_some_and(|groups| groups.is_complete_for_user() && !groups.names(group))
            }
            Finding::NotPushed | Finding::NotMember(_) | Finding::NameOwnerNotPushed(_) => false,
        })
    }
}
