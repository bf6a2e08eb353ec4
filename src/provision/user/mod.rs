//! One user: look at both sides, plan, apply.

mod apply;
mod left_behind;
mod look;
mod plan;

pub use plan::{
    AccountRef, FoundTeam, NamedAccount, TeamsFound, UserAction, UserStep, UserView, WantedTeam,
    plan_user,
};
