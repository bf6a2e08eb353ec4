//! The whole product without AWS.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::console::{Console, Verdict};

/// Run receiver, queue, worker and schedules on one embedded database file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen for Okta's deliveries.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The database file.
    #[arg(long, default_value = "okta-anypoint.db")]
    data: PathBuf,
}

pub async fn run(args: Args, _console: &Console) -> anyhow::Result<Verdict> {
    anyhow::bail!(
        "serve on {} with {} is not built yet",
        args.listen,
        args.data.display()
    )
}
