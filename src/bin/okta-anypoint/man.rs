//! Manual pages.

use std::fs;
use std::path::PathBuf;

use crate::console::Exit;

/// Write the manual pages, one for each command, into a folder.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
                       okta-anypoint man /usr/local/share/man/man1\n  \
                       okta-anypoint man . && man ./okta-anypoint.1")]
pub struct Args {
    /// The folder; made if it is missing.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub fn run(args: &Args, command: clap::Command) -> anyhow::Result<Exit> {
    fs::create_dir_all(&args.folder)?;
    clap_mangen::generate_to(command, &args.folder)?;
    Ok(Exit::Done)
}
