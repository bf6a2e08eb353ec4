//! `events`: the ledger.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::insight::{Next, SameCause, names_of, would_do};
use okta_anypoint::ledger::{DRY_RUN, Filter, Record, Status};
use okta_anypoint::queue::DeadLetters;
use serde_json::json;

use crate::console::{Cell, Console, Exit, Tone};
use crate::csv::{Form, rows};
use crate::table::Access;
use crate::time::{ago, duration, that_long_ago, to_the_second};
use crate::{names, table};

/// Events in a list for people, unless more are asked for.
const DEFAULT_SHOWN: usize = 20;

/// List what became of events, newest first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"events\": [{\"id\", \"status\", \"event_type\", \"subject\", \"published\", \
\"attempts\", \"updated_at_ms\", \"expires_at\", \"applied\", \"actor\", \"reason\", \"error\", \"error_class\", \
\"error_code\", \"waits_until_ms\", \"waits_for\", \"dry_run\", \"planned\", \"held_for\", \
\"resolved_by\"}]}. With --failed also \"groups\": [{\"cause\", \
\"error_class\", \"next\", \"count\", \"newest_at_ms\", \"error\", \"advice\", \"subjects\", \"ids\"}].

Examples:
  okta-anypoint events --failed
  okta-anypoint events --subject ada.lovelace@acme.example --since 2d
  okta-anypoint events --data okta-anypoint.db --json | jq -r '.events[].id'")]
pub struct Args {
    /// Only events that failed, equal failures together.
    #[arg(long, conflicts_with = "status")]
    failed: bool,
    /// Only events in this state.
    #[arg(long, value_name = "STATE")]
    status: Option<State>,
    /// Only events about this user or group (an id, or a login, username or group name).
    #[arg(long, value_name = "USER_OR_GROUP")]
    subject: Option<String>,
    /// Only events whose record changed in this time: 90s, 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// At most this many, the newest [default: 20; with --json or --output all]. With --failed: of each cause.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Show times, tries, event types and names as well, failures one by one: wider than 80 columns.
    #[arg(long, conflicts_with_all = ["output", "csv"])]
    wide: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    table: table::Args,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    #[value(name = "in_progress", alias = "in-progress")]
    InProgress,
    Done,
    /// Planned only, under CHANGES=report.
    #[value(name = "dry_run", alias = "dry-run")]
    DryRun,
    Failed,
    Waiting,
    Held,
    Resolved,
}

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let subject = match &args.subject {
        None => None,
        Some(name) => Some(names::subject_to_read(&args.table, name).await?),
    };
    let filter = Filter {
        status: match (args.failed, args.status) {
            (true, _) | (_, Some(State::Failed)) => Some(Status::Failed),
            (_, Some(State::Done | State::DryRun)) => Some(Status::Done),
            (_, Some(State::InProgress)) => Some(Status::InProgress),
            (_, Some(State::Waiting)) => Some(Status::Waiting),
            (_, Some(State::Held)) => Some(Status::Held),
            (_, Some(State::Resolved)) => Some(Status::Resolved),
            (false, None) => None,
        },
        subject: subject.map(|subject| subject.to_string()),
        updated_since_ms: args.since.map(that_long_ago),
    };
    let table = args.table.open_table(Access::Read).await?;
    let mut records = table.ledger.records(&filter).await?;
    match args.status {
        Some(State::DryRun) => records.retain(Record::is_dry_run),
        Some(State::Done) => records.retain(|record| !record.is_dry_run()),
        _ => {}
    }
    if args.form.is_csv() {
        let shown = newest(&records, args.limit);
        let names = names_of(&*table.store, subjects(shown)).await;
        console.say_csv(&csv(shown, &names)?)?;
        return Ok(Exit::Done);
    }
    if console.json {
        let events = newest(&records, args.limit);
        let mut result = json!({"events": events});
        if args.failed {
            let dead = args.table.dead_letters().await?;
            result["groups"] = json!(SameCause::group(&records, &dead));
        }
        console.emit(&result)?;
    } else if records.is_empty() {
        let is_narrowed = args.subject.is_some() || args.since.is_some();
        console.say(match (args.failed, is_narrowed) {
            (true, false) => "no event has failed",
            (true, true) => "no such event has failed",
            (false, _) => "no such events",
        })?;
    } else if args.failed && !args.wide {
        let dead = args.table.dead_letters().await?;
        by_cause(&records, &dead, args, console)?;
    } else {
        let shown = newest(&records, Some(args.limit.unwrap_or(DEFAULT_SHOWN)));
        let names = names_of(&*table.store, subjects(shown)).await;
        list(shown, records.len(), &names, args, console)?;
    }
    Ok(Exit::Done)
}

/// The newest records, at most `limit`.
fn newest(records: &[Record], limit: Option<usize>) -> &[Record] {
    records
        .get(..limit.unwrap_or(usize::MAX))
        .unwrap_or(records)
}

fn subjects(records: &[Record]) -> impl Iterator<Item = &str> {
    records.iter().map(|record| record.subject.as_str())
}

/// Failures as an inbox: what failed and what to do, once for all that failed alike.
fn by_cause(records: &[Record], dead: &DeadLetters, args: &Args, console: &Console) -> Result<()> {
    let option = args.table.option();
    let most = args.limit.unwrap_or(DEFAULT_SHOWN);
    let groups = SameCause::group(records, dead);
    for group in &groups {
        let (tone, what_next) = match group.next {
            Next::Retry => (
                Tone::Quiet,
                "retried by itself if it came with an event; a command's failure waits for `replay`",
            ),
            Next::DeadLetter => (Tone::Bad, "retried as often as allowed: waits for you"),
            Next::Person => (Tone::Bad, "waits for you"),
        };
        console.say(format!(
            "{}  {} {}, newest {} ago, {what_next}",
            console.paint(tone, &group.cause),
            group.count,
            if group.count == 1 { "event" } else { "events" },
            ago(group.newest_at_ms),
        ))?;
        console.say_indented(2, &group.error)?;
        if let Some(advice) = &group.advice {
            console.say_indented(2, format!("What to do: {advice}"))?;
        }
        for id in group.ids.iter().take(most) {
            let record = records.iter().find(|record| record.id == *id);
            let subject = record.map_or("", |record| record.subject.as_str());
            console.say_whole(format!("    {subject}  {id}"))?;
        }
        if group.ids.len() > most {
            let all = group.ids.len();
            console.say(format!("    {most} of {all}: --limit {all} shows all"))?;
        }
        let again = match group.ids.as_slice() {
            [only] => format!("okta-anypoint replay {only}{option}"),
            _ => format!(
                "okta-anypoint replay --failed --cause {}{option}",
                group.cause
            ),
        };
        console.say("  When the cause is fixed:")?;
        console.say_whole(format!("    {again}"))?;
        console.say_gap()?;
    }
    let (events, causes) = (records.len(), groups.len());
    console.say(format!(
        "{events} failed, {causes} {}",
        if causes == 1 { "cause" } else { "causes" }
    ))
}

fn is_cut_off(record: &Record) -> bool {
    record.is_cut_off(SystemClock.now_ms())
}

/// Records as a table, with the reasons of failures below it.
fn list(
    records: &[Record],
    all: usize,
    names: &HashMap<String, String>,
    args: &Args,
    console: &Console,
) -> Result<()> {
    match args.wide {
        true => wide(records, names, console)?,
        false => short(records, console)?,
    }
    if all > records.len() {
        console.say_gap()?;
        console.say(format!(
            "{} of {all}: --limit {all} shows all",
            records.len()
        ))?;
    }
    let planned: Vec<&Record> = records.iter().filter(|r| r.is_dry_run()).collect();
    if !planned.is_empty() && !args.wide {
        console.say_gap()?;
        console.say("Dry runs: nothing was done.")?;
        for record in planned {
            console.say_indented(2, format!("{} {}", record.subject, would_do(record)))?;
        }
    }
    let failed: Vec<&Record> = records
        .iter()
        .filter(|record| record.status == Status::Failed)
        .collect();
    for record in &failed {
        let error = record.error.as_deref().unwrap_or("no reason is recorded");
        console.say_gap()?;
        console.say(&record.id)?;
        console.say_indented(2, error)?;
        if record.planned.is_some() {
            console.say_indented(2, would_do(record))?;
        }
    }
    if let Some(first) = records.iter().find(|record| is_cut_off(record)) {
        console.say_gap()?;
        console.say("Cut off: its run ended without a result. If no message brings it again:")?;
        console.say_whole(format!(
            "  okta-anypoint replay {}{}",
            first.id,
            args.table.option()
        ))?;
    }
    if let Some(first) = failed.first() {
        console.say_gap()?;
        console.say("When the cause is fixed:")?;
        console.say_whole(format!(
            "  okta-anypoint replay {}{}",
            first.id,
            args.table.option()
        ))?;
    }
    Ok(())
}

const COLUMNS: &str = "changed,state,error_class,error_code,event_type,subject,name,published,attempts,id,applied,error,dry_run,planned";

fn csv(records: &[Record], names: &HashMap<String, String>) -> Result<Vec<String>> {
    let more = |record: &Record| {
        json!({
            "changed": rfc3339(record.updated_at_ms),
            "state": record.status,
            "name": names.get(&record.subject),
        })
    };
    Ok(rows(COLUMNS, records, more)?)
}

/// What fits into 80 columns: a group of 20 characters, a uuid, two spaces between columns. Ids are never split.
fn short(records: &[Record], console: &Console) -> Result<()> {
    let rows = records.iter().map(|record| {
        let state = match record.status {
            Status::InProgress if !is_cut_off(record) => Cell::new("running"),
            Status::Failed => console.cell(Tone::Bad, "failed"),
            _ => state(record, console),
        };
        [
            Cell::new(ago(record.updated_at_ms)),
            state,
            Cell::new(&record.subject),
            Cell::new(&record.id),
        ]
    });
    console.say_table(["ago", "state", "subject", "uuid"], .., rows)
}

fn wide(records: &[Record], names: &HashMap<String, String>, console: &Console) -> Result<()> {
    let rows = records.iter().map(|record| {
        let name = names.get(&record.subject);
        [
            Cell::new(to_the_second(record.updated_at_ms)),
            state(record, console),
            Cell::new(record.attempts),
            Cell::new(&record.event_type),
            Cell::new(&record.subject),
            Cell::new(name.map_or("", String::as_str)),
            Cell::new(&record.id),
            Cell::new(what(record)),
        ]
    });
    let headings = [
        "changed", "state", "tries", "type", "subject", "name", "uuid", "what",
    ];
    console.say_table(headings, .., rows)
}

/// What was done, or would be.
fn what(record: &Record) -> String {
    match &record.planned {
        Some(_) if record.status != Status::Resolved => would_do(record),
        _ => record.applied.as_deref().unwrap_or_default().join(", "),
    }
}

fn state(record: &Record, console: &Console) -> Cell {
    let (tone, word) = match (record.status, record.error_class) {
        (Status::Failed, Some(class)) => {
            return console.cell(Tone::Bad, format!("failed, {}", class.as_str()));
        }
        (Status::Failed | Status::Held, _) => (Tone::Bad, record.status.as_str()),
        (Status::Done, _) if record.is_dry_run() => (Tone::Quiet, DRY_RUN),
        (Status::Done, _) => (Tone::Good, record.status.as_str()),
        (Status::InProgress, _) if is_cut_off(record) => (Tone::Bad, "cut off"),
        (Status::InProgress | Status::Waiting | Status::Resolved, _) => {
            return Cell::new(record.status.as_str());
        }
    };
    console.cell(tone, word)
}
