//! What events announce (pure). Of contrary events the last published counts.

use std::collections::BTreeMap;

use super::evidence::{Finding, Unpushed};
use super::selection::GroupSelection;
use crate::event::{Asks, Change, RECONCILE_EVENT_TYPE, asks};
use crate::ids::OktaGroupId;

/// What an event can announce.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fact {
    /// The user is assigned to the app.
    Assigned,
    /// The user is suspended.
    Suspended,
    /// The user exists and is not deactivated.
    Active,
    /// The user is in this group.
    InGroup(OktaGroupId),
    /// The group exists.
    GroupExists,
    /// The group is assigned to the app.
    GroupAssigned,
    /// The group has another name.
    GroupRenamed,
}

/// Whether an announced fact holds or no longer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    /// It holds now.
    Holds,
    /// It holds no more.
    Ended,
}

/// What the changes of one run announce. Of contrary events the last published counts.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    pub(super) facts: BTreeMap<Fact, (Sense, i64)>,
    pub(super) planned: BTreeMap<String, i64>,
    pub(super) everything: bool,
}

impl Announced {
    /// What these changes announce. `last_leased_ms` is when another run had the subject last. Its look came after
    /// the look of a reconcile from before then, so that is no evidence any more: what both did not see, the memory says.
    pub fn by<'a>(
        changes: impl IntoIterator<Item = &'a Change>,
        last_leased_ms: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let mut announced = Self::default();
        for change in changes {
            let published_ms = change.published_ms(now_ms);
            let is_last_look = last_leased_ms.is_none_or(|leased_ms| leased_ms <= published_ms);
            if change.event_type == RECONCILE_EVENT_TYPE && is_last_look {
                for finding in &change.planned {
                    let first = announced.planned.entry(finding.clone());
                    let first = first.or_insert(now_ms);
                    *first = published_ms.min(*first);
                }
            }
            let Some((fact, sense)) = announcement(change) else {
                continue;
            };
            let last = announced.facts.entry(fact).or_insert((sense, published_ms));
            if published_ms >= last.1 {
                *last = (sense, published_ms);
            }
        }
        announced
    }

    /// An operator's word: whatever the look finds is announced.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    pub(super) fn last(&self, fact: &Fact) -> Option<(Sense, i64)> {
        self.facts.get(fact).copied()
    }

    pub(super) fn holds(&self, fact: &Fact) -> bool {
        matches!(self.last(fact), Some((Sense::Holds, _)))
    }

    pub(super) fn ended(&self, fact: &Fact) -> bool {
        matches!(self.last(fact), Some((Sense::Ended, _)))
    }

    /// Whether an event announced the end of the account: unassignment, suspension, deactivation or
    /// deletion. An event that announced the contrary later outweighs its own kind.
    fn ends_account(&self) -> bool {
        self.ended(&Fact::Assigned) || self.ended(&Fact::Active) || self.holds(&Fact::Suspended)
    }

    pub(super) fn announces(&self, finding: &Finding) -> bool {
        self.everything
            || match finding {
                Finding::NoUser | Finding::NotAssigned => self.ends_account(),
                Finding::NotInGroup(group) => self.ended(&Fact::InGroup(group.clone())),
                // What announces `NotPushed` depends on why: see `ends_team`.
                Finding::NotPushed | Finding::OwnerGone(_) | Finding::NotMember(_) => false,
            }
    }

    /// Whether an event announced that the group is not pushed: its deletion; its unassignment, where the
    /// assignment decides; a new name, when the look shows one that leaves the selection.
    pub(super) fn ends_team(&self, why: Unpushed, selection: &GroupSelection) -> bool {
        let by_assignment = *selection == GroupSelection::Assigned;
        let by_name = matches!(selection, GroupSelection::Named(_)) && why == Unpushed::NotSelected;
        self.ended(&Fact::GroupExists)
            || (by_assignment && self.ended(&Fact::GroupAssigned))
            || (by_name && self.last(&Fact::GroupRenamed).is_some())
    }
}

/// What an event announces by its type (Okta, "Event types").
fn announcement(change: &Change) -> Option<(Fact, Sense)> {
    use Sense::{Ended, Holds};
    Some(match change.event_type.as_str() {
        "application.user_membership.add" | "application.user_membership.restore" => {
            (Fact::Assigned, Holds)
        }
        "application.user_membership.remove" => (Fact::Assigned, Ended),
        "user.lifecycle.suspend" => (Fact::Suspended, Holds),
        "user.lifecycle.unsuspend" => (Fact::Suspended, Ended),
        "user.lifecycle.create" | "user.lifecycle.activate" | "user.lifecycle.reactivate" => {
            (Fact::Active, Holds)
        }
        "user.lifecycle.deactivate" | "user.lifecycle.delete.initiated" => (Fact::Active, Ended),
        "group.user_membership.add" => (Fact::InGroup(change.group.clone()?), Holds),
        "group.user_membership.remove" => (Fact::InGroup(change.group.clone()?), Ended),
        "group.lifecycle.create" => (Fact::GroupExists, Holds),
        "group.lifecycle.delete" => (Fact::GroupExists, Ended),
        "group.application_assignment.add" => (Fact::GroupAssigned, Holds),
        "group.application_assignment.remove" => (Fact::GroupAssigned, Ended),
        "group.profile.update" => (Fact::GroupRenamed, Holds),
        _ => return None,
    })
}

/// Whether an event announces that somebody loses an account or a membership.
pub(crate) fn announces_removal(change: &Change) -> bool {
    let asked = asks(&change.event_type);
    matches!(
        asked,
        Some(Asks::NoAccess | Asks::NoMembership | Asks::NoTeam)
    )
}
