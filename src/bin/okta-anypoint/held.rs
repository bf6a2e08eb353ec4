//! `held` and `approve`: changes that the brake held.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::ArgGroup;
use okta_anypoint::clock::rfc3339;
use okta_anypoint::insight::{names_of, would_do};
use okta_anypoint::ledger::{Filter, Ledger, Reason, Record, Status};
use okta_anypoint::provision::{MAX_LIFT, brake_off_until, end_lifted_brake, lift_brake};
use serde_json::json;

use crate::console::{Console, Exit, Tone, Usage};
use crate::csv::{Form, rows};
use crate::pause::say_brake_is_off;
use crate::replay::{self, Asked};
use crate::table::Access;
use crate::time::duration;
use crate::{names, table};

/// List the users and groups that the brake holds, with what would be done.
///
/// MAX_REMOVALS_PER_HOUR bounds how many people may lose access by events. Further removals wait here for `approve`, or
/// for a change in Okta that takes them back.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"held\": [{\"id\", \"subject\", \"planned\", \"held_for\", \"published\", \"updated_at_ms\"}], \
\"brake_off_until\"}.

Examples:
  okta-anypoint held
  okta-anypoint held --csv > held.csv
  okta-anypoint held --json | jq -r '.held[].subject'")]
pub struct HeldArgs {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    table: table::Args,
}

/// Approve changes that the brake holds: look again, and do what Okta says now.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["names", "count", "all", "end"])))]
#[command(after_long_help = "\
With --json: {\"results\": [{\"uuid\", \"subject\", \"status\", \"error\"}]}; with --end \
{\"brake_off_until\": null}.

Examples:
  okta-anypoint approve ada.lovelace@acme.example
  okta-anypoint approve --count 25
  okta-anypoint approve --all --for 2h
  okta-anypoint approve --end")]
pub struct ApproveArgs {
    /// Okta ids, logins, usernames or group names that `held` lists.
    #[arg(value_name = "USER_OR_GROUP")]
    names: Vec<String>,
    /// This many, those held first.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Also let everything pass from now on, for this long: 90s, 30m, 12h. At most 24h.
    #[arg(long = "for", value_name = "TIME", requires = "all", value_parser = lift)]
    lift: Option<Duration>,
    /// Approve nothing, and end `--all --for` now: the brake holds again.
    #[arg(long, conflicts_with_all = ["names", "count", "all", "lift"])]
    end: bool,
    #[command(flatten)]
    table: table::Args,
}

/// For how long the brake may be lifted.
fn lift(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() || time > MAX_LIFT {
        return Err("expected a time from 1s to 24h".to_owned());
    }
    Ok(time)
}

/// The newest held record of each subject, those that were held first in front.
async fn of_subjects(ledger: &dyn Ledger) -> Result<Vec<Record>> {
    let filter = Filter::with_status(Status::Held);
    let mut newest: BTreeMap<String, Record> = BTreeMap::new();
    for record in ledger.records(&filter).await? {
        newest.entry(record.subject.clone()).or_insert(record);
    }
    let mut records: Vec<Record> = newest.into_values().collect();
    records.sort_by_key(|record| record.updated_at_ms);
    Ok(records)
}

pub async fn held(args: &HeldArgs, console: &Console) -> Result<Exit> {
    let table = args.table.open_table(Access::Read).await?;
    let records = of_subjects(&*table.ledger).await?;
    if args.form.is_csv() {
        let since = |record: &Record| json!({"since": rfc3339(record.updated_at_ms)});
        console.say_csv(&rows(COLUMNS, &records, since)?)?;
        return Ok(Exit::Done);
    }
    let off_until = brake_off_until(&*table.documents, table::clock().now_ms()).await?;
    console.emit(&json!({"held": records, "brake_off_until": off_until.map(rfc3339)}))?;
    if let Some(until_ms) = off_until {
        say_brake_is_off(until_ms, &args.table.option(), console)?;
    }
    if records.is_empty() {
        console.say("the brake holds nothing")?;
        return Ok(Exit::Done);
    }
    let subjects = records.iter().map(|record| record.subject.as_str());
    let names = names_of(&*table.store, subjects).await;
    for record in &records {
        let name = names.get(&record.subject).map_or("", String::as_str);
        let subject = console.paint(Tone::Bad, &record.subject);
        let why = record
            .held_for
            .as_deref()
            .unwrap_or("no reason is recorded");
        let since = rfc3339(record.updated_at_ms);
        console.say_behind("", 4, format!("{subject} {name}  since {since}"))?;
        console.say_indented(2, would_do(record))?;
        console.say_indented(2, why)?;
    }
    console.say_gap()?;
    console.say("If Okta is right, approve all of them, or name users and groups:")?;
    console.say_whole(format!(
        "  okta-anypoint approve --all{}",
        args.table.option()
    ))?;
    console.say("If not, undo the change in Okta.")?;
    Ok(Exit::Done)
}

const COLUMNS: &str = "since,subject,planned,held_for,published,id";

pub async fn approve(args: &ApproveArgs, console: &Console) -> Result<Exit> {
    if args.end {
        let table = args.table.open_table(Access::Write).await?;
        let off_until = brake_off_until(&*table.documents, table::clock().now_ms()).await?;
        end_lifted_brake(&*table.documents).await?;
        console.emit(&json!({"brake_off_until": null}))?;
        console.say(match off_until {
            Some(_) => "the brake holds again",
            None => "the brake was not off",
        })?;
        return Ok(Exit::Done);
    }
    let operator = args.table.open(Access::Write).await?;
    let mut records = of_subjects(&*operator.ports.ledger).await?;
    if !args.names.is_empty() {
        let mut named = Vec::new();
        for name in &args.names {
            let subject = names::subject(&operator, name).await?.to_string();
            let found = records.iter().find(|record| record.subject == subject);
            named.push(found.cloned().ok_or_else(|| {
                Usage(format!(
                    "the brake does not hold {subject}; `okta-anypoint held` lists what it holds"
                ))
            })?);
        }
        records = named;
    }
    records.truncate(args.count.unwrap_or(usize::MAX));
    if let Some(time) = args.lift {
        operator.refuse_while_paused().await?;
        let now_ms = operator.ports.clock.now_ms();
        let until_ms = lift_brake(&*operator.ports.documents, now_ms, time).await?;
        say_brake_is_off(until_ms, &operator.option, console)?;
    }
    if records.is_empty() {
        console.say("the brake holds nothing")?;
    }
    let changes = records
        .iter()
        .map(replay::change)
        .collect::<Result<Vec<_>>>()?;
    replay::work(
        &operator,
        changes,
        Asked::ByRecord,
        Reason::Approval,
        console,
    )
    .await
}
