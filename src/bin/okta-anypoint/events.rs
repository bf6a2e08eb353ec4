//! `events`: the ledger.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, Table};
use okta_anypoint::clock::rfc3339;
use okta_anypoint::ledger::{Filter, Record, Status};
use serde_json::json;

use crate::console::{Console, Tone, Verdict};
use crate::duration::duration;
use crate::{names, table};

/// Events in a list for people, unless more are asked for.
const SHOWN: usize = 20;

/// List what became of events, newest first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"events\": [{\"id\", \"status\", \"event_type\", \"subject\", \"published\", \
\"attempts\", \"updated_at_ms\", \"expires_at\", \"applied\", \"error\", \"error_class\", \
\"error_code\", \"waits_until_ms\", \"waits_for\"}]}.

Examples:
  okta-anypoint events --failed
  okta-anypoint events --subject ada.lovelace@acme.example --since 2d
  okta-anypoint events --data okta-anypoint.db --json | jq -r '.events[].id'")]
pub struct Args {
    /// Only events that failed.
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
    /// At most this many, the newest [default: 20; with --json all].
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Show times, tries and event types as well: wider than 80 columns.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    table: table::Args,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    #[value(name = "in_progress", alias = "in-progress")]
    InProgress,
    Done,
    Failed,
    Waiting,
    Held,
    Resolved,
}

pub async fn run(args: &Args, console: &Console) -> Result<Verdict> {
    let subject = match &args.subject {
        None => None,
        Some(name) => Some(names::subject_to_read(&args.table, name).await?),
    };
    let since = args.since.map(|age| {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        table::clock().now_ms().saturating_sub(age)
    });
    let filter = Filter {
        status: match (args.failed, args.status) {
            (true, _) | (_, Some(State::Failed)) => Some(Status::Failed),
            (_, Some(State::Done)) => Some(Status::Done),
            (_, Some(State::InProgress)) => Some(Status::InProgress),
            (_, Some(State::Waiting)) => Some(Status::Waiting),
            (_, Some(State::Held)) => Some(Status::Held),
            (_, Some(State::Resolved)) => Some(Status::Resolved),
            (false, None) => None,
        },
        subject: subject.map(|subject| subject.to_string()),
        updated_since_ms: since,
    };
    let records = args
        .table
        .open_table()
        .await?
        .ledger
        .records(&filter)
        .await?;
    show(&records, args, console)?;
    Ok(Verdict::Done)
}

/// Records as a table, with the reasons of failures below it.
fn show(records: &[Record], args: &Args, console: &Console) -> Result<()> {
    let place = &args.table;
    let all = records.len();
    let usual = if console.json { usize::MAX } else { SHOWN };
    let most = args.limit.unwrap_or(usual);
    let records = records.get(..most).unwrap_or(records);
    console.emit(&json!({"events": records}))?;
    if records.is_empty() {
        return console.say("no such events");
    }
    console.say(if args.wide {
        wide(records, console)
    } else {
        short(records, console)
    })?;
    if all > records.len() {
        console.say(format!(
            "\n{} of {all}: --limit {all} shows all",
            records.len()
        ))?;
    }
    let failed: Vec<&Record> = records
        .iter()
        .filter(|record| record.status == Status::Failed)
        .collect();
    for record in &failed {
        let error = record.error.as_deref().unwrap_or("no reason is recorded");
        console.say(format!("\n{}\n  {error}", record.id))?;
    }
    if let Some(first) = failed.first() {
        console.say(format!(
            "\nWhen the cause is mended: okta-anypoint replay {}{}",
            first.id,
            place.option()
        ))?;
    }
    Ok(())
}

/// What fits into 80 columns: ids are never split.
fn short(records: &[Record], console: &Console) -> Table {
    let mut table = console.table(&["ago", "state", "subject", "uuid"]);
    let now_ms = table::clock().now_ms();
    for record in records {
        let word = match record.status {
            Status::InProgress => "running".to_owned(),
            Status::Failed => console.paint(Tone::Bad, "failed"),
            _ => state(record, console),
        };
        table.add_row([
            ago(now_ms.saturating_sub(record.updated_at_ms)),
            word,
            record.subject.clone(),
            record.id.clone(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn wide(records: &[Record], console: &Console) -> Table {
    let mut table = console.table(&["changed", "state", "tries", "type", "subject", "uuid"]);
    for record in records {
        table.add_row([
            rfc3339(record.updated_at_ms.div_euclid(1000) * 1000),
            state(record, console),
            record.attempts.to_string(),
            record.event_type.clone(),
            record.subject.clone(),
            record.id.clone(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

/// `5s`, `12m`, `3h`, `9d`.
fn ago(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn state(record: &Record, console: &Console) -> String {
    match (record.status, record.error_class) {
        (Status::Failed, Some(class)) => {
            console.paint(Tone::Bad, format!("failed, {}", class.as_str()))
        }
        (Status::Failed, None) => console.paint(Tone::Bad, "failed"),
        (Status::Done, _) => console.paint(Tone::Good, "done"),
        (Status::InProgress, _) => "in_progress".to_owned(),
        (Status::Waiting, _) => "waiting".to_owned(),
        (Status::Held, _) => console.paint(Tone::Bad, "held"),
        (Status::Resolved, _) => "resolved".to_owned(),
    }
}
