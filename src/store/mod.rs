//! What the program remembers besides the ledger: links, intents and named documents.
//!
//! A **link** pairs an Okta object with an Anypoint object by id. Only linked objects are ever
//! changed. Each link has a reverse entry (account → Okta user, team → Okta group) that is written
//! in the same transaction, so that one Anypoint object belongs to at most one Okta object.
//!
//! An **intent** is written before an account is created and taken away with its link: whoever finds
//! it after a crash knows that the account of that name is ours. It is also written before an account
//! that is or was the user's is enabled, and taken away when it is sure that it is the wanted one.

mod dynamodb;
#[cfg(feature = "local")]
mod sqlite;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};

pub use dynamodb::DynamoDbStore;
#[cfg(feature = "local")]
pub use sqlite::SqliteStore;

/// How long an intent is kept, in days: whoever crashed between creating an account and linking it
/// is long repeated by then.
const INTENT_DAYS: i64 = 7;
/// How long reads of memberships may show the past after a write, in milliseconds.
const FRESH_MS: i64 = 60_000;

/// How a link came to be (`origin` in the table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// This program created the Anypoint object.
    Created,
    /// The Anypoint object existed and was taken over.
    Adopted,
    /// An import paired or created the Okta user.
    Imported,
}

impl Origin {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Imported => "imported",
        }
    }
}

/// Whether the owner of a created account has been sent the password reset mail (`reset_mail` in the
/// table, left out when nothing is owed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetMail {
    /// Nothing is owed: it was asked for, or the account was not made by this program.
    #[default]
    Settled,
    /// The account was closed before the mail was asked for; it follows when the account is enabled.
    Owed,
}

impl ResetMail {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Owed => "owed",
        }
    }

    fn is_settled(&self) -> bool {
        *self == Self::Settled
    }
}

/// The names that both sides agreed on last, for the three-way comparison of imported links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedProfile {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
}

/// The link of an Okta user: item `user#<okta user id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLink {
    /// The Anypoint user.
    pub anypoint_id: AccountId,
    /// The Anypoint username at the time of linking.
    pub username: String,
    /// How the link came to be.
    pub origin: Origin,
    /// What both sides agreed on last; kept for imported links only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreed: Option<AgreedProfile>,
    /// Whether a password reset mail is still owed.
    #[serde(skip_serializing_if = "ResetMail::is_settled", default)]
    pub reset_mail: ResetMail,
}

/// The link of an Okta group: item `group#<okta group id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamLink {
    /// The Anypoint team.
    pub team_id: TeamId,
    /// The team's name when it was last written.
    pub team_name: String,
    /// How the link came to be.
    pub origin: Origin,
}

/// The note that an account is about to be created or enabled: item `intent#<okta user id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountIntent {
    /// The account's username.
    pub username: String,
    /// Which piece of work is at it.
    pub holder: String,
    /// Until when it may be at it, milliseconds since the epoch.
    pub until_ms: i64,
}

/// The answer to [`Store::intend_account`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intended {
    /// The note was written; go ahead.
    Noted,
    /// Another piece of work is at it until then (milliseconds since the epoch).
    Held {
        /// When its lease ends.
        until_ms: i64,
    },
}

/// What was last written about a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastWrite {
    /// The account was put into the team.
    Joined,
    /// The account was taken out of it.
    Left,
}

impl LastWrite {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
        }
    }
}

/// What was written moments ago, by team: reads may still show the time before.
pub type FreshTeams = BTreeMap<TeamId, LastWrite>;

/// What is remembered of one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserMemory {
    /// The link.
    pub link: Option<UserLink>,
    /// The note about an account that is being, or was perhaps, created.
    pub intent: Option<AccountIntent>,
    /// Teams whose memberships were written less than a minute ago.
    pub fresh_teams: FreshTeams,
}

/// To whom an Anypoint account belongs, or belonged: item `account#<anypoint user id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOwner {
    /// The Okta user.
    pub okta_user: OktaUserId,
    /// Whether that user's link points here today.
    pub tenure: Tenure,
}

/// Whether an owner's link still points to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenure {
    /// The link points to this account.
    Current,
    /// The user has another account since its username changed.
    Former,
}

/// What became of a link write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linked<Owner> {
    /// The link and its reverse entry say so now.
    Written,
    /// The Anypoint object is linked to another Okta object; nothing was written.
    TakenBy(Owner),
}

/// A named JSON document (cursor, report, run lease) with a version for conditional writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The JSON text.
    pub json: String,
    /// Grows by one with each write; 0 is "absent".
    pub version: u64,
}

/// What became of a conditional document write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Written.
    Written,
    /// Somebody else wrote meanwhile; nothing was changed.
    Conflict,
}

/// The port. Adapters: DynamoDB and SQLite; both pass the same suite.
///
/// Every method fails with a [`Failure`] of side `Table`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The link of one user.
    async fn user_link(&self, user: &OktaUserId) -> Result<Option<UserLink>, Failure>;

    /// The links of many users; users without one are missing from the answer.
    async fn user_links(
        &self,
        users: &[OktaUserId],
    ) -> Result<HashMap<OktaUserId, UserLink>, Failure>;

    /// Every user link. Reads the whole table: for reconcile and import.
    async fn all_user_links(&self) -> Result<HashMap<OktaUserId, UserLink>, Failure>;

    /// Writes a user's link, its reverse entry, and takes the intent away, in one transaction. The
    /// reverse entry of the account linked before becomes [`Tenure::Former`]. An account whose entry
    /// is [`Tenure::Former`] for another user may be taken. A link to the same account that says
    /// [`Origin::Created`] is not changed to [`Origin::Adopted`]: another run made the account.
    async fn link_user(
        &self,
        user: &OktaUserId,
        link: &UserLink,
    ) -> Result<Linked<OktaUserId>, Failure>;

    /// Removes a user's link; its reverse entry goes too. Nothing happens when there is none.
    async fn unlink_user(&self, user: &OktaUserId) -> Result<(), Failure>;

    /// To whom accounts belong; unknown accounts are missing from the answer.
    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, AccountOwner>, Failure>;

    /// What is remembered of one user: link, intent and fresh memberships, in one read.
    async fn user_memory(&self, user: &OktaUserId) -> Result<UserMemory, Failure>;

    /// Notes that `holder` (an event's uuid) is about to create an account named `username` for `user`,
    /// and is at it for `lease` at the most. Refused while another holder is at it.
    async fn intend_account(
        &self,
        user: &OktaUserId,
        username: &str,
        holder: &str,
        lease: Duration,
    ) -> Result<Intended, Failure>;

    /// Says that `holder` is not at it any more; the note itself stays, because an account may exist.
    /// Nothing happens when another holder is at it.
    async fn release_intent(&self, user: &OktaUserId, holder: &str) -> Result<(), Failure>;

    /// Takes the note away: the creation was refused, no account exists.
    async fn forget_intent(&self, user: &OktaUserId) -> Result<(), Failure>;

    /// Notes which memberships of `user` were just written. For a minute, reads of them may still show
    /// the past. Replaces the note that was there.
    async fn note_memberships(&self, user: &OktaUserId, teams: &FreshTeams) -> Result<(), Failure>;

    /// The link of one group.
    async fn team_link(&self, group: &OktaGroupId) -> Result<Option<TeamLink>, Failure>;

    /// The links of many groups; groups without one are missing from the answer.
    async fn team_links(
        &self,
        groups: &[OktaGroupId],
    ) -> Result<HashMap<OktaGroupId, TeamLink>, Failure>;

    /// Every team link. Reads the whole table: for reconcile.
    async fn all_team_links(&self) -> Result<HashMap<OktaGroupId, TeamLink>, Failure>;

    /// Writes a group's link and its reverse entry in one transaction; the reverse entry of the team
    /// linked before goes away. As with users, `adopted` does not replace `created` for one team.
    async fn link_team(
        &self,
        group: &OktaGroupId,
        link: &TeamLink,
    ) -> Result<Linked<OktaGroupId>, Failure>;

    /// Removes a group's link and its reverse entry. Nothing happens when there is none.
    async fn unlink_team(&self, group: &OktaGroupId) -> Result<(), Failure>;

    /// The groups that teams are linked to; unknown teams are missing from the answer.
    async fn team_owners(&self, teams: &[TeamId]) -> Result<HashMap<TeamId, OktaGroupId>, Failure>;

    /// A named document.
    async fn document(&self, name: &str) -> Result<Option<Document>, Failure>;

    /// Writes a named document if its version is still `expected` (0: it must be absent).
    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure>;

    /// Writes the reverse entries that links made by hand may lack, for the given links. Entries
    /// that exist are left alone.
    async fn repair_reverse_entries(
        &self,
        users: &HashMap<OktaUserId, UserLink>,
        teams: &HashMap<OktaGroupId, TeamLink>,
    ) -> Result<(), Failure>;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_link_is_shown_with_what_is_owed_only() {
        let shown = |reset_mail| {
            let link = UserLink {
                anypoint_id: AccountId::parse("acc-1").unwrap(),
                username: "lin".to_owned(),
                origin: Origin::Created,
                agreed: None,
                reset_mail,
            };
            serde_json::to_value(link).unwrap()
        };
        let mut settled = json!({"anypoint_id": "acc-1", "username": "lin", "origin": "created"});
        assert_eq!(shown(ResetMail::Settled), settled);
        settled["reset_mail"] = Value::from("owed");
        assert_eq!(shown(ResetMail::Owed), settled);
    }
}
