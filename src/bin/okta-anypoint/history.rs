//! `history`: the audit trail.

use std::time::Duration;

use anyhow::Result;
use okta_anypoint::clock::rfc3339;
use okta_anypoint::ledger::AuditEntry;
use serde_json::json;

use crate::console::{Console, Exit};
use crate::csv::{Form, rows};
use crate::table::Access;
use crate::time::{duration, that_long_ago, to_the_second};
use crate::{names, table};

/// How far back it goes by default.
const DEFAULT_DAYS: u32 = 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Show what was changed at Anypoint and Okta, for whom, why, and who asked for it.
///
/// Entries hold ids, app usernames and the names of attributes, no values.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"entries\": [{\"at_ms\", \"subject\", \"action\", \"id\", \"username\", \"before\", \"after\", \
\"fields\", \"count\", \"ids\", \"why\", \"event\", \"event_type\", \"actor\", \"reason\"}], \"since_ms\"}.

Examples:
  okta-anypoint history ada.lovelace@acme.example --since 90d
  okta-anypoint history --since 7d --csv > changes.csv")]
pub struct Args {
    /// An Okta id, login, username or group name; without it, everybody's: that reads the whole table.
    #[arg(value_name = "USER_OR_GROUP")]
    subject: Option<String>,
    /// How far back: 90s, 30m, 12h, 7d [default: 30d].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    table: table::Args,
}

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let subject = match &args.subject {
        None => None,
        Some(name) => Some(names::subject_to_read(&args.table, name).await?),
    };
    let since = args.since.unwrap_or(DAY * DEFAULT_DAYS);
    let since_ms = that_long_ago(since);
    let ledger = args.table.open_table(Access::Read).await?.ledger;
    let entries = match &subject {
        Some(subject) => ledger.history(&subject.to_string(), since_ms).await?,
        None => ledger.whole_history(since_ms).await?,
    };
    if args.form.is_csv() {
        let at = |entry: &AuditEntry| json!({"at": rfc3339(entry.at_ms)});
        console.say_csv(&rows(COLUMNS, &entries, at)?)?;
        return Ok(Exit::Done);
    }
    console.emit(&json!({"entries": entries, "since_ms": since_ms}))?;
    for entry in &entries {
        console.say_behind("", 4, what(entry))?;
        console.say_indented(2, why(entry))?;
    }
    let more = "--since 90d looks further back";
    match (args.since, entries.is_empty()) {
        (None, true) => console.say(format!(
            "nothing was changed in the last {DEFAULT_DAYS} days; {more}"
        ))?,
        (None, false) => {
            console.say_gap()?;
            console.say(format!("the last {DEFAULT_DAYS} days; {more}"))?;
        }
        (Some(_), true) => {
            let since = to_the_second(since_ms);
            console.say(format!("nothing was changed since {since}"))?;
        }
        (Some(_), false) => {}
    }
    Ok(Exit::Done)
}

/// What was changed, for people.
fn what(entry: &AuditEntry) -> String {
    let mut line = format!(
        "{}  {}  {}",
        to_the_second(entry.at_ms),
        entry.subject,
        entry.action
    );
    if let Some(id) = &entry.id {
        line.push_str(&format!(" {id}"));
    }
    if let Some(username) = &entry.username {
        line.push_str(&format!(" \"{username}\""));
    }
    if let (Some(before), Some(after)) = (&entry.before, &entry.after) {
        line.push_str(&format!(" ({before} -> {after})"));
    }
    if !entry.fields.is_empty() {
        line.push_str(&format!(" [{}]", entry.fields.join(", ")));
    }
    if let Some(people) = entry.people() {
        line.push_str(&format!(" {people}"));
    }
    line
}

/// Why, and who asked for it.
fn why(entry: &AuditEntry) -> String {
    let AuditEntry {
        why,
        event_type,
        actor,
        reason,
        ..
    } = entry;
    let asked = [
        why.clone(),
        event_type.as_ref().map(|kind| format!("event {kind}")),
        actor.as_ref().map(|actor| format!("actor {actor}")),
        reason.as_ref().map(|reason| format!("reason: {reason}")),
    ];
    asked.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

const COLUMNS: &str =
    "at,subject,action,id,username,before,after,fields,count,ids,why,event,event_type,actor,reason";
