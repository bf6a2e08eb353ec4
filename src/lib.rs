//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.

pub mod anypoint;
pub mod aws;
pub mod clock;
pub mod deadline;
pub mod event;
pub mod failure;
pub mod http;
pub mod ids;
pub mod lambda;
pub mod ledger;
pub mod okta;
pub mod provision;
pub mod queue;
pub mod receiver;
pub mod secrets;
#[cfg(feature = "local")]
pub mod serve;
pub mod settings;
#[cfg(feature = "local")]
pub mod simulator;
#[cfg(feature = "local")]
pub mod sqlite;
pub mod store;
pub mod telemetry;
pub mod wiring;
pub mod worker;
