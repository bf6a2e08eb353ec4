//! What Okta sends, and what it means: pure, no I/O.
//!
//! An event is a hint to look again. Of each event only its id, type, time, outcome and the ids of
//! its targets are read; everything that Anypoint will hold is re-read from Okta later. A delivery
//! becomes a list of [`Change`]s; what does not concern us is counted by reason in [`Reading`].

mod change;
mod delivery;
mod log_event;
mod types;

pub use change::{Change, RECONCILE_EVENT_TYPE};
pub use delivery::{NotADelivery, read_delivery};
pub use log_event::{Ignored, Reading, read_log_events};
pub use types::{HOOK_EVENT_TYPES, LOG_EVENT_TYPES};
