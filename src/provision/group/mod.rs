//! One group: look at both sides, plan, apply, verify.

mod apply;
mod ask;
mod end;
mod look;
mod members;
mod plan;
mod view;

pub(crate) use look::GroupState;
pub(crate) use plan::{GroupPlan, TeamEnd, plan_group};
pub(crate) use view::{GroupView, GroupWanted, MemberFound, Owner, WantedMembers};
