//! What a look at one user saw. The planner knows nothing else.

use std::collections::HashSet;

use super::adopt::Freed;
use crate::anypoint::{Account, Member, TeamOfAccount};
use crate::failure::Failure;
use crate::ids::{OktaGroupId, OktaUserId, TeamId};
use crate::provision::wanted::Wanted;
use crate::store::{AccountOwner, UserLink};

/// A team that the user is to be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTeam {
    /// The Okta group behind it.
    pub group: OktaGroupId,
    /// The group's display name, from which a missing team is named.
    pub group_name: String,
    /// The team, when the group has one.
    pub team: Option<TeamId>,
}

/// A team that an account is in, or was put into moments ago, and that a link says is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTeam {
    /// The team.
    pub team: TeamId,
    /// The group behind it.
    pub group: OktaGroupId,
    /// Whether the membership is ours to end.
    pub membership: Membership,
}

/// Whether a membership is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// A plain one, in the team of a pushed group.
    Ours,
    /// A plain one that may or may not exist. It was written moments ago, and reads may still show the old state.
    Uncertain,
    /// A maintainer's, or one from an external group.
    Special,
    /// It exists, but its type could not be read.
    Unread,
}

impl Membership {
    fn of(is_unread: bool, is_plain: bool) -> Self {
        match (is_unread, is_plain) {
            (true, _) => Self::Unread,
            (false, true) => Self::Ours,
            (false, false) => Self::Special,
        }
    }
}

impl From<&TeamOfAccount> for Membership {
    fn from(team: &TeamOfAccount) -> Self {
        Self::of(team.is_unread(), team.is_plain())
    }
}

impl From<&Member> for Membership {
    fn from(member: &Member) -> Self {
        Self::of(member.is_unread(), member.is_plain())
    }
}

/// An account that has the wanted username and is not the linked one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAccount {
    /// The account.
    pub account: Account,
    /// The user whose account it is or was.
    pub owner: Option<AccountOwner>,
    /// Why the account is free, although another user's link names it. An error: Okta's answer does not say whether it is.
    pub freed_from: Result<Option<Freed>, Failure>,
    /// Its linked teams.
    pub teams: Vec<FoundTeam>,
    /// All its teams, as its own list showed them.
    pub listed: Vec<TeamOfAccount>,
}

/// The groups of the user, as Okta listed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupsSeen {
    /// The list is complete.
    Whole(HashSet<OktaGroupId>),
    /// The list lacks the built-in group that every user is in. It can prove a membership, but never its absence.
    Incomplete(HashSet<OktaGroupId>),
    /// Groups are not pushed, or there is no such user.
    Unread,
}

impl GroupsSeen {
    /// Whether the user is in the group.
    pub(crate) fn contains(&self, group: &OktaGroupId) -> bool {
        match self {
            Self::Whole(groups) | Self::Incomplete(groups) => groups.contains(group),
            Self::Unread => false,
        }
    }
}

/// What became of an account that an earlier run was about to create or enable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Orphan {
    /// There is none, or a link leads to it.
    #[default]
    None,
    /// It is the user's, and no link leads to it.
    Account(Account),
    /// It is not shown. It may exist, because its creation got no answer a short time ago.
    Unshown,
}

/// What a look saw of one user on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// The Okta user.
    pub user: OktaUserId,
    /// What Okta wants.
    pub wanted: Wanted,
    /// The link.
    pub link: Option<UserLink>,
    /// The linked account; `None` when there is no link or the account is gone.
    pub linked: Option<Account>,
    /// The linked account's linked teams.
    pub linked_teams: Vec<FoundTeam>,
    /// The account of the wanted username.
    pub named: Option<NamedAccount>,
    /// What became of the account that an earlier run was about to give the user under another username.
    pub orphan: Orphan,
    /// The groups that the user is in.
    pub groups: GroupsSeen,
    /// The teams that the user is to be in.
    pub teams: Vec<WantedTeam>,
}

impl UserView {
    /// Whether teams may be missing because the list of the user's groups is incomplete.
    pub(crate) fn misses_groups(&self) -> bool {
        let is_wanted = matches!(self.wanted, Wanted::Account(_));
        is_wanted && matches!(self.groups, GroupsSeen::Incomplete(_))
    }
}
