//! What an operator is shown, by the commands and by `serve`'s page alike: open failures by cause, the last run
//! of each task. Nothing here writes.

mod inbox;
mod names;
mod runs;

pub use inbox::{Inbox, SameCause};
pub use names::names_of;
pub use runs::{Health, LastRun, last_runs, usual_interval};
