//! `plan`, `reconcile`, `catch-up`, `import`: the scheduled tasks by hand.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use okta_anypoint::aws;
use okta_anypoint::counted::{counted, users_and_groups};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::ids::{AccountId, Subject};
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::Changes;
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::schedule::{Mode, Progress, RunOutcome, Scheduler, Summary, Task};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring;
use okta_anypoint::worker::Pace;
use serde_json::json;

use crate::console::{Cell, Console, Tone, Verdict, note};
use crate::table::{self, AWS_TIME, Access, ScheduleAccess};

/// A run by hand may take long: a reconcile of ten thousand users does.
const RUN_TIME: Duration = Duration::from_secs(60 * 60);

/// Show what a reconcile would do, changing nothing.
///
/// Reads both sides whole, exactly as a reconcile does. Works before there is a file: then nothing is linked
/// yet, and none is made. Exits 1 if something could not be planned, or
/// if a reconcile would stop at MAX_DEACTIVATIONS.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"task\", \"mode\", \"outcome\", \"message\", \"counts\", \"differences\", \"problems\", \
\"unmanaged_accounts\", \"unmanaged_teams\", \"failed\": uuids of changes that were made and failed}.

Examples:
  okta-anypoint plan
  okta-anypoint plan --json | jq '.differences[] | select(.actions[].action == \"disable_account\")'")]
pub struct PlanArgs {
    #[command(flatten)]
    table: table::Args,
}

/// Compare both sides whole and make Anypoint agree.
///
/// On a terminal the plan is shown first and nothing is changed before you say yes; anything else
/// exits 1. In a pipe or from cron nobody is asked. RECONCILE_MODE=report is for the scheduled reconcile: this command
/// changes Anypoint all the same, but not under CHANGES=report. Stops before any change at MAX_DEACTIVATIONS, or if a source cannot be read whole.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: as `plan`; \"mode\" is \"report\" if you said no.

Examples:
  okta-anypoint reconcile
  MAX_DEACTIVATIONS=500 okta-anypoint reconcile --yes")]
pub struct ReconcileArgs {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    table: table::Args,
}

/// Read the System Log for events that no delivery brought, and do them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: as `plan`.

Examples:
  okta-anypoint catch-up")]
pub struct CatchUpArgs {
    #[command(flatten)]
    table: table::Args,
}

/// Bring people from Anypoint to Okta, as IMPORT_MODE says.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: as `plan`.

Examples:
  okta-anypoint import
  IMPORT_MODE=link okta-anypoint import --report
  IMPORT_MODE=link okta-anypoint import")]
pub struct ImportArgs {
    /// Only say what it would do, whatever IMPORT_MODE allows.
    #[arg(long)]
    report: bool,
    #[command(flatten)]
    table: table::Args,
}

pub async fn plan(args: &PlanArgs, console: &Console) -> Result<Verdict> {
    run(
        &args.table,
        Access::Plan,
        Task::Reconcile,
        Some(Mode::Report),
        console,
    )
    .await
}

pub async fn reconcile(args: &ReconcileArgs, console: &Console) -> Result<Verdict> {
    if Console::is_interactive() && !args.yes {
        let access = args.table.open_schedule(Access::Write).await?;
        let operator = &access.operator;
        operator.refuse_while_paused().await?;
        if operator.ports.policy.changes == Changes::Report {
            return finish(&args.table, &access, Task::Reconcile, None, console).await;
        }
        let planned = once(&access, Task::Reconcile, Some(Mode::Report), console).await?;
        show(&planned, console)?;
        if planned.differences.is_empty() || planned.outcome == RunOutcome::Stopped {
            emit(&planned, &[], console)?;
            show_end(&planned, console)?;
            return Ok(verdict(&planned));
        }
        let subjects = users_and_groups(planned.differences.len());
        if !confirmed(&format!("Change {subjects}?"))? {
            emit(&planned, &[], console)?;
            note("nothing was changed");
            return Ok(Verdict::Problem);
        }
    }
    run(
        &args.table,
        Access::Write,
        Task::Reconcile,
        Some(Mode::Apply),
        console,
    )
    .await
}

pub async fn catch_up(args: &CatchUpArgs, console: &Console) -> Result<Verdict> {
    run(&args.table, Access::Write, Task::CatchUp, None, console).await
}

pub async fn import(args: &ImportArgs, console: &Console) -> Result<Verdict> {
    let mode = args.report.then_some(Mode::Report);
    run(&args.table, Access::Write, Task::Import, mode, console).await
}

async fn run(
    table: &table::Args,
    access: Access,
    task: Task,
    mode: Option<Mode>,
    console: &Console,
) -> Result<Verdict> {
    let access = table.open_schedule(access).await?;
    // What only reports runs during a pause, too.
    if mode != Some(Mode::Report) {
        let operator = &access.operator;
        operator.refuse_while_paused().await?;
    }
    finish(table, &access, task, mode, console).await
}

/// Runs a task to its end and says what became of it.
async fn finish(
    table: &table::Args,
    access: &ScheduleAccess,
    task: Task,
    mode: Option<Mode>,
    console: &Console,
) -> Result<Verdict> {
    let begun_ms = access.operator.clock.now_ms();
    let summary = once(access, task, mode, console).await?;
    show(&summary, console)?;
    show_end(&summary, console)?;
    let failed = failed_since(access, &summary, begun_ms).await?;
    emit(&summary, &failed, console)?;
    if failed.is_empty() {
        return Ok(verdict(&summary));
    }
    let text = format!(
        "{} failed; `okta-anypoint events --failed{}` says why",
        counted(failed.len(), "change", "changes"),
        table.option()
    );
    console.say_wrapped(0, console.paint(Tone::Bad, text))?;
    Ok(Verdict::Problem)
}

fn emit(summary: &Summary, failed: &[String], console: &Console) -> Result<()> {
    let mut result = serde_json::to_value(summary)?;
    result["failed"] = json!(failed);
    console.emit(&result)
}

/// The changes that were applied in place and failed. Those on a queue are not done yet.
async fn failed_since(
    access: &ScheduleAccess,
    summary: &Summary,
    begun_ms: i64,
) -> Result<Vec<String>> {
    if access.queue_url.is_some() || summary.mode == Mode::Report {
        return Ok(Vec::new());
    }
    let filter = Filter {
        status: Some(Status::Failed),
        subject: None,
        updated_since_ms: Some(begun_ms),
    };
    let records = access.operator.table.ledger.records(&filter).await?;
    Ok(records.into_iter().map(|record| record.id).collect())
}

async fn once(
    access: &ScheduleAccess,
    task: Task,
    mode: Option<Mode>,
    console: &Console,
) -> Result<Summary> {
    let metrics = Arc::new(Metrics::new("cli"));
    let operator = &access.operator;
    let queue: Arc<dyn Queue> = match &access.queue_url {
        Some(url) => {
            let sdk = wiring::aws(aws::load, AWS_TIME).await;
            let client = aws_sdk_sqs::Client::new(&sdk);
            Arc::new(SqsQueue::new(client, url.clone(), AWS_TIME))
        }
        None => wiring::inline(&operator.ports, &metrics, Pace::BY_HAND, RUN_TIME),
    };
    let (bar, progress) = progress(console);
    let scheduler = Scheduler::new(operator.ports.clone(), queue, access.settings, metrics)
        .with_progress(progress);
    let deadline = Deadline::within(RUN_TIME);
    let summary = match (task, mode) {
        (Task::Reconcile, Some(Mode::Report)) => scheduler.plan(deadline).await,
        _ => scheduler.run(task, mode, deadline).await,
    };
    bar.finish_and_clear();
    Ok(summary?)
}

/// A bar on standard error, where a person sees it.
fn progress(console: &Console) -> (ProgressBar, Progress) {
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(if console.shows_progress() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    let shown = bar.clone();
    let counted = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos}/{len}");
    let uncounted = ProgressStyle::with_template("{spinner} {msg} {pos}");
    let progress: Progress = Arc::new(move |phase, done, total| {
        let (style, length) = match total {
            Some(total) => (&counted, u64::try_from(total).ok()),
            None => (&uncounted, None),
        };
        if let Ok(style) = style {
            shown.set_style(style.clone());
        }
        if let Some(length) = length {
            shown.set_length(length);
        }
        shown.set_message(phase);
        shown.set_position(u64::try_from(done).unwrap_or(u64::MAX));
    });
    (bar, progress)
}

fn verdict(summary: &Summary) -> Verdict {
    if summary.outcome == RunOutcome::Completed && summary.problems.is_empty() {
        Verdict::Done
    } else {
        Verdict::Problem
    }
}

fn who(subject: Option<&Subject>, account: Option<&AccountId>) -> String {
    match (subject, account) {
        (Some(subject), _) => subject.to_string(),
        (None, Some(account)) => format!("account {account}"),
        (None, None) => String::new(),
    }
}

fn show(summary: &Summary, console: &Console) -> Result<()> {
    let would = summary.mode == Mode::Report;
    if !summary.differences.is_empty() {
        let done = if would { "would be done" } else { "to be done" };
        let mut table = console.table(&["who", done, "because"]);
        for difference in &summary.differences {
            let who = who(difference.subject.as_ref(), difference.account.as_ref());
            for (position, step) in difference.actions.iter().enumerate() {
                let who = if position == 0 { who.as_str() } else { "" };
                table.add_row([who, step.in_short().as_str(), &step.reason].map(Cell::new));
            }
        }
        // Ids are never split.
        table.keep_whole(0..1);
        console.say_table(&table)?;
        console.say_gap()?;
    }
    for problem in &summary.problems {
        let who = who(problem.subject.as_ref(), problem.account.as_ref());
        let lead = format!("{} ", console.paint(Tone::Bad, "!!"));
        console.say_behind(lead, 3, format!("{who}: {}", problem.text))?;
    }
    for subject in &summary.excluded {
        console.say_behind("-- ", 3, format!("{subject}: excluded, left as it is"))?;
    }
    let counts: Vec<String> = summary
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    if !counts.is_empty() {
        console.say_wrapped(0, counts.join(", "))?;
    }
    if let Some(message) = &summary.message {
        console.say_wrapped(0, message)?;
    }
    Ok(())
}

/// The last line: how it ended.
fn show_end(summary: &Summary, console: &Console) -> Result<()> {
    let would = summary.mode == Mode::Report;
    // A catch-up has no differences: it does what the log says happened.
    let queued = summary.counts.get("queued").copied().unwrap_or_default();
    let (tone, text) = match (summary.outcome, would) {
        (RunOutcome::Completed, _)
            if summary.differences.is_empty() && summary.problems.is_empty() && queued == 0 =>
        {
            (Tone::Good, "nothing to do")
        }
        (RunOutcome::Completed, true) => (Tone::Good, "nothing was changed: this is a report"),
        (RunOutcome::Completed, false) => (Tone::Good, "done"),
        (RunOutcome::Continues, _) => (Tone::Bad, "the time was up; run it again to go on"),
        (RunOutcome::Skipped, _) => (Tone::Bad, "not run; try again later"),
        (RunOutcome::Stopped, true) => (Tone::Bad, "a run that applies this would stop"),
        (RunOutcome::Stopped, false) => (Tone::Bad, "stopped"),
    };
    console.say(console.paint(tone, text))
}

/// Asks on standard error, so that standard output holds results only.
fn confirmed(question: &str) -> Result<bool> {
    let mut out = std::io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
