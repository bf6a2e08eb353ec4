//! One user: look at both sides, plan, apply.

mod apply;
mod create;
mod left_behind;
mod look;
mod plan;
mod view;

pub use plan::{AccountRef, UserAction, UserStep, plan_user};
pub use view::{FoundTeam, NamedAccount, TeamsFound, UserView, WantedTeam};
