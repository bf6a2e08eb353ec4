//! Brings one subject at a time in sync: look, plan, apply.
//!
//! - [`Policy`] is what the settings choose, `wanted` what Okta wants. Both are pure.
//! - [`Evidence`] weighs what a look did not show. No single answer takes access away.
//! - `user` and `group` each have a *look* (reads only), a *plan* (a pure function of what was seen and of
//!   the evidence) and an *apply* (writes, each safe to do twice). `team` finds or makes the team of a group.
//! - A plan is a value. The worker applies it. `plan`, `explain` and the demo print its [`Step`]s.
//! - A run that writes must show the [`Lease`](crate::ledger::Lease) on the subject. It also ends or adopts
//!   orphaned accounts (`user/orphans.rs`).
//!
//! A run changes only what a link, an intent or an earlier link says is ours. It never deletes an account. An error while
//! reading ends the look, so "could not read" never counts as "nobody there".
//!
//! Both sides may still differ when a run ends. The next event, catch-up or reconcile looks again.

mod announced;
mod attributes;
mod brake;
mod evidence;
mod exclusion;
mod finding;
mod group;
mod names;
mod pause;
mod policy;
mod ports;
#[cfg_attr(
    not(feature = "local"),
    expect(
        dead_code,
        reason = "`insight` reads the whole preview; a dry run only its steps"
    )
)]
mod preview;
mod progress;
mod provisioner;
mod run;
mod selection;
mod shadow;
mod shown;
mod step;
mod team;
mod user;
mod wanted;

pub use announced::Announced;
pub(crate) use announced::announces_removal;
pub(crate) use attributes::unread_attributes;
pub use attributes::{AccountField, Attributes, FieldSource, FieldValue};
pub(crate) use brake::{Brake, COUNTED, end_lift_from_ahead, note_linked_users};
pub use brake::{MAX_LIFT, brake_off_until, end_lifted_brake, lift_brake};
pub use evidence::Evidence;
pub use exclusion::{ExcludedGroups, ExcludedUsers, Exclusions};
pub use finding::Finding;
pub(crate) use finding::Unpushed;
pub(crate) use group::{
    GroupPlan, GroupView, GroupWanted, MemberFound, Owner, TeamEnd, WantedMembers, plan_group,
};
pub use names::{TeamNamePolicy, UsernamePolicy};
#[cfg(feature = "local")]
pub(crate) use pause::note_changes;
pub use pause::{noted_changes, pause_changes, paused_since};
pub(crate) use policy::share_of;
pub use policy::{
    Adopt, Changes, ConfirmAfter, ImportedNames, Policy, RemovalLimit, ResetEmail, SuspendedUsers,
    TeamRemoval,
};
pub use ports::Ports;
pub use preview::{Doubt, Forecast, GroupPreview, Seen, UserPreview};
pub(crate) use progress::{FollowUp, Progress};
pub(crate) use provisioner::{Known, Turn};
pub use provisioner::{Look, Provisioner, SecondLook};
pub(crate) use run::REREAD_AFTER;
pub use selection::GroupSelection;
pub(crate) use selection::Selected;
pub use shadow::dry_runs;
pub(crate) use shadow::{Shadow, dry_runs_taken_up};
pub use step::Step;
pub(crate) use step::{Applied, action};
pub use team::Pairing;
pub(crate) use team::{
    Decided, NameOwner, NamePlan, Past, TeamPlan, WantedName, internal_root, misplaced, plan_taken,
    plan_team, team_unread,
};
pub use user::{
    AccountPlan, Adoption, FormerOwner, FoundTeam, Freed, GroupsSeen, Membership, NamedAccount,
    NewPerson, Orphan, Release, Retire, UserPlan, UserView, WantedTeam, plan_user,
};
pub(crate) use user::{KEPT_TEAMS_GIVEN_UP, freed_from, owner_by_intent};
pub(crate) use wanted::{MemberWanted, standing, wanted};
pub use wanted::{Person, Unwanted, Wanted};
