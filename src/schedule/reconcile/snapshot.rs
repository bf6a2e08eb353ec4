//! Both sides as a reconcile read them.

use std::collections::{HashMap, HashSet};

use super::unread::Unread;
use crate::anypoint::{Member, Team};
use crate::http::Extent;
use crate::ids::{OktaGroupId, OktaUserId, TeamId};
use crate::okta::Group;
use crate::schedule::people::People;
use crate::store::TeamLink;

/// The members of teams.
pub(super) type Members = HashMap<TeamId, Vec<Member>>;

/// A group that becomes a team.
pub(super) struct PushedGroup {
    pub(super) group: Group,
    pub(super) members: Vec<OktaUserId>,
    /// Members of whom the list shows only the id. Their memberships stay as they are.
    pub(super) unread: HashSet<OktaUserId>,
    /// Whether the list is complete.
    pub(super) extent: Extent,
}

/// Both sides and the links, as they were read.
pub(super) struct Snapshot {
    pub(super) people: People,
    pub(super) team_links: HashMap<OktaGroupId, TeamLink>,
    pub(super) teams: Vec<Team>,
    pub(super) groups: Vec<PushedGroup>,
    /// Linked groups that `EXCLUDE_GROUPS` names. Nothing is decided about their teams.
    pub(super) excluded_groups: HashSet<OktaGroupId>,
    /// Objects that exist but could not be read.
    pub(super) unread: Unread,
    /// The members of every linked team, and of those that a group may adopt by their name.
    pub(super) members: HashMap<TeamId, Vec<Member>>,
}
