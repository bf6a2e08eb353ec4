//! What a look at a group saw: all that the planner knows.

use std::collections::{BTreeMap, HashSet};

use super::look::went_away;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaUserId};
use crate::provision::finding::{Finding, Unpushed};
use crate::provision::team::Past;
use crate::provision::user::Membership;
use crate::provision::wanted::MemberWanted;
use crate::store::TeamLink;

/// What Okta wants of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupWanted {
    /// A team with these members.
    Team(WantedMembers),
    /// No team: the group is gone, or not (or no longer) selected.
    Nothing(Unpushed),
    /// `EXCLUDE_GROUPS` names the group, so nothing changes.
    Excluded,
}

/// Who is to be in a team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WantedMembers {
    /// The accounts of members who have the account that Okta wants.
    pub(crate) accounts: Vec<AccountId>,
    /// Old accounts, which stay in the team until their users have the new account.
    pub(crate) kept: Vec<AccountId>,
    /// The accounts of members who lost their assignment. They stay until the user's own look.
    pub(crate) unassigned: Vec<(AccountId, OktaUserId)>,
    /// Members whose account does not exist yet.
    pub(crate) later: Vec<OktaUserId>,
    /// Members who are to have no account because of a state that Okta says outright.
    pub(crate) ended: HashSet<OktaUserId>,
    /// All members of the group.
    pub(crate) listed: HashSet<OktaUserId>,
}

impl WantedMembers {
    /// Whether the user's link moved during the look. A listed member's own look decides.
    pub(super) fn has_moved(&self, user: &OktaUserId) -> bool {
        self.listed.contains(user) && !self.ended.contains(user)
    }

    /// Adds a member of the group.
    pub(crate) fn add(&mut self, user: &OktaUserId, wanted: MemberWanted) {
        self.listed.insert(user.clone());
        match wanted {
            MemberWanted::No => {}
            MemberWanted::Ended => {
                self.ended.insert(user.clone());
            }
            MemberWanted::Unassigned(account) => {
                self.unassigned.push((account, user.clone()));
            }
            MemberWanted::Account(account) => self.accounts.push(account),
            MemberWanted::Stuck(old) => self.kept.extend(old),
            MemberWanted::Later(old) => {
                self.kept.extend(old);
                self.later.push(user.clone());
            }
        }
    }
}

/// One person in the team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberFound {
    pub(crate) account: AccountId,
    pub(crate) membership: Membership,
    /// Whose account it is, if a link points to it.
    pub(crate) owner: Owner,
}

/// Whose account a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This user's.
    Current(OktaUserId),
    /// A disabled former account of this user.
    Former(OktaUserId),
    /// An excluded user's.
    Excluded,
    /// Nobody's: no link names it.
    Unknown,
}

impl MemberFound {
    /// Whether the membership is ours to end.
    pub(crate) fn can_end(&self) -> bool {
        self.membership == Membership::Ours && self.is_owned()
    }

    /// Whether the membership may be ours to end, but its kind could not be read.
    pub(super) fn is_unread(&self) -> bool {
        self.membership == Membership::Unread && self.is_owned()
    }

    fn is_owned(&self) -> bool {
        matches!(self.owner, Owner::Current(_) | Owner::Former(_))
    }
}

/// What a look saw of a group's members on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupView {
    pub(crate) wanted: GroupWanted,
    /// The link to the team.
    pub(crate) link: Option<TeamLink>,
    /// The people in the team; `None` when there is no link, or the team is gone.
    pub(crate) found: Option<Vec<MemberFound>>,
    /// How many teams hang below the team; read only where the team may be deleted.
    pub(crate) below: usize,
    /// Whether the team was another group's. Its list may then show past members.
    pub(crate) past: Past,
    /// The side whose list is incomplete. Such a list adds members, and removes none.
    pub(crate) incomplete: Option<Side>,
    /// The finding about the group whose team has the wanted name, if the plan of the team rests on it.
    pub(crate) name_owner: Option<Finding>,
}

impl GroupView {
    /// Two readings of the team of a group that is not pushed, as one: whatever either of them shows is there.
    ///
    /// # Errors
    /// Retryable, when only one of them shows the team.
    pub(super) fn united(self, later: Self) -> Result<Self, Failure> {
        let team = |view: &Self| view.link.as_ref().map(|link| link.team_id.clone());
        if team(&self) != team(&later) || self.found.is_some() != later.found.is_some() {
            return Err(went_away("the team"));
        }
        let is_there = self.found.is_some();
        let mut members: BTreeMap<AccountId, MemberFound> = BTreeMap::new();
        for found in self.found.into_iter().chain(later.found).flatten() {
            let is_protected = |seen: &MemberFound| {
                seen.membership != Membership::Ours || seen.owner == Owner::Excluded
            };
            if !members.get(&found.account).is_some_and(is_protected) {
                members.insert(found.account.clone(), found);
            }
        }
        Ok(Self {
            found: is_there.then(|| members.into_values().collect()),
            below: self.below.max(later.below),
            incomplete: self.incomplete.or(later.incomplete),
            ..GroupView::of(self.wanted, self.link)
        })
    }

    /// A view without members and without teams below the team.
    pub(crate) fn of(wanted: GroupWanted, link: Option<TeamLink>) -> Self {
        Self {
            wanted,
            link,
            found: None,
            below: 0,
            past: Past::OfNoOther,
            incomplete: None,
            name_owner: None,
        }
    }
}
