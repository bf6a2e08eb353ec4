//! The table that the operator's commands work on: DynamoDB, or `serve`'s file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use okta_anypoint::aws::{self, Limits};
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::provision::Changes;
use okta_anypoint::queue::{DeadLetters, SqliteQueue};
use okta_anypoint::serve::{self, shell_word};
use okta_anypoint::settings::{self, EngineSettings, Needs, Reader, Retention};
use okta_anypoint::sqlite::Database;
use okta_anypoint::wiring::{self, Table};
use tokio::sync::OnceCell;

use crate::console::{Usage, note};
use crate::operator::Operator;

/// One AWS call, retries included.
pub const AWS_TIME: Duration = Duration::from_secs(10);
/// One command's reads.
pub const LOOK_TIME: Duration = Duration::from_secs(60);
/// Where the ledger and the links are.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The database file of `serve`, in place of the DynamoDB table TABLE_NAME.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    pub data: Option<PathBuf>,
}

/// Both ports on one embedded database.
pub fn sqlite(database: &Database, retention: Retention) -> Table {
    wiring::sqlite_table(database, retention, &clock(), "")
}

#[derive(Debug, Clone)]
pub enum Place {
    File(PathBuf),
    DynamoDb(String),
}

impl Args {
    /// How these arguments are written behind another command, with a space in front.
    pub fn option(&self) -> String {
        self.data.as_deref().map(file_option).unwrap_or_default()
    }

    pub fn place(&self, reader: &mut Reader<'_>) -> Option<Place> {
        match &self.data {
            Some(file) => Some(Place::File(file.clone())),
            None => settings::table_name(
                reader,
                "the name of the DynamoDB table; or name the file of `serve` with --data FILE",
            )
            .map(Place::DynamoDb),
        }
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
        Ok(self.open_table_and_queue(access).await?.0)
    }

    /// The same, and the queue of `serve` if the table is in its file.
    pub async fn open_table_and_queue(
        &self,
        access: Access,
    ) -> Result<(Table, Option<SqliteQueue>)> {
        let mut reader = beside_serve(self.data.as_deref(), Reader::from_env()).await?;
        let retention = Retention::read(&mut reader);
        let place = self.place(&mut reader);
        let (retention, place) = reader.finish(retention.zip(place))?;
        place.open(access, retention).await
    }

    /// The table, both remotes and the rules.
    pub async fn open(&self, access: Access) -> Result<Operator> {
        let (operator, ()) = self.open_with(access, |_| Some(())).await?;
        Ok(operator)
    }

    /// The same, and what `more` reads from the settings.
    pub async fn open_with<T>(
        &self,
        access: Access,
        more: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<(Operator, T)> {
        let reader = reader(Needs::CREDENTIALS).await?;
        let mut reader = beside_serve(self.data.as_deref(), reader).await?;
        let engine = EngineSettings::read(&mut reader);
        let more = more(&mut reader);
        let place = self.place(&mut reader);
        let ((engine, more), place) = reader.finish(engine.zip(more).zip(place))?;
        let (table, queue) = place.open(access, engine.retention).await?;
        let ports = wiring::ports(&engine, &table, &clock()).map_err(|error| anyhow!(error))?;
        let option = self.option();
        Ok((
            Operator {
                queue,
                ports,
                option,
                app_users: OnceCell::default(),
            },
            more,
        ))
    }
}

/// The settings of this process, with the secrets that it needs of those that are named.
pub async fn reader(needs: Needs) -> Result<Reader<'static>> {
    // A secret whose content is of no use is a wrong setting. One that cannot be read now is not.
    let in_words = |failure: Failure| match failure.cause {
        Cause::BadSettings => Usage(failure.to_string()).into(),
        _ => anyhow!(failure),
    };
    try_reader(needs).await.map_err(in_words)
}

/// The same, with the failure of a secret as it is.
pub async fn try_reader(needs: Needs) -> Result<Reader<'static>, Failure> {
    wiring::reader(aws::load, needs, AWS_TIME).await
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// What a command does with `serve`'s file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads: the file is neither made nor changed.
    Read,
    /// It plans, on a copy in memory, because a run writes notes of its own. A missing file counts as empty.
    Plan,
    Write,
}

impl Place {
    /// The table, and the queue of `serve` if it is in a file.
    pub async fn open(
        &self,
        access: Access,
        retention: Retention,
    ) -> Result<(Table, Option<SqliteQueue>)> {
        match self {
            Self::DynamoDb(name) => {
                let sdk = aws::load(Limits::within(AWS_TIME)).await;
                let table = wiring::dynamodb_table(&sdk, name, retention, &clock());
                Ok((table, None))
            }
            Self::File(file) => {
                let database = open_file(file, access)?;
                let queue = serve::queue(&database, &clock());
                Ok((sqlite(&database, retention), Some(queue)))
            }
        }
    }
}

/// Names `serve`'s file, which need not exist yet.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct UsualFile {
    /// The database file of `serve`; `serve` and `restore` make it if it is missing.
    #[arg(
        long,
        value_name = "FILE",
        env = "DATA_FILE",
        default_value = "okta-anypoint.db"
    )]
    pub data: PathBuf,
}

/// Names `serve`'s file, for commands that work on nothing else.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct FileArgs {
    /// The database file of `serve`. It has to be named.
    // Not for clap to demand: the variable may be in the file of --env-file, which is read after the command line.
    #[arg(long, value_name = "FILE", env = "DATA_FILE")]
    data: Option<PathBuf>,
}

impl FileArgs {
    pub fn option(&self) -> String {
        self.data.as_deref().map(file_option).unwrap_or_default()
    }

    /// The `CHANGES` that commands on the file follow.
    pub async fn changes(&self) -> Result<Changes> {
        let mut reader = beside_serve(self.data.as_deref(), Reader::from_env()).await?;
        let changes = settings::changes(&mut reader);
        Ok(reader.finish(changes)?)
    }

    /// The table and the queue in the file.
    pub async fn open(&self, access: Access) -> Result<(Table, SqliteQueue)> {
        let Some(file) = &self.data else {
            let text = "no database file is named; name the file of `serve` with --data FILE, or in DATA_FILE";
            return Err(Usage(text.to_owned()).into());
        };
        let mut reader = Reader::from_env();
        let retention = Retention::read(&mut reader);
        let retention = reader.finish(retention)?;
        let database = open_file(file, access)?;
        let queue = serve::queue(&database, &clock());
        Ok((sqlite(&database, retention), queue))
    }
}

/// While `serve` works on the file, the settings that decide about changes and are unset here follow `serve`: a shell
/// that lacks EXCLUDE_USERS must not change users that `serve` leaves alone.
pub async fn beside_serve(file: Option<&Path>, reader: Reader<'static>) -> Result<Reader<'static>> {
    let settings = settings_of_serve(file).await?;
    Ok(reader.or_else(move |name| settings.get(name).cloned()))
}

/// What a running `serve` on the file has set of them.
pub async fn settings_of_serve(file: Option<&Path>) -> Result<BTreeMap<String, String>> {
    match file.filter(|file| serve::is_served(file)) {
        Some(file) => Ok(serve::deciding(&Database::open_to_read(file)?).await?),
        None => Ok(BTreeMap::new()),
    }
}

/// How a file is named behind another command, with a space in front.
fn file_option(file: &Path) -> String {
    format!(" --data {}", shell_word(&file.display().to_string()))
}

/// An existing file, but to plan: a misspelt name must not make an empty database.
fn open_file(file: &Path, access: Access) -> Result<Database> {
    // If the folder does not exist, the name is misspelt.
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let could_be_made = folder.is_none_or(Path::is_dir) && !file.try_exists().unwrap_or(true);
    if access == Access::Plan && could_be_made {
        // A first look comes before there is anything to keep.
        note(format!(
            "there is no file {} yet: this is the plan of a first run; no file is made",
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
