//! The people of both sides that a run has read.

use std::collections::HashMap;

use super::reconcile::unread::{List, Unread};
use crate::anypoint::Account;
use crate::failure::{Failure, Side};
use crate::http::Extent;
use crate::ids::{AccountId, OktaUserId};
use crate::okta::{AppUser, User};
use crate::provision::Policy;
use crate::store::UserLink;

/// The links, app users and accounts that a run has read.
#[derive(Default)]
pub(super) struct People {
    pub(super) links: HashMap<OktaUserId, UserLink>,
    pub(super) app_users: HashMap<OktaUserId, AppUser>,
    /// Users that the list of app users did not contain. They are read one by one.
    pub(super) late_users: HashMap<OktaUserId, Option<User>>,
    pub(super) accounts: HashMap<AccountId, Account>,
}

impl People {
    /// The Okta user of an app user.
    pub(super) fn user_of<'a>(&'a self, app_user: &'a AppUser) -> Option<&'a User> {
        app_user.user().or_else(|| self.late_user(&app_user.id))
    }

    fn late_user(&self, id: &OktaUserId) -> Option<&User> {
        self.late_users.get(id)?.as_ref()
    }

    /// Whether `EXCLUDE_USERS` names the user.
    pub(super) fn is_excluded(&self, id: &OktaUserId, policy: &Policy) -> bool {
        let listed = self.app_users.get(id).and_then(AppUser::user);
        let user = listed.or_else(|| self.late_user(id));
        policy.excluded.users.ids.contains(id)
            || user.is_some_and(|user| policy.excluded.user(user))
    }

    /// Checks that no source is suddenly empty. That means a wrong setting or a lost permission, and never that everybody
    /// left. Excluded people do not count.
    ///
    /// # Errors
    /// The failure, with what the operator should check.
    pub(super) fn check(&self, unread: &Unread, policy: &Policy) -> Result<(), Failure> {
        let links: Vec<(&OktaUserId, &AccountId)> = self
            .links
            .iter()
            .filter(|(user, _)| !self.is_excluded(user, policy))
            .map(|(user, link)| (user, &link.anypoint_id))
            .collect();
        let is_found = |account: &AccountId| self.accounts.contains_key(account);
        let is_missing =
            |account: &AccountId| !is_found(account) && !unread.may_have_account(account);
        let mut accounts = links.iter().map(|(_, account)| *account);
        if accounts.clone().any(is_missing) && !accounts.any(is_found) {
            return Err(Failure::permanent(
                Side::Anypoint,
                format!(
                    "none of the {} linked accounts is in the organization; nothing was changed.",
                    links.len()
                ),
                "Check ANYPOINT_ORG_ID and ANYPOINT_BASE_URL, and that the connected app may view all users \
                 of the root organization.",
            ));
        }
        // Absence from an incomplete list proves nothing.
        if unread.extent(&[List::AppUsers]) == Extent::Incomplete {
            return Ok(());
        }
        let mut app_users = self.app_users.values();
        let is_anybody_assigned = app_users
            .any(|app_user| app_user.is_assigned() && !self.is_excluded(&app_user.id, policy));
        let enabled = links
            .iter()
            .filter(|(user, _)| !unread.users.contains_key(*user))
            .filter_map(|(_, account)| self.accounts.get(*account))
            .filter(|account| account.is_enabled())
            .count();
        if enabled > 0 && !is_anybody_assigned {
            return Err(Failure::permanent(
                Side::Okta,
                format!(
                    "nobody is assigned to the app, while {enabled} linked accounts are enabled; nothing was \
                     changed."
                ),
                "Check OKTA_APP_ID, and that the token's role may see all users of the app. If everybody \
                 really left, disable them with `okta-anypoint push USER…`.",
            ));
        }
        Ok(())
    }
}
