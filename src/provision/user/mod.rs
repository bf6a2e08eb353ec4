//! One user: look at both sides, plan, apply.

mod account;
mod adopt;
mod anypoint_side;
mod apply;
mod create;
mod look;
mod memberships;
mod okta_side;
mod orphans;
mod plan;
mod profile;
mod steps;
mod take;
mod view;

pub use account::{AccountPlan, Adoption, FormerOwner, NewPerson, Retire};
pub(crate) use adopt::freed_from;
pub use adopt::{Freed, Release};
pub(crate) use apply::{NotWhole, groups_not_whole};
pub(crate) use look::{KEPT_TEAMS_GIVEN_UP, UserKnown};
pub(crate) use orphans::owner_by_intent;
pub use plan::{UserPlan, plan_user};
pub use view::{FoundTeam, GroupsSeen, Membership, NamedAccount, Orphan, UserView, WantedTeam};
