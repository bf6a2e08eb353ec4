//! Log lines and metrics of the program. They hold opaque identifiers only: no names, addresses, secrets or bodies.

mod log;
mod metrics;
mod tally;
mod visible;

pub use log::{start_logging, start_logging_for_people};

pub(crate) use log::{ALWAYS_LOGGED, LogFormat, catch_panic};
pub(crate) use metrics::Metric;
pub use metrics::Metrics;
pub use tally::Tally;
pub use visible::{Shown, painted, visible_line, visible_lines};
