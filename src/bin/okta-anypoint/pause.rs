//! `pause`, `resume` and `status`: the emergency stop of `serve`.

use std::collections::BTreeSet;

use anyhow::Result;
use okta_anypoint::clock::rfc3339;
use okta_anypoint::counted::{counted, users_and_groups};
use okta_anypoint::insight::Standing;
use okta_anypoint::ledger::{Filter, Ledger, Status};
use okta_anypoint::provision::{Changes, noted_changes, pause_changes, paused_since};
use okta_anypoint::queue::SqliteQueue;
use serde_json::json;

use crate::console::{Console, Exit, Tone};
use crate::dismiss::{Found, found};
use crate::standing::{Finding, SET_APPLY, findings};
use crate::table::{self, Access, FileArgs};

/// Stop working on changes. Nothing is lost: deliveries are still accepted, and wait.
///
/// It works on `serve`'s file, while `serve` runs. On AWS, deploy with the template's parameter Changes=pause.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused_since\"}.

Examples:
  okta-anypoint pause --data okta-anypoint.db")]
pub struct PauseArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Work on changes again, after `pause`.
///
/// Exits 1 if the setting CHANGES=pause still pauses them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused\", \"paused_since\": null, \"changes\": \"apply\" | \"report\" | \"pause\"}.

Examples:
  okta-anypoint resume --data okta-anypoint.db")]
pub struct ResumeArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Say whether changes are paused, how many wait, and what waits for a person.
///
/// The setting CHANGES is that of `serve`, as it started last; `changes_here` is this command's own.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused\", \"paused_since\", \"changes\": \"apply\" | \"report\" | \"pause\", \
\"changes_here\", \"queued\", \"dead_letters\", \"failed\", \"held\", \"waiting\", \"planned_only\", \"brake_off_until\"}.

Examples:
  okta-anypoint status --data okta-anypoint.db")]
pub struct StatusArgs {
    #[command(flatten)]
    file: FileArgs,
}

pub async fn pause(args: &PauseArgs, console: &Console) -> Result<Exit> {
    let (table, _) = args.file.open(Access::Write).await?;
    let now_ms = table::clock().now_ms();
    let since_ms = paused_since(&*table.documents).await?.unwrap_or(now_ms);
    pause_changes(&*table.documents, Some(since_ms)).await?;
    console.emit(&json!({"paused_since": rfc3339(since_ms)}))?;
    console.say(format!(
        "changes have been paused since {}; changes under way are finished. To resume:",
        rfc3339(since_ms)
    ))?;
    console.say_whole(format!("  okta-anypoint resume{}", args.file.option()))?;
    Ok(Exit::Done)
}

pub async fn resume(args: &ResumeArgs, console: &Console) -> Result<Exit> {
    let (table, _) = args.file.open(Access::Write).await?;
    let noted = noted_changes(&*table.documents).await?;
    let changes = match noted {
        Some(changes) => changes,
        None => args.file.changes().await?,
    };
    pause_changes(&*table.documents, None).await?;
    let is_paused = changes == Changes::Pause;
    console.emit(&json!({
        "paused": is_paused,
        "paused_since": null,
        "changes": changes,
    }))?;
    if is_paused {
        let text = "the setting CHANGES=pause still pauses changes";
        console.say(console.paint(Tone::Bad, text))?;
        console.say(format!("{SET_APPLY}."))?;
        return Ok(Exit::Problem);
    }
    console.say("changes are applied again")?;
    Ok(Exit::Done)
}

pub async fn status(args: &StatusArgs, console: &Console) -> Result<Exit> {
    let (table, queue) = args.file.open(Access::Read).await?;
    let now_ms = table::clock().now_ms();
    let here = args.file.changes().await?;
    let standing = Standing::read(&*table.ledger, &*table.documents, here, now_ms).await?;
    let depth = queue.depth().await?;
    let (queued, dead) = (depth.waiting, depth.dead);
    let records = async |status| table.ledger.records(&Filter::with_status(status)).await;
    let failed = records(Status::Failed).await?.len();
    let waiting = records(Status::Waiting).await?.len();
    // Several changes of one user are one decision, as in `held`.
    let held = records(Status::Held).await?;
    let held: BTreeSet<String> = held.into_iter().map(|record| record.subject).collect();
    console.emit(&json!({
        "paused": standing.is_paused(),
        "paused_since": standing.paused_since_ms.map(rfc3339),
        "changes": standing.changes,
        "changes_here": here,
        "queued": queued,
        "dead_letters": dead,
        "failed": failed,
        "held": held.len(),
        "waiting": waiting,
        "planned_only": standing.planned_only,
        "brake_off_until": standing.brake_off_until_ms.map(rfc3339),
    }))?;
    let option = args.file.option();
    for Finding { about, text, fix } in findings(&standing, &option) {
        let tone = if fix.is_none() { Tone::Good } else { Tone::Bad };
        console.say(console.paint(tone, format!("{about}: {text}")))?;
        if let Some(fix) = fix {
            console.say_indented(2, fix)?;
        }
    }
    if dead > 0 {
        let letters = counted(usize::try_from(dead)?, "dead letter", "dead letters");
        let text = format!(
            "{letters}: retried as often as allowed. `okta-anypoint events --failed{option}`"
        );
        console.say(console.paint(Tone::Bad, text))?;
        say_unlisted(&*table.ledger, &queue, &option, console).await?;
    }
    console.say(format!(
        "{} queued, {failed} failed, {} held by the brake, {} for a second look",
        counted(usize::try_from(queued)?, "change is", "changes are"),
        users_and_groups(held.len()),
        counted(waiting, "waits", "wait"),
    ))?;
    Ok(Exit::Done)
}

/// Names the dead letters that `events --failed` does not list, because they have no record that says `failed`.
async fn say_unlisted(
    ledger: &dyn Ledger,
    queue: &SqliteQueue,
    option: &str,
    console: &Console,
) -> Result<()> {
    let uuids = queue.dead_letters().await?.uuids();
    let mut unlisted = Vec::new();
    for found in found(ledger, Some(queue), &uuids).await? {
        match found {
            Found::Record(record) if record.status == Status::Failed => {}
            Found::Record(record) | Found::Settled(record) => {
                unlisted.push(format!("{}  {}", record.subject, record.uuid()));
            }
            Found::Remnant { uuid, subject } => unlisted.push(format!("{subject}  {uuid}")),
        }
    }
    if unlisted.is_empty() {
        return Ok(());
    }
    console.say("These are not listed there, because no record of them says that they failed:")?;
    for letter in unlisted {
        console.say_whole(format!("  {letter}"))?;
    }
    console.say("Push their users and groups. Then take each off the list:")?;
    console.say_whole(format!("  okta-anypoint dismiss UUID{option}"))
}

/// Says that the brake is off, and how to end that.
pub fn say_brake_is_off(until_ms: i64, option: &str, console: &Console) -> Result<()> {
    let until = rfc3339(until_ms);
    console.say(format!("the brake is off until {until}. To end that now:"))?;
    console.say_whole(format!("  okta-anypoint approve --end{option}"))
}
