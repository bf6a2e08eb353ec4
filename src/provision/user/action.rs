//! What can be done for a user, as plans say it.

use super::view::WantedTeam;
use crate::anypoint::AccountChanges;
use crate::ids::{AccountId, TeamId};
use crate::provision::wanted::Person;
use crate::store::{AgreedProfile, Origin, ResetMail};

/// Which account an action is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRef {
    /// This one.
    Known(AccountId),
    /// The one that an earlier action of the same plan creates.
    Created,
}

/// One thing to do. Each is safe to do twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAction {
    /// Create an account for the person.
    Create(Person),
    /// Ask for a reset mail to the account of that username.
    MailReset {
        /// The username.
        username: String,
    },
    /// Change an account's profile, or enable or disable it.
    Update {
        /// The account.
        account: AccountRef,
        /// What changes.
        changes: AccountChanges,
    },
    /// Take an account out of a team.
    LeaveTeam {
        /// The account.
        account: AccountId,
        /// The team.
        team: TeamId,
    },
    /// Record which account belongs to the user.
    Link {
        /// The account.
        account: AccountRef,
        /// Its username.
        username: String,
        /// How the link came to be.
        origin: Origin,
        /// What both sides agree on now (imported links).
        agreed: Option<AgreedProfile>,
        /// Whether the owner still has to get the reset mail.
        reset_mail: ResetMail,
    },
    /// Put the account into the team of a group; the team is made first if it is missing.
    JoinTeam {
        /// The account.
        account: AccountRef,
        /// The group and its team.
        team: WantedTeam,
    },
}

impl UserAction {
    /// The word used in metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_account",
            Self::MailReset { .. } => "mail_reset",
            Self::Update { changes, .. } => match changes.enabled {
                Some(false) => "disable_account",
                Some(true) => "enable_account",
                None => "update_account",
            },
            Self::LeaveTeam { .. } => "leave_team",
            Self::Link { .. } => "link",
            Self::JoinTeam { .. } => "join_team",
        }
    }
}

/// An action and why it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStep {
    /// What to do.
    pub action: UserAction,
    /// Why.
    pub reason: &'static str,
}
