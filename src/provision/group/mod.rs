//! One group: look at both sides, plan, apply, verify.

mod apply;
mod ask;
mod look;
mod plan;

pub(crate) use look::GroupState;
pub(crate) use plan::{
    GroupPlan, GroupView, GroupWanted, MemberFound, Owner, TeamEnd, WantedMembers, plan_group,
};
