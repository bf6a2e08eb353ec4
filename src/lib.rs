//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.

pub mod aws;
pub mod clock;
pub mod event;
pub mod failure;
pub mod ids;
pub mod ledger;
pub mod queue;
#[cfg(feature = "local")]
pub mod sqlite;
pub mod store;
