//! The wish of a process to end before its work is done. Signals concern the whole process, so this does, too.
//!
//! Work that is interrupted begins no new step, records what it did, and gives its leases back.

use std::sync::LazyLock;

use tokio::sync::watch;

static INTERRUPTED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Asks all work of this process to end.
pub fn interrupt() {
    INTERRUPTED.send_replace(true);
}

/// Whether the work of this process has to end.
pub(crate) fn is_interrupted() -> bool {
    *INTERRUPTED.borrow()
}

/// Ends when the work of this process has to end.
pub(crate) async fn interrupted() {
    // The sender is static, so it is never gone.
    let _ = INTERRUPTED.subscribe().wait_for(|told| *told).await;
}
