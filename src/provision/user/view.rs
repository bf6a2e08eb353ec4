//! What a look at one user has seen: all that the planner knows.

use std::collections::HashSet;

use crate::anypoint::Account;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::provision::wanted::Wanted;
use crate::store::{AccountOwner, FreshTeams, UserLink};

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

/// A team that an account is in and that a link says is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTeam {
    /// The team.
    pub team: TeamId,
    /// Whether the membership is ours to end: plain, and of a group that is still pushed.
    pub ours: bool,
}

/// The linked teams of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TeamsFound(pub Vec<FoundTeam>);

/// An account that bears the wanted username and is not the linked one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAccount {
    /// The account.
    pub account: Account,
    /// To whom it belongs or belonged.
    pub owner: Option<AccountOwner>,
    /// Its linked teams.
    pub teams: TeamsFound,
}

/// Everything that was seen of one user on both sides.
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
    pub linked_teams: TeamsFound,
    /// The account of the wanted username; of a user who is not wanted and has no link, that of the
    /// intended one, which a crash may have left behind.
    pub named: Option<NamedAccount>,
    /// The username of an account that this program was about to create.
    pub intended: Option<String>,
    /// The teams that the user is to be in.
    pub teams: Vec<WantedTeam>,
    /// Memberships that were written moments ago: what was read of them may be the past.
    pub fresh: FreshTeams,
    /// Memberships that are never ours to write, in teams of any kind: maintainers, external mappings.
    /// A team that only becomes a group's while the plan is carried out is known from here.
    pub special: HashSet<(AccountId, TeamId)>,
}
