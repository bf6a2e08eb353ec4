//! The team of a group, directly below the root team: found, adopted, renamed or made. Look, plan, apply.
//!
//! A team of another group that has the name moves aside (`names.rs`).

mod apply;
mod look;
mod names;
mod pair;
mod plan;

pub(crate) use apply::Past;
pub(super) use apply::{EnsuredTeam, NamedBy, overtaken};
pub use pair::Pairing;
pub(crate) use plan::{TeamPlan, plan_team, team_unread};
