//! `pause`, `resume` and `status`: the emergency stop of `serve`.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use okta_anypoint::clock::rfc3339;
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{pause_changes, paused_since};
use serde_json::json;

use crate::console::{Console, Tone, Verdict};
use crate::table;

/// Stop working on changes. Nothing is lost: deliveries are still taken, and wait.
///
/// It works on `serve`'s file, while `serve` runs. On AWS, deploy with the template's parameter Changes=pause.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused_since\"}.

Examples:
  okta-anypoint pause --data okta-anypoint.db")]
pub struct PauseArgs {
    /// The database file of `serve`.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    data: PathBuf,
}

/// Work on changes again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused_since\": null}.

Examples:
  okta-anypoint resume --data okta-anypoint.db")]
pub struct ResumeArgs {
    /// The database file of `serve`.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    data: PathBuf,
}

/// Say whether changes are paused, how many wait, and what waits for a person.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"paused_since\", \"queued\", \"failed\", \"held\", \"waiting\"}.

Examples:
  okta-anypoint status --data okta-anypoint.db")]
pub struct StatusArgs {
    /// The database file of `serve`.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    data: PathBuf,
}

pub async fn pause(args: &PauseArgs, console: &Console) -> Result<Verdict> {
    let (table, _) = table::file(&args.data, table::Access::Write).await?;
    let now_ms = table::clock().now_ms();
    let since_ms = paused_since(&*table.documents).await?.unwrap_or(now_ms);
    pause_changes(&*table.documents, Some(since_ms)).await?;
    console.emit(&json!({"paused_since": rfc3339(since_ms)}))?;
    console.say(format!(
        "changes are paused since {}; what is under way ends. \
         To go on: okta-anypoint resume --data {}",
        rfc3339(since_ms),
        okta_anypoint::serve::shell_word(&args.data.display().to_string())
    ))?;
    Ok(Verdict::Done)
}

pub async fn resume(args: &ResumeArgs, console: &Console) -> Result<Verdict> {
    let (table, _) = table::file(&args.data, table::Access::Write).await?;
    pause_changes(&*table.documents, None).await?;
    console.emit(&json!({"paused_since": null}))?;
    console.say("changes are worked on again")?;
    Ok(Verdict::Done)
}

pub async fn status(args: &StatusArgs, console: &Console) -> Result<Verdict> {
    let (table, queue) = table::file(&args.data, table::Access::Read).await?;
    let queue = queue.ok_or_else(|| anyhow!("the file has no queue"))?;
    let since_ms = paused_since(&*table.documents).await?;
    let queued = queue.depth().await?.waiting;
    let mut counts = Vec::new();
    for status in [Status::Failed, Status::Held, Status::Waiting] {
        let filter = Filter {
            status: Some(status),
            ..Filter::default()
        };
        counts.push(table.ledger.records(&filter).await?.len());
    }
    let [failed, held, waiting] = counts.as_slice() else {
        return Err(anyhow!("the file could not be counted"));
    };
    console.emit(&json!({
        "paused_since": since_ms.map(rfc3339),
        "queued": queued,
        "failed": failed,
        "held": held,
        "waiting": waiting,
    }))?;
    console.say(match since_ms {
        Some(since_ms) => console.paint(Tone::Bad, format!("paused since {}", rfc3339(since_ms))),
        None => console.paint(Tone::Good, "working"),
    })?;
    console.say(format!(
        "{queued} changes are queued, {failed} failed, {held} held by the brake, {waiting} wait for a \
         second look"
    ))?;
    Ok(Verdict::Done)
}
