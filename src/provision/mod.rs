//! Makes Anypoint agree with Okta for one subject at a time: look at both sides, plan, apply.
//!
//! - [`policy`](Policy) and [`wanted`] are pure: what the settings choose, and what Okta wants.
//! - `user` and `group` each have a *look* (reads only), a *plan* (a pure function) and an *apply*
//!   (writes, each safe to do twice). `team` finds or makes the team of a group.
//! - Whoever writes must show a [`Claim`](crate::ledger::Claim).
//!
//! Guaranteed: only what a link says is ours is disabled, renamed or emptied; no account is deleted;
//! an error while reading ends the look, so "could not read" is never taken for "nobody there".
//! Not guaranteed: that both sides agree when a look ends. The next event, catch-up or reconcile
//! looks again.

mod group;
mod policy;
mod provisioner;
mod team;
mod user;
mod wanted;

pub use group::{GroupAction, GroupStep, GroupView, GroupWanted, MemberFound, plan_group};
pub use policy::{
    Adopt, GroupSelection, ImportedNames, Policy, ResetEmail, Selected, SuspendedUsers,
    TeamNamePolicy, TeamRemoval, UsernamePolicy,
};
pub use provisioner::{Applied, Provisioner};
pub use team::{TeamPlan, plan_team};
pub use user::{
    AccountRef, FoundTeam, NamedAccount, TeamsFound, UserAction, UserStep, UserView, WantedTeam,
    plan_user,
};
pub use wanted::{Person, Unwanted, Wanted, standing, wanted};
