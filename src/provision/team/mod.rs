//! The team of a group: found, adopted, renamed or made, directly below the root team. Look, plan, apply,
//! and names that another group's team still has.

mod apply;
mod look;
mod names;
mod plan;

pub use plan::{TeamPlan, plan_team};
