//! `doctor`: what keeps the product from working, which side refuses, and what to change.

mod anypoint;
mod network;
mod okta;
mod table;
mod work;

use std::time::Duration;

use anyhow::Result;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::http::{CallError, CallErrorKind, Listed};
use okta_anypoint::settings::{
    EngineSettings, HookSettings, Needs, Reader, ScheduleSettings, SettingsError, queue_url,
};
use okta_anypoint::wiring;
use serde::Serialize;
use serde_json::json;

use crate::console::{Console, Exit, Tone};
use crate::table::{Args as TableArgs, clock, settings_of_serve, try_reader};

/// A side that does not answer within this is out of reach.
const TIME: Duration = Duration::from_secs(15);
/// Where the text of a check begins.
const MARGIN: usize = 11;

/// Check settings, credentials, scopes, table, queue, event hook, open failures and the last run of each task.
///
/// Nothing is written anywhere.
///
/// Each line is ok, or says which side refused with what, and what to change. Exits 1 if any line is
/// not ok.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"ok\", \"checks\": [{\"group\", \"check\", \"state\": \"ok\" | \"failed\" | \
\"not_checked\", \"found\", \"fix\"}]}.

Examples:
  okta-anypoint doctor
  okta-anypoint doctor --data okta-anypoint.db
  okta-anypoint doctor --json | jq '.checks[] | select(.state == \"failed\")'")]
pub struct Args {
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Failed,
    /// It could not be checked; nothing is known to be wrong.
    NotChecked,
}

#[derive(Debug, Clone, Serialize)]
struct Check {
    group: &'static str,
    check: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// The lines about one thing.
struct Section {
    name: &'static str,
    checks: Vec<Check>,
}

impl Section {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            checks: Vec::new(),
        }
    }

    fn add(
        &mut self,
        state: State,
        check: impl Into<String>,
        found: impl Into<String>,
        fix: Option<String>,
    ) {
        self.checks.push(Check {
            group: self.name,
            check: check.into(),
            state,
            found: found.into(),
            fix,
        });
    }

    /// Whether the table or the file is there and can be used.
    fn can_be_read(&self) -> bool {
        let is_bad = |check: &Check| {
            check.state == State::Failed && matches!(check.check.as_str(), "table" | "file")
        };
        !self.checks.iter().any(is_bad)
    }

    fn ok(&mut self, check: impl Into<String>, found: impl Into<String>) {
        self.add(State::Ok, check, found, None);
    }

    fn wrong(
        &mut self,
        check: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(State::Failed, check, found, Some(fix.into()));
    }

    fn not_checked(&mut self, check: impl Into<String>, found: impl Into<String>) {
        self.add(State::NotChecked, check, found, None);
    }

    /// Entries of a list that cannot be read, by their ids. The others count.
    fn unread<T>(&mut self, check: impl Into<String>, listed: &Listed<T>) {
        let Some(fault) = listed.fault() else { return };
        self.wrong(
            check,
            fault.to_string(),
            "Look at these entries. The program changes nothing that it cannot read, and takes nobody out by a list \
             with an entry that has no id.",
        );
    }

    fn failure(&mut self, check: impl Into<String>, failure: &Failure) {
        let fix = failure.advice.clone().unwrap_or_else(|| {
            format!(
                "Check that {} can be reached from here, and try again.",
                failure.side
            )
        });
        let found = format!("{}: {}", failure.side, failure.message);
        self.wrong(check, found, fix);
    }

    /// What a side answered. If it refused the call, the line says which right to grant.
    fn answered<T>(
        &mut self,
        check: impl Into<String>,
        answer: Result<T, CallError>,
        right: &str,
    ) -> Option<T> {
        answer
            .map_err(|error| self.refused(check, error, right))
            .ok()
    }

    /// A refused call; without the advice to replay, which is for events.
    fn refused(&mut self, check: impl Into<String>, error: CallError, right: &str) {
        let forbidden = error.status() == Some(http::StatusCode::FORBIDDEN);
        let unauthorized = matches!(error.kind, CallErrorKind::Unauthorized(_));
        let failure = Failure::from(error);
        if forbidden && !unauthorized {
            let found = format!("{}: {}", failure.side, failure.message);
            self.wrong(check, found, format!("Grant {right}."));
        } else {
            self.failure(check, &failure);
        }
    }
}

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let mut settings = Section::new("settings");
    let reader = match try_reader(Needs::BOTH).await {
        Ok(reader) => reader,
        Err(failure) => {
            settings.failure("secrets", &failure);
            Reader::from_env()
        }
    };
    // If the file cannot be read, its own line says so.
    let of_serve = settings_of_serve(args.table.data.as_deref()).await;
    let of_serve = of_serve.unwrap_or_default();
    let mut reader = reader.or_else(move |name| of_serve.get(name).cloned());
    let hook = HookSettings::read(&mut reader);
    let engine = EngineSettings::read(&mut reader);
    let schedule = ScheduleSettings::read(&mut reader);
    let place = args.table.place(&mut reader);
    let queue = queue_url(&mut reader);
    let complete = hook.is_some()
        && schedule.is_some()
        && engine.is_some()
        && place.is_some()
        && queue.is_some();
    read_settings(&mut settings, reader, complete);

    let deadline = Deadline::within(TIME);
    let mut way = Section::new("network");
    network::check(&mut way, engine.as_ref());
    let mut okta = Section::new("Okta");
    let mut hooks = Section::new("event hook");
    let mut anypoint = Section::new("Anypoint");
    let mut table = Section::new("table and queue");
    let remotes = async {
        let Some(engine) = &engine else {
            for section in [&mut okta, &mut hooks, &mut anypoint] {
                section.not_checked("access", "its settings are not complete");
            }
            return;
        };
        match wiring::remotes(&engine.remotes, &clock()) {
            Ok((okta_client, anypoint_client)) => {
                futures_util::join!(
                    okta::check(&mut okta, &okta_client, engine, deadline),
                    okta::check_hook(
                        &mut hooks,
                        &okta_client,
                        &engine.remotes.app,
                        hook.as_ref(),
                        deadline
                    ),
                    anypoint::check(&mut anypoint, &anypoint_client, deadline),
                );
            }
            Err(error) => okta.wrong("HTTP client", error, "Report this as a bug."),
        }
    };
    let mut work = Section::new("work");
    let ours = async {
        table::check(&mut table, place.as_ref(), queue).await;
        let place = place.as_ref().filter(|_| table.can_be_read());
        let changes = engine.as_ref().map(|engine| engine.policy.changes);
        work::check(&mut work, place, changes, &args.table).await;
    };
    futures_util::join!(remotes, ours);
    show([settings, way, okta, anypoint, table, work, hooks], console)
}

fn read_settings(section: &mut Section, reader: Reader<'_>, complete: bool) {
    match reader.finish(complete.then_some(())) {
        Ok(()) => section.ok("variables", "all that are needed are set, and can be read"),
        Err(SettingsError(problems)) => {
            for problem in problems {
                section.wrong(
                    problem.variable,
                    problem.fault,
                    format!("Set it: {}.", problem.expected),
                );
            }
        }
    }
}

fn show(sections: [Section; 7], console: &Console) -> Result<Exit> {
    for section in &sections {
        console.say(console.paint(Tone::Strong, section.name))?;
        for check in &section.checks {
            let mark = match check.state {
                State::Ok => console.paint(Tone::Good, "ok     "),
                State::Failed => console.paint(Tone::Bad, "FAILED "),
                State::NotChecked => console.paint(Tone::Quiet, "unknown"),
            };
            let lead = format!("  {mark}  ");
            console.say_behind(lead, MARGIN, format!("{}: {}", check.check, check.found))?;
            if let Some(fix) = &check.fix {
                console.say_indented(MARGIN, fix)?;
            }
        }
    }
    let checks: Vec<Check> = sections
        .into_iter()
        .flat_map(|section| section.checks)
        .collect();
    let failed = checks
        .iter()
        .filter(|check| check.state == State::Failed)
        .count();
    console.emit(&json!({"ok": failed == 0, "checks": checks}))?;
    console.say_gap()?;
    console.say(match failed {
        0 => console.paint(Tone::Good, "nothing is wrong"),
        _ => console.paint(
            Tone::Bad,
            format!("{failed} of {} checks failed", checks.len()),
        ),
    })?;
    Ok(Exit::with_problems(failed))
}
