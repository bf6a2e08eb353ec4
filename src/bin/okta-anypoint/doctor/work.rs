//! What waits for somebody, and how the scheduled tasks stand.

use okta_anypoint::clock::rfc3339;
use okta_anypoint::failure::Class;
use okta_anypoint::insight::{Health, Inbox, LastRun, last_runs, usual_interval};
use okta_anypoint::schedule::Task;
use okta_anypoint::wiring::Table;

use super::{Group, TIME};
use crate::table::{self, Args, Place, clock};

/// `place` is `None` where the table is not named or cannot be used, which another line says.
pub async fn check(group: &mut Group, place: Option<&Place>, args: &Args) {
    let Some(place) = place else {
        return group.not_checked("open failures", "the table cannot be read");
    };
    let table = match table::to_read(place.clone()).await {
        Ok(table) => table,
        Err(error) => return group.not_checked("open failures", error.to_string()),
    };
    // The inbox reads the whole table.
    match tokio::time::timeout(TIME, Inbox::read(&*table.ledger)).await {
        Ok(Ok(inbox)) => open(group, &inbox, args),
        Ok(Err(failure)) => group.failure("open failures", &failure),
        Err(_) => group.not_checked("open failures", "the table is too large to be read in time"),
    }
    runs(group, &table).await;
}

fn open(group: &mut Group, inbox: &Inbox, args: &Args) {
    let option = args.option();
    let causes = |class| {
        let of_class = inbox
            .failures
            .iter()
            .filter(move |same| same.error_class == class);
        let words: Vec<String> = of_class
            .map(|same| format!("{} ({})", same.cause, same.count))
            .collect();
        words.join(", ")
    };
    match inbox.failed(Class::Permanent).len() {
        0 => group.ok("open failures", "none"),
        some => group.wrong(
            "open failures",
            format!("{}: {}", users_and_groups(some), causes(Class::Permanent)),
            format!(
                "Run `okta-anypoint events --failed{option}`: it says what to fix. Then replay or dismiss them."
            ),
        ),
    }
    match inbox.failed(Class::Retryable).len() {
        0 => {}
        some => group.ok(
            "failures that are retried",
            format!("{}: {}", users_and_groups(some), causes(Class::Retryable)),
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

fn users_and_groups(count: usize) -> String {
    match count {
        1 => "1 user or group".to_owned(),
        _ => format!("{count} users and groups"),
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
    let problems = run
        .summary
        .as_ref()
        .map_or(0, |summary| summary.problems.len());
    match run.health {
        Health::Never => group.not_checked(name, "it has not run yet"),
        Health::Good => group.ok(name, format!("ended {ended}")),
        Health::Problems => group.ok(
            name,
            format!("ended {ended}; it left {problems} problems to a person, which `okta-anypoint plan` and the log name"),
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
