//! Both sides as a reconcile read them.

use std::collections::{HashMap, HashSet};

use super::unread::Unread;
use crate::anypoint::{Account, Member, Team};
use crate::http::Extent;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Group, User};
use crate::store::{TeamLink, UserLink};

/// The members of teams.
pub(super) type Members = HashMap<TeamId, Vec<Member>>;

/// A group that becomes a team.
pub(crate) struct PushedGroup {
    pub(crate) group: Group,
    pub(crate) members: Vec<OktaUserId>,
    /// Members of whom the list shows the id only: they stay as they are.
    pub(crate) unread: HashSet<OktaUserId>,
    /// Whether the list holds everybody.
    pub(crate) extent: Extent,
}

/// Both sides and the links, as they were read.
pub(crate) struct Snapshot {
    pub(crate) user_links: HashMap<OktaUserId, UserLink>,
    pub(crate) team_links: HashMap<OktaGroupId, TeamLink>,
    pub(crate) app_users: HashMap<OktaUserId, AppUser>,
    /// Users that the list of app users did not carry, read one by one.
    pub(crate) late_users: HashMap<OktaUserId, Option<User>>,
    pub(crate) accounts: HashMap<AccountId, Account>,
    pub(crate) teams: Vec<Team>,
    pub(crate) groups: Vec<PushedGroup>,
    /// Linked groups that `EXCLUDE_GROUPS` names: nothing is decided about their teams.
    pub(crate) excluded_groups: HashSet<OktaGroupId>,
    /// What is there and could not be read.
    pub(in crate::schedule) unread: Unread,
    /// The members of every linked team, and of those that a group may adopt by their name.
    pub(crate) members: HashMap<TeamId, Vec<Member>>,
}

impl Snapshot {
    /// The Okta user of an app user.
    pub(crate) fn user_of<'a>(&'a self, app_user: &'a AppUser) -> Option<&'a User> {
        app_user
            .user()
            .or_else(|| self.late_users.get(&app_user.id).and_then(Option::as_ref))
    }
}
