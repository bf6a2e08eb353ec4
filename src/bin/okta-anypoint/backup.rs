//! `backup`, `restore`: copies of `serve`'s file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use okta_anypoint::serve::OnlyOne;
use okta_anypoint::sqlite;
use serde_json::json;

use crate::console::{Console, Exit, Usage};
use crate::table::{UsualFile, existing};

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
    #[command(flatten)]
    file: UsualFile,
}

/// Replace the database file of `serve` with a copy.
///
/// Only while nobody has the file open: stop `serve` first. The copy is checked before anything changes, and
/// stays where it is. Everything written after the copy was taken is lost.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"data\", \"copy\", \"bytes\"}.

Examples:
  okta-anypoint restore /backups/okta-anypoint-2026-03-01.db --data /var/lib/okta-anypoint/okta-anypoint.db")]
pub struct RestoreArgs {
    /// A copy that `backup` made.
    copy: PathBuf,
    #[command(flatten)]
    file: UsualFile,
}

pub fn backup(args: &BackupArgs, console: &Console) -> Result<Exit> {
    existing(&args.file.data)?;
    let bytes = sqlite::backup(&args.file.data, &args.copy)?;
    let (data, copy) = (args.file.data.display(), args.copy.display());
    console.say(format!(
        "copied {data} to {copy}: {bytes} bytes, whole and checked"
    ))?;
    emit(&args.file.data, &args.copy, bytes, console)
}

pub fn restore(args: &RestoreArgs, console: &Console) -> Result<Exit> {
    if !args.copy.is_file() {
        let text = format!(
            "there is no file {}; name a copy that `okta-anypoint backup COPY` made",
            args.copy.display()
        );
        return Err(Usage(text).into());
    }
    sqlite::check_copy(&args.copy)?;
    // The file must exist, so that it has one lock under all its names.
    sqlite::make_if_missing(&args.file.data)?;
    let lock = OnlyOne::take(&args.file.data)?;
    let bytes = sqlite::restore(&args.copy, &args.file.data)?;
    drop(lock);
    let (data, copy) = (args.file.data.display(), args.copy.display());
    console.say(format!(
        "restored {data} from {copy}. Start serve: its catch-up reads the System Log for later events"
    ))?;
    emit(&args.file.data, &args.copy, bytes, console)
}

fn emit(data: &Path, copy: &Path, bytes: u64, console: &Console) -> Result<Exit> {
    // Not every path is UTF-8, and JSON is.
    let [data, copy] = [data, copy].map(|path| path.display().to_string());
    console.emit(&json!({"data": data, "copy": copy, "bytes": bytes}))?;
    Ok(Exit::Done)
}
