//! One group: look at both sides, plan, apply, until nothing is left to do.

mod apply;
mod look;
mod plan;

pub use plan::{GroupAction, GroupStep, GroupView, GroupWanted, MemberFound, plan_group};
