//! What a look did not show, and how sure that is. Pure.

use std::fmt;

use crate::ids::{AccountId, OktaGroupId, OktaUserId};

/// Something that a look did not show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// Of a user: there is no such user.
    NoUser,
    /// Of a user: the app has no such app user.
    NotAssigned,
    /// Of a user: the group is not among the user's groups.
    NotInGroup(OktaGroupId),
    /// Of a user: the Okta user who has the wanted account does not exist, or is not assigned.
    OwnerGone(OktaUserId),
    /// Of a user: Anypoint has no longer the linked account.
    AccountGone(AccountId),
    /// Of a user: Anypoint has no account from a creation that got no answer.
    NotCreated,
    /// Of a group: it does not exist, or `PUSH_GROUPS` does not select it.
    NotPushed,
    /// Of a group: a user who is in its team is not among its members.
    NotMember(OktaUserId),
    /// Of a group: the group whose team has the wanted name does not exist, or `PUSH_GROUPS` does not select it.
    NameOwnerNotPushed(OktaGroupId),
}

impl fmt::Display for Finding {
    /// The stable word that the table and messages use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser => f.write_str("no_user"),
            Self::NotAssigned => f.write_str("not_assigned"),
            Self::NotInGroup(group) => write!(f, "not_in_group:{group}"),
            Self::OwnerGone(user) => write!(f, "owner_gone:{user}"),
            Self::AccountGone(account) => write!(f, "account_gone:{account}"),
            Self::NotCreated => f.write_str("not_created"),
            Self::NotPushed => f.write_str("not_pushed"),
            Self::NotMember(user) => write!(f, "not_member:{user}"),
            Self::NameOwnerNotPushed(group) => write!(f, "name_owner_not_pushed:{group}"),
        }
    }
}

impl Finding {
    /// What was not shown, in words.
    pub fn in_words(&self) -> String {
        match self {
            Self::NoUser => "Okta shows no such user".to_owned(),
            Self::NotAssigned => "Okta does not show the app assignment".to_owned(),
            Self::NotInGroup(group) => {
                format!("Okta does not show group {group} among the user's groups")
            }
            Self::OwnerGone(user) => {
                format!("Okta does not show that user {user}, who has the account, is assigned")
            }
            Self::AccountGone(account) => {
                format!("Anypoint does not show account {account}, which the user's link names")
            }
            Self::NotCreated => {
                "Anypoint does not show the account whose creation got no answer".to_owned()
            }
            Self::NotPushed => "Okta does not show the group as one to push".to_owned(),
            Self::NotMember(user) => format!("Okta does not show user {user} in the group"),
            Self::NameOwnerNotPushed(group) => {
                format!("Okta does not show group {group}, whose team has the name, as one to push")
            }
        }
    }
}

/// Why a group does not become a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpushed {
    /// There is no such group.
    Gone,
    /// The group is not assigned to the app, and `PUSH_GROUPS` asks for that.
    NotAssigned,
    /// `PUSH_GROUPS` does not select a group of this name or kind.
    NotSelected,
    /// It is none of the pushed groups that a reconcile read.
    NotListed,
}

impl Unpushed {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "the Okta group does not exist (any more)",
            Self::NotAssigned | Self::NotSelected => {
                "the group is not (or no longer) selected by PUSH_GROUPS"
            }
            Self::NotListed => "the group is gone, or not (or no longer) selected by PUSH_GROUPS",
        }
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// An event, or an operator, announced it.
    Announced,
    /// Two looks agree.
    SeenTwice,
    /// Seen once.
    SeenOnce,
}

impl Weight {
    /// Whether a removal may follow.
    pub(crate) fn is_enough(self) -> bool {
        self != Self::SeenOnce
    }
}

/// The findings of one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) believed: Vec<Finding>,
    /// Findings that need a second look before anything follows from them.
    pub(crate) doubted: Vec<Finding>,
}

impl Findings {
    /// Adds a finding. Returns whether a removal may follow from it.
    pub(super) fn note(&mut self, finding: Finding, weight: Weight) -> bool {
        let list = match weight.is_enough() {
            true => &mut self.believed,
            false => &mut self.doubted,
        };
        if !list.contains(&finding) {
            list.push(finding);
        }
        weight.is_enough()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Finding> {
        self.believed.iter().chain(&self.doubted)
    }
}
