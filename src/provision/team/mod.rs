//! Finds, adopts, renames or creates the team of a group, directly below the root team. Look, plan, apply.
//!
//! If the team of another group has the name, `names.rs` decides.

mod apply;
mod look;
mod names;
mod pair;
mod plan;

pub(crate) use apply::Past;
pub(super) use apply::{EnsuredTeam, NamedBy, overtaken};
pub use pair::Pairing;
pub(crate) use plan::{TeamPlan, plan_team, team_unread};
