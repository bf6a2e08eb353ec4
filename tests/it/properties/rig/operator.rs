//! The operator of a history, who approves held changes, starts dry runs and pauses changes. And the lies that Okta and
//! Anypoint tell meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::EventUuid;
use okta_anypoint::ledger::{AuditEntry, Filter, Reason, Record, Status};
use okta_anypoint::provision::{Changes, RemovalLimit, lift_brake};
use okta_anypoint::receiver::Receiver;
use okta_anypoint::simulator::okta::Target;

use super::processes::second_process;
use super::{Rig, findings::settled};
use crate::properties::counts::Remote;
use crate::properties::history::{Approved, LieChoice, LieStep};
use crate::properties::lies::{Hint, Someone};
use crate::properties::model::Wish;
use crate::world::{APP, World};

/// The maximum number of approval rounds at the end.
const MAX_ROUNDS: usize = 12;
/// The reasons for lost access that the brake counts.
const COUNTED: [&str; 2] = [
    "the Okta user is not assigned to the app",
    "the group is not (or no longer) selected by PUSH_GROUPS",
];

/// The operator, and the processes with other settings.
pub struct Operator {
    changes: Changes,
    report: Arc<Receiver>,
    pause: Arc<Receiver>,
    /// Successful writes when changes were last applied.
    writes_before: usize,
    /// Records whose approval may have failed.
    approved: BTreeSet<String>,
    /// When the brake was first off, in milliseconds since the epoch.
    first_passed_ms: Option<i64>,
}

impl Operator {
    pub fn new(world: &World) -> Self {
        Self {
            changes: Changes::Apply,
            report: Arc::new(second_process(world, Changes::Report).0),
            pause: Arc::new(second_process(world, Changes::Pause).0),
            writes_before: 0,
            approved: BTreeSet::new(),
            first_passed_ms: None,
        }
    }

    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// The receiver that takes deliveries while changes are not applied.
    pub fn receiver(&self) -> Option<Arc<Receiver>> {
        match self.changes {
            Changes::Apply => None,
            Changes::Report => Some(self.report.clone()),
            Changes::Pause => Some(self.pause.clone()),
        }
    }
}

impl Rig {
    /// Lies about a wanted person, and makes the program look: once before, so that there is something to lose, and once
    /// during the lie.
    pub(super) async fn lie(&mut self, step: &LieStep) -> Option<()> {
        let someone = self.someone(step)?;
        self.hint(&someone.hint(step.kind), step.at);
        self.land().await;
        let hint = self.faults.lie(step, &someone, &self.world)?;
        if step.kind == LieChoice::RefusedSignIn && self.faults.may_revoke(Remote::Anypoint) {
            self.world.anypoint().revoke_tokens();
        }
        let is_of_lists = step.kind == LieChoice::AppUsersLackOne;
        if let Some(lambdas) = self.lambdas.clone().filter(|_| is_of_lists || step.at == 5) {
            lambdas.reconcile_amid_trouble().await;
        }
        self.hint(&hint, step.at);
        if step.at < 4 {
            self.land().await;
        }
        Some(())
    }

    fn someone(&self, step: &LieStep) -> Option<Someone> {
        let okta = self.world.okta.world();
        let wish = Wish {
            okta: &okta,
            policy: &self.policy,
        };
        let pick = |ids: &[String], n: usize, is_wanted: &dyn Fn(&str) -> bool| {
            let wanted: Vec<&String> = ids.iter().filter(|id| is_wanted(id)).collect();
            let all: Vec<&String> = match wanted.is_empty() {
                true => ids.iter().collect(),
                false => wanted,
            };
            (!all.is_empty()).then(|| all[n % all.len()].clone())
        };
        let user = pick(&self.users, step.user, &|user| wish.user(user).is_some())?;
        let group = pick(&self.groups, step.group, &|group| {
            let pushed = wish.group(group);
            pushed.is_some_and(|group| !group.members.is_empty())
        })?;
        let members = okta.groups.get(&group)?.members.clone();
        let name = okta.groups.get(&group)?.name();
        let anypoint = self.world.anypoint.world();
        let team = anypoint.team_by_name(name).map(|team| team.id.clone());
        Some(Someone {
            user,
            group,
            members: members.into_iter().collect(),
            team,
        })
    }

    /// An event that announces nothing, delivered at once.
    fn hint(&mut self, hint: &Hint, at: usize) {
        let target = |id: &str, kind: &str| Target {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        };
        let (event_type, targets) = match hint {
            Hint::User(user) => ("user.account.update_profile", vec![target(user, "User")]),
            Hint::Group(group) => (
                "group.application_assignment.update",
                vec![target(group, "UserGroup"), target(APP, "AppInstance")],
            ),
        };
        let event = self
            .world
            .okta
            .world()
            .write_event(event_type, targets, &[]);
        self.send(at % 2, vec![event], None);
    }

    /// Approves the held changes. An approval counts the first look, so Okta does not lie then.
    pub(super) async fn approve(&mut self, which: Approved) -> Option<()> {
        if self.operator.changes != Changes::Apply {
            return None;
        }
        let mut held = self.held().await;
        if which == Approved::One {
            held.truncate(1);
        }
        if held.is_empty() {
            return None;
        }
        self.faults.end_lie(&self.world);
        self.look_as_approved(&held).await;
        Some(())
    }

    /// The held changes, the oldest first.
    pub(super) async fn held(&self) -> Vec<Record> {
        let filter = Filter::with_status(Status::Held);
        let mut held = self.world.table.ledger.records(&filter).await.unwrap();
        held.sort_by_key(|record| record.updated_at_ms);
        held
    }

    async fn look_as_approved(&mut self, records: &[Record]) {
        let now_ms = self.world.ports.clock.now_ms();
        self.operator.first_passed_ms.get_or_insert(now_ms);
        self.counts.approved += records.len();
        let ids = records.iter().map(|record| record.id.clone());
        self.operator.approved.extend(ids);
        let changes: Vec<Change> = records.iter().map(change).collect();
        let deadline = Deadline::within(Duration::from_secs(30));
        let worker = &self.workers[0];
        worker.run(&changes, Reason::Approval, deadline).await;
    }

    /// From now on changes are applied, only planned, or paused.
    pub(super) async fn change_to(&mut self, changes: Changes) -> Option<()> {
        // The binaries have one setting. During a pause they get no messages.
        let is_idle = self.operator.changes == changes
            || (changes == Changes::Report && self.lambdas.is_some());
        if is_idle {
            return None;
        }
        self.land().await;
        if self.operator.changes == Changes::Apply {
            self.operator.writes_before = self.successful_writes();
        } else if self.successful_writes() > self.operator.writes_before {
            let wrote = self.successful_writes() - self.operator.writes_before;
            let writes = self.last_writes(wrote);
            self.problems.push(format!(
                "written under CHANGES={:?}: {writes:#?}",
                self.operator.changes
            ));
        }
        self.operator.changes = changes;
        Some(())
    }

    /// Approves all held changes, and lifts the brake from now on.
    pub(super) async fn release(&mut self) {
        // Leases of runs that were cut off end.
        self.let_time_pass();
        self.check_brake().await;
        let held = self.held().await;
        self.counts.held += held.len();
        for record in &held {
            if record.planned.as_ref().is_none_or(Vec::is_empty) || record.held_for.is_none() {
                self.problems
                    .push(format!("held, and nothing to be done: {record:?}"));
            }
        }
        for _ in 0..MAX_ROUNDS {
            let filter = Filter::default();
            let records = self.world.table.ledger.records(&filter).await.unwrap();
            let is_open = |record: &Record| {
                record.status == Status::Held
                    || (!settled(record) && self.operator.approved.contains(&record.id))
            };
            let open: Vec<Record> = records.into_iter().filter(is_open).collect();
            if open.is_empty() {
                break;
            }
            self.look_as_approved(&open).await;
            self.watch().await;
            // Leases of runs that were cut off end.
            self.let_time_pass();
        }
        let held = self.held().await;
        if !held.is_empty() {
            self.problems.push(format!("held for ever: {held:#?}"));
        }
        let documents = &*self.world.table.documents;
        let now_ms = self.world.ports.clock.now_ms();
        lift_brake(documents, now_ms, Duration::MAX).await.unwrap();
    }

    /// Checks that, until an operator approved, no more people lost access than the brake allows.
    async fn check_brake(&mut self) {
        let RemovalLimit::Count(allowed) = self.policy.removals else {
            return;
        };
        let until_ms = self.operator.first_passed_ms.unwrap_or(i64::MAX);
        let owners = self.owners().await;
        let mut people = BTreeSet::new();
        for entry in self.audit_entries().await {
            let why = entry.why.as_deref().unwrap_or_default();
            if entry.at_ms >= until_ms || !COUNTED.contains(&why) {
                continue;
            }
            let AuditEntry {
                action,
                subject,
                ids,
                ..
            } = entry;
            match action.as_str() {
                "disable_account" => {
                    people.insert(subject.trim_start_matches("user#").to_owned());
                }
                "remove_members" => people.extend(ids.into_iter().map(|id| {
                    let owner = owners.get(&id).map(|(owner, _)| owner.clone());
                    owner.unwrap_or(id)
                })),
                _ => {}
            }
        }
        if people.len() > allowed {
            self.problems.push(format!(
                "MAX_REMOVALS_PER_HOUR={allowed}, and these lost access: {people:?}"
            ));
        }
    }

    pub(super) async fn audit_entries(&self) -> Vec<AuditEntry> {
        const DAY_MS: i64 = 86_400_000;
        let since_ms = self.world.ports.clock.now_ms() - DAY_MS;
        let history = self.world.table.ledger.whole_history(since_ms).await;
        history.unwrap()
    }
}

fn change(record: &Record) -> Change {
    Change {
        uuid: EventUuid::parse(record.uuid()).unwrap(),
        event_type: record.event_type.clone(),
        subject: record.subject.parse().unwrap(),
        published: record.published.clone(),
        group: None,
        actor: None,
        planned: Vec::new(),
        reason: None,
    }
}
