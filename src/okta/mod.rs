//! Okta's management API: the calls this product makes, typed. One file per resource.
//!
//! Every list is read to its last page, or fails: a list that could not be read whole is never
//! returned in part.

mod app;
mod auth;
mod client;
mod group;
mod log;
mod user;

pub use app::{AppUser, Assignment};
pub use auth::{BadKey, Credentials, PrivateKey, Scopes};
pub use client::Okta;
pub use group::{Group, GroupKind};
pub use log::LogPage;
pub use user::{NewUser, User, UserStatus};
