//! One user: look at both sides, plan, apply.

mod action;
mod adopt;
mod apply;
mod create;
mod left_behind;
mod look;
mod membership;
mod plan;
mod profile;
mod run;
mod view;

pub use action::{AccountRef, UserAction, UserStep};
pub use plan::plan_user;
pub use view::{FoundTeam, NamedAccount, TeamsFound, UserView, WantedTeam};
