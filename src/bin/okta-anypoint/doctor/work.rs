//! What waits for somebody, and how the scheduled tasks stand.

use okta_anypoint::clock::rfc3339;
use okta_anypoint::counted::{counted, users_and_groups};
use okta_anypoint::insight::{Health, Inbox, LastRun, Next, Standing, last_runs, usual_interval};
use okta_anypoint::provision::Changes;
use okta_anypoint::schedule::{Mode, Task};
use okta_anypoint::settings::Kept;
use okta_anypoint::wiring::Table;

use super::{Group, TIME};
use crate::pause::mismatch;
use crate::table::{Access, Args, Place, clock};

/// `place` is `None` where the table is not named or cannot be used, which another line says.
/// `changes` is `None` where the settings are not complete, which another line says, too.
pub async fn check(
    group: &mut Group,
    place: Option<&Place>,
    changes: Option<Changes>,
    args: &Args,
) {
    let Some(place) = place else {
        return group.not_checked("open failures", "the table cannot be read");
    };
    // What is only read does not ask how long records are kept.
    let kept = Kept {
        event_days: 1,
        audit_days: 1,
    };
    let table = match place.open(Access::Read, kept).await {
        Ok((table, _)) => table,
        Err(error) => return group.not_checked("open failures", error.to_string()),
    };
    let dead = args.dead_letters().await.unwrap_or_default();
    // The inbox reads the whole table.
    match tokio::time::timeout(TIME, Inbox::read(&*table.ledger, &dead)).await {
        Ok(Ok(inbox)) => open(group, &inbox, args),
        Ok(Err(failure)) => group.failure("open failures", &failure),
        Err(_) => group.not_checked("open failures", TOO_LARGE),
    }
    if let Some(changes) = changes {
        let (ledger, documents) = (&*table.ledger, &*table.documents);
        let standing = Standing::read(ledger, documents, changes, clock().now_ms());
        match tokio::time::timeout(TIME, standing).await {
            Ok(Ok(found)) => standing_lines(group, &found, args),
            Ok(Err(failure)) => group.failure("changes", &failure),
            Err(_) => group.not_checked("changes", TOO_LARGE),
        }
    }
    runs(group, &table).await;
}

/// Said where reading the table takes too long.
const TOO_LARGE: &str = "the table is too large to be read in time";

/// The pause, dry runs and the brake.
fn standing_lines(group: &mut Group, standing: &Standing, args: &Args) {
    let option = args.option();
    if let Some(since_ms) = standing.paused_since_ms {
        group.wrong(
            "changes",
            format!(
                "paused since {}, by `okta-anypoint pause`",
                rfc3339(since_ms)
            ),
            format!(
                "Run `okta-anypoint resume{option}`. Until then changes wait, and nothing is lost."
            ),
        );
    }
    match standing.changes {
        Changes::Pause => group.wrong(
            "changes",
            "paused by CHANGES=pause",
            "Set CHANGES=apply, and restart `serve` or deploy. Until then changes wait, and nothing is lost.",
        ),
        Changes::Report => group.ok(
            "changes",
            "a dry run (CHANGES=report): they are planned, and nothing is written",
        ),
        Changes::Apply if standing.is_paused() => {}
        Changes::Apply => group.ok("changes", "are applied"),
    }
    if let Some(text) = mismatch(standing) {
        group.wrong(
            "changes",
            text,
            "Restart `serve` with this setting, or run commands with the settings of `serve`.",
        );
    }
    let planned = standing.planned_only.len();
    let who = users_and_groups(planned);
    match (planned, standing.changes) {
        (0, _) => {}
        (_, Changes::Report) => group.ok(
            "dry runs",
            format!("{who} planned; the first reconcile under CHANGES=apply takes them up"),
        ),
        _ => group.wrong(
            "dry runs",
            format!("{who} planned only, and nothing applied that yet"),
            format!("Run `okta-anypoint reconcile{option}`: it takes them up. A scheduled reconcile that applies does so, too."),
        ),
    }
    if let Some(until_ms) = standing.brake_off_until_ms {
        group.ok(
            "brake",
            format!(
                "off until {}, by `approve --all --for`; `okta-anypoint approve --end{option}` ends that",
                rfc3339(until_ms)
            ),
        );
    }
}

fn open(group: &mut Group, inbox: &Inbox, args: &Args) {
    let option = args.option();
    let causes = |next| {
        let of_these = inbox.failures.iter().filter(move |same| same.next == next);
        let words: Vec<String> = of_these
            .map(|same| format!("{} ({})", same.cause, same.count))
            .collect();
        words.join(", ")
    };
    match inbox.failed(Next::Person).len() {
        0 => group.ok("open failures", "none"),
        some => group.wrong(
            "open failures",
            format!("{}: {}", users_and_groups(some), causes(Next::Person)),
            format!(
                "Run `okta-anypoint events --failed{option}`: it says what to fix. Then replay or dismiss them."
            ),
        ),
    }
    match inbox.failed(Next::DeadLetter).len() {
        0 => {}
        some => group.wrong(
            "dead letters",
            format!(
                "{}, retried as often as allowed: {}",
                users_and_groups(some),
                causes(Next::DeadLetter)
            ),
            format!("When the cause is fixed, run `okta-anypoint replay --failed{option}`."),
        ),
    }
    match inbox.failed(Next::Retry).len() {
        0 => {}
        some => group.ok(
            "failures that are retried",
            format!("{}: {}", users_and_groups(some), causes(Next::Retry)),
        ),
    }
    match inbox.held.len() {
        0 => group.ok("held changes", "none"),
        some => group.wrong(
            "held changes",
            format!("the brake holds {}", users_and_groups(some)),
            format!("Run `okta-anypoint held{option}`: it says whom and why. Then approve them, or undo the change in Okta."),
        ),
    }
}

async fn runs(group: &mut Group, table: &Table) {
    let now_ms = clock().now_ms();
    match last_runs(&*table.documents, usual_interval, now_ms).await {
        Ok(runs) => {
            for run in &runs {
                last_run(group, run);
            }
        }
        Err(failure) => group.failure("last runs", &failure),
    }
}

fn last_run(group: &mut Group, run: &LastRun) {
    let (command, name) = match run.task {
        Task::CatchUp => ("catch-up", "last catch-up"),
        Task::Reconcile => ("reconcile", "last reconcile"),
        Task::Import => ("import", "last import"),
    };
    let ended = run.ended_ms.map_or_else(
        || "at an unknown time".to_owned(),
        |at| rfc3339(at.div_euclid(1000) * 1000),
    );
    let summary = run.summary.as_ref();
    let problems = summary.map_or(0, |summary| summary.problems.len());
    let ended = match summary.map(|summary| summary.mode) {
        Some(Mode::Report) => format!("{ended}, and only reported"),
        _ => ended,
    };
    match run.health {
        Health::Never => group.not_checked(name, "it has not run yet"),
        Health::Good => group.ok(name, format!("ended {ended}")),
        Health::Problems => group.ok(
            name,
            format!(
                "ended {ended}; it left {} to a person, which `okta-anypoint plan` and the log name",
                counted(problems, "problem", "problems")
            ),
        ),
        Health::Stopped => {
            let message = run.summary.as_ref().and_then(|summary| summary.message.clone());
            group.wrong(
                name,
                format!("stopped {ended}: {}", message.unwrap_or_default()),
                format!("Fix what it says, then run `okta-anypoint {command}`."),
            );
        }
        Health::Overdue => group.wrong(
            name,
            format!("ended {ended}; the next one is overdue"),
            format!(
                "Find out why the schedule does not run: is `serve` or the schedule function up? Until then run \
                 `okta-anypoint {command}`."
            ),
        ),
    }
}
