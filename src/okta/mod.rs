//! Okta's management API: the calls this product makes, typed. One file per resource.
//!
//! Every list is read to its last page, or fails. An unreadable entry does not affect the others
//! ([`Listed`](crate::http::Listed)): the list knows it by its id, or says that it is not complete.

mod app;
mod auth;
mod client;
mod credential;
mod group;
#[cfg(feature = "local")]
mod hook;
#[cfg(feature = "local")]
mod hook_filter;
mod log;
#[cfg(feature = "local")]
mod probe;
mod profile;
mod user;

pub use app::AppUser;
pub use auth::{BadKey, Credentials, PrivateKey, Scopes};
pub use client::Okta;
pub use credential::{CredentialLife, Outlook, RENEWAL, TokenLife};
pub use group::Group;
#[cfg(feature = "local")]
pub use hook::{EventHook, HookSpec};
#[cfg(feature = "local")]
pub use hook_filter::{Filtering, HookFilter};
pub use log::LogPage;
#[cfg(feature = "local")]
pub use probe::{App, Readable};
pub use profile::{AttributeName, Profile, Source};
pub use user::{NewUser, User, UserStatus};
