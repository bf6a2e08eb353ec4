//! The end of programs that run until they are told to stop.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Ends with Ctrl-C or SIGTERM.
pub fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let why = "signals cannot be received";
    let mut terminate = signal(SignalKind::terminate()).context(why)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(why)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
