//! Looks at a user, plans and applies. Each step is safe to do twice.
//!
//! The run has the lease on the user, so no other run works on the user meanwhile. A step that needs a second subject
//! takes the lease on that one, too: the group of a missing team, or another user whose account is free (`take.rs`).

use super::account::{AccountPlan, Retire};
use super::adopt::belongs_to;
use super::look::UserKnown;
use super::plan::{UserPlan, plan_user, plan_with_old_account};
use super::steps::{update_name, why};
use super::view::UserView;
use crate::anypoint::AccountChanges;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaUserId, Subject};
use crate::provision::finding::Finding;
use crate::provision::policy::ResetEmail;
use crate::provision::progress::FollowUp;
use crate::provision::run::Run;
use crate::provision::step::{AccountRef, Applied, action};
use crate::store::{Intent, Linked, Recalled, ResetMail, UserLink};

/// How often a run looks when things change under it.
const MAX_LOOKS: usize = 4;

/// How carrying out a plan ended.
pub(super) enum End {
    /// Everything is done.
    Done,
    /// Everything is done but the refused part.
    Refused(Failure),
    /// An account of the wanted name appeared since the look.
    LookAgain,
}

/// What comes after an account that the user loses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Retired {
    /// No other account, so the next run knows it still.
    Ended,
    /// Another account of the user.
    Replaced,
}

/// Which account the user has now.
enum Had {
    /// None is wanted.
    Nothing,
    /// The account of this id and username, and the change of it that Anypoint refused.
    Account(AccountId, String, Option<Failure>),
    /// An account of the wanted name appeared since the look.
    LookAgain,
}

/// Whether Anypoint refused a value for good.
fn is_permanent(failure: &Failure) -> bool {
    failure.side == Side::Anypoint && !failure.is_retryable()
}

/// What follows from an incomplete list of the user's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWhole {
    /// Nothing was done yet.
    Previewed,
    /// The user left no team.
    LeftNone,
    /// The user left teams that events announced.
    LeftAnnounced,
    /// The user left the team of every group that the list lacks.
    LeftAll,
}

pub(crate) fn groups_not_whole(so: NotWhole) -> Failure {
    let so = match so {
        NotWhole::Previewed => "the user leaves no team because of it",
        NotWhole::LeftNone => "everything was done but leaving teams",
        NotWhole::LeftAnnounced => {
            "everything was done but leaving teams that no event said the user left"
        }
        NotWhole::LeftAll => {
            "everything was done, and the user left the team of every group that it lacks, as `push --now` asked"
        }
    };
    let what = format!(
        "the list of the user's groups is incomplete: it lacks the built-in group that every user is in, or an id of \
         it cannot be read; {so}. Check that the credentials may read every group (scope okta.groups.read, and an \
         admin role that sees all groups)"
    );
    Failure::retryable(Side::Okta, what).because(Cause::Contradiction)
}

impl Run<'_> {
    pub(in crate::provision) async fn provision_user(
        &mut self,
        user: &OktaUserId,
        recalled: Recalled,
    ) -> Result<(), Failure> {
        self.take_over_old_intent(user, &recalled).await?;
        for _ in 0..MAX_LOOKS {
            let began_ms = self.ports().clock.now_ms();
            let distrusted = std::mem::take(&mut self.distrusted);
            let known = UserKnown {
                recalled: &recalled,
                memory: &self.memory,
                distrusted: &distrusted,
                evidence: &self.evidence,
            };
            let looked = self.look.user(user, known).await;
            self.distrusted = distrusted;
            let looked = looked?;
            self.drop_idle_intent(&looked.view);
            let mut plan = plan_user(&looked.view, &self.ports().policy, &self.evidence)?;
            if (!plan.findings.doubted.is_empty() || looked.unshown.is_some())
                && self.pause_for_second_read().await
            {
                if looked.unshown.is_some() {
                    // The look does not show what was announced, so the whole look is in doubt.
                    for finding in &plan.findings.doubted {
                        self.evidence.confirm(finding);
                    }
                    self.evidence.confirm_look();
                    continue;
                }
                if !self.read_again(user, &plan).await? {
                    continue;
                }
                plan = plan_user(&looked.view, &self.ports().policy, &self.evidence)?;
            }
            self.remember(&plan.findings);
            self.wait_for_announced(looked.unshown);
            if self
                .is_held(&plan.steps(), &plan.removes(&looked.view))
                .await?
            {
                return Ok(());
            }
            match self.carry_out(&looked.view, &plan, began_ms).await? {
                End::LookAgain => {}
                End::Done | End::Refused(_) if looked.view.misses_groups() => {
                    return Err(groups_not_whole(if plan.leave.is_empty() {
                        NotWhole::LeftNone
                    } else if self.evidence.passes_gaps() {
                        NotWhole::LeftAll
                    } else {
                        NotWhole::LeftAnnounced
                    }));
                }
                End::Done => return Ok(()),
                End::Refused(refused) => {
                    if !refused.is_retryable() {
                        self.progress.did_the_rest();
                    }
                    return Err(refused);
                }
            }
        }
        let what =
            "accounts with the wanted username appear and disappear; the next run looks again";
        Err(Failure::retryable(Side::Anypoint, what).because(Cause::Overtaken))
    }

    /// Reads again everything that is in doubt. Returns whether the look stands.
    async fn read_again(&mut self, user: &OktaUserId, plan: &UserPlan) -> Result<bool, Failure> {
        for finding in &plan.findings.doubted {
            let is_unshown = match (finding, &self.memory.intent) {
                (Finding::NotCreated, Some(intent)) => {
                    self.look.intended_account(intent).await?.is_none()
                }
                _ => self.look.still_unshown(user, finding).await?,
            };
            if !is_unshown {
                return Ok(false);
            }
            self.evidence.confirm(finding);
        }
        Ok(true)
    }

    async fn carry_out(
        &mut self,
        view: &UserView,
        plan: &UserPlan,
        began_ms: i64,
    ) -> Result<End, Failure> {
        self.undone = None;
        if let Some(orphan) = &plan.orphan {
            self.end_orphan(&view.user, orphan).await?;
        }
        let before = self.progress.applied.len();
        let had = match self.have_account(view, plan).await {
            // The run wrote something by then, the end of the old account perhaps. The look is out of date.
            Err(refused)
                if plan.is_new_account()
                    && is_permanent(&refused)
                    && self.progress.applied.len() > before =>
            {
                tracing::warn!(subject = self.lease.subject(), "looking again: {refused}");
                return Ok(End::LookAgain);
            }
            // A refused username neither disables the old account nor keeps its memberships.
            Err(refused) if plan.is_new_account() && is_permanent(&refused) => {
                let policy = &self.ports().policy;
                let kept = plan_with_old_account(view, refused, policy, &self.evidence)?;
                self.remember(&kept.findings);
                return Box::pin(self.carry_out(view, &kept, began_ms)).await;
            }
            had => had?,
        };
        let refused = match had {
            Had::LookAgain => return Ok(End::LookAgain),
            Had::Nothing => {
                self.retire(plan.retire.as_ref(), Retired::Ended).await?;
                if let Some(linked) = &view.linked {
                    self.leave_all(linked.into(), &plan.leave, why::NOT_IN_GROUP)
                        .await?;
                }
                None
            }
            Had::Account(id, username, refused) => {
                let account = AccountRef {
                    id: &id,
                    username: &username,
                };
                self.leave_all(account, &plan.leave, why::NOT_IN_GROUP)
                    .await?;
                self.join_all(&view.user, account, &plan.join, began_ms)
                    .await?;
                refused
            }
        };
        let parts = [
            plan.refused.clone(),
            refused,
            self.undone.take(),
            self.mail_refused.take(),
        ];
        Ok(match Failure::of_parts(parts) {
            Some(refused) => End::Refused(refused),
            None => End::Done,
        })
    }

    /// Makes sure that the user has the planned account.
    async fn have_account(&mut self, view: &UserView, plan: &UserPlan) -> Result<Had, Failure> {
        Ok(match &plan.account {
            AccountPlan::Nothing => Had::Nothing,
            AccountPlan::Keep {
                account,
                username,
                changes,
                link,
                mail,
            } => {
                let kept = AccountRef {
                    id: account,
                    username,
                };
                let refused = self.update_kept(kept, changes, plan.why).await?;
                if let Some(link) = link
                    && refused.is_none()
                {
                    self.mail_reset(kept, *mail, why::MAIL_OWED).await?;
                    if view.link.as_ref() != Some(&self.with_mail(link)) {
                        self.link(view, link, why::LINK_CHANGED).await?;
                    }
                }
                Had::Account(account.clone(), username.clone(), refused)
            }
            AccountPlan::Adopt(adoption) => {
                if let End::LookAgain = self.adopt(view, adoption, plan).await? {
                    return Ok(Had::LookAgain);
                }
                let link = &adoption.link;
                Had::Account(link.anypoint_id.clone(), link.username.clone(), None)
            }
            AccountPlan::Create { person, mail } => {
                let Some(link) = self.create(person, plan.why).await? else {
                    return Ok(Had::LookAgain);
                };
                self.retire(plan.retire.as_ref(), Retired::Replaced).await?;
                self.mail_reset((&link).into(), *mail, why::NEW_PASSWORD)
                    .await?;
                self.link(view, &link, why::IS_THEIRS).await?;
                Had::Account(link.anypoint_id, link.username, None)
            }
        })
    }

    /// Updates the account that the user keeps. Returns the refusal if the rest was done: a name that Anypoint refuses
    /// must not stop changes of `enabled` or of memberships.
    async fn update_kept(
        &mut self,
        account: AccountRef<'_>,
        changes: &AccountChanges,
        why: &'static str,
    ) -> Result<Option<Failure>, Failure> {
        match self.update(account, changes, why).await {
            Err(refused) if is_permanent(&refused) => {
                let rest = changes.only_enabled();
                if rest != *changes {
                    self.update(account, &rest, why).await?;
                }
                Ok(Some(refused))
            }
            updated => updated.map(|()| None),
        }
    }

    /// Writes ahead which account is about to be created or enabled.
    pub(super) async fn intend(&mut self, intent: Intent) -> Result<(), Failure> {
        self.memory.intent = Some(intent);
        self.write_memory().await
    }

    /// Drops the intent. The next record's write removes it from the table.
    pub(super) fn drop_intent(&mut self) {
        self.memory.intent = None;
        self.keep_memory();
    }

    pub(super) async fn update(
        &mut self,
        account: AccountRef<'_>,
        changes: &AccountChanges,
        why: &'static str,
    ) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let (anypoint, deadline) = (&self.ports().anypoint, self.look.deadline);
        let what = Applied::on(update_name(changes), account.id, why)
            .of_account(account.username)
            .of(changes.fields());
        let call = anypoint.update_account(account.id, changes, deadline);
        let changed = self.write(what, call).await??;
        self.progress.end_with(changed.fields());
        Ok(())
    }

    pub(super) async fn mail_reset(
        &mut self,
        account: AccountRef<'_>,
        mail: ResetEmail,
        why: &'static str,
    ) -> Result<(), Failure> {
        if mail == ResetEmail::Skip {
            return Ok(());
        }
        self.lease.check()?;
        let anypoint = &self.ports().anypoint;
        let mailed = anypoint.mail_password_reset(account.username, self.look.deadline);
        match mailed.await {
            Err(error) if error.is_about_this_call() && !error.is_refusal() => {
                tracing::warn!(
                    subject = self.lease.subject(),
                    "Anypoint refused the reset mail; `okta-anypoint reset-email` asks again: {error}"
                );
            }
            // The account works without the mail, so the person still gets the link and the teams.
            Err(error) => {
                let is_refusal = error.is_refusal();
                let failure = Failure::from(error);
                self.mail_refused = Some(match is_refusal {
                    true => failure.advising(
                        "The program asks again. If it lasts, check ANYPOINT_BASE_URL and every proxy or \
                         gateway between here and Anypoint.",
                    ),
                    false => failure,
                });
            }
            Ok(()) => {
                self.applied(Applied::plain(action::MAIL_RESET, why).of_account(account.username));
            }
        }
        Ok(())
    }

    pub(super) async fn retire(
        &mut self,
        retire: Option<&Retire>,
        how: Retired,
    ) -> Result<(), Failure> {
        let Some(retire) = retire else { return Ok(()) };
        let account = AccountRef {
            id: &retire.account,
            username: &retire.username,
        };
        if let Some(changes) = &retire.disable {
            self.update(account, changes, retire.reason).await?;
        }
        for (team, group) in &retire.leave {
            if let Err(failure) = self.leave(account, team, retire.reason).await {
                self.set_aside(failure)?;
                if let Retired::Replaced = how {
                    // The next run knows the account no more.
                    let group = Subject::Group(group.clone());
                    self.progress.follow(FollowUp::Once(group));
                }
            }
        }
        Ok(())
    }

    /// The link to write. It records that a refused reset mail is owed.
    fn with_mail(&self, link: &UserLink) -> UserLink {
        let mut link = link.clone();
        if self.mail_refused.is_some() {
            link.reset_mail = ResetMail::Owed;
        }
        link
    }

    /// Writes the link. The same write removes the intent, and remembers the follow-ups that the next run would not find
    /// again.
    pub(super) async fn link(
        &mut self,
        view: &UserView,
        link: &UserLink,
        why: &'static str,
    ) -> Result<(), Failure> {
        let link = &self.with_mail(link);
        let now_ms = self.ports().clock.now_ms();
        // An account of another name may still be hidden.
        let is_open = |intent: &Intent| {
            !intent.names(&link.username) && intent.may_be_hidden(&intent.username, now_ms)
        };
        self.memory.intent = self.memory.intent.take().filter(is_open);
        self.memory.owe(self.progress.owed());
        let memo = self.memory.to_memo();
        let store = &self.ports().store;
        let before = view.link.as_ref();
        match store
            .link_user(self.lease, &view.user, link, before, memo)
            .await?
        {
            Linked::Written => {
                self.keep_memory();
                let linked = Applied::on(action::LINK, &link.anypoint_id, why)
                    .of_account(&link.username)
                    .instead_of(before.map(|before| &before.anypoint_id));
                self.applied(linked);
                Ok(())
            }
            // The account has the wanted app username, and the other user's run came first.
            Linked::TakenBy(other) => Err(belongs_to(&other)),
        }
    }
}
