//! `replay` and `push`: do work now, through the same path as an event.

use anyhow::Result;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{EventUuid, Subject};
use okta_anypoint::insight::would_do;
use okta_anypoint::ledger::{
    AuditEntry, BY_OPERATOR, Conclusion, DRY_RUN, Filter, Leased, Reason, Record, Resolved, Status,
};
use okta_anypoint::provision::{Exclusions, Provisioner};
use serde_json::{Value, json};

use crate::console::{Console, Tone, Usage, Verdict};
use crate::table::Operator;
use crate::{names, table};

/// Do events again, whatever became of them: failed for good, failed for now, or done.
///
/// An event that another run works on just now is left to it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"results\": [{\"uuid\", \"subject\", \"status\", \"error\"}]}.

Examples:
  okta-anypoint replay b1fae790-1619-11f1-af2d-4a5b9c3d7e1f
  okta-anypoint replay --failed --cause username_taken")]
pub struct ReplayArgs {
    /// The events' uuids, as `events` lists them.
    #[arg(required_unless_present = "failed", value_name = "UUID")]
    uuids: Vec<String>,
    /// All events that failed.
    #[arg(long, conflicts_with = "uuids")]
    failed: bool,
    /// Only those that failed for this cause, as `events --failed` names it.
    #[arg(long, value_name = "CAUSE", requires = "failed")]
    cause: Option<String>,
    #[command(flatten)]
    table: table::Args,
}

/// Make users or groups agree now, as if an event had named them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"results\": [{\"uuid\", \"subject\", \"status\", \"error\"}]}.

Examples:
  okta-anypoint push ada.lovelace@acme.example
  okta-anypoint push 00g1ab2cd3EF4gh5ij6 \"Integration Engineers\"
  okta-anypoint push --now --reason \"leaver, ticket 4711\" ada.lovelace@acme.example")]
pub struct PushArgs {
    /// Okta ids, logins, usernames or group names.
    #[arg(required = true, value_name = "USER_OR_GROUP")]
    names: Vec<String>,
    /// In an emergency: pass every wait for a second look. The reason is recorded.
    #[arg(long, requires = "reason")]
    now: bool,
    /// Why; it is shown with the event, so it should name nobody.
    #[arg(long, value_name = "TEXT", requires = "now", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    table: table::Args,
}

/// Take failures off the list without doing them again. Their records stay, as resolved.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"dismissed\": [uuids]}.

Examples:
  okta-anypoint dismiss b1fae790-1619-11f1-af2d-4a5b9c3d7e1f")]
pub struct DismissArgs {
    /// The events' uuids, as `events --failed` lists them.
    #[arg(required = true, value_name = "UUID")]
    uuids: Vec<String>,
    #[command(flatten)]
    table: table::Args,
}

pub async fn dismiss(args: &DismissArgs, console: &Console) -> Result<Verdict> {
    let ledger = args.table.open_table_to_write().await?.ledger;
    let mut dismissed = Vec::new();
    let mut problem = false;
    for uuid in &args.uuids {
        let record = ledger.record(uuid).await?;
        let open = record.filter(|record| record.status.is_open());
        let Some(record) = open else {
            console.say(format!("{uuid}  has not failed and is not held"))?;
            problem = true;
            continue;
        };
        let Leased::Ours(lease) = ledger.lease(&record.subject, table::LOOK_TIME).await? else {
            console.say(format!(
                "{uuid}  another run works on {}; try again",
                record.subject
            ))?;
            problem = true;
            continue;
        };
        let resolved = Resolved {
            id: record.id.clone(),
            by: BY_OPERATOR.to_owned(),
        };
        let now_ms = table::clock().now_ms();
        let interrupted = AuditEntry::of_interrupted(&lease, table::FOUND_CUT_OFF, now_ms);
        let conclusion = Conclusion {
            resolved: vec![resolved],
            audit: interrupted.into_iter().collect(),
            ..Conclusion::default()
        };
        ledger.conclude(lease, conclusion).await?;
        console.say(format!(
            "{}  {uuid}",
            console.paint(Tone::Good, "dismissed")
        ))?;
        dismissed.push(uuid);
    }
    console.emit(&json!({"dismissed": dismissed}))?;
    Ok(if problem {
        Verdict::Problem
    } else {
        Verdict::Done
    })
}

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_REASON || text.chars().any(char::is_control) {
        return Err(format!("expected one line of 1 to {MAX_REASON} characters"));
    }
    Ok(text.to_owned())
}

pub async fn replay(args: &ReplayArgs, console: &Console) -> Result<Verdict> {
    let operator = args.table.open().await?;
    let mut changes = Vec::new();
    for uuid in &args.uuids {
        let record = operator.table.ledger.record(uuid).await?;
        let record = record.ok_or_else(|| {
            Usage(format!(
                "no event {uuid} is recorded; `okta-anypoint events` lists those that are"
            ))
        })?;
        changes.push(change(&record)?);
    }
    if args.failed {
        let filter = Filter {
            status: Some(Status::Failed),
            ..Filter::default()
        };
        let is_meant = |record: &Record| match &args.cause {
            Some(cause) => record.error_code.as_ref() == Some(cause),
            None => true,
        };
        for record in operator.table.ledger.records(&filter).await? {
            if !is_meant(&record) {
                continue;
            }
            match change(&record) {
                Ok(change) => changes.push(change),
                // A message that nobody could read.
                Err(_) => {
                    console.say(format!("skipped  {}  it names no user or group", record.id))?
                }
            }
        }
    }
    work(&operator, &changes, Reason::Replay, console).await
}

pub async fn push(args: &PushArgs, console: &Console) -> Result<Verdict> {
    let operator = args.table.open().await?;
    let mut changes = Vec::new();
    for name in &args.names {
        let subject = names::subject(&operator, name).await?;
        changes.push(Change {
            reason: args.reason.clone(),
            ..Change::found(subject, operator.clock.now_ms())
        });
    }
    operator.refuse_while_paused().await?;
    let left_alone = leave_alone(&operator, &mut changes, console).await?;
    work_and_tell(&operator, &changes, Reason::Replay, left_alone, console).await
}

/// Takes out what is excluded, says so, and gives its results. No record is written: nothing is done.
async fn leave_alone(
    operator: &Operator,
    changes: &mut Vec<Change>,
    console: &Console,
) -> Result<Vec<Value>> {
    let provisioner = Provisioner::new(operator.ports.clone());
    let deadline = Deadline::within(table::LOOK_TIME);
    let mut results = Vec::new();
    for change in std::mem::take(changes) {
        if !Box::pin(provisioner.excludes(&change.subject, deadline)).await? {
            changes.push(change);
            continue;
        }
        let why = Exclusions::in_words(&change.subject);
        let mark = console.paint(Tone::Bad, "excluded");
        console.say(format!("{mark}  {}\n  {why}", change.subject))?;
        results.push(json!({
            "uuid": null,
            "subject": change.subject,
            "status": "excluded",
            "error": why,
        }));
    }
    Ok(results)
}

/// The change that a record is about.
pub fn change(record: &Record) -> Result<Change> {
    let readable = EventUuid::parse(record.uuid())
        .ok()
        .zip(record.subject.parse::<Subject>().ok());
    let (uuid, subject) = readable.ok_or_else(|| {
        Usage(format!(
            "event {} names no user or group and cannot be replayed; push the user or group it was \
             about",
            record.id
        ))
    })?;
    Ok(Change {
        uuid,
        event_type: record.event_type.clone(),
        subject,
        published: record.published.clone(),
        group: None,
        actor: None,
        planned: Vec::new(),
        reason: None,
    })
}

/// Works on changes now and says what became of them.
pub async fn work(
    operator: &Operator,
    changes: &[Change],
    reason: Reason,
    console: &Console,
) -> Result<Verdict> {
    operator.refuse_while_paused().await?;
    work_and_tell(operator, changes, reason, Vec::new(), console).await
}

/// As [`work`], after what was left alone: who asked for that did not get it.
async fn work_and_tell(
    operator: &Operator,
    changes: &[Change],
    reason: Reason,
    left_alone: Vec<Value>,
    console: &Console,
) -> Result<Verdict> {
    let verdicts = operator.work(changes, reason).await;
    let mut problem = !left_alone.is_empty();
    let mut results = left_alone;
    for (change, verdict) in changes.iter().zip(verdicts) {
        let record = operator.table.ledger.record_of(&change.work()).await?;
        let status = record.as_ref().map(|record| record.status);
        let is_done = status == Some(Status::Done) && !verdict.is_retry();
        problem |= !is_done;
        if is_done && let Some(queue) = &operator.queue {
            queue.discard_dead(&change.uuid).await?;
        }
        let (mark, said) = match (&record, is_done) {
            (Some(record), true) if record.is_dry_run() => {
                (console.paint(Tone::Good, DRY_RUN), Some(would_do(record)))
            }
            (Some(record), _) if record.status == Status::Held => {
                (console.paint(Tone::Bad, "held"), record.held_for.clone())
            }
            (_, true) => (console.paint(Tone::Good, "done"), None),
            (Some(record), _) if record.status == Status::Failed => {
                (console.paint(Tone::Bad, "failed"), record.error.clone())
            }
            _ => (
                console.paint(Tone::Bad, "not now"),
                Some(
                    "another run is at work on it, or it could not be recorded; try again later"
                        .to_owned(),
                ),
            ),
        };
        console.say(format!("{mark}  {}  {}", change.subject, change.uuid))?;
        if let Some(said) = &said {
            console.say(format!("  {said}"))?;
        }
        results.push(json!({
            "uuid": change.uuid,
            "subject": change.subject,
            "status": status,
            "error": said,
        }));
    }
    console.emit(&json!({"results": results}))?;
    Ok(if problem {
        Verdict::Problem
    } else {
        Verdict::Done
    })
}
