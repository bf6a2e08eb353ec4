//! What events announce. Pure. When events contradict each other, the one published last counts, even if an earlier
//! run has applied it.

use std::collections::BTreeMap;
use std::fmt;

use super::finding::{Finding, Unpushed};
use super::policy::{Policy, SuspendedUsers, TeamRemoval};
use super::selection::GroupSelection;
use crate::event::{Asks, Change, RECONCILE_EVENT_TYPE, asks};
use crate::ids::OktaGroupId;
use crate::store::Memory;

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

impl fmt::Display for Fact {
    /// The stable word that the table stores.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assigned => f.write_str("assigned"),
            Self::Suspended => f.write_str("suspended"),
            Self::Active => f.write_str("active"),
            Self::InGroup(group) => write!(f, "in_group:{group}"),
            Self::GroupExists => f.write_str("group_exists"),
            Self::GroupAssigned => f.write_str("group_assigned"),
            Self::GroupRenamed => f.write_str("group_renamed"),
        }
    }
}

impl Fact {
    /// The sense in which the fact gives access. A new group name has none, because it may give access or end it.
    fn granting(&self) -> Option<Sense> {
        match self {
            Self::GroupRenamed => None,
            Self::Suspended => Some(Sense::Ended),
            _ => Some(Sense::Holds),
        }
    }

    /// If an event grants one of these facts later, an earlier revocation of this fact no longer counts. A user who is
    /// assigned is neither deactivated nor suspended.
    fn outdated_by(&self) -> Vec<Self> {
        match self {
            Self::Active | Self::Suspended => vec![Self::Active, Self::Suspended, Self::Assigned],
            Self::GroupExists => vec![Self::GroupExists, Self::GroupAssigned],
            other => vec![other.clone()],
        }
    }
}

/// Whether an announced fact holds or no longer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    /// It holds now.
    Holds,
    /// It no longer holds.
    Ended,
}

/// What the changes of one run announce. When events contradict each other, the one published last counts.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    pub(super) facts: BTreeMap<Fact, (Sense, i64)>,
    pub(super) planned: BTreeMap<String, i64>,
    pub(super) everything: bool,
    /// Whether a group that an incomplete list lacks counts as left, too.
    pub(super) despite_gaps: bool,
    /// When the last event that granted a fact in an earlier run was published, by fact.
    granted_before: BTreeMap<String, i64>,
    /// Whether a suspension ends the account.
    suspended: SuspendedUsers,
}

impl Announced {
    /// What these changes announce. `last_leased_ms` is when another run last had the subject. Findings of a reconcile
    /// before that run do not count, because that run looked later. The memory has what both of them missed.
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

    /// Adds what the memory knows of earlier runs, and whether a suspension ends the account.
    pub(super) fn after(mut self, memory: &Memory, suspended: SuspendedUsers) -> Self {
        self.granted_before.clone_from(&memory.granted);
        self.suspended = suspended;
        self
    }

    /// The granted facts, for the memory: a contrary event that was published earlier may still arrive.
    pub(super) fn granted(&self) -> impl Iterator<Item = (String, i64)> {
        self.facts
            .iter()
            .filter(|(fact, (sense, _))| fact.granting() == Some(*sense))
            .map(|(fact, (_, published_ms))| (fact.to_string(), *published_ms))
    }

    /// For an operator's command: everything that the look finds counts as announced. An incomplete list finds no absence.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// For `push --now`: what an incomplete list lacks counts as announced, too.
    pub fn despite_gaps() -> Self {
        Self {
            despite_gaps: true,
            ..Self::everything()
        }
    }

    pub(super) fn last(&self, fact: &Fact) -> Option<(Sense, i64)> {
        self.facts.get(fact).copied()
    }

    /// Whether an event announced that the fact gives access.
    pub(super) fn grants(&self, fact: &Fact) -> bool {
        self.granted_ms(fact).is_some()
    }

    fn granted_ms(&self, fact: &Fact) -> Option<i64> {
        let (sense, published_ms) = self.last(fact)?;
        (fact.granting() == Some(sense)).then_some(published_ms)
    }

    /// Whether an event announced that the fact no longer gives access, and no later event announced the contrary.
    pub(super) fn revokes(&self, fact: &Fact) -> bool {
        let Some((sense, revoked_ms)) = self.last(fact) else {
            return false;
        };
        let is_outdated = |fact: Fact| {
            let before = self.granted_before.get(&fact.to_string()).copied();
            self.granted_ms(&fact).max(before) > Some(revoked_ms)
        };
        let contrary = fact.granting().is_some_and(|granting| granting != sense);
        contrary && !fact.outdated_by().into_iter().any(is_outdated)
    }

    /// Whether an event announced the end of the account: unassignment, deactivation, deletion or, by setting,
    /// suspension.
    fn ends_account(&self) -> bool {
        let by_suspension = match self.suspended {
            SuspendedUsers::Deactivate => self.revokes(&Fact::Suspended),
            SuspendedUsers::Keep => false,
        };
        by_suspension || self.revokes(&Fact::Assigned) || self.revokes(&Fact::Active)
    }

    pub(super) fn announces(&self, finding: &Finding) -> bool {
        self.everything
            || match finding {
                Finding::NoUser | Finding::NotAssigned => self.ends_account(),
                Finding::NotInGroup(group) => self.revokes(&Fact::InGroup(group.clone())),
                // `ends_team` decides about `NotPushed`, because the announcement depends on the reason.
                Finding::NotCreated
                | Finding::NotPushed
                | Finding::OwnerGone(_)
                | Finding::AccountGone(_)
                | Finding::NotMember(_)
                | Finding::NameOwnerNotPushed(_) => false,
            }
    }

    /// Whether an event announced that the group is not pushed. Its deletion does. Its unassignment does if the
    /// assignment decides. A new name does if the look shows a name that leaves the selection.
    pub(super) fn ends_team(&self, why: Unpushed, selection: &GroupSelection) -> bool {
        let by_assignment = *selection == GroupSelection::Assigned;
        let by_name = matches!(selection, GroupSelection::Named(_)) && why == Unpushed::NotSelected;
        self.revokes(&Fact::GroupExists)
            || (by_assignment && self.revokes(&Fact::GroupAssigned))
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

/// Whether an event announces that a person loses an account or a membership under these settings.
pub(crate) fn announces_removal(change: &Change, policy: &Policy) -> bool {
    match asks(&change.event_type) {
        Some(Asks::NoAccess) => {
            let suspends = announcement(change) == Some((Fact::Suspended, Sense::Holds));
            !suspends || policy.suspended == SuspendedUsers::Deactivate
        }
        Some(Asks::NoMembership) => true,
        Some(Asks::NoTeam) => policy.team_removal != TeamRemoval::Keep,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_decide_what_counts_as_a_removal() {
        let (by_default, mut kept) = (Policy::default(), Policy::default());
        kept.suspended = SuspendedUsers::Keep;
        kept.team_removal = TeamRemoval::Keep;
        for (event_type, removes, removes_under_keep) in [
            ("user.lifecycle.suspend", true, false),
            ("user.lifecycle.deactivate", true, true),
            ("application.user_membership.remove", true, true),
            ("group.user_membership.remove", true, true),
            ("group.lifecycle.delete", true, false),
            ("user.lifecycle.unsuspend", false, false),
            ("group.user_membership.add", false, false),
        ] {
            let change = json!({"uuid": "e1", "event_type": event_type, "subject": "user#00u1",
                "published": "2026-11-30T00:00:00Z", "group": "00g1"});
            let change: Change = serde_json::from_value(change).unwrap();
            assert_eq!(
                announces_removal(&change, &by_default),
                removes,
                "{event_type}"
            );
            assert_eq!(
                announces_removal(&change, &kept),
                removes_under_keep,
                "{event_type}"
            );
        }
    }
}
