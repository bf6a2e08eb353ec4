//! Anypoint's Access Management API: the calls this product makes, typed. One file per resource.
//!
//! Any 2xx is a success and an empty body is normal: the documented codes differ between sources. Every list is read to
//! its end, or fails. An unreadable entry does not affect the others. Nothing here deletes a user, and the e-mail
//! address of an existing account cannot be changed: [`AccountChanges`] has no such field.

mod account;
mod changes;
mod client;
mod members;
#[cfg(feature = "local")]
mod organization;
mod page;
mod team;
mod token;

pub use account::{Account, NewAccount};
pub use changes::AccountChanges;
pub use client::Anypoint;
pub use members::MemberChange;
pub(crate) use members::{MAX_MEMBERS_PER_CALL, is_no_member};
#[cfg(feature = "local")]
pub use organization::Organization;
pub use team::{Member, Team, TeamOfAccount};
pub use token::ConnectedApp;
