//! `backup`, `restore`: copies of `serve`'s file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use okta_anypoint::serve::OnlyOne;
use okta_anypoint::sqlite;
use serde_json::json;

use crate::console::{Console, Usage, Verdict};
use crate::table::existing;

/// Copy the database file of `serve`, also while it runs.
///
/// The copy is the state of one moment, is checked after it was written, and can be read by its owner only.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"data\", \"copy\", \"bytes\"}.

Examples:
  okta-anypoint backup /backups/okta-anypoint-$(date +%F).db --data /var/lib/okta-anypoint/okta-anypoint.db")]
pub struct BackupArgs {
    /// The copy; a new file.
    copy: PathBuf,
    /// The database file of `serve`.
    #[arg(
        long,
        value_name = "FILE",
        env = "DATA_FILE",
        default_value = "okta-anypoint.db"
    )]
    data: PathBuf,
}

/// Put a copy in the place of the database file of `serve`.
///
/// Only while nobody has the file open: stop `serve` first. The copy is checked before anything changes, and
/// stays where it is. What was written after the copy was taken is gone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"data\", \"copy\", \"bytes\"}.

Examples:
  okta-anypoint restore /backups/okta-anypoint-2026-03-01.db --data /var/lib/okta-anypoint/okta-anypoint.db")]
pub struct RestoreArgs {
    /// A copy that `backup` made.
    copy: PathBuf,
    /// The database file of `serve`; made if it is missing.
    #[arg(
        long,
        value_name = "FILE",
        env = "DATA_FILE",
        default_value = "okta-anypoint.db"
    )]
    data: PathBuf,
}

pub fn backup(args: &BackupArgs, console: &Console) -> Result<Verdict> {
    existing(&args.data)?;
    let bytes = sqlite::backup(&args.data, &args.copy)?;
    let (data, copy) = (args.data.display(), args.copy.display());
    console.say(format!(
        "copied {data} to {copy}: {bytes} bytes, whole and checked"
    ))?;
    emit(&args.data, &args.copy, bytes, console)
}

pub fn restore(args: &RestoreArgs, console: &Console) -> Result<Verdict> {
    if !args.copy.is_file() {
        let text = format!(
            "there is no file {}; name a copy that `okta-anypoint backup COPY` made",
            args.copy.display()
        );
        return Err(Usage(text).into());
    }
    sqlite::check_copy(&args.copy)?;
    // The file must be there to have one lock under all its names.
    sqlite::make_if_missing(&args.data)?;
    let lock = OnlyOne::take(&args.data)?;
    let bytes = sqlite::restore(&args.copy, &args.data)?;
    drop(lock);
    let (data, copy) = (args.data.display(), args.copy.display());
    console.say(format!(
        "{data} is now as {copy}. Start serve; its catch-up reads the System Log for what came later"
    ))?;
    emit(&args.data, &args.copy, bytes, console)
}

fn emit(data: &Path, copy: &Path, bytes: u64, console: &Console) -> Result<Verdict> {
    console.emit(&json!({"data": data, "copy": copy, "bytes": bytes}))?;
    Ok(Verdict::Done)
}
