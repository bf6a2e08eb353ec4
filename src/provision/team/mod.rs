//! Finds, adopts, renames or creates the team of a group, directly below the root team. Look, plan, apply.
//!
//! If the team of another group has the name, `names.rs` decides.

mod apply;
mod look;
mod names;
mod pair;
mod plan;

pub(crate) use apply::Past;
pub(super) use apply::{Ensured, EnsuredTeam, NamedBy, is_unchanged_since, overtaken};
pub(crate) use names::{NameOwner, NamePlan, WantedName, plan_taken};
pub use pair::Pairing;
pub(crate) use plan::{Decided, TeamPlan, internal_root, misplaced, plan_team, team_unread};
pub(super) use plan::{TakenName, check_team_read};
