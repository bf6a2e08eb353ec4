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
use crate::provision::shown::{UserSeen, unshown};
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
            "there is no such user, but the user is assigned to the app"
        } else if self.groups.is_some() {
            "there is no such user, but the user is in groups"
        } else {
            return Ok(());
        };
        Err(contradiction(Side::Okta, what))
    }

    fn seen(&self) -> UserSeen {
        let is_assigned = self.app_user.as_ref().is_some_and(AppUser::is_assigned);
        let Some(user) = &self.user else {
            return UserSeen::Missing;
        };
        match user.status {
            UserStatus::Deprovisioned => UserSeen::Deactivated { is_assigned },
            UserStatus::Suspended | UserStatus::Live(_) => UserSeen::Live {
                is_suspended: user.status == UserStatus::Suspended,
                is_assigned,
            },
        }
    }

    fn names(&self, group: &OktaGroupId) -> bool {
        self.groups
            .as_ref()
            .is_some_and(|groups| groups.names(group))
    }

    /// Whether a group becomes a team, as far as the lists show it.
    fn pushes(&self, group: &OktaGroupId, policy: &Policy) -> bool {
        match &policy.groups {
            GroupSelection::None => false,
            GroupSelection::Ids(ids) => ids.contains(group),
            GroupSelection::Assigned => {
                let groups = self.app_groups.as_ref();
                groups.is_some_and(|groups| groups.contains(group))
            }
            GroupSelection::All | GroupSelection::Named(_) => {
                let found = self.groups().iter().find(|found| found.id == *group);
                found.is_none_or(|found| policy.groups.selects(found) == Selected::Yes)
            }
        }
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
                "the user is there, but the user's groups are not",
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

    /// Until when announcements that the look does not show are too young to be overruled, in milliseconds since the
    /// epoch.
    pub(super) async fn unshown(
        &self,
        okta: &OktaSide,
        evidence: &Evidence,
    ) -> Result<Option<i64>, Failure> {
        let policy = &self.ports.policy;
        let mut missing = HashSet::new();
        if policy.groups == GroupSelection::Assigned {
            // No list shows a group that was just made. The group itself says whether it exists.
            for group in evidence.announced_groups() {
                let fact = Fact::InGroup(group.clone());
                let is_unlisted = !okta.names(group) && !okta.pushes(group, policy);
                if is_unlisted
                    && evidence.too_young(&fact, Sense::Ended).is_some()
                    && self.is_missing(group).await?
                {
                    missing.insert(group);
                }
            }
        }
        let is_in = |group: &OktaGroupId| {
            let matters = okta.pushes(group, policy) || missing.contains(group);
            matters.then(|| okta.names(group))
        };
        let seen = okta.seen();
        Ok(unshown(evidence, |fact| seen.shows(fact, is_in)))
    }

    async fn is_missing(&self, group: &OktaGroupId) -> Result<bool, Failure> {
        match self.ports.okta.group(group, self.deadline).await {
            // The group is there, or the program may not see it. Nothing depends on its contents.
            Err(error) if error.is_about_the_object() || error.is_refusal() => Ok(false),
            found => Ok(found?.is_none()),
        }
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

    /// Reads a finding again. Returns whether it is still not shown.
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
            Finding::AccountGone(account) => {
                ports.anypoint.account(account, deadline).await?.is_none()
            }
            Finding::NotCreated
            | Finding::NotPushed
            | Finding::NotMember(_)
            | Finding::NameOwnerNotPushed(_) => false,
        })
    }
}
