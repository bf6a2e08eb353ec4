//! The team of a group, directly below the root team: found, adopted, renamed or made. Look, plan, apply.
//!
//! A team of another group that has the name moves aside (`names.rs`).

mod apply;
mod look;
mod names;
mod pair;
mod plan;

pub use apply::Past;
pub(in crate::provision) use apply::{EnsuredTeam, NamedBy, overtaken};
pub use pair::Pairing;
pub use plan::TeamPlan;
pub(crate) use plan::{plan_team, team_unread};
