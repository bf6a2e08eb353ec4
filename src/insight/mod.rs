//! What an operator is shown, by the commands and by `serve`'s page alike: open failures by cause, the last run
//! of each task, both sides of a user or group. Nothing here writes.

mod explain;
mod inbox;
mod names;
mod runs;

pub use explain::{Explanation, Facts, Planned, doubt_in_words, what_became, words};
pub use inbox::{Inbox, SameCause, UNKNOWN_CAUSE};
pub use names::names_of;
pub use runs::{Health, LastRun, last_runs, usual_interval};
