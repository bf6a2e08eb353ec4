//! The table that the operator's commands work on: DynamoDB, or `serve`'s file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use okta_anypoint::aws::{self, Limits};
use okta_anypoint::clock::{Clock, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::Subject;
use okta_anypoint::ledger::{
    AuditEntry, BY_OPERATOR, Conclusion, Lease, Leased, Reason, SUBJECT_WAIT, SqliteLedger,
    lease_within,
};
use okta_anypoint::provision::{Changes, Exclusions, Ports, Provisioner, paused_since};
use okta_anypoint::queue::{DeadLetters, SqliteQueue};
use okta_anypoint::serve::{self, shell_word};
use okta_anypoint::settings::{self, EngineSettings, Kept, Needs, Reader, ScheduleSettings};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::SqliteStore;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::{self, Table};
use okta_anypoint::worker::{Pace, Verdict as Settled, Worker};

use crate::console::{Usage, note};

/// One AWS call, retries included.
pub const AWS_TIME: Duration = Duration::from_secs(10);
/// One command's reads.
pub const LOOK_TIME: Duration = Duration::from_secs(60);
/// One command's work.
pub const WORK_TIME: Duration = Duration::from_secs(120);

/// Said by the audit entry of a command that follows a run which was cut off.
pub const FOUND_CUT_OFF: &str = "an operator's command found an earlier run cut off";

/// Where the ledger and the links are.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The database file of `serve`, in place of the DynamoDB table TABLE_NAME.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    pub data: Option<PathBuf>,
}

/// Both ports on one embedded database.
pub fn sqlite(database: &Database, kept: Kept, clock: &Arc<dyn Clock>) -> Table {
    let store = Arc::new(SqliteStore::new(database.clone()));
    Table {
        ledger: Arc::new(
            SqliteLedger::new(database.clone(), kept.event_days, clock.clone())
                .keeping_audit(kept.audit_days),
        ),
        documents: store.clone(),
        store,
    }
}

/// A place that was named.
#[derive(Debug, Clone)]
pub enum Place {
    File(PathBuf),
    DynamoDb(String),
}

impl Args {
    /// How these arguments are written behind another command, with a space in front.
    pub fn option(&self) -> String {
        let file = self.data.as_ref().map(|file| file.display().to_string());
        file.map_or_else(String::new, |file| format!(" --data {}", shell_word(&file)))
    }

    pub fn place(&self, reader: &mut Reader<'_>) -> Option<Place> {
        match &self.data {
            Some(file) => Some(Place::File(file.clone())),
            None => reader
                .text(
                    "TABLE_NAME",
                    "the name of the DynamoDB table; or name the file of `serve` with --data FILE",
                )
                .map(Place::DynamoDb),
        }
    }

    /// While `serve` works on the file, what decides about changes and is unset here is as `serve` has it: a shell
    /// that lacks EXCLUDE_USERS must not change what `serve` leaves alone.
    pub async fn beside_serve(&self, reader: Reader<'static>) -> Result<Reader<'static>> {
        let Some(file) = self.data.as_ref().filter(|file| serve::is_served(file)) else {
            return Ok(reader);
        };
        let deciding = serve::deciding(&Database::open_to_read(file)?).await?;
        Ok(reader.or_else(move |name| deciding.get(name).cloned()))
    }

    /// The dead letters of `serve`'s file. Those of SQS are in a queue of their own.
    pub async fn dead_letters(&self) -> Result<DeadLetters> {
        let Some(file) = &self.data else {
            return Ok(DeadLetters::default());
        };
        let database = Database::open_to_read(file)?;
        Ok(serve::queue(&database, &clock()).dead_letters().await?)
    }

    /// The table alone; nothing else has to be set.
    pub async fn open_table(&self, access: Access) -> Result<Table> {
        let mut reader = self.beside_serve(Reader::from_env()).await?;
        let kept = Kept::read(&mut reader);
        let place = self.place(&mut reader);
        let (kept, place) = reader.finish(kept.zip(place))?;
        Ok(open(place, access, kept, &clock()).await?.0)
    }

    /// The table, both remotes and the rules, to work with them.
    pub async fn open(&self) -> Result<Operator> {
        self.open_with(Access::Write).await
    }

    /// The same, only to look: a file is neither made nor changed.
    pub async fn open_to_read(&self) -> Result<Operator> {
        self.open_with(Access::Read).await
    }

    async fn open_with(&self, access: Access) -> Result<Operator> {
        let mut reader = self.beside_serve(reader(Needs::CREDENTIALS).await?).await?;
        let engine = EngineSettings::read(&mut reader);
        let place = self.place(&mut reader);
        let (engine, place) = reader.finish(engine.zip(place))?;
        self.operator(&engine, place, access).await
    }

    /// As [`Args::open`], with what the scheduled tasks may do.
    pub async fn open_schedule(&self, access: Access) -> Result<ScheduleAccess> {
        let mut reader = self.beside_serve(reader(Needs::CREDENTIALS).await?).await?;
        let engine = EngineSettings::read(&mut reader);
        let settings = ScheduleSettings::read(&mut reader);
        let place = self.place(&mut reader);
        // On a file the changes are applied in place: whether `serve` runs is not known.
        let queue_url = match self.data {
            Some(_) => None,
            None => reader.optional("QUEUE_URL"),
        };
        let ((engine, settings), place) = reader.finish(engine.zip(settings).zip(place))?;
        Ok(ScheduleAccess {
            operator: self.operator(&engine, place, access).await?,
            settings,
            queue_url,
        })
    }

    async fn operator(
        &self,
        engine: &EngineSettings,
        place: Place,
        access: Access,
    ) -> Result<Operator> {
        let clock = clock();
        let (table, queue) = open(place, access, engine.kept, &clock).await?;
        let ports = wiring::ports(engine, &table, &clock).map_err(|error| anyhow!(error))?;
        Ok(Operator {
            table,
            queue,
            ports,
            clock,
            option: self.option(),
        })
    }
}

/// The settings of this process, with the secrets that it needs of those that are named.
pub async fn reader(needs: Needs) -> Result<Reader<'static>> {
    Ok(wiring::reader(aws::load, needs, AWS_TIME).await?)
}

/// The time.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// What a command does with `serve`'s file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads: the file is neither made nor changed.
    Read,
    /// It plans, on a copy in memory: a run notes that it is at work. A file that is missing counts as empty.
    Plan,
    /// It writes.
    Write,
}

async fn open(
    place: Place,
    access: Access,
    kept: Kept,
    clock: &Arc<dyn Clock>,
) -> Result<(Table, Option<SqliteQueue>)> {
    match place {
        Place::DynamoDb(name) => {
            let sdk = aws::load(Limits::within(AWS_TIME)).await;
            Ok((wiring::dynamodb_table(&sdk, &name, kept, clock), None))
        }
        Place::File(file) => {
            let database = open_file(&file, access)?;
            let queue = serve::queue(&database, clock);
            Ok((sqlite(&database, kept, clock), Some(queue)))
        }
    }
}

/// The table of a place, to read it. How long records are kept does not matter then.
pub async fn to_read(place: Place) -> Result<Table> {
    let kept = Kept {
        event_days: 1,
        audit_days: 1,
    };
    Ok(open(place, Access::Read, kept, &clock()).await?.0)
}

/// What `CHANGES` says to this process.
pub fn changes() -> Result<Changes> {
    let mut reader = Reader::from_env();
    let changes = settings::changes(&mut reader);
    Ok(reader.finish(changes)?)
}

/// `serve`'s file alone.
pub async fn file(file: &Path, access: Access) -> Result<(Table, Option<SqliteQueue>)> {
    let mut reader = Reader::from_env();
    let kept = Kept::read(&mut reader);
    let kept = reader.finish(kept)?;
    open(Place::File(file.to_owned()), access, kept, &clock()).await
}

/// An existing file, but to plan: a misspelt name must not make an empty database.
fn open_file(file: &Path, access: Access) -> Result<Database> {
    // In a folder that is not there, the name is misspelt.
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let could_be_made = folder.is_none_or(Path::is_dir) && !file.try_exists().unwrap_or(true);
    if access == Access::Plan && could_be_made {
        // A first look comes before there is anything to keep.
        note(format!(
            "there is no file {} yet: this is the plan of a first run, and makes none",
            file.display()
        ));
        return Ok(Database::in_memory()?);
    }
    existing(file)?;
    Ok(match access {
        Access::Read => Database::open_to_read(file)?,
        Access::Plan => Database::snapshot(file)?,
        Access::Write => Database::open(file)?,
    })
}

/// Refuses the name of a file that is not there.
pub fn existing(file: &Path) -> Result<()> {
    if file.is_dir() {
        let text = format!(
            "{} is a folder; name the file in it that `okta-anypoint serve --data FILE` works on",
            file.display()
        );
        return Err(Usage(text).into());
    }
    if !file.is_file() {
        let text = format!(
            "there is no file {}; name the file that `okta-anypoint serve --data FILE` works on",
            file.display()
        );
        return Err(Usage(text).into());
    }
    Ok(())
}

/// Everything that a scheduled task needs.
pub struct ScheduleAccess {
    pub operator: Operator,
    pub settings: ScheduleSettings,
    /// Where changes go; `None`: they are applied in place.
    pub queue_url: Option<String>,
}

/// Everything that an operator's command needs.
pub struct Operator {
    pub table: Table,
    /// The queue of `serve`, when the table is its file.
    pub queue: Option<SqliteQueue>,
    pub ports: Ports,
    pub clock: Arc<dyn Clock>,
    /// How the table is named behind another command.
    option: String,
}

impl Operator {
    /// Takes the lease on a user or group, and waits a little for a run that works on it.
    pub async fn lease(&self, subject: &Subject) -> Result<Lease> {
        let subject = subject.to_string();
        let deadline = Deadline::within(LOOK_TIME);
        match lease_within(&*self.ports.ledger, &subject, deadline, SUBJECT_WAIT).await? {
            Leased::Ours(lease) => Ok(lease),
            Leased::Busy { until_ms } => Err(anyhow!(
                "another run works on {subject}, until {} at the latest; try again then",
                rfc3339(until_ms)
            )),
        }
    }

    /// Gives a lease back, with what the operator changed under it for the audit trail.
    pub async fn release(&self, lease: Lease, change: Option<AuditEntry>) -> Result<()> {
        let interrupted = AuditEntry::for_interrupted(&lease, FOUND_CUT_OFF, self.clock.now_ms());
        let conclusion = Conclusion {
            audit: interrupted.into_iter().chain(change).collect(),
            ..Conclusion::default()
        };
        self.ports.ledger.conclude(lease, conclusion).await?;
        Ok(())
    }

    /// The audit entry of what an operator did by hand.
    pub fn by_hand(&self, lease: &Lease, action: &str) -> AuditEntry {
        AuditEntry {
            reason: Some(BY_OPERATOR.to_owned()),
            ..AuditEntry::new(lease, action, self.clock.now_ms())
        }
    }

    /// Refuses to work while changes are paused, and names what pauses them.
    pub async fn refuse_while_paused(&self) -> Result<()> {
        let by_setting = self.ports.policy.changes == Changes::Pause;
        let by_command = paused_since(&*self.ports.documents).await?.is_some();
        let resume = format!("`okta-anypoint resume{}`", self.option);
        let (by, fix) = match (by_setting, by_command) {
            (false, false) => return Ok(()),
            (true, false) => (" (CHANGES=pause)", "set CHANGES=apply first".to_owned()),
            (false, true) => ("", format!("resume them first: {resume}")),
            (true, true) => (
                " (CHANGES=pause, and `okta-anypoint pause`)",
                format!("set CHANGES=apply and run {resume} first"),
            ),
        };
        Err(anyhow!(
            "changes are paused{by}, so nothing is worked on; {fix}"
        ))
    }

    /// Refuses to change anything for a subject that a setting excludes.
    pub async fn refuse_excluded(&self, subject: &Subject, deadline: Deadline) -> Result<()> {
        let provisioner = Provisioner::new(self.ports.clone());
        if Box::pin(provisioner.excludes(subject, deadline)).await? {
            return Err(Exclusions::refused(subject).into());
        }
        Ok(())
    }

    /// Refuses what writes at a remote while `CHANGES` holds that back.
    pub async fn refuse_unless_applying(&self) -> Result<()> {
        self.refuse_while_paused().await?;
        if self.ports.policy.changes == Changes::Report {
            return Err(anyhow!(
                "changes are only reported (CHANGES=report), so nothing is written at Anypoint; set \
                 CHANGES=apply first"
            ));
        }
        Ok(())
    }

    /// Works on changes now, as the worker does on events.
    pub async fn work(&self, changes: &[Change], reason: Reason) -> Vec<Settled> {
        let metrics = Arc::new(Metrics::new("cli"));
        let worker = Worker::new(self.ports.clone(), None, metrics, Pace::BY_HAND);
        worker
            .run(changes, reason, Deadline::within(WORK_TIME))
            .await
    }
}
