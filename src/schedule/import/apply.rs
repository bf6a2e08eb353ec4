//! Carries out an import, a few accounts at a time.
//!
//! What concerns one person is reported and stops nobody else. A right that is missing for everybody, or
//! a remote that does not answer, stops the run. What was done stays done and is found again.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;

use super::Work;
use super::names::Names;
use super::pair::OTHER_USERNAME;
use crate::anypoint::Account;
use crate::deadline::Deadline;
use crate::failure::{Cause, Class, Failure, Side};
use crate::http::CallError;
use crate::ids::{OktaUserId, Subject};
use crate::ledger::{Conclusion, Lease, Leased, Memo, SUBJECT_WAIT, lease_within};
use crate::okta::{AppUser, Assignment, NewUser};
use crate::schedule::Scheduler;
use crate::schedule::summary::{Outcome, Problem, Summary};
use crate::store::{AgreedProfile, Linked, Origin, ResetMail, UserLink};

/// Accounts that are worked on at the same time.
const AT_ONCE: usize = 4;
/// Accounts are not begun with less than this left.
const LEAST: Duration = Duration::from_secs(3);

/// A link is written within this time.
const LINK_TIME: Duration = Duration::from_secs(15);

/// Why the work on one account ended.
enum Halt {
    /// It concerns this one only.
    Problem(Failure),
    /// Credentials or rights were refused: of this one, or of everybody.
    Refused(Failure),
    /// Nobody else will fare better.
    Stop(Failure),
}

impl From<CallError> for Halt {
    fn from(error: CallError) -> Self {
        if error.is_refusal() {
            Self::Refused(error.into())
        } else if error.class() == Class::Permanent || error.is_not_found() {
            Self::Problem(error.into())
        } else {
            Self::Stop(error.into())
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Stop(failure)
    }
}

/// What was written, by count name.
type Tally = Vec<&'static str>;

impl Scheduler {
    pub(super) async fn carry_out(
        &self,
        work: Vec<Work>,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let total = work.len();
        for (position, portion) in work.chunks(AT_ONCE).enumerate() {
            if deadline.remaining() < LEAST {
                summary.outcome = Outcome::Continues;
                return Ok(());
            }
            let mut running = Vec::with_capacity(portion.len());
            for one in portion {
                running.push(self.act(one, deadline));
            }
            let mut stop = None;
            let ends = join_all(running).await;
            let is_refused =
                |(_, end): &(Tally, Result<(), Halt>)| matches!(end, Err(Halt::Refused(_)));
            let refused = ends.iter().filter(|end| is_refused(end)).count();
            if refused > 0 {
                // The right to write may be missing although the app can be read.
                let everybody = refused == AT_ONCE;
                stop = self.check_okta(deadline).await.err();
                if everybody && let Some((_, Err(Halt::Refused(failure)))) = ends.first() {
                    stop.get_or_insert(failure.clone());
                }
            }
            for (one, (tally, end)) in portion.iter().zip(ends) {
                for name in tally {
                    summary.add(name, 1);
                }
                match end {
                    Ok(()) => {}
                    Err(Halt::Problem(failure) | Halt::Refused(failure)) => {
                        summary.add("refused", 1);
                        summary.problems.push(Problem {
                            subject: one.user().cloned().map(Subject::User),
                            account: Some(one.account().id.clone()),
                            class: failure.class,
                            text: failure.to_string(),
                        });
                    }
                    Err(Halt::Stop(failure)) => stop = stop.or(Some(failure)),
                }
            }
            if let Some(failure) = stop {
                return Err(failure);
            }
            let done = (position * AT_ONCE + AT_ONCE).min(total);
            self.progress("importing", done, Some(total));
        }
        Ok(())
    }

    /// Whether Okta answers a call about nobody in particular.
    pub(in crate::schedule) async fn check_okta(&self, deadline: Deadline) -> Result<(), Failure> {
        let app = &self.ports.app;
        Ok(self.people.check_app(app, deadline).await?)
    }

    async fn act(&self, work: &Work, deadline: Deadline) -> (Tally, Result<(), Halt>) {
        let mut tally = Tally::new();
        let end = self.act_counted(work, deadline, &mut tally).await;
        (tally, end)
    }

    async fn act_counted(
        &self,
        work: &Work,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        match work {
            Work::Link {
                account,
                user,
                names,
                ..
            } => self.link(account, user, &names.agreed, tally).await,
            Work::Assign {
                account,
                user,
                names,
                ..
            } => {
                self.assign(account, user, deadline, tally).await?;
                self.link(account, user, &names.agreed, tally).await
            }
            Work::Create { account, email } => {
                let (user, agreed) = self.create(account, email, deadline, tally).await?;
                self.assign(account, &user, deadline, tally).await?;
                self.link(account, &user, &agreed, tally).await
            }
            Work::Agree {
                account,
                user,
                link,
                names,
            } => {
                if !names.left.is_empty() {
                    tally.push("names_left");
                }
                if names.is_agreed(link) {
                    return Ok(());
                }
                self.bring_names(user, names, deadline, tally).await?;
                let link = UserLink {
                    agreed: Some(names.agreed.clone()),
                    ..link.clone()
                };
                self.write_link(account, user, &link).await?;
                tally.push("agreed");
                Ok(())
            }
        }
    }

    /// Creates a staged user; one that has the login already (since we asked) is taken instead.
    async fn create(
        &self,
        account: &Account,
        email: &str,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<(OktaUserId, AgreedProfile), Halt> {
        let okta = &self.people;
        let text = |name: &Option<String>| name.as_deref().unwrap_or_default().trim().to_owned();
        let new = NewUser {
            login: email.to_owned(),
            email: email.to_owned(),
            first_name: text(&account.first_name),
            last_name: text(&account.last_name),
        };
        let user = match okta.create_staged_user(&new, deadline).await {
            Ok(user) => {
                tally.push("created");
                user
            }
            // Perhaps our own call, whose answer was lost.
            Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => {
                match okta.user_by_login(email, deadline).await? {
                    Some(user) => user,
                    None => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        Ok((user.id, Names::of_new_pair(account).agreed))
    }

    /// Assigns the app under the account's username, and makes sure that this is what Okta has.
    async fn assign(
        &self,
        account: &Account,
        user: &OktaUserId,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        let (okta, app) = (&self.people, &self.ports.app);
        let is_assigned = |app_user: &AppUser| app_user.assignment() == Assignment::Assigned;
        let before = okta.app_user(app, user, deadline).await?;
        let after = match before.filter(is_assigned) {
            Some(app_user) => Some(app_user),
            None => {
                let made = okta.assign(app, user, &account.username, deadline).await?;
                tally.push("assigned");
                match made {
                    Some(made) => Some(made),
                    None => okta.app_user(app, user, deadline).await?,
                }
            }
        };
        let fits = after.filter(is_assigned).is_some_and(|app_user| {
            let name = app_user
                .username()
                .map(|name| self.ports.policy.usernames.apply(name));
            matches!(name, Some(Ok(name)) if name.eq_ignore_ascii_case(&account.username))
        });
        if fits {
            return Ok(());
        }
        Err(Halt::Problem(Failure::permanent(
            Side::Okta,
            OTHER_USERNAME,
            "Then import again.",
        )))
    }

    async fn bring_names(
        &self,
        user: &OktaUserId,
        names: &Names,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        if names.fields().is_empty() {
            return Ok(());
        }
        let (first, last) = (names.first.as_deref(), names.last.as_deref());
        self.people
            .update_names(user, first, last, deadline)
            .await?;
        tally.push("names_updated");
        if names.conflict {
            tally.push("conflicts");
        }
        Ok(())
    }

    async fn link(
        &self,
        account: &Account,
        user: &OktaUserId,
        agreed: &AgreedProfile,
        tally: &mut Tally,
    ) -> Result<(), Halt> {
        let link = UserLink {
            anypoint_id: account.id.clone(),
            username: account.username.clone(),
            origin: Origin::Imported,
            agreed: Some(agreed.clone()),
            reset_mail: ResetMail::default(),
        };
        self.write_link(account, user, &link).await?;
        tally.push("linked");
        Ok(())
    }

    async fn write_link(
        &self,
        account: &Account,
        user: &OktaUserId,
        link: &UserLink,
    ) -> Result<(), Halt> {
        let ledger = &self.ports.ledger;
        let subject = Subject::User(user.clone()).to_string();
        let deadline = Deadline::within(LINK_TIME);
        let leased = lease_within(&**ledger, &subject, deadline, SUBJECT_WAIT).await?;
        let Leased::Ours(lease) = leased else {
            return Err(Halt::Problem(
                Failure::retryable(Side::Program, "another run works on the Okta user")
                    .because(Cause::Busy),
            ));
        };
        let written = self.write_leased(&lease, account, user, link).await;
        ledger.conclude(lease, Conclusion::default()).await?;
        written
    }

    async fn write_leased(
        &self,
        lease: &Lease,
        account: &Account,
        user: &OktaUserId,
        link: &UserLink,
    ) -> Result<(), Halt> {
        // A look at the user may have linked it since both sides were read.
        let present = self.store().user_link(user).await?;
        if let Some(present) = &present {
            if present.anypoint_id != account.id {
                return Err(Halt::Problem(
                    Failure::retryable(
                        Side::Table,
                        "the Okta user was linked to another account meanwhile",
                    )
                    .because(Cause::Overtaken),
                ));
            }
            if present.origin == Origin::Created {
                return Ok(());
            }
        }
        let store = self.store();
        match store
            .link_user(lease, user, link, present.as_ref(), Memo::Keep)
            .await?
        {
            Linked::Written => Ok(()),
            Linked::TakenBy(other) => Err(Halt::Problem(
                Failure::permanent(
                    Side::Table,
                    format!("account {} is linked to Okta user {other}.", account.id),
                    format!("Unlink it first: `okta-anypoint unlink {other}`, then import again."),
                )
                .because(Cause::LinkedElsewhere),
            )),
        }
    }
}
