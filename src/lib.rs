//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.

#[cfg(feature = "local")]
pub mod simulator;
