//! `plan`, `reconcile`, `catch-up`, `import`: the scheduled tasks by hand.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use okta_anypoint::aws::{self, Limits};
use okta_anypoint::counted::{counted, users_and_groups};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::ids::{AccountId, Subject};
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{Changes, dry_runs};
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::schedule::{Mode, Progress, RunOutcome, Scheduler, Summary, Task};
use okta_anypoint::settings::{Reader, ScheduleSettings, queue_url};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring;
use okta_anypoint::worker::Pace;
use serde_json::json;

use crate::console::{Cell, Console, Exit, Tone, note};
use crate::operator::Operator;
use crate::stop::end_in_order;
use crate::table::{self, AWS_TIME, Access};

/// A run by hand may take long: a reconcile of ten thousand users does.
const MAX_RUN: Duration = Duration::from_secs(60 * 60);

/// Show what a reconcile would do, changing nothing.
///
/// Reads both sides whole, exactly as a reconcile does. Works before `serve` has made its file, and
/// makes no file itself. Exits 1 if something could not be planned, or
/// if a reconcile would stop at MAX_DEACTIVATIONS.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"task\", \"mode\", \"outcome\", \"started_at\", \"took_ms\", \"message\", \"counts\", \"differences\", \
\"problems\", \"excluded\", \"unmanaged_accounts\", \"unmanaged_teams\", \"omitted\", \"failed\": uuids of changes that this run tried and that failed}.

Examples:
  okta-anypoint plan
  okta-anypoint plan --json | jq '.differences[] | select(.actions[].action == \"disable_account\")'")]
pub struct PlanArgs {
    #[command(flatten)]
    table: table::Args,
}

/// Compare both sides whole and bring Anypoint in sync.
///
/// On a terminal it shows the plan first, and changes nothing before you say yes; any other answer exits 1. In a pipe
/// or from cron it does not ask. It also looks at every user and group that dry runs (CHANGES=report) only planned. RECONCILE_MODE=report is for the scheduled reconcile: this command changes Anypoint
/// all the same, but not under CHANGES=report. Stops before any change at MAX_DEACTIVATIONS, or if a source cannot be
/// read whole.
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

/// What a task runs with.
struct Run {
    operator: Operator,
    settings: ScheduleSettings,
    /// Where changes go; `None`: they are applied inline.
    queue_url: Option<String>,
}

impl Run {
    async fn open(table: &table::Args, access: Access) -> Result<Self> {
        let more = |reader: &mut Reader<'_>| {
            // On a file the changes are applied inline: whether `serve` runs is not known.
            let queue_url = match &table.data {
                Some(_) => Some(None),
                None => queue_url(reader),
            };
            ScheduleSettings::read(reader).zip(queue_url)
        };
        let (operator, (settings, queue_url)) = table.open_with(access, more).await?;
        Ok(Self {
            operator,
            settings,
            queue_url,
        })
    }
}

pub async fn plan(args: &PlanArgs, console: &Console) -> Result<Exit> {
    let run = Run::open(&args.table, Access::Plan).await?;
    finish(&run, Task::Reconcile, Some(Mode::Report), console).await
}

pub async fn reconcile(args: &ReconcileArgs, console: &Console) -> Result<Exit> {
    let run = Run::open(&args.table, Access::Write).await?;
    run.operator.refuse_while_paused().await?;
    if Console::is_interactive() && !args.yes {
        if run.operator.ports.policy.changes == Changes::Report {
            return finish(&run, Task::Reconcile, None, console).await;
        }
        let planned = once(&run, Task::Reconcile, Some(Mode::Report), console).await?;
        show(&planned, console)?;
        let question = question(
            planned.differences.len(),
            planned_only(&run, &planned).await?,
        );
        let Some(question) = question.filter(|_| planned.outcome != RunOutcome::Stopped) else {
            emit(&planned, &[], console)?;
            show_end(&planned, console)?;
            return Ok(verdict(&planned));
        };
        if !confirmed(&question)? {
            emit(&planned, &[], console)?;
            note("nothing was changed");
            return Ok(Exit::Problem);
        }
        // A pause may have begun while nobody answered.
        run.operator.refuse_while_paused().await?;
    }
    finish(&run, Task::Reconcile, Some(Mode::Apply), console).await
}

/// How many users and groups of dry runs a reconcile looks at besides those of its plan.
async fn planned_only(run: &Run, planned: &Summary) -> Result<usize> {
    let ports = &run.operator.ports;
    if dry_runs(&*ports.documents).await?.is_none() {
        return Ok(0);
    }
    let differing = planned.differences.iter();
    let differing: HashSet<&Subject> = differing.filter_map(|it| it.subject.as_ref()).collect();
    let filter = Filter::with_status(Status::Done);
    let records = ports.ledger.records(&filter).await?;
    let subjects: HashSet<Subject> = records
        .iter()
        .filter(|record| record.is_dry_run())
        .filter_map(|record| record.subject.parse().ok())
        .filter(|subject| !differing.contains(subject))
        .collect();
    Ok(subjects.len())
}

/// What to ask before a reconcile; `None` if it would do nothing.
fn question(differing: usize, planned_only: usize) -> Option<String> {
    const LOOK: &str = "look at each, and change what is not in sync";
    match (differing, planned_only) {
        (0, 0) => None,
        (_, 0) => Some(format!("Change {}?", users_and_groups(differing))),
        (0, _) => {
            let whose = users_and_groups(planned_only);
            Some(format!("Take up the dry runs of {whose}: {LOOK}?"))
        }
        _ => {
            let change = users_and_groups(differing);
            let whose = counted(planned_only, "other", "others");
            Some(format!(
                "Change {change}, and take up the dry runs of {whose}: {LOOK}?"
            ))
        }
    }
}

pub async fn catch_up(args: &CatchUpArgs, console: &Console) -> Result<Exit> {
    let run = Run::open(&args.table, Access::Write).await?;
    run.operator.refuse_while_paused().await?;
    finish(&run, Task::CatchUp, None, console).await
}

pub async fn import(args: &ImportArgs, console: &Console) -> Result<Exit> {
    let run = Run::open(&args.table, Access::Write).await?;
    let mode = args.report.then_some(Mode::Report);
    // A report changes nothing, so a pause does not stop it.
    if mode.is_none() {
        run.operator.refuse_while_paused().await?;
    }
    finish(&run, Task::Import, mode, console).await
}

/// Runs a task to its end and says what became of it.
async fn finish(run: &Run, task: Task, mode: Option<Mode>, console: &Console) -> Result<Exit> {
    let begun_ms = run.operator.ports.clock.now_ms();
    let summary = once(run, task, mode, console).await?;
    show(&summary, console)?;
    show_end(&summary, console)?;
    let failed = failed_since(run, &summary, begun_ms).await?;
    emit(&summary, &failed, console)?;
    if failed.is_empty() {
        return Ok(verdict(&summary));
    }
    let text = format!(
        "{} failed; `okta-anypoint events --failed{}` says why",
        counted(failed.len(), "change", "changes"),
        run.operator.option
    );
    console.say(console.paint(Tone::Bad, text))?;
    Ok(Exit::Problem)
}

fn emit(summary: &Summary, failed: &[String], console: &Console) -> Result<()> {
    let mut result = serde_json::to_value(summary)?;
    result["failed"] = json!(failed);
    console.emit(&result)
}

/// The changes that were applied inline and failed. Those on a queue are not done yet.
async fn failed_since(run: &Run, summary: &Summary, begun_ms: i64) -> Result<Vec<String>> {
    if run.queue_url.is_some() || summary.mode == Mode::Report {
        return Ok(Vec::new());
    }
    let filter = Filter {
        status: Some(Status::Failed),
        subject: None,
        updated_since_ms: Some(begun_ms),
    };
    let records = run.operator.ports.ledger.records(&filter).await?;
    Ok(records.into_iter().map(|record| record.id).collect())
}

async fn once(run: &Run, task: Task, mode: Option<Mode>, console: &Console) -> Result<Summary> {
    let metrics = Arc::new(Metrics::new("cli"));
    let operator = &run.operator;
    let queue: Arc<dyn Queue> = match &run.queue_url {
        Some(url) => {
            let sdk = aws::load(Limits::within(AWS_TIME)).await;
            let client = aws_sdk_sqs::Client::new(&sdk);
            Arc::new(SqsQueue::new(client, url.clone(), AWS_TIME))
        }
        None => wiring::inline(&operator.ports, &metrics, Pace::BY_HAND, MAX_RUN),
    };
    let (bar, progress) = progress(console);
    let scheduler = Scheduler::new(operator.ports.clone(), queue, run.settings, metrics)
        .with_progress(progress);
    let deadline = Deadline::within(MAX_RUN);
    let summary = match (task, mode) {
        (Task::Reconcile, Some(Mode::Report)) => scheduler.plan(deadline).await,
        _ => {
            end_in_order()?;
            scheduler.run(task, mode, deadline).await
        }
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

fn verdict(summary: &Summary) -> Exit {
    let is_whole = summary.problems.is_empty() && summary.count("open") == 0;
    if summary.outcome == RunOutcome::Completed && is_whole {
        Exit::Done
    } else {
        Exit::Problem
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
        let rows = summary.differences.iter().flat_map(|difference| {
            let who = who(difference.subject.as_ref(), difference.account.as_ref());
            let steps = difference.actions.iter().enumerate();
            steps.map(move |(position, step)| {
                let who = if position == 0 { who.as_str() } else { "" };
                [who, step.in_short().as_str(), &step.reason].map(Cell::new)
            })
        });
        // Ids are never split.
        console.say_table(["who", done, "because"], 0..1, rows)?;
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
    if would && summary.task == Task::Reconcile {
        show_unmanaged(summary, console)?;
    }
    let counts: Vec<String> = summary
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    if !counts.is_empty() {
        console.say(counts.join(", "))?;
    }
    if let Some(message) = &summary.message {
        console.say(message)?;
    }
    Ok(())
}

/// The unmanaged accounts that a list for people names.
const MAX_UNMANAGED: usize = 20;

/// Accounts without a link. After a restore, somebody who left since the copy may be among them.
fn show_unmanaged(summary: &Summary, console: &Console) -> Result<()> {
    let accounts = &summary.unmanaged_accounts;
    if accounts.is_empty() {
        return Ok(());
    }
    console.say("Accounts that no link names; they are never changed:")?;
    for account in accounts.iter().take(MAX_UNMANAGED) {
        console.say_whole(format!("  {account}"))?;
    }
    let more = accounts.len().saturating_sub(MAX_UNMANAGED);
    if more > 0 {
        console.say(format!("  and {more} more: --json names all"))?;
    }
    console.say_gap()
}

/// The last line: how it ended.
fn show_end(summary: &Summary, console: &Console) -> Result<()> {
    let would = summary.mode == Mode::Report;
    // A catch-up has no differences: it does what the log says happened.
    let queued = summary.count("queued");
    let open = summary.count("open");
    let (tone, text) = match (summary.outcome, would) {
        (RunOutcome::Completed, _) if open > 0 => {
            let text = format!(
                "{} not done; run it again",
                counted(open, "change is", "changes are")
            );
            return console.say(console.paint(Tone::Bad, text));
        }
        (RunOutcome::Completed, _)
            if summary.differences.is_empty() && summary.problems.is_empty() && queued == 0 =>
        {
            (Tone::Good, "nothing to do")
        }
        (RunOutcome::Completed, true) => (Tone::Good, "nothing was changed: this is a report"),
        (RunOutcome::Completed, false) => (Tone::Good, "done"),
        (RunOutcome::Continues, _) => (Tone::Bad, "the time was up; run it again to continue"),
        (RunOutcome::Skipped, _) if summary.counts.is_empty() => {
            (Tone::Bad, "not run; try again later")
        }
        (RunOutcome::Skipped, _) => (Tone::Bad, "ended early; run it again later"),
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
