//! The store has links, and the memory that one run leaves for the next.
//!
//! A **link** pairs an Okta object with an Anypoint object by id. The program changes only linked objects. Each
//! link has a reverse entry (account → Okta user, team → Okta group), written in the same transaction. So one
//! Anypoint object belongs to at most one Okta object. Every write of a link asks for a [`Lease`], and changes
//! nothing when that lease is over.
//!
//! The [`Memory`] of a subject is in the memo of its lease. The main parts are:
//!
//! - the **intent**, written before an account is created or a former account is enabled. The transaction that writes
//!   the link removes it. A run that finds it knows that the account of that name is this user's;
//! - memberships that were written less than a minute ago, because reads lag behind writes;
//! - what Okta did not show, and since when: the first looks of [`Evidence`](crate::provision::Evidence);
//! - the records of the subject that failed or that the brake holds.

mod documents;
mod dynamodb;
mod memory;
#[cfg(feature = "local")]
mod sqlite;

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::ledger::{Lease, Memo};

pub use documents::{Document, Documents, RemovalCount, Stored};
pub(crate) use documents::{overwrite, read};
pub use dynamodb::DynamoDbStore;
pub use memory::{FreshWrite, Intent, LastWrite, Memory, NewAccountMark};
#[cfg(feature = "local")]
pub use sqlite::SqliteStore;

words! {
    /// How a link came to be (`origin` in the table).
    pub enum Origin {
        /// This program created the Anypoint object.
        Created = "created",
        /// The Anypoint object existed, and this program adopted it.
        Adopted = "adopted",
        /// An import paired or created the Okta user.
        Imported = "imported",
    }
}

words! {
    /// Whether the owner of a created account has been sent the password reset mail (`reset_mail` in the
    /// table, left out when nothing is owed).
    #[derive(Default)]
    pub enum ResetMail {
        /// No mail is owed. It was asked for, or this program did not create the account.
        #[default]
        Settled = "settled",
        /// The account was disabled before the mail was asked for, or Anypoint refused the mail. It follows when the account
        /// is enabled.
        Owed = "owed",
    }
}

impl ResetMail {
    fn is_settled(&self) -> bool {
        *self == Self::Settled
    }
}

/// The names that both sides last agreed on, for the three-way comparison of imported links.
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
    /// The names that both sides last agreed on. Kept only for imported links.
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

/// What the table has about one user: item `user#<okta user id>`, and an intent of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recalled {
    /// The link.
    pub link: Option<UserLink>,
    /// The username in an intent that an earlier build left (item `intent#<okta user id>`).
    pub old_intent: Option<String>,
}

/// The owner or former owner of an Anypoint account: item `account#<anypoint user id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOwner {
    /// The Okta user.
    pub okta_user: OktaUserId,
    /// Whether that user's link still points to the account.
    pub tenure: Tenure,
    /// [`Origin::Created`] if the account was created for the user and never linked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
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

/// The result of a write of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linked<Owner> {
    /// The link and its reverse entry were written.
    Written,
    /// Nothing was written, because the Anypoint object is linked to another Okta object.
    TakenBy(Owner),
}

/// Links by group, and groups by team.
pub type TeamPairs = (HashMap<OktaGroupId, TeamLink>, HashMap<TeamId, OktaGroupId>);

/// The port. Its adapters are DynamoDB and SQLite. Both pass the same suite.
///
/// Every method fails with a [`Failure`] of side `Table`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The link of one user.
    async fn user_link(&self, user: &OktaUserId) -> Result<Option<UserLink>, Failure>;

    /// The links of many users. The answer lacks users without one.
    async fn user_links(
        &self,
        users: &[OktaUserId],
    ) -> Result<HashMap<OktaUserId, UserLink>, Failure>;

    /// Every user link, for reconcile and import. Reads the whole table.
    async fn all_user_links(&self) -> Result<HashMap<OktaUserId, UserLink>, Failure>;

    /// The link of one user, with the intent that an older version may have left.
    async fn recall_user(&self, user: &OktaUserId) -> Result<Recalled, Failure>;

    /// Writes a user's link, its reverse entry and the memo of `lease`, in one transaction. `before` is
    /// the existing link. The reverse entry of its account becomes [`Tenure::Former`]. An account
    /// whose entry is [`Tenure::Former`] for another user may be linked.
    ///
    /// # Errors
    /// Also when the lease is over.
    async fn link_user(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        link: &UserLink,
        before: Option<&UserLink>,
        memo: Memo,
    ) -> Result<Linked<OktaUserId>, Failure>;

    /// Removes a user's link and its reverse entry. Does nothing if there is no link.
    ///
    /// # Errors
    /// Also when the lease is over.
    async fn unlink_user(&self, lease: &Lease, user: &OktaUserId) -> Result<(), Failure>;

    /// Records an orphaned account, which a run that died created for `user`. Its reverse entry says
    /// [`Tenure::Former`] and [`Origin::Created`]. An existing entry stays. Writes the memo of `lease` in the same
    /// transaction.
    ///
    /// # Errors
    /// Also when the lease is over.
    async fn record_orphan(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        account: &AccountId,
        memo: Memo,
    ) -> Result<(), Failure>;

    /// Removes the intent that an older version left.
    async fn forget_old_intent(&self, user: &OktaUserId) -> Result<(), Failure>;

    /// The owners of accounts. The answer lacks unknown accounts.
    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, AccountOwner>, Failure>;

    /// The link of one group.
    async fn team_link(&self, group: &OktaGroupId) -> Result<Option<TeamLink>, Failure> {
        Ok(self
            .team_links(std::slice::from_ref(group))
            .await?
            .remove(group))
    }

    /// The links of many groups. The answer lacks groups without one.
    async fn team_links(
        &self,
        groups: &[OktaGroupId],
    ) -> Result<HashMap<OktaGroupId, TeamLink>, Failure> {
        Ok(self.team_pairs(groups, &[]).await?.0)
    }

    /// The groups that teams are linked to. The answer lacks unknown teams.
    async fn team_owners(&self, teams: &[TeamId]) -> Result<HashMap<TeamId, OktaGroupId>, Failure> {
        Ok(self.team_pairs(&[], teams).await?.1)
    }

    /// [`Store::team_links`] and [`Store::team_owners`] in one read.
    async fn team_pairs(
        &self,
        groups: &[OktaGroupId],
        teams: &[TeamId],
    ) -> Result<TeamPairs, Failure>;

    /// Every team link, for reconcile. Reads the whole table.
    async fn all_team_links(&self) -> Result<HashMap<OktaGroupId, TeamLink>, Failure>;

    /// Writes a group's link and its reverse entry in one transaction. Removes the reverse entry of `before`, the existing
    /// link.
    ///
    /// # Errors
    /// Also when the lease is over.
    async fn link_team(
        &self,
        lease: &Lease,
        group: &OktaGroupId,
        link: &TeamLink,
        before: Option<&TeamLink>,
    ) -> Result<Linked<OktaGroupId>, Failure>;

    /// Removes a group's link and its reverse entry. Does nothing if there is no link.
    ///
    /// # Errors
    /// Also when the lease is over.
    async fn unlink_team(&self, lease: &Lease, group: &OktaGroupId) -> Result<(), Failure>;

    /// Writes missing reverse entries for the given links, because links that were made by hand may lack them. Existing
    /// entries stay.
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
    fn a_link_shows_its_reset_mail_only_while_it_is_owed() {
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
