//! Provisions people and teams from Okta into MuleSoft Anypoint Platform.
