//! One user: settle what a dead run left, look at both sides, plan, apply.

mod adopt;
mod apply;
mod create;
mod look;
mod orphans;
mod plan;
mod profile;
mod view;

pub(crate) use look::KEPT_TEAMS_GIVEN_UP;
pub(in crate::provision) use look::contradiction;
pub use look::{UserKnown, UserLook};
pub use plan::{AccountPlan, FormerOwner, NewPerson, Retire, UserPlan, plan_user};
pub use view::{FoundTeam, GroupsSeen, Membership, NamedAccount, TeamsFound, UserView, WantedTeam};
