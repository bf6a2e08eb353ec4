//! Failures and held changes that wait for a person, and how the scheduled tasks stand.

use okta_anypoint::counted::{counted, users_and_groups};
use okta_anypoint::insight::{
    Health, Inbox, LastRun, Next, Standing, cut_off, last_runs, usual_interval,
};
use okta_anypoint::provision::{Changes, paused_since};
use okta_anypoint::schedule::{Mode, Problem, RunOutcome, Task};
use okta_anypoint::settings::Retention;
use okta_anypoint::wiring::Table;

use super::{Section, TIME};
use crate::standing::{Finding, findings};
use crate::table::{Access, Args, Place, clock};
use crate::time::to_the_second;

/// `place` is `None` where the table is not named or cannot be used, which another line says.
/// `changes` is `None` where the settings are not complete, which another line says, too.
pub async fn check(
    section: &mut Section,
    place: Option<&Place>,
    changes: Option<Changes>,
    args: &Args,
) {
    let Some(place) = place else {
        return section.not_checked("open failures", "the table cannot be read");
    };
    // It matters to writes only.
    let retention = Retention {
        event_days: 1,
        audit_days: 1,
    };
    let table = match place.open(Access::Read, retention).await {
        Ok((table, _)) => table,
        Err(error) => return section.not_checked("open failures", error.to_string()),
    };
    let dead = args.dead_letters().await.unwrap_or_default();
    let cut_off = cut_off(&*table.ledger, clock().now_ms());
    match tokio::time::timeout(TIME, cut_off).await {
        Ok(Ok(subjects)) if subjects.is_empty() => {}
        Ok(Ok(subjects)) => section.wrong(
            "changes that were cut off",
            format!(
                "a run of {} ended an hour ago or earlier without a result",
                users_and_groups(subjects.len())
            ),
            format!(
                "Run `okta-anypoint events --status in_progress{}`. Then replay or dismiss them.",
                args.option()
            ),
        ),
        Ok(Err(failure)) => section.failure("changes that were cut off", &failure),
        Err(_) => section.not_checked("changes that were cut off", TOO_LARGE),
    }
    // The inbox reads the whole table.
    match tokio::time::timeout(TIME, Inbox::read(&*table.ledger, &dead)).await {
        Ok(Ok(inbox)) => open(section, &inbox, args),
        Ok(Err(failure)) => section.failure("open failures", &failure),
        Err(_) => section.not_checked("open failures", TOO_LARGE),
    }
    let mut is = Standing::default();
    let (ledger, documents) = (&*table.ledger, &*table.documents);
    if let Some(changes) = changes {
        let standing = Standing::read(ledger, documents, changes, clock().now_ms());
        match tokio::time::timeout(TIME, standing).await {
            Ok(Ok(standing)) => {
                for Finding { about, text, fix } in findings(&standing, &args.option()) {
                    match fix {
                        None => section.ok(about, text),
                        Some(fix) => section.wrong(about, text, fix),
                    }
                }
                is = standing;
            }
            Ok(Err(failure)) => section.failure("changes", &failure),
            Err(_) => section.not_checked("changes", TOO_LARGE),
        }
    } else if let Ok(Ok(since_ms)) = tokio::time::timeout(TIME, paused_since(documents)).await {
        // The advice about the last runs depends on it. If it cannot be read, they cannot be read either.
        is.paused_since_ms = since_ms;
    }
    runs(section, &table, &is, &args.option()).await;
}

/// Said where reading the table takes too long.
const TOO_LARGE: &str = "the table is too large to be read in time";

fn open(section: &mut Section, inbox: &Inbox, args: &Args) {
    let option = args.option();
    let causes = |next| {
        let of_these = inbox.failures.iter().filter(move |same| same.next == next);
        let words: Vec<String> = of_these
            .map(|same| format!("{} ({})", same.cause, same.count))
            .collect();
        words.join(", ")
    };
    let found = |next, how: &str| {
        let some = inbox.failed(next).len();
        (some > 0).then(|| format!("{}{how}: {}", users_and_groups(some), causes(next)))
    };
    match found(Next::Person, "") {
        None => section.ok("open failures", "none"),
        Some(found) => section.wrong(
            "open failures",
            found,
            format!(
                "Run `okta-anypoint events --failed{option}`: it says what to fix. Then replay or dismiss them."
            ),
        ),
    }
    if let Some(found) = found(Next::DeadLetter, ", retried as often as allowed") {
        section.wrong(
            "dead letters",
            found,
            format!("When the cause is fixed, run `okta-anypoint replay --failed{option}`."),
        );
    }
    if let Some(found) = found(Next::Retry, "") {
        section.ok("failures that are retried", found);
    }
    match inbox.held.len() {
        0 => section.ok("held changes", "none"),
        some => section.wrong(
            "held changes",
            format!("the brake holds {}", users_and_groups(some)),
            format!("Run `okta-anypoint held{option}`: it says whom and why. Then approve them, or undo the change in Okta."),
        ),
    }
}

async fn runs(section: &mut Section, table: &Table, standing: &Standing, option: &str) {
    let now_ms = clock().now_ms();
    match last_runs(&*table.documents, usual_interval, now_ms).await {
        Ok(runs) => {
            for run in &runs {
                last_run(section, run, standing, option);
            }
        }
        Err(failure) => section.failure("last runs", &failure),
    }
}

/// The first of these problems.
fn in_short(problems: &[Problem]) -> String {
    const NAMED: usize = 3;
    let mut texts: Vec<String> = problems
        .iter()
        .take(NAMED)
        .map(|problem| problem.text.clone())
        .collect();
    if problems.len() > NAMED {
        texts.push("…".to_owned());
    }
    texts.join(" | ")
}

fn last_run(section: &mut Section, run: &LastRun, standing: &Standing, option: &str) {
    let (command, name, says) = match run.task {
        Task::CatchUp => ("catch-up", "last catch-up", String::new()),
        Task::Reconcile => {
            let says = format!("`okta-anypoint plan{option}` and ");
            ("reconcile", "last reconcile", says)
        }
        Task::Import => {
            let says = format!("`okta-anypoint import --report{option}` and ");
            ("import", "last import", says)
        }
    };
    let run_it = match standing.is_paused() {
        true => format!("when changes are resumed, run `okta-anypoint {command}{option}`"),
        false => format!("run `okta-anypoint {command}{option}`"),
    };
    let ended = run
        .ended_ms
        .map_or_else(|| "at an unknown time".to_owned(), to_the_second);
    let summary = run.summary.as_ref();
    let problems = summary.map_or(&[][..], |summary| &summary.problems);
    let ended = match summary.map(|summary| summary.mode) {
        Some(Mode::Report) => format!("{ended}, and only reported"),
        _ => ended,
    };
    match run.health {
        Health::Never => section.not_checked(name, "it has not run yet"),
        Health::Good => section.ok(name, format!("ended {ended}")),
        Health::Unfinished => {
            let why = match summary.map(|summary| summary.outcome) {
                Some(RunOutcome::Skipped) => "changes were paused",
                _ => "its time was up",
            };
            let rest = match usual_interval(run.task) {
                Some(_) => "the next run does the rest".to_owned(),
                None => format!("for the rest, {run_it}"),
            };
            section.ok(
                name,
                format!("ended {ended} before all was done, because {why}; {rest}"),
            );
        }
        Health::Problems => section.ok(
            name,
            format!(
                "ended {ended}; it left {} to a person, named by {says}the log: {}",
                counted(problems.len(), "problem", "problems"),
                in_short(problems)
            ),
        ),
        Health::Stopped => {
            let message = run.summary.as_ref().and_then(|summary| summary.message.clone());
            section.wrong(
                name,
                format!("stopped {ended}: {}", message.unwrap_or_default()),
                format!("Fix what it says. Then {run_it}."),
            );
        }
        Health::Overdue => section.wrong(
            name,
            format!("ended {ended}; the next one is overdue"),
            match standing.is_paused() {
                true => format!("No task runs while changes are paused. To catch up: {run_it}."),
                false => format!(
                    "Find out why the schedule does not run: is `serve` or the schedule function up? Until then \
                     {run_it}."
                ),
            },
        ),
    }
}
