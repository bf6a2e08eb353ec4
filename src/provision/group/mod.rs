//! One group: look at both sides, plan, apply, verify.

mod apply;
mod look;
mod plan;

pub use look::GroupState;
pub use plan::{
    GroupPlan, GroupView, GroupWanted, MemberFound, Owner, Reads, TeamEnd, WantedMembers,
    plan_group,
};
