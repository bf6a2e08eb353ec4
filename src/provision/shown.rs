//! What a look shows of each fact that an event can announce. Pure. The matches name every fact, so that a new one has
//! to say here what a look shows of it, also when the user or the group does not show at all.

use super::announced::{Fact, Sense};
use super::evidence::Evidence;
use crate::ids::OktaGroupId;

/// A user as a look saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserSeen {
    /// There is no such user.
    Missing,
    Deactivated {
        is_assigned: bool,
    },
    Live {
        is_suspended: bool,
        is_assigned: bool,
    },
}

/// A group as a look saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupSeen {
    /// There is no such group.
    Missing,
    There {
        is_assigned: bool,
    },
}

fn sense(holds: bool) -> Sense {
    if holds { Sense::Holds } else { Sense::Ended }
}

/// Of somebody who has no access any more, only what gives access can be in doubt.
fn sense_if_ended(holds: bool) -> Option<Sense> {
    (!holds).then_some(Sense::Ended)
}

impl UserSeen {
    /// What the look shows of a fact. `None`: nothing that an event could contradict.
    ///
    /// `is_in` says whether the user is in a group. Its `None`: the group does not become a team.
    pub(super) fn shows(
        self,
        fact: &Fact,
        is_in: impl Fn(&OktaGroupId) -> Option<bool>,
    ) -> Option<Sense> {
        match (fact, self) {
            (Fact::Active, Self::Missing | Self::Deactivated { .. }) => Some(Sense::Ended),
            (Fact::Active, Self::Live { .. }) => Some(Sense::Holds),
            (Fact::Assigned, Self::Missing) => Some(Sense::Ended),
            (Fact::Assigned, Self::Deactivated { is_assigned }) => sense_if_ended(is_assigned),
            (Fact::Assigned, Self::Live { is_assigned, .. }) => Some(sense(is_assigned)),
            // Who does not show has no access, as a suspended user.
            (Fact::Suspended, Self::Missing) => Some(Sense::Holds),
            (Fact::Suspended, Self::Deactivated { .. }) => None,
            (Fact::Suspended, Self::Live { is_suspended, .. }) => Some(sense(is_suspended)),
            (Fact::InGroup(group), Self::Missing) => is_in(group).map(|_| Sense::Ended),
            (Fact::InGroup(group), Self::Deactivated { .. }) => {
                is_in(group).and_then(sense_if_ended)
            }
            (Fact::InGroup(group), Self::Live { .. }) => is_in(group).map(sense),
            (Fact::GroupExists | Fact::GroupAssigned | Fact::GroupRenamed, _) => None,
        }
    }
}

impl GroupSeen {
    /// What the look shows of a fact. `None`: nothing that an event could contradict. `by_assignment` says whether the
    /// assignment decides if the group becomes a team.
    pub(super) fn shows(self, fact: &Fact, by_assignment: bool) -> Option<Sense> {
        match (fact, self) {
            (Fact::GroupExists, Self::Missing) => Some(Sense::Ended),
            (Fact::GroupExists, Self::There { .. }) => Some(Sense::Holds),
            (Fact::GroupAssigned, _) if !by_assignment => None,
            (Fact::GroupAssigned, Self::Missing) => Some(Sense::Ended),
            (Fact::GroupAssigned, Self::There { is_assigned }) => Some(sense(is_assigned)),
            // A look shows a name, but not whether it is the new one.
            (Fact::GroupRenamed, _) => None,
            (Fact::Assigned | Fact::Suspended | Fact::Active | Fact::InGroup(_), _) => None,
        }
    }
}

/// The fact without which this one gives no access.
fn needs(fact: &Fact) -> Option<Fact> {
    match fact {
        Fact::Assigned | Fact::Suspended | Fact::InGroup(_) => Some(Fact::Active),
        Fact::GroupAssigned | Fact::GroupRenamed => Some(Fact::GroupExists),
        Fact::Active | Fact::GroupExists => None,
    }
}

/// Until when announcements that a look does not show are too young to be overruled, in milliseconds since the epoch.
/// `None`: the look stands. `shows` says what the look shows of a fact.
pub(super) fn unshown(evidence: &Evidence, shows: impl Fn(&Fact) -> Option<Sense>) -> Option<i64> {
    let until = |fact: &Fact| {
        let until_ms = evidence.too_young(fact, shows(fact)?)?;
        // Somebody was assigned, and deleted later.
        let is_outdated = needs(fact).is_some_and(|needed| evidence.ends_later(&needed, fact));
        (!is_outdated).then_some(until_ms)
    };
    evidence.announced_facts().filter_map(until).max()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::event::Change;
    use crate::ids::{OktaUserId, Subject};
    use crate::provision::announced::Announced;

    const NOW: i64 = 1_800_000_000_000;
    const CONFIRM: Duration = Duration::from_secs(15);
    const YOUNG: i64 = NOW - 1_000;
    const OLD: i64 = NOW - 15_000;

    fn group() -> OktaGroupId {
        OktaGroupId::parse("00g1").unwrap()
    }

    fn evidence(events: &[(&str, i64)]) -> Evidence {
        let change = |(event_type, at): &(&str, i64)| {
            let subject = Subject::User(OktaUserId::parse("00u1").unwrap());
            let mut change = Change::found(subject, *at);
            (*event_type).clone_into(&mut change.event_type);
            change.group = Some(group());
            change
        };
        let changes: Vec<Change> = events.iter().map(change).collect();
        let announced = Announced::by(&changes, None, NOW);
        Evidence::new(announced, &BTreeMap::new(), NOW, CONFIRM)
    }

    /// Each event that announces something of a user, and whether a look must be repeated when the event is young: the
    /// look shows it, does not show it, shows no user, shows a deactivated one.
    const OF_A_USER: [(&str, [bool; 4]); 13] = [
        ("application.user_membership.add", [false, true, true, true]),
        (
            "application.user_membership.restore",
            [false, true, true, true],
        ),
        (
            "application.user_membership.remove",
            [false, true, false, false],
        ),
        ("user.lifecycle.create", [false, true, true, true]),
        ("user.lifecycle.activate", [false, true, true, true]),
        ("user.lifecycle.reactivate", [false, true, true, true]),
        ("user.lifecycle.deactivate", [false, true, false, false]),
        (
            "user.lifecycle.delete.initiated",
            [false, true, false, false],
        ),
        ("user.lifecycle.suspend", [false, true, false, false]),
        ("user.lifecycle.unsuspend", [false, true, true, false]),
        ("group.user_membership.add", [false, true, true, true]),
        ("group.user_membership.remove", [false, true, false, false]),
        ("user.account.update_profile", [false; 4]),
    ];

    fn user_waits(event: (&str, i64), user: UserSeen, is_in: Option<bool>) -> bool {
        unshown(&evidence(&[event]), |fact| user.shows(fact, |_| is_in)).is_some()
    }

    /// What a look sees when it shows the event, and when it does not.
    fn seen_by_event(event_type: &str) -> [(UserSeen, bool); 2] {
        let live = |is_suspended, is_assigned| UserSeen::Live {
            is_suspended,
            is_assigned,
        };
        let gone = UserSeen::Deactivated { is_assigned: false };
        let (fine, suspended, unassigned) =
            (live(false, true), live(true, true), live(false, false));
        match event_type {
            "application.user_membership.add" | "application.user_membership.restore" => {
                [(fine, true), (unassigned, true)]
            }
            "application.user_membership.remove" => [(unassigned, true), (fine, true)],
            "user.lifecycle.create" | "user.lifecycle.activate" | "user.lifecycle.reactivate" => {
                [(fine, true), (gone, false)]
            }
            "user.lifecycle.deactivate" | "user.lifecycle.delete.initiated" => {
                [(gone, false), (fine, true)]
            }
            "user.lifecycle.suspend" => [(suspended, true), (fine, true)],
            "user.lifecycle.unsuspend" => [(fine, true), (suspended, true)],
            "group.user_membership.add" => [(fine, true), (fine, false)],
            "group.user_membership.remove" => [(fine, false), (fine, true)],
            _ => [(fine, true), (unassigned, false)],
        }
    }

    #[test]
    fn a_look_is_repeated_for_each_young_announcement_that_it_does_not_show_of_a_user() {
        for (event_type, expected) in OF_A_USER {
            let [shown, not_shown] = seen_by_event(event_type);
            let missing = (UserSeen::Missing, false);
            let deactivated = (UserSeen::Deactivated { is_assigned: false }, false);
            let looks = [shown, not_shown, missing, deactivated];
            for ((user, is_in), waits) in looks.into_iter().zip(expected) {
                let of = |at| user_waits((event_type, at), user, Some(is_in));
                assert_eq!(of(YOUNG), waits, "{event_type}, {user:?}, {is_in}");
                assert!(!of(OLD), "{event_type}, {user:?}, {is_in}");
            }
        }
    }

    #[test]
    fn a_membership_in_a_group_that_does_not_become_a_team_is_not_waited_for() {
        for user in [UserSeen::Missing, seen_by_event("other")[0].0] {
            for event_type in ["group.user_membership.add", "group.user_membership.remove"] {
                assert!(!user_waits((event_type, YOUNG), user, None));
            }
        }
    }

    #[test]
    fn what_a_deactivated_user_still_has_is_not_in_doubt() {
        let user = UserSeen::Deactivated { is_assigned: true };
        for event_type in [
            "application.user_membership.add",
            "application.user_membership.remove",
            "group.user_membership.add",
            "group.user_membership.remove",
        ] {
            assert!(!user_waits((event_type, YOUNG), user, Some(true)));
        }
    }

    #[test]
    fn a_look_is_repeated_for_each_young_announcement_that_it_does_not_show_of_a_group() {
        let there = |is_assigned| GroupSeen::There { is_assigned };
        // By event: a look that sees the group assigned, one that sees it unassigned, and one that does not see it. Then the
        // same if the assignment does not decide.
        for (event_type, expected) in [
            ("group.lifecycle.create", [[false, false, true]; 2]),
            ("group.lifecycle.delete", [[true, true, false]; 2]),
            (
                "group.application_assignment.add",
                [[false, true, true], [false; 3]],
            ),
            (
                "group.application_assignment.remove",
                [[true, false, false], [false; 3]],
            ),
            ("group.profile.update", [[false; 3]; 2]),
        ] {
            for (by_assignment, expected) in [true, false].into_iter().zip(expected) {
                let looks = [there(true), there(false), GroupSeen::Missing];
                for (seen, waits) in looks.into_iter().zip(expected) {
                    let of = |at| {
                        let evidence = evidence(&[(event_type, at)]);
                        unshown(&evidence, |fact| seen.shows(fact, by_assignment)).is_some()
                    };
                    assert_eq!(of(YOUNG), waits, "{event_type}, {seen:?}, {by_assignment}");
                    assert!(!of(OLD), "{event_type}, {seen:?}");
                }
            }
        }
    }

    #[test]
    fn who_is_deleted_later_is_not_waited_for() {
        let ended = ("user.lifecycle.delete.initiated", YOUNG);
        for granting in [
            "application.user_membership.add",
            "user.lifecycle.unsuspend",
            "group.user_membership.add",
        ] {
            for (at, waits) in [(YOUNG - 1, false), (YOUNG + 1, true)] {
                let evidence = evidence(&[(granting, at), ended]);
                let shows = |fact: &Fact| UserSeen::Missing.shows(fact, |_| Some(false));
                assert_eq!(unshown(&evidence, shows).is_some(), waits, "{granting}");
            }
        }
        let ended = ("group.lifecycle.delete", YOUNG);
        for (at, waits) in [(YOUNG - 1, false), (YOUNG + 1, true)] {
            let evidence = evidence(&[("group.application_assignment.add", at), ended]);
            let shows = |fact: &Fact| GroupSeen::Missing.shows(fact, true);
            assert_eq!(unshown(&evidence, shows).is_some(), waits);
        }
    }

    #[test]
    fn the_youngest_announcement_decides_how_long_it_waits() {
        let events = [
            ("application.user_membership.add", YOUNG - 500),
            ("group.user_membership.add", YOUNG),
        ];
        let shows = |fact: &Fact| UserSeen::Missing.shows(fact, |_| Some(false));
        assert_eq!(unshown(&evidence(&events), shows), Some(YOUNG + 15_000));
    }
}
