//! The rules that settings choose: who is pushed, under which name, and what happens at the end.
//!
//! Pure: no I/O, no clock. Each type is one setting of `docs/settings.md`.

use std::time::Duration;

use super::attributes::Attributes;
use super::exclusion::Exclusions;
use super::names::{TeamNamePolicy, UsernamePolicy};
use super::selection::GroupSelection;

words! {
    /// `ADOPT`: when an account with the wanted username exists and is not ours.
    #[derive(Default)]
    pub enum Adopt {
        /// Adopt it if the e-mail address agrees, ignoring case.
        #[default]
        UsernameAndEmail = "username_and_email",
        /// Adopt it always.
        Username = "username",
        /// Never adopt.
        Never = "never",
    }
}

words! {
    /// `SUSPENDED_USERS`.
    #[derive(Default)]
    pub enum SuspendedUsers {
        /// Disable the account while the Okta user is suspended.
        #[default]
        Deactivate = "deactivate",
        /// Leave the account as it is for an active user.
        Keep = "keep",
    }
}

words! {
    /// `TEAM_REMOVAL`: when a pushed group is deleted or leaves the selection.
    #[derive(Default)]
    pub enum TeamRemoval {
        /// Take the pushed members out, keep the team.
        #[default]
        Empty = "empty",
        /// Leave the team and its members.
        Keep = "keep",
        /// Delete the team.
        Delete = "delete",
    }
}

words! {
    /// `RESET_EMAIL`.
    #[derive(Default)]
    pub enum ResetEmail {
        /// Ask for a reset mail after creating an account.
        #[default]
        Send = "true",
        /// Do not.
        Skip = "false",
    }
}

/// Who decides about the names of imported accounts (`IMPORT_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportedNames {
    /// Okta does, as for every other link.
    #[default]
    OktaDecides,
    /// `IMPORT_MODE=create`: the side that changed them since both sides were last in sync.
    LastChangeDecides,
}

/// `CONFIRM_SECONDS`: how long after a first look the second one follows, where one look is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmAfter(pub Duration);

impl Default for ConfirmAfter {
    fn default() -> Self {
        Self(Duration::from_secs(15))
    }
}

words! {
    /// `CHANGES`: what the worker does with changes.
    #[derive(Default)]
    pub enum Changes {
        /// They are applied.
        #[default]
        Apply = "apply",
        /// The worker looks and plans. It writes nothing at Okta or Anypoint.
        Report = "report",
        /// They wait, and none is lost.
        Pause = "pause",
    }
}

/// `MAX_REMOVALS_PER_HOUR`: how many people may lose access by events within an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RemovalLimit {
    /// That many.
    Count(usize),
    /// That share of the linked users in percent, but at least ten.
    Percent(f64),
    /// There is no limit.
    Off,
}

/// The least number of people that a share allows.
const MIN_SHARE: usize = 10;

impl Default for RemovalLimit {
    fn default() -> Self {
        Self::Percent(20.0)
    }
}

impl RemovalLimit {
    /// How many people that is when `linked` users are linked. `None`: there is no limit.
    pub(crate) fn allowed(self, linked: usize) -> Option<usize> {
        match self {
            Self::Off => None,
            Self::Count(count) => Some(count),
            Self::Percent(percent) => Some(share_of(percent, linked).max(MIN_SHARE)),
        }
    }
}

/// A share of a number of users, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "10,000 users at the most, and a share between 0 and 100"
)]
pub(crate) fn share_of(percent: f64, users: usize) -> usize {
    (users as f64 * percent / 100.0).floor() as usize
}

/// All rules together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// `USERNAME_POLICY`.
    pub usernames: UsernamePolicy,
    /// `ADOPT`.
    pub adopt: Adopt,
    /// `SUSPENDED_USERS`.
    pub suspended: SuspendedUsers,
    /// `PUSH_GROUPS`.
    pub groups: GroupSelection,
    /// `TEAM_NAME_POLICY`.
    pub team_names: TeamNamePolicy,
    /// `TEAM_REMOVAL`.
    pub team_removal: TeamRemoval,
    /// `RESET_EMAIL`.
    pub reset_email: ResetEmail,
    /// `ATTRIBUTES`.
    pub attributes: Attributes,
    /// `DEFAULT_PHONE`: sent on create when Okta has none.
    pub default_phone: Option<String>,
    /// What `IMPORT_MODE` means for push.
    pub imported_names: ImportedNames,
    /// `CONFIRM_SECONDS`.
    pub confirm: ConfirmAfter,
    /// `CHANGES`.
    pub changes: Changes,
    /// `MAX_REMOVALS_PER_HOUR`.
    pub removals: RemovalLimit,
    /// `EXCLUDE_USERS` and `EXCLUDE_GROUPS`.
    pub excluded: Exclusions,
}
