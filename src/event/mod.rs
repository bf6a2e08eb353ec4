//! What Okta sends, and what it means: pure, no I/O.

mod change;

pub use change::{Change, RECONCILE_EVENT_TYPE};
