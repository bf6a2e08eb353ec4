//! Plans every subject of a snapshot with the planners that the worker uses. Pure. `groups.rs` plans the groups.

use std::collections::{BTreeSet, HashMap};

use super::world::World;
use crate::event::Change;
use crate::failure::Failure;
use crate::http::Extent;
use crate::ids::{AccountId, OktaUserId, Subject};
use crate::provision::{
    Brake, COUNTED, Evidence, Finding, Step, UserPlan, Wanted, action, plan_user, unread_attributes,
};
use crate::schedule::summary::{Difference, Problem};
use crate::store::Intent;

/// The plan of a reconcile for all subjects.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) users: Vec<PlannedSubject>,
    pub(super) groups: Vec<PlannedSubject>,
    pub(super) problems: Vec<Problem>,
    /// People who would lose their account or a membership.
    pub(super) losing: BTreeSet<Losing>,
    /// Users whose plan failed, and may succeed once their intents are read.
    pub(super) doubtful: Vec<OktaUserId>,
    /// Users and groups that are excluded.
    pub(super) excluded: Vec<Subject>,
    /// How many links `TEAM_REMOVAL=keep` removes.
    pub(super) unlinked: usize,
}

/// Somebody who counts for `MAX_DEACTIVATIONS`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Losing {
    /// A linked user.
    Linked(OktaUserId),
    /// An account without a link, in a team that would be deleted.
    Unlinked(AccountId),
}

/// A subject that differs, and what Okta did not show of it. The reconcile is the first look for those findings.
pub(super) struct PlannedSubject {
    pub(super) subject: Subject,
    pub(super) steps: Vec<Step>,
    pub(super) not_shown: Vec<String>,
    /// Whether the brake lets its removals pass, because `MAX_DEACTIVATIONS` counted them.
    pub(super) brake: Brake,
    /// The user whose account this user adopts.
    pub(super) adopts_from: Option<OktaUserId>,
}

/// The most findings that travel with one change. A message has to stay small.
const MAX_NOT_SHOWN: usize = 2_000;

impl PlannedSubject {
    pub(super) fn new(subject: Subject, steps: Vec<Step>, not_shown: &[Finding]) -> Self {
        let not_shown = not_shown.iter().take(MAX_NOT_SHOWN);
        Self {
            subject,
            steps,
            not_shown: not_shown.map(ToString::to_string).collect(),
            brake: Brake::Counts,
            adopts_from: None,
        }
    }

    /// Leaves the findings to the next look.
    pub(super) fn doubt(&mut self) {
        self.not_shown.clear();
    }

    /// The change for the worker, found at `now_ms`.
    pub(super) fn change(&self, now_ms: i64) -> Change {
        let mut change = Change::found(self.subject.clone(), now_ms);
        change.planned.clone_from(&self.not_shown);
        if self.brake == Brake::Passes {
            change.planned.push(COUNTED.to_owned());
        }
        change
    }

    /// The difference as the report shows it.
    pub(super) fn difference(&self) -> Difference {
        Difference {
            subject: Some(self.subject.clone()),
            account: None,
            actions: self.steps.clone(),
        }
    }
}

impl World<'_> {
    /// Plans all users and groups. `intended` has the intents that were read. Users who need
    /// theirs end up in [`Plan::doubtful`].
    pub(super) fn plan(&self, intended: &HashMap<OktaUserId, Intent>) -> Plan {
        let mut plan = Plan {
            problems: self.conflicting_links(),
            excluded: self.excluded(),
            ..Plan::default()
        };
        plan.problems.extend(self.read.unread.problems());
        let evidence = Evidence::first_look();
        let mut users: Vec<(&&OktaUserId, &Result<Wanted, Failure>)> = self.wanted.iter().collect();
        users.sort_by_key(|(user, _)| **user);
        for (user, wanted) in users {
            let is_held = self.held.contains(&Subject::User((*user).clone()));
            if is_held || self.conflicting.contains(*user) {
                continue;
            }
            if let Ok(Wanted::Account(person)) = wanted
                && let Some(failure) = unread_attributes(&person.unread)
            {
                let subject = Subject::User((*user).clone());
                plan.problems.push(Problem::of(subject, &failure));
            }
            let planned = wanted.clone().and_then(|wanted| {
                let intended = intended.get(*user);
                plan_user(
                    &self.user_view(user, wanted, intended),
                    self.policy,
                    &evidence,
                )
            });
            match planned {
                Ok(planned) => {
                    self.user_plan(user, &planned, &mut plan);
                    if let Some(refused) = &planned.refused {
                        self.user_problem(user, refused, intended, &mut plan);
                    }
                }
                // Reported with everything that could not be read.
                Err(_) if self.read.unread.users.contains_key(*user) => {}
                Err(failure) => self.user_problem(user, &failure, intended, &mut plan),
            }
        }
        plan.pass_adoptions();
        self.plan_groups(&evidence, &mut plan);
        plan
    }

    fn user_problem(
        &self,
        user: &OktaUserId,
        failure: &Failure,
        intended: &HashMap<OktaUserId, Intent>,
        plan: &mut Plan,
    ) {
        if self.named(user).is_some() && !intended.contains_key(user) {
            plan.doubtful.push(user.clone());
        }
        let subject = Subject::User(user.clone());
        plan.problems.push(Problem::of(subject, failure));
    }

    fn user_plan(&self, user: &OktaUserId, planned: &UserPlan, plan: &mut Plan) {
        if planned.takes_away() && self.people_extent() == Extent::Incomplete {
            return;
        }
        let steps = planned.steps();
        // The group's own look handles memberships, many people at a time, and its plan counts who leaves.
        let memberships = [action::JOIN_TEAM, action::LEAVE_TEAM];
        let is_membership = |step: &Step| memberships.contains(&step.action.as_ref());
        // People who lost the assignment leave the team in their own look.
        if planned.retire.is_none() && steps.iter().all(is_membership) {
            return;
        }
        let can_lose =
            |account: &AccountId| self.owners.contains_key(account) && !self.is_disabled(account);
        let is_retired = planned.retire.as_ref().is_some_and(|retire| {
            can_lose(&retire.account) && (retire.disable.is_some() || !retire.leave.is_empty())
        });
        let leaves = !planned.leave.is_empty()
            && self
                .linked(user)
                .is_some_and(|account| can_lose(&account.id));
        let subject = Subject::User(user.clone());
        let mut changed = PlannedSubject::new(subject, steps, &planned.findings.believed);
        changed.adopts_from = planned
            .account
            .freed_from()
            .map(|freed| freed.owner.clone());
        if is_retired || leaves {
            plan.losing.insert(Losing::Linked(user.clone()));
            // Of a user who adopts an account, the brake counts only the account's owner.
            if changed.adopts_from.is_none() {
                changed.brake = Brake::Passes;
            }
        }
        plan.users.push(changed);
    }
}

impl Plan {
    /// Lets the brake pass a user who adopts the account of another one, if the other was counted with their own plan.
    fn pass_adoptions(&mut self) {
        for planned in &mut self.users {
            let owner = planned.adopts_from.clone().map(Losing::Linked);
            if owner.is_some_and(|owner| self.losing.contains(&owner)) {
                planned.brake = Brake::Passes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::snapshot::Snapshot;
    use super::*;
    use crate::provision::Policy;
    use crate::schedule::people::People;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// Two users whose links, made by hand, name one account. Only the first is assigned.
    fn conflicting() -> Snapshot {
        let link = json!({"anypoint_id": "a1", "username": "ann", "origin": "created"});
        Snapshot {
            people: People {
                links: read(json!({"00u1": link, "00u2": link})),
                app_users: read(json!({"00u1": {"id": "00u1", "status": "ACTIVE",
                    "credentials": {"userName": "ann"},
                    "_embedded": {"user": {"id": "00u1", "status": "ACTIVE", "profile": {"login": "ann"}}}}})),
                late_users: HashMap::new(),
                accounts: read(json!({"a1": {"id": "a1", "username": "ann", "enabled": true}})),
            },
            team_links: HashMap::new(),
            teams: Vec::new(),
            groups: Vec::new(),
            excluded_groups: Default::default(),
            unread: Default::default(),
            members: HashMap::new(),
        }
    }

    #[test]
    fn every_planned_removal_is_marked_for_the_brake() {
        let policy = Policy::default();
        let with_status = |status: &str| {
            let mut found = conflicting();
            found.people.links.retain(|user, _| user.as_str() == "00u1");
            found.people.app_users = read(json!({"00u1": {"id": "00u1", "status": status,
                "credentials": {"userName": "ann"},
                "_embedded": {"user": {"id": "00u1", "status": "ACTIVE", "profile": {"login": "ann"}}}}}));
            found
        };
        let ended = with_status("DEPROVISIONED");
        let plan = World::new(&ended, &policy).plan(&HashMap::new());
        assert_eq!(plan.losing.len(), 1);
        assert_eq!(plan.users[0].change(0).planned, [COUNTED]);
        let active = with_status("ACTIVE");
        let plan = World::new(&active, &policy).plan(&HashMap::new());
        let mut users = plan.users.iter();
        assert!(users.all(|planned| planned.change(0).planned.is_empty()));
    }

    /// Two assigned users whose app usernames differ only in their case, and the account of that name.
    #[test]
    fn a_username_of_several_assigned_users_is_a_problem_and_gives_nobody_an_account() {
        let (mut read, policy) = (conflicting(), Policy::default());
        read.people.links.clear();
        let app_user = |id: &str, name: &str| {
            json!({"id": id, "status": "ACTIVE", "credentials": {"userName": name},
                "_embedded": {"user": {"id": id, "status": "ACTIVE", "profile": {"login": id,
                    "firstName": "Ann", "lastName": "Lee", "email": "ann@acme.example"}}}})
        };
        let both = json!({"00u1": app_user("00u1", "ann"), "00u2": app_user("00u2", "ANN")});
        read.people.app_users = self::read(both);
        let planned = |read: &Snapshot| {
            let plan = World::new(read, &policy).plan(&HashMap::new());
            let steps = plan.users.iter().map(|planned| {
                let steps = planned.steps.iter().map(|step| step.action.as_ref());
                format!(
                    "{} {}",
                    planned.subject,
                    steps.collect::<Vec<_>>().join(" ")
                )
            });
            let problems = plan.problems.iter().map(|problem| {
                let subject = problem.subject.as_ref();
                format!(
                    "{} {}",
                    subject.map(ToString::to_string).unwrap_or_default(),
                    problem.text
                )
            });
            (steps.collect::<Vec<_>>(), problems.collect::<Vec<_>>())
        };
        let names = |problem: &str, user: &str, other: &str| {
            problem.starts_with(&format!("user#{user} "))
                && problem.contains("several assigned Okta users have that app username")
                && problem.contains(&format!("The others: {other}."))
        };
        // With and without an account of that name.
        for accounts in [read.people.accounts.clone(), HashMap::new()] {
            let read = Snapshot {
                people: People {
                    links: HashMap::new(),
                    app_users: read.people.app_users.clone(),
                    late_users: HashMap::new(),
                    accounts,
                },
                ..conflicting()
            };
            let (steps, problems) = planned(&read);
            assert_eq!(steps, [""; 0]);
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(names(&problems[0], "00u1", "00u2"), "{problems:?}");
            assert!(names(&problems[1], "00u2", "00u1"), "{problems:?}");
        }
        // The user who is linked to the account keeps it and its changes.
        let link = json!({"anypoint_id": "a1", "username": "ann", "origin": "created"});
        read.people.links = self::read(json!({"00u2": link}));
        let (steps, problems) = planned(&read);
        assert_eq!(steps, ["user#00u2 update_account"]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(names(&problems[0], "00u1", "00u2"), "{problems:?}");
        // Alone, the other gets an account.
        read.people.links.clear();
        read.people.accounts.clear();
        read.people
            .app_users
            .retain(|user, _| user.as_str() == "00u1");
        let (steps, problems) = planned(&read);
        assert!(
            steps[0].starts_with("user#00u1 create_account"),
            "{steps:?}"
        );
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn two_links_to_one_account_are_a_problem_and_neither_is_planned() {
        let (mut read, policy) = (conflicting(), Policy::default());
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (0, 0));
        assert_eq!(plan.problems.len(), 2);
        // Alone, the second would be disabled.
        read.people.links.retain(|user, _| user.as_str() == "00u2");
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (1, 1));
    }
}
