//! Reads what an operator wants to know, for the commands and for `serve`'s page: open failures by cause, the last run of
//! each task, both sides of a user or group. Nothing here writes.

mod explain;
mod inbox;
mod names;
mod runs;
mod standing;

pub use explain::{
    Explanation, Planned, doubt_in_words, held_in_words, held_of, what_became, words, would_do,
};

pub(crate) use explain::{Facts, would};
pub use inbox::{Inbox, Next, SameCause, UNKNOWN_CAUSE, cut_off};
pub use names::names_of;
pub use runs::{Health, LastRun, last_runs, usual_interval};
pub use standing::Standing;
