//! Carries out an import, a few accounts at a time.
//!
//! The run reports a problem of one person, and goes on with the others. It stops if a right is missing for everybody,
//! or if a remote does not answer. The next run finds what this one did.

use std::time::Duration;

use futures_util::future::join_all;

use super::begun::Begun;
use super::done::{Done, Written, from_to};
use super::job::{Job, Kind, action};
use super::linkable::{Assignment, Linkable};
use super::names::{Names, names_of};
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Cause, Failure, Side};
use crate::http::CallError;
use crate::ids::{OktaUserId, Subject};
use crate::ledger::{
    AuditEntry, Conclusion, Lease, Leased, Memo, SUBJECT_WAIT, lease_within, while_kept,
};
use crate::okta::{AppUser, Okta};
use crate::provision::REREAD_AFTER;
use crate::schedule::Scheduler;
use crate::schedule::summary::{Cut, Problem, Summary};
use crate::store::{Linked, Origin, ResetMail, UserLink};

/// Accounts that a run works on at the same time.
const AT_ONCE: usize = 4;
/// A run stops if Okta refuses the writes for this many accounts in a row: the right to write may be missing, even if
/// the run can read the app.
const MAX_REFUSED: usize = 2 * AT_ONCE;
/// A run stops if calls for this many accounts in a row are refused or fail, even if the side answers others.
const MAX_HALTED: usize = 5 * AT_ONCE;
/// A run does not begin an account with less time left.
const MIN_TIME: Duration = Duration::from_secs(3);

/// A lease lasts at least this long, which is enough to write the link.
const LINK_TIME: Duration = Duration::from_secs(15);

/// Why the work on one account ended.
pub(super) enum Halt {
    /// A problem of this account alone.
    Problem(Failure),
    /// A run that died made the account for the user.
    Orphan,
    /// A side refused or failed a call, for this account or for all.
    Refused(Failure),
    /// The other accounts would fail, too.
    Stop(Failure),
}

impl From<CallError> for Halt {
    fn from(error: CallError) -> Self {
        // A 404 of something in between, for example.
        let is_of_a_side = error.may_be_about_one() && !error.is_about_the_object();
        if error.is_refusal() || error.is_server_fault() || is_of_a_side {
            Self::Refused(error.into())
        } else if error.is_about_the_object() || error.is_not_found() {
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

impl Scheduler {
    pub(super) async fn carry_out(
        &self,
        mut jobs: Vec<Job>,
        begun: &mut Begun<'_>,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        // Refused writes to Okta do not keep the others from their links.
        jobs.sort_by_key(Job::writes_to_okta);
        let total = jobs.len();
        let (mut refused_in_a_row, mut halted_in_a_row) = (0, 0);
        if jobs.iter().any(Job::creates) {
            // One absence is not enough to create a user.
            tokio::time::sleep(REREAD_AFTER).await;
        }
        for (position, portion) in jobs.chunks(AT_ONCE).enumerate() {
            if deadline.remaining() < MIN_TIME {
                summary.cut(Cut::Time);
                return Ok(());
            }
            if let Some(pause) = self.pause().await? {
                summary.cut(Cut::Pause(pause));
                return Ok(());
            }
            let to_create = portion
                .iter()
                .filter(|job| job.creates())
                .map(|job| job.account.id.clone());
            begun.add(to_create);
            begun.write(&*self.ports.ledger).await?;
            let mut running = Vec::with_capacity(portion.len());
            for job in portion {
                running.push(self.act(job, deadline));
            }
            let (mut refused, mut stop, mut looks) = (Vec::new(), None, Vec::new());
            for (job, (done, end)) in portion.iter().zip(join_all(running).await) {
                match done.written {
                    Written::Refused => refused_in_a_row += 1,
                    Written::Accepted => refused_in_a_row = 0,
                    Written::Nothing => {}
                }
                for name in done.counts {
                    summary.add(name, 1);
                }
                if done.is_on_record {
                    begun.settle(&job.account.id);
                }
                match end {
                    Ok(()) => halted_in_a_row = 0,
                    Err(Halt::Orphan) => {
                        summary.add("left_to_look", 1);
                        let user = done.user.map(Subject::User);
                        let now_ms = self.clock().now_ms();
                        looks.extend(user.clone().map(|user| Change::found(user, now_ms)));
                        summary.problems.push(Problem {
                            subject: user,
                            account: Some(job.account.id.clone()),
                            ..Problem::general(&left_to_look())
                        });
                    }
                    Err(Halt::Problem(failure)) => {
                        report(summary, job, &failure);
                    }
                    Err(Halt::Refused(failure)) => {
                        report(summary, job, &failure);
                        refused.push(failure);
                        halted_in_a_row += 1;
                    }
                    Err(Halt::Stop(failure)) => stop = stop.or(Some(failure)),
                }
            }
            let cut = self.queue_looks(&looks, deadline, summary).await;
            let is_too_many = refused_in_a_row >= MAX_REFUSED || halted_in_a_row >= MAX_HALTED;
            self.check_sides(&refused, deadline).await?;
            if let Some(failure) = stop.or(refused.pop().filter(|_| is_too_many)) {
                return Err(failure);
            }
            if let Some(cut) = cut {
                summary.cut(cut);
                return Ok(());
            }
            let done = (position * AT_ONCE + AT_ONCE).min(total);
            self.progress("importing", done, Some(total));
        }
        Ok(())
    }

    /// Sends the looks that orphans wait for. A look that could not be sent is a problem of the run. If a pause or the time
    /// kept looks back, the run ends, and the next one finds the orphans again.
    async fn queue_looks(
        &self,
        looks: &[Change],
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Option<Cut> {
        let sent = self.send(looks, deadline).await;
        let (failed, cut) = sent.map_or_else(
            |failure| (Some(failure), None),
            |sent| (sent.failure, sent.cut),
        );
        summary.problems.extend(failed.iter().map(Problem::general));
        cut
    }

    /// Fails if a side that refused something also refuses a call that is not about one person.
    async fn check_sides(&self, refused: &[Failure], deadline: Deadline) -> Result<(), Failure> {
        let has_refused = |side| refused.iter().any(|failure| failure.side == side);
        if has_refused(Side::Okta) {
            self.check_okta(&self.people, deadline).await?;
        }
        if has_refused(Side::Anypoint) {
            let anypoint = &self.ports.anypoint;
            anypoint.check_organization(deadline).await?;
        }
        Ok(())
    }

    /// Fails if Okta also refuses a call by the client `okta` that is about no single person.
    pub(crate) async fn check_okta(&self, okta: &Okta, deadline: Deadline) -> Result<(), Failure> {
        Ok(okta.check_app(&self.ports.app, deadline).await?)
    }

    async fn act<'j>(&self, job: &'j Job, deadline: Deadline) -> (Done<'j>, Result<(), Halt>) {
        let mut done = Done::nothing_of(job);
        let end = Box::pin(self.act_noting(job, deadline, &mut done)).await;
        (done, end)
    }

    async fn act_noting(
        &self,
        job: &Job,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<(), Halt> {
        let user = match &job.kind {
            Kind::Create { email } => self.create(&job.account, email, deadline, done).await?,
            Kind::Link { user, .. } | Kind::Assign { user, .. } | Kind::Agree { user, .. } => {
                user.clone()
            }
        };
        done.user = Some(user.clone());
        let lease = self.lease(&user, deadline).await?;
        let acting = Box::pin(self.act_leased(&lease, job, &user, deadline, done));
        let kept = while_kept(&*self.ports.ledger, &lease, &[], deadline, acting).await;
        let end = kept.unwrap_or_else(|lost| Err(lost.into()));
        let audit = done.audit(&lease, self.clock().now_ms());
        audit.iter().for_each(AuditEntry::log);
        let ledger = &*self.ports.ledger;
        ledger.conclude(lease, Conclusion::auditing(audit)).await?;
        done.is_on_record = true;
        end
    }

    /// Leases the user, so that no other run works on them until the link is written.
    async fn lease(&self, user: &OktaUserId, deadline: Deadline) -> Result<Lease, Halt> {
        let subject = Subject::User(user.clone()).to_string();
        // A user who was just assigned gets the link even if the time of the run is up.
        let deadline = Deadline::within(deadline.remaining().max(LINK_TIME));
        match lease_within(&*self.ports.ledger, &subject, deadline, SUBJECT_WAIT).await? {
            Leased::Ours(lease) => Ok(lease),
            Leased::Busy { .. } => Err(Halt::Problem(
                Failure::retryable(Side::Program, "another run works on the Okta user")
                    .because(Cause::Busy),
            )),
        }
    }

    async fn act_leased(
        &self,
        lease: &Lease,
        job: &Job,
        user: &OktaUserId,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<(), Halt> {
        let policy = &self.ports.policy;
        if let Kind::Agree { link, names, .. } = &job.kind {
            if !names.left.is_empty() {
                done.count("names_left");
            }
            if names.is_agreed(link) {
                return Ok(());
            }
        }
        let id = &job.account.id;
        let mut reading = self.read_user(lease, user, id, deadline).await?;
        if let Kind::Agree { link, .. } = &job.kind {
            let linkable = reading.linkable(job, policy)?;
            return self.agree_on(linkable, link, deadline, done).await;
        }
        if reading.is_linked() {
            // A look or an operator linked it meanwhile, and knows how the link came to be.
            return Ok(());
        }
        self.check_orphan(&reading).await?;
        let assigns = !matches!(job.kind, Kind::Link { .. });
        if assigns && reading.check(job, policy)? == Assignment::Missing {
            let username = &reading.account.username;
            let made = self.assign(lease, username, user, deadline, done).await?;
            reading = reading.assigned(made);
        }
        let linkable = reading.linkable(job, policy)?;
        let link = UserLink {
            anypoint_id: linkable.account.id.clone(),
            username: linkable.account.username.clone(),
            origin: Origin::Imported,
            agreed: Some(names_of(&linkable.account)),
            reset_mail: ResetMail::default(),
        };
        self.write_link(linkable, &link, done).await?;
        done.count("linked");
        Ok(())
    }

    /// Brings names to Okta and remembers them. The names of the plan come from lists, so this compares anew.
    async fn agree_on(
        &self,
        linkable: Linkable<'_>,
        link: &UserLink,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<(), Halt> {
        let (user, app_user) = &linkable.person;
        let names = self.names(&linkable.account, (user, app_user), link);
        let Some(names) = names.filter(|names| !names.is_agreed(link)) else {
            return Ok(());
        };
        let (lease, user) = (linkable.lease, linkable.user);
        self.bring_names(lease, user, &names, deadline, done)
            .await?;
        let link = UserLink {
            agreed: Some(names.agreed),
            ..link.clone()
        };
        self.write_link(linkable, &link, done).await?;
        done.count("agreed");
        Ok(())
    }

    /// Assigns the app under the account's username. Returns the assignment as Okta made it.
    async fn assign(
        &self,
        lease: &Lease,
        username: &str,
        user: &OktaUserId,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<Option<AppUser>, Halt> {
        let (okta, app) = (&self.people, &self.ports.app);
        lease.check()?;
        let made = okta.assign(app, user, username, deadline).await;
        let made = made.inspect_err(|error| done.doubt(action::ASSIGN_APP, app, error))?;
        done.count_written("assigned");
        let entry = done.change(action::ASSIGN_APP, app);
        from_to(entry, "not assigned", "assigned");
        Ok(match made {
            Some(made) => Some(made),
            None => okta.app_user(app, user, deadline).await?,
        })
    }

    async fn bring_names(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        names: &Names,
        deadline: Deadline,
        done: &mut Done<'_>,
    ) -> Result<(), Halt> {
        if names.fields().is_empty() {
            return Ok(());
        }
        lease.check()?;
        let (first, last) = (names.first.as_deref(), names.last.as_deref());
        let brought = self.people.update_names(user, first, last, deadline).await;
        brought.inspect_err(|error| done.doubt(action::UPDATE_NAMES, user, error))?;
        done.count_written("names_updated");
        let fields = names.fields().into_iter().map(str::to_owned);
        let entry = done.change(action::UPDATE_NAMES, user);
        entry.fields = fields.collect();
        entry.why = Some(names.reason().to_owned());
        if names.conflict {
            done.count("conflicts");
        }
        Ok(())
    }

    async fn write_link(
        &self,
        linkable: Linkable<'_>,
        link: &UserLink,
        done: &mut Done<'_>,
    ) -> Result<(), Halt> {
        let Linkable {
            lease,
            user,
            present,
            ..
        } = linkable;
        let account = &link.anypoint_id;
        let store = self.store();
        match store
            .link_user(lease, user, link, present.as_ref(), Memo::Keep)
            .await?
        {
            Linked::Written => {
                if present.is_none() {
                    let entry = done.change(action::LINK, account);
                    from_to(entry, "not linked", "linked");
                }
                Ok(())
            }
            Linked::TakenBy(other) => Err(Halt::Problem(
                Failure::permanent(
                    Side::Table,
                    format!("account {account} is linked to Okta user {other}."),
                    format!("Unlink it first: `okta-anypoint unlink {other}`, then import again."),
                )
                .because(Cause::LinkedElsewhere),
            )),
        }
    }
}

fn report(summary: &mut Summary, job: &Job, failure: &Failure) {
    summary.add("refused", 1);
    summary.problems.push(Problem {
        subject: job.user().cloned().map(Subject::User),
        account: Some(job.account.id.clone()),
        ..Problem::general(failure)
    });
}

fn left_to_look() -> Failure {
    let what = "a run that died made or enabled the account for this Okta user, and the user's own look settles it; it \
                is not imported";
    Failure::retryable(Side::Program, what)
}
