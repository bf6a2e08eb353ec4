//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.
//!
//! The programs under `src/bin` only wire what is here. In the order of reading:
//!
//! | module | role |
//! |---|---|
//! | [`ids`], [`failure`], [`deadline`], [`clock`], `backoff`, `words` | the words that everything uses |
//! | [`event`] | what Okta sends, and which subject it is about; pure |
//! | [`receiver`] | a request in, its changes made durable, an answer out |
//! | [`ledger`] | the idempotent claim: one owner at a time works on a change |
//! | [`store`] | links between both sides, cursors, short memories |
//! | [`queue`] | how changes get to the worker |
//! | [`worker`] | a batch of changes: claims, one look a subject, records |
//! | [`provision`] | brings Anypoint in sync with Okta: look, plan, apply |
//! | [`okta`], [`anypoint`] on [`http`] | the typed clients |
//! | [`schedule`] | catch-up from the System Log, reconcile, import |
//! | [`settings`], [`secrets`], [`aws`], `sqlite`, [`telemetry`] | what programs and adapters are set up with |
//! | `insight` | what operators are shown, by the commands and by `serve`'s page |
//! | [`lambda`], [`wiring`], `serve` | translation and wiring: Lambda's events; everything in one process |
//! | `simulator` | a stateful Okta and Anypoint, for the demo and for anybody's tests: a crate of its own |
//!
//! `docs/architecture.md` says what is guaranteed, and walks each kind of event through these modules.

#[macro_use]
mod words;

pub mod anypoint;
pub mod aws;
mod backoff;
pub mod clock;
pub mod counted;
pub mod deadline;
pub mod event;
pub mod failure;
pub mod http;
pub mod ids;
#[cfg(feature = "local")]
pub mod insight;
pub mod interruption;
pub mod lambda;
pub mod ledger;
pub mod okta;
pub mod provision;
pub mod queue;
pub mod receiver;
pub mod schedule;
pub mod secrets;
#[cfg(feature = "local")]
pub mod serve;
pub mod settings;
#[cfg(feature = "local")]
pub mod sqlite;
pub mod store;
pub mod telemetry;
pub mod wiring;
pub mod worker;

#[cfg(feature = "local")]
pub use okta_anypoint_simulator as simulator;
