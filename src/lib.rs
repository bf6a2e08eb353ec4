//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.

pub mod clock;
pub mod event;
pub mod failure;
pub mod ids;
pub mod ledger;
pub mod queue;
pub mod store;
