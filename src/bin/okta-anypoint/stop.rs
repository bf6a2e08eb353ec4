//! The end of programs that are told to stop.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use okta_anypoint::interruption::interrupt;
use tokio::signal::unix::{SignalKind, signal};

const WHY: &str = "signals cannot be received";
/// How long interrupted work may take to record what it did.
const MAX_WRAP_UP: Duration = Duration::from_secs(5);
/// The exit code of a process that a signal ended: 128 and the signal. 0: there was none.
static CODE: AtomicU8 = AtomicU8::new(0);

/// Ends with Ctrl-C or SIGTERM.
pub fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context(WHY)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(WHY)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// From now on a signal lets the work of this command end in order: its records and leases are written. A second signal,
/// or work that takes too long, ends the process at once.
pub fn end_in_order() -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context(WHY)?;
    let mut interrupted = signal(SignalKind::interrupt()).context(WHY)?;
    let mut terminate = signal(SignalKind::terminate()).context(WHY)?;
    tokio::spawn(async move {
        let mut told = async || {
            tokio::select! {
                _ = hangup.recv() => 129,
                _ = interrupted.recv() => 130,
                _ = terminate.recv() => 143,
            }
        };
        let code = told().await;
        CODE.store(code, Ordering::Relaxed);
        interrupt();
        let _ = tokio::time::timeout(MAX_WRAP_UP, told()).await;
        std::process::exit(code.into());
    });
    Ok(())
}

/// The exit code, if a signal ended the work.
pub fn ended_by_signal() -> Option<u8> {
    Some(CODE.load(Ordering::Relaxed)).filter(|code| *code != 0)
}
