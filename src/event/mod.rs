//! What Okta sends, and what it means: pure, no I/O.
//!
//! An event is a hint to look again. Of each event only its id, type, time, outcome and the ids of
//! its targets are read; everything that Anypoint will hold is re-read from Okta later. A delivery
//! becomes a list of [`Change`]s. [`Reading`] counts the other events by reason.
//!
//! ```
//! use okta_anypoint::event::read_delivery;
//! use okta_anypoint::ids::OktaAppId;
//!
//! let body = br#"{"eventType": "com.okta.event_hook", "data": {"events": [
//!     {"uuid": "0f8e2c10-0000-11f1-8000-000000000001", "eventType": "user.lifecycle.suspend",
//!      "published": "2026-03-02T09:15:04.120Z", "outcome": {"result": "SUCCESS"},
//!      "target": [{"type": "User", "id": "00uADA0000000001"}]},
//!     {"uuid": "0f8e2c10-0000-11f1-8000-000000000002", "eventType": "user.session.start"}
//! ]}}"#;
//! let app = OktaAppId::parse("0oaANYPOINT1demo")?;
//! let reading = read_delivery(body, &app, "2026-03-02T09:15:14Z")?;
//! assert_eq!(reading.changes[0].subject.to_string(), "user#00uADA0000000001");
//! assert_eq!(reading.ignored[0].as_str(), "other_type");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod delivery;
mod log_event;
mod types;

pub use change::Change;

pub(crate) use change::RECONCILE_EVENT_TYPE;
pub use delivery::{NotADelivery, read_delivery};
pub use log_event::read_log_events;
pub use log_event::{Ignored, Reading};
pub use types::HOOK_EVENT_TYPES;
#[cfg(feature = "local")]
pub use types::app_event_types;
pub(crate) use types::{Asks, LOG_EVENT_TYPES, asks};
