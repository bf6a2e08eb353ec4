//! `replay` and `push`: do work now, through the same path as an event.

use anyhow::Result;
use clap::ArgGroup;
use clap::builder::PossibleValuesParser;
use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Cause;
use okta_anypoint::ids::{ActorId, EventUuid, Subject};
use okta_anypoint::insight::{UNKNOWN_CAUSE, would_do};
use okta_anypoint::ledger::{DRY_RUN, Filter, Reason, Record, Status};
use okta_anypoint::provision::{Exclusions, Provisioner};
use okta_anypoint::worker::Verdict;
use serde_json::{Value, json};

use crate::console::{Console, Exit, Tone, Usage};
use crate::dismiss::{Found, found};
use crate::operator::Operator;
use crate::stop::end_in_order;
use crate::table::Access;
use crate::{names, table};

/// Replay events in any state: failed for good, failed for now, or done.
///
/// An event that another run works on just now is left to it. Under CHANGES=report the command refuses an event that
/// failed or is held.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["uuids", "failed"])))]
#[command(after_long_help = "\
With --json: {\"results\": [{\"uuid\", \"subject\", \"status\", \"error\", \"planned\": of a dry run that failed}]}. The status \
is that of the record, or \
\"excluded\".

Examples:
  okta-anypoint replay b1fae790-1619-11f1-af2d-4a5b9c3d7e1f
  okta-anypoint replay --failed --cause username_taken")]
pub struct ReplayArgs {
    /// The events' uuids, as `events` lists them.
    #[arg(value_name = "UUID")]
    uuids: Vec<String>,
    /// All events that failed.
    #[arg(long)]
    failed: bool,
    /// Only those that failed for this cause, as `events --failed` names it.
    #[arg(long, value_name = "CAUSE", requires = "failed", value_parser = causes(), hide_possible_values = true)]
    cause: Option<String>,
    #[command(flatten)]
    table: table::Args,
}

/// Bring users or groups in sync now, as if an event had named them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"results\": [{\"uuid\", \"subject\", \"status\", \"error\", \"planned\": of a dry run that failed}]}. The status \
is that of the record, or \
\"excluded\" or \"not_found\".

Examples:
  okta-anypoint push ada.lovelace@acme.example
  okta-anypoint push 00g1ab2cd3EF4gh5ij6 \"Integration Engineers\"
  okta-anypoint push --now --reason \"leaver, ticket 4711\" ada.lovelace@acme.example")]
pub struct PushArgs {
    /// Okta ids, logins, usernames or group names.
    #[arg(required = true, value_name = "USER_OR_GROUP")]
    names: Vec<String>,
    /// In an emergency: skip the brake and every wait for a second look. The reason is recorded.
    #[arg(long, requires = "reason")]
    now: bool,
    /// Why; it is shown with the event, so it should name nobody.
    #[arg(long, value_name = "TEXT", requires = "now", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    table: table::Args,
}

/// The words that `events --failed` shows.
fn causes() -> PossibleValuesParser {
    let known = Cause::ALL.into_iter().map(Cause::as_str);
    PossibleValuesParser::new(known.chain([UNKNOWN_CAUSE]))
}

/// The records of events to replay.
async fn recorded(operator: &Operator, uuids: &[String]) -> Result<Vec<Record>> {
    let found = found(&*operator.ports.ledger, operator.queue.as_ref(), uuids).await?;
    let records = found.into_iter().map(|found| match found {
        Found::Record(record) | Found::Settled(record) => Ok(record),
        Found::Remnant { uuid, subject } => {
            let option = &operator.option;
            let id = subject.split_once('#').map_or(&*subject, |(_, id)| id);
            let text = format!(
                "event {uuid} is a dead letter of {subject}. Its record has expired, so it cannot be replayed. Push \
                 its user or group, then dismiss it: okta-anypoint push {id}{option} && okta-anypoint dismiss \
                 {uuid}{option}"
            );
            Err(Usage(text).into())
        }
    });
    records.collect()
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

pub async fn replay(args: &ReplayArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let named = recorded(&operator, &args.uuids).await?;
    let mut changes = named.iter().map(change).collect::<Result<Vec<_>>>()?;
    if args.failed {
        let filter = Filter::with_status(Status::Failed);
        let mut failed = operator.ports.ledger.records(&filter).await?;
        if let Some(cause) = &args.cause {
            failed.retain(|record| record.error_code.as_deref().unwrap_or(UNKNOWN_CAUSE) == cause);
        }
        if failed.is_empty() {
            console.say(match &args.cause {
                Some(cause) => format!("no failed event has the cause {cause}"),
                None => "no event has failed".to_owned(),
            })?;
        }
        for record in failed {
            match change(&record) {
                Ok(change) => changes.push(change),
                // The record of an unreadable message.
                Err(_) => {
                    console.say(format!("skipped  {}  it names no user or group", record.id))?
                }
            }
        }
    }
    work(&operator, changes, Asked::ByRecord, Reason::Replay, console).await
}

pub async fn push(args: &PushArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let mut changes = Vec::new();
    for name in &args.names {
        let subject = names::subject(&operator, name).await?;
        changes.push(Change {
            reason: args.reason.clone(),
            ..Change::found(subject, operator.ports.clock.now_ms())
        });
    }
    work(&operator, changes, Asked::ByName, Reason::Replay, console).await
}

/// Why a change was not done now, and when to try again.
fn not_now(verdict: Verdict, option: &str) -> String {
    match verdict {
        Verdict::Paused { .. } => format!(
            "changes are paused, and nothing was tried. Run `okta-anypoint resume{option}`, then try again"
        ),
        Verdict::Wait { .. } => "a second look is needed; try again".to_owned(),
        Verdict::Busy { after } => {
            let ends_ms = SystemClock.now_ms() + i64::try_from(after.as_millis()).unwrap_or(0);
            let until = rfc3339(ends_ms);
            format!("another run has the lease on it, until {until} at the latest; try again then")
        }
        _ => "the time was up, or the result could not be recorded; try again later".to_owned(),
    }
}

/// How the work was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// By an id or name that a person gave.
    ByName,
    /// By the record of an event.
    ByRecord,
}

/// Whether an id was misspelled: Okta does not have the subject, and nothing is linked to it. A failed read proves
/// nothing.
async fn is_unknown(operator: &Operator, subject: &Subject) -> bool {
    let (okta, store) = (&operator.ports.okta, &operator.ports.store);
    let deadline = Deadline::within(table::LOOK_TIME);
    match subject {
        Subject::User(user) => {
            matches!(store.user_link(user).await, Ok(None))
                && matches!(okta.user(user, deadline).await, Ok(None))
        }
        Subject::Group(group) => {
            matches!(store.team_link(group).await, Ok(None))
                && matches!(okta.group(group, deadline).await, Ok(None))
        }
    }
}

fn unknown_in_words(subject: &Subject) -> &'static str {
    match subject {
        Subject::User(_) => {
            "Okta has no such user, and no account is linked to it: nothing was done"
        }
        Subject::Group(_) => {
            "Okta has no such group, and no team is linked to it: nothing was done"
        }
    }
}

/// Takes out changes of excluded subjects, and returns their results. Their records stay as they are.
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
        let mut why = Exclusions::in_words(&change.subject).to_owned();
        let record = operator.ports.ledger.record_of(&change.work()).await?;
        let open = record.filter(|record| record.status.is_open());
        if let Some(open) = &open {
            let id = &open.id;
            why.push_str(&format!(
                "; `okta-anypoint dismiss {id}` takes its record off the list"
            ));
        }
        let mark = console.paint(Tone::Bad, "excluded");
        console.say(format!("{mark}  {}", change.subject))?;
        console.say(format!("  {why}"))?;
        results.push(json!({
            "uuid": open.map(|open| open.id),
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
        actor: record
            .actor
            .as_ref()
            .and_then(|id| ActorId::parse(id.clone()).ok()),
        planned: Vec::new(),
        reason: None,
    })
}

/// Works on changes now and says what became of them.
pub async fn work(
    operator: &Operator,
    mut changes: Vec<Change>,
    asked: Asked,
    reason: Reason,
    console: &Console,
) -> Result<Exit> {
    operator.refuse_while_paused().await?;
    operator.refuse_to_settle_by_dry_run(&changes).await?;
    // An excluded subject counts as a problem: the operator asked for it.
    let mut results = leave_alone(operator, &mut changes, console).await?;
    let mut problems = results.len();
    end_in_order()?;
    let verdicts = operator.work(&changes, reason).await;
    for (change, verdict) in changes.iter().zip(verdicts) {
        let record = operator.ports.ledger.record_of(&change.work()).await?;
        let status = record.as_ref().map(|record| record.status);
        let is_done = status == Some(Status::Done) && !verdict.is_retry();
        let did_nothing = record.as_ref().is_some_and(|record| {
            let steps = record.applied.iter().chain(&record.planned);
            steps.flatten().next().is_none()
        });
        let is_unknown = asked == Asked::ByName
            && is_done
            && did_nothing
            && is_unknown(operator, &change.subject).await;
        problems += usize::from(!is_done || is_unknown);
        // The record is then that of an earlier run.
        let is_untried = matches!(verdict, Verdict::Busy { .. } | Verdict::Paused { .. });
        let waits = record.as_ref().filter(|record| {
            record.status == Status::Waiting && matches!(verdict, Verdict::Wait { .. })
        });
        let waits = waits.and_then(|record| record.waits_for.as_ref());
        let (mark, said) = match (&record, is_done) {
            _ if is_unknown => (
                console.paint(Tone::Bad, "not found"),
                Some(unknown_in_words(&change.subject).to_owned()),
            ),
            (Some(record), true) if record.is_dry_run() => {
                (console.paint(Tone::Good, DRY_RUN), Some(would_do(record)))
            }
            (Some(record), _) if record.status == Status::Held && !is_untried => {
                (console.paint(Tone::Bad, "held"), record.held_for.clone())
            }
            (_, true) => (console.paint(Tone::Good, "done"), None),
            (Some(record), _) if record.status == Status::Failed && !is_untried => {
                (console.paint(Tone::Bad, "failed"), record.error.clone())
            }
            _ => (
                console.paint(Tone::Bad, "not now"),
                Some(match waits {
                    Some(seen) => format!("a second look is needed: {seen}; try again"),
                    None => not_now(verdict, &operator.option),
                }),
            ),
        };
        console.say(format!("{mark}  {}  {}", change.subject, change.uuid))?;
        if let Some(said) = &said {
            console.say(format!("  {said}"))?;
        }
        let failed = record.as_ref().filter(|_| !is_done && !is_untried);
        let failed = failed.filter(|failed| failed.status == Status::Failed);
        let planned = failed.and_then(|failed| failed.planned.as_ref());
        if let (Some(failed), Some(_)) = (failed, planned) {
            console.say(format!("  {}", would_do(failed)))?;
        }
        let mut result = json!({
            "uuid": change.uuid,
            "subject": change.subject,
            "status": if is_unknown { json!("not_found") } else { json!(status) },
            "error": said,
        });
        if let Some(planned) = planned {
            result["planned"] = json!(planned);
        }
        results.push(result);
    }
    console.emit(&json!({"results": results}))?;
    Ok(Exit::with_problems(problems))
}
