//! Compares both sides as a whole.
//!
//! A run reads everything, and plans every subject with the worker's own planners. Subjects that differ go to the
//! queue as changes of type `reconcile`, and the worker looks again before it acts. Three things stop the run before
//! any change: a source about everybody that cannot be read completely, one that is suddenly empty, and
//! `MAX_DEACTIVATIONS`. If the members of one group or team cannot be read, that is the group's problem (`lists.rs`).
//!
//! A run does not compare phone numbers, because Anypoint's lists do not have them.
//!
//! The next runs do what one run cannot finish. No position is stored. Each run reads both sides afresh, because a limit
//! can only be judged on both sides together.
//!
//! | the time is up | then |
//! |---|---|
//! | while reading | the run changes nothing, fails, and asks for a longer time-out |
//! | while queueing | the run ends as [`RunOutcome::Continues`], and the next run does the rest |
//! | while working inline (no queue) | the same, and a subject that was begun is finished or given back |
//!
//! A pause that begins meanwhile ends the run in the same way, as [`RunOutcome::Skipped`].
//!
//! Reading has to fit into the time-out. It takes one call for 500 people on each side and two for each
//! group, [`READS_AT_ONCE`] at a time. `benches/reconcile.rs` measures it at the largest organization that
//! Anypoint allows (10,000 users, 1,000 teams). The remotes' rate limits slow it down: a run waits as long as they
//! ask for, within the time-out.

mod groups;
mod lists;
mod plan;
mod read;
pub(super) mod reader;
mod snapshot;
pub(super) mod unread;
mod views;
mod world;

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::future::try_join_all;

use super::Scheduler;
use super::catch_up::OpenChange;
use super::summary::{Problem, RunOutcome, Summary};
use crate::counted::counted;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Class, Failure, Side};
use crate::http::Extent;
use crate::ids::{AccountId, OktaUserId, Subject, TeamId};
use crate::ledger::{Filter, Record, Status};
use crate::provision::{
    KEPT_TEAMS_GIVEN_UP, Policy, TeamRemoval, dry_runs, dry_runs_taken_up, end_lift_from_ahead,
    internal_root, note_linked_users,
};
use crate::settings::Mode;
use crate::store::{Intent, Memory};

use plan::{Losing, Plan, PlannedSubject};
use reader::SideReader;
use snapshot::Snapshot;
use unread::List;
use world::World;

pub use reader::READS_AT_ONCE;

impl Scheduler {
    pub(super) async fn reconcile(
        &self,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let began_ms = self.clock().now_ms();
        let read = self.snapshot(deadline).await?;
        count_sources(&read, summary);
        check_sources(&read, &self.ports.policy)?;
        self.progress("planning", 0, None);
        let mut plan = self.plan_all(&read, deadline).await?;
        let subjects = read.people.app_users.len() + read.groups.len();
        self.progress("planning", subjects, Some(subjects));
        report(&read, &plan, summary);

        let is_counted = |user: &&OktaUserId| {
            let subject = Subject::User((*user).clone());
            !plan.excluded.contains(&subject)
        };
        let linked = read.people.links.keys().filter(is_counted).count();
        let over = self.over_limit(&plan.losing, linked);
        if summary.mode == Mode::Report {
            if let Some(failure) = over {
                summary.outcome = RunOutcome::Stopped;
                summary.message = Some(failure.to_string());
            }
            return Ok(());
        }
        if let Some(failure) = over {
            return Err(failure);
        }
        self.store()
            .repair_reverse_entries(&read.people.links, &read.team_links)
            .await?;
        drop(read);
        let now_ms = self.clock().now_ms();
        note_linked_users(self.documents(), linked).await?;
        end_lift_from_ahead(self.documents(), now_ms).await?;
        let dry_runs = dry_runs(self.documents()).await?;
        let planned_only = match dry_runs {
            Some(_) => self.planned_only(&plan).await?,
            None => Vec::new(),
        };
        summary.set("dry_runs", planned_only.len());
        self.forget_seen_again(&mut plan, began_ms).await?;
        // Users come first. A group then finds its members linked and needs no second look.
        let changes: Vec<Change> = plan
            .users
            .iter()
            .chain(&plan.groups)
            .map(|planned| planned.change(now_ms))
            .chain(
                planned_only
                    .into_iter()
                    .map(|subject| Change::found(subject, now_ms)),
            )
            .collect();
        let sent = self.send(&changes, deadline).await?;
        summary.set("queued", sent.count);
        let is_whole = sent.failure.is_none();
        match sent.failure {
            Some(failure) if failure.side == Side::Queue => return Err(failure),
            // Without a queue, a change that fails is the problem of its subject.
            Some(_) => {
                summary.set("open", sent.open.len());
                summary.problems.extend(sent.open.into_iter().map(not_done));
            }
            None => {}
        }
        if let Some(cut) = sent.cut {
            summary.cut(cut);
        } else if let Some(version) = dry_runs.filter(|_| is_whole) {
            dry_runs_taken_up(self.documents(), version).await?;
        }
        if plan.unlinked == 0 && self.ports.policy.team_removal == TeamRemoval::Keep {
            // From now on a look at a user may end memberships (see `Look::user`).
            self.documents()
                .put_document(KEPT_TEAMS_GIVEN_UP, "{}", 0)
                .await?;
        }
        Ok(())
    }

    /// Drops the findings about subjects that another run looked at since this reconcile began to read. That look may
    /// have seen what this one missed.
    async fn forget_seen_again(&self, plan: &mut Plan, began_ms: i64) -> Result<(), Failure> {
        let planned = plan.users.iter_mut().chain(&mut plan.groups);
        let mut doubted: HashMap<String, &mut PlannedSubject> = planned
            .filter(|planned| !planned.not_shown.is_empty())
            .map(|planned| (planned.subject.to_string(), planned))
            .collect();
        let subjects: Vec<String> = doubted.keys().cloned().collect();
        for (subject, leased_ms) in self.ports.ledger.last_leased(&subjects).await? {
            if leased_ms > began_ms
                && let Some(planned) = doubted.get_mut(&subject)
            {
                planned.doubt();
            }
        }
        Ok(())
    }

    /// The subjects of dry runs that are not in this plan. They get one more look.
    async fn planned_only(&self, plan: &Plan) -> Result<Vec<Subject>, Failure> {
        let planned: HashSet<&Subject> = plan
            .users
            .iter()
            .chain(&plan.groups)
            .map(|planned| &planned.subject)
            .collect();
        let mut subjects = self.subjects(Status::Done, Record::is_dry_run).await?;
        subjects.retain(|subject| !planned.contains(subject));
        Ok(subjects.into_iter().collect())
    }

    /// The subjects of the records in a state that `is_meant` selects.
    async fn subjects(
        &self,
        status: Status,
        is_meant: fn(&Record) -> bool,
    ) -> Result<BTreeSet<Subject>, Failure> {
        let filter = Filter::with_status(status);
        let records = self.ports.ledger.records(&filter).await?;
        Ok(records
            .into_iter()
            .filter(is_meant)
            .filter_map(|record| record.subject.parse().ok())
            .collect())
    }

    async fn plan_all(&self, read: &Snapshot, deadline: Deadline) -> Result<Plan, Failure> {
        let mut world = World::new(read, &self.ports.policy);
        world.held = self.subjects(Status::Held, |_| true).await?;
        let doubtful = world.doubtful_accounts();
        world.former = self.store().account_owners(&doubtful).await?;
        let reader = SideReader::new(self, deadline);
        let mut reads = Vec::new();
        for owner in world.doubtful_owners() {
            reads.push(reader.late_user(owner));
        }
        world.unlisted = try_join_all(reads).await?.into_iter().flatten().collect();
        let plan = world.plan(&HashMap::new());
        if plan.doubtful.is_empty() {
            return Ok(plan);
        }
        let intended = self.intents(&plan.doubtful, deadline).await?;
        if intended.is_empty() {
            return Ok(plan);
        }
        Ok(world.plan(&intended))
    }

    async fn intents(
        &self,
        users: &[OktaUserId],
        deadline: Deadline,
    ) -> Result<HashMap<OktaUserId, Intent>, Failure> {
        let reader = SideReader::new(self, deadline);
        let mut reads = Vec::new();
        for user in users {
            reads.push(reader.run(1, self.intent(user)));
        }
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// The user with their intent, if there is one.
    async fn intent(&self, user: &OktaUserId) -> Result<Option<(OktaUserId, Intent)>, Failure> {
        let subject = Subject::User(user.clone()).to_string();
        let memo = self.ports.ledger.memo(&subject).await?;
        let memory = Memory::from_text(memo.as_deref(), self.clock().now_ms());
        Ok(memory.intent.map(|intent| (user.clone(), intent)))
    }

    fn over_limit(&self, who: &BTreeSet<Losing>, linked: usize) -> Option<Failure> {
        let allowed = self.settings.limit.allowed(linked);
        let losing = who.len();
        (losing > allowed).then(|| {
            let is_unlinked = |who: &&Losing| matches!(who, Losing::Unlinked(_));
            let unlinked = who.iter().filter(is_unlinked).count();
            let mut people = format!("{} of {linked} linked users", losing - unlinked);
            if unlinked > 0 {
                let others = counted(unlinked, "person without a link", "people without a link");
                people = format!("{people} and {others}");
            }
            Failure::permanent(
                Side::Settings,
                format!(
                    "{people} would be deactivated or taken out of teams, and \
                     MAX_DEACTIVATIONS allows {allowed}. Nothing was changed."
                ),
                format!(
                    "Look at the plan (`okta-anypoint plan`). If Okta is right, approve it: run \
                     `okta-anypoint reconcile` once with MAX_DEACTIVATIONS={losing}. If not, look for what is \
                     missing in Okta."
                ),
            )
        })
    }
}

fn not_done(open: OpenChange) -> Problem {
    let why = match open.status {
        Some(Status::Failed) => "`okta-anypoint events --failed` says why",
        Some(Status::Waiting) => "it waits for a second look",
        _ => "another run works on it, changes are paused, or the time was up",
    };
    Problem {
        subject: Some(open.change.subject),
        account: None,
        class: Class::Retryable,
        text: format!(
            "not done: {why}. The next reconcile finds it again, unless it is in sync by then."
        ),
    }
}

fn count_sources(read: &Snapshot, summary: &mut Summary) {
    summary.set("user_links", read.people.links.len());
    summary.set("team_links", read.team_links.len());
    summary.set("app_users", read.people.app_users.len());
    summary.set("pushed_groups", read.groups.len());
    summary.set("accounts", read.people.accounts.len());
    summary.set("teams", read.teams.len());
}

/// See also [`People::check`](super::people::People::check).
fn check_sources(read: &Snapshot, policy: &Policy) -> Result<(), Failure> {
    let is_whole =
        read.unread.teams.is_empty() && read.unread.extent(&[List::Teams]) == Extent::Complete;
    if is_whole {
        internal_root(&read.teams)?;
    }
    read.people.check(&read.unread, policy)
}

fn report(read: &Snapshot, plan: &Plan, summary: &mut Summary) {
    let linked: HashSet<&AccountId> = read
        .people
        .links
        .values()
        .map(|link| &link.anypoint_id)
        .collect();
    let ours: HashSet<&TeamId> = read.team_links.values().map(|link| &link.team_id).collect();
    summary.unmanaged_accounts = read
        .people
        .accounts
        .keys()
        .filter(|account| !linked.contains(account))
        .cloned()
        .collect();
    summary.unmanaged_accounts.sort();
    summary.unmanaged_teams = read
        .teams
        .iter()
        .filter(|team| !team.ancestors.is_empty() && !ours.contains(&team.id))
        .map(|team| team.id.clone())
        .collect();
    let planned = plan.users.iter().chain(&plan.groups);
    summary.differences = planned.map(PlannedSubject::difference).collect();
    summary.problems = plan.problems.clone();
    summary.excluded = plan.excluded.clone();
    summary.set("excluded", plan.excluded.len());
    summary.set("differing_users", plan.users.len());
    summary.set("differing_groups", plan.groups.len());
    summary.set("deactivations", plan.losing.len());
    summary.set("problems", plan.problems.len());
    summary.set("unmanaged_accounts", summary.unmanaged_accounts.len());
    summary.set("unmanaged_teams", summary.unmanaged_teams.len());
}
