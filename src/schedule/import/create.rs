//! Creates the Okta user of an account.
//!
//! One search that finds nobody proves little. So the run searches again before it creates a user, a while after the plan.

use futures_util::future::try_join;
use http::StatusCode;

use super::apply::Halt;
use super::done::{Done, from_to};
use super::job::action;
use super::linkable::overtaken;
use super::pair::{By, email_of};
use crate::anypoint::Account;
use crate::deadline::Deadline;
use crate::failure::Side;
use crate::ids::OktaUserId;
use crate::okta::NewUser;
use crate::schedule::Scheduler;

impl Scheduler {
    /// Creates a staged user, or finds the user who has the login by now.
    pub(super) async fn create(
        &self,
        account: &Account,
        email: &str,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<OktaUserId, Halt> {
        let okta = &self.people;
        let checked = self.check_again(account, email, deadline).await;
        done.is_on_record = checked.is_err();
        let account = &checked?;
        let text = |name: &Option<String>| name.as_deref().unwrap_or_default().trim().to_owned();
        let new = NewUser {
            login: email.to_owned(),
            email: email.to_owned(),
            first_name: text(&account.first_name),
            last_name: text(&account.last_name),
        };
        let user = match okta.create_staged_user(&new, deadline).await {
            Ok(user) => {
                done.count_written("created");
                let entry = done.change(action::CREATE_USER, &user.id);
                from_to(entry, "no user", "staged");
                user
            }
            // This run's own call may have created that user, and its answer was lost.
            Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => {
                match okta.user_by_login(email, deadline).await? {
                    // Okta also finds users by a short form of the login.
                    Some(user) if By::Login.holds(&user, account) => {
                        done.unanswered(action::CREATE_USER, &user.id);
                        user
                    }
                    _ => {
                        done.is_on_record = true;
                        return Err(error.into());
                    }
                }
            }
            Err(error) => {
                done.note_refusal(&error);
                done.is_on_record = error.is_refusal() || error.is_about_this_call();
                return Err(error.into());
            }
        };
        Ok(user.id)
    }

    /// The account as it is now. Searches again for its user.
    ///
    /// # Errors
    /// When the account is not to be imported any more, has another address, or there may be a user. The next run plans
    /// again.
    async fn check_again(
        &self,
        account: &Account,
        email: &str,
        deadline: Deadline,
    ) -> Result<Account, Halt> {
        let account = self.account_now(&account.id, deadline).await?;
        if email_of(&account) != Some(email) {
            let what = "the e-mail address of the account was changed meanwhile";
            return Err(overtaken(Side::Anypoint, what));
        }
        let okta = &self.people;
        let (mut by_login, by_email) = try_join(
            okta.users_with_login(email, deadline),
            okta.users_with_email(email, deadline),
        )
        .await?;
        // Okta also finds users by a short form of the login.
        by_login
            .items
            .retain(|user| By::Login.holds(user, &account));
        let is_nobody = [by_login, by_email]
            .iter()
            .all(|found| found.items.is_empty() && found.fault().is_none());
        if is_nobody {
            return Ok(account);
        }
        let what = "a second search found an Okta user of the account's e-mail address, and the first found nobody";
        Err(overtaken(Side::Okta, what))
    }
}
