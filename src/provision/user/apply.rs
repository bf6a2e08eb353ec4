//! Carries out a user's plan. Each action is safe to do twice.

use std::time::Duration;

use super::action::{UserAction, UserStep};
use super::create::name_taken;
use super::plan::plan_user;
use super::run::{Course, End, Intent, Run};
use super::view::UserView;
use crate::deadline::Deadline;
use crate::failure::{Class, Failure, Side};
use crate::ids::OktaUserId;
use crate::ledger::Claim;
use crate::provision::provisioner::{Applied, Provisioner};
use crate::store::{AccountIntent, FreshTeams, Intended, LastWrite, Linked, ResetMail, UserLink};

/// How often one look is repeated because the world moved underneath it.
const MOST_LOOKS: usize = 20;
/// How long to wait while another run creates the same account.
const HELD_PAUSE: Duration = Duration::from_millis(150);

/// How often an account is created again after an answer that says nothing.
const MOST_UNSURE: u32 = 3;
/// How long to wait before that, unless the remote says.
const UNSURE_PAUSE: Duration = Duration::from_millis(200);

impl Provisioner {
    pub(crate) async fn provision_user(
        &self,
        user: &OktaUserId,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<Applied, Failure> {
        let mut course = Course::default();
        let agreed = self.agree(user, claim, deadline, &mut course).await;
        if course.intent == Intent::Open {
            // The note stays, because an account may exist; but whoever creates it next need not wait.
            let released = self.store.release_intent(user, claim.id()).await;
            if let Err(failure) = released {
                tracing::warn!(
                    okta.user = %user,
                    "that nobody creates this user's account any more could not be noted, the next run \
                     may have to wait: {failure}"
                );
            }
        }
        agreed.map(|()| course.applied)
    }

    /// Looks and acts until both sides agree.
    async fn agree(
        &self,
        user: &OktaUserId,
        claim: &Claim,
        deadline: Deadline,
        course: &mut Course,
    ) -> Result<(), Failure> {
        let mut name_was_taken = false;
        let mut unsure = 0;
        for _ in 0..MOST_LOOKS {
            let view = match self.look_at_user(user, deadline).await {
                Err(refused) if !refused.is_retryable() => {
                    self.close_under_refused_name(user, deadline, course)
                        .await?;
                    return Err(refused);
                }
                other => other?,
            };
            if view.intended.is_some() {
                course.intent = Intent::Open;
            }
            let plan = match plan_user(&view, &self.policy) {
                Ok(plan) => plan,
                Err(refused) => {
                    // The wanted account cannot be had; what an earlier run left behind is closed anyway.
                    if let Some(name) = &view.intended {
                        self.close_left_behind(user, name, deadline, course).await?;
                    }
                    return Err(refused);
                }
            };
            let creates = plan
                .iter()
                .any(|step| matches!(step.action, UserAction::Create(_)));
            if creates && name_was_taken {
                self.store.forget_intent(user).await?;
                course.intent = Intent::Closed;
                return Err(name_taken());
            }
            match self
                .apply_user(&view, plan, claim, deadline, course)
                .await?
            {
                End::Done(None) => return Ok(()),
                End::Done(Some(refused)) => return Err(refused),
                End::NameTaken => name_was_taken = true,
                End::Unsure(failure) => {
                    unsure += 1;
                    let pause = failure.retry_after.unwrap_or(UNSURE_PAUSE);
                    if unsure > MOST_UNSURE || deadline.remaining() < pause * 2 {
                        return Err(failure);
                    }
                    tokio::time::sleep(pause).await;
                }
                End::Held => tokio::time::sleep(HELD_PAUSE.min(deadline.remaining())).await,
            }
        }
        Err(Failure::retryable(
            Side::Program,
            "another run is still working on this user",
        ))
    }

    async fn apply_user(
        &self,
        view: &UserView,
        plan: Vec<UserStep>,
        claim: &Claim,
        deadline: Deadline,
        course: &mut Course,
    ) -> Result<End, Failure> {
        let mut run = Run {
            provisioner: self,
            view,
            created: None,
            opened: None,
            course,
            written: FreshTeams::new(),
        };
        let mut end = match run.note_stands(&plan, claim).await {
            Ok(true) => run.close_stranded(claim, deadline).await,
            Ok(false) => Ok(End::Held),
            Err(failure) => Err(failure),
        };
        let mut refused = None;
        for step in plan {
            if !matches!(end, Ok(End::Done(_))) {
                break;
            }
            let name = step.action.name();
            let joins = matches!(step.action, UserAction::JoinTeam { .. });
            end = match run.act(step.action, claim, deadline).await {
                // One team that cannot be had must not keep the person out of the others.
                Err(failure) if joins && !failure.is_retryable() => {
                    refused.get_or_insert(failure);
                    Ok(End::DONE)
                }
                other => {
                    run.course.applied.actions.push(name);
                    other
                }
            };
        }
        run.remember_memberships().await?;
        match end {
            Ok(End::Done(None)) => Ok(End::Done(refused)),
            other => other,
        }
    }
}

impl Run<'_> {
    async fn act(
        &mut self,
        action: UserAction,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<End, Failure> {
        let anypoint = &self.provisioner.anypoint;
        match action {
            UserAction::Create(person) => return self.create(&person, claim, deadline).await,
            UserAction::MailReset { username } if self.course.mailed.contains(&username) => {}
            UserAction::MailReset { username } => {
                if self.created.is_none()
                    && !self.is_at_it_alone(&username, claim, deadline).await?
                {
                    return Ok(End::Held);
                }
                match anypoint.mail_password_reset(&username, deadline).await {
                    // Without the mail the account is whole, only less convenient; a failure that
                    // stays must not keep the person from their teams.
                    Err(error) if error.class() == Class::Permanent => {
                        tracing::warn!(
                            okta.user = %self.view.user,
                            "the reset mail was refused, `okta-anypoint reset-email` asks again: {error}"
                        );
                    }
                    other => other?,
                }
                self.course.mailed.insert(username);
            }
            UserAction::Update { account, changes } => {
                let account = self.resolve(&account)?;
                let opens = changes.enabled == Some(true);
                if opens && !self.note_opening(&account, claim, deadline).await? {
                    return Ok(End::Held);
                }
                anypoint
                    .update_account(&account, &changes, deadline)
                    .await?;
                if opens {
                    self.opened = Some(account);
                    if !self.opened_rightly(claim, deadline).await? {
                        return Ok(End::Held);
                    }
                }
            }
            UserAction::LeaveTeam { account, team } => {
                self.written.insert(team.clone(), LastWrite::Left);
                anypoint.remove_members(&team, &[account], deadline).await?;
            }
            UserAction::Link {
                account,
                username,
                origin,
                agreed,
                reset_mail,
            } => {
                let link = UserLink {
                    anypoint_id: self.resolve(&account)?,
                    username,
                    origin,
                    agreed,
                    reset_mail,
                };
                if !self
                    .link_is_as_seen(&link.username, claim, deadline)
                    .await?
                {
                    self.close_opened(claim, deadline).await?;
                    return Ok(End::Held);
                }
                self.link(&link, deadline).await?;
                self.course.intent = Intent::Closed;
                self.close_linked_before(&link, deadline).await?;
            }
            UserAction::JoinTeam { account, team } => {
                let account = self.resolve(&account)?;
                self.join(account, &team, claim, deadline).await?;
            }
        }
        Ok(End::DONE)
    }

    /// Whether what is remembered of the user is still what the look saw. If another run has linked
    /// another account since, or is creating one, that account must be closed by a plan that knows it;
    /// a link written now would take the note of it away. A note that the look saw, and that nobody is
    /// at any more, disturbs nothing: what it spoke of is closed or was never made. An account that
    /// this run has created for `username` stays noted until then.
    async fn link_is_as_seen(
        &mut self,
        username: &str,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let Provisioner { store, clock, .. } = self.provisioner;
        let user = &self.view.user;
        let memory = store.user_memory(user).await?;
        let is_ours = |name: &str| name.eq_ignore_ascii_case(username);
        let seen = |intent: &AccountIntent| {
            let is_over = intent.until_ms <= clock.now_ms() || intent.holder == claim.id();
            is_over && self.view.intended.as_ref() == Some(&intent.username)
        };
        let undisturbed = memory
            .intent
            .is_none_or(|intent| is_ours(&intent.username) || seen(&intent));
        if undisturbed && memory.link == self.view.link {
            return Ok(true);
        }
        if undisturbed && self.created.is_some() {
            let lease = deadline.lease();
            store
                .intend_account(user, username, claim.id(), lease)
                .await?;
            self.course.intent = Intent::Open;
        }
        Ok(false)
    }

    /// Whether this run may finish what an earlier one began: not while that one is still at it, and
    /// not when it has ended well since the look.
    async fn is_at_it_alone(
        &mut self,
        username: &str,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let (store, user) = (&self.provisioner.store, &self.view.user);
        let lease = deadline.lease();
        let intended = store.intend_account(user, username, claim.id(), lease);
        if intended.await? != Intended::Noted {
            return Ok(false);
        }
        self.course.intent = Intent::Open;
        let named = self.view.named.as_ref().map(|named| &named.account.id);
        let link = store.user_link(user).await?;
        let was_owed = self.view.link.as_ref().map(|link| link.reset_mail) == Some(ResetMail::Owed);
        let is_over = link.is_some_and(|link| {
            Some(&link.anypoint_id) == named || was_owed && link.reset_mail == ResetMail::Settled
        });
        if is_over {
            self.forget_intent().await?;
        }
        Ok(!is_over)
    }

    async fn link(&self, link: &UserLink, deadline: Deadline) -> Result<(), Failure> {
        let Provisioner { okta, store, .. } = self.provisioner;
        let mut linked = store.link_user(&self.view.user, link).await?;
        if let Linked::TakenBy(other) = &linked
            && okta.user(other, deadline).await?.is_none()
        {
            // Of an Okta user that was deleted; the plan made sure that the account may be taken.
            store.unlink_user(other).await?;
            linked = store.link_user(&self.view.user, link).await?;
        }
        match linked {
            Linked::Written => Ok(()),
            Linked::TakenBy(other) => Err(Failure::permanent(
                Side::Table,
                format!("the account is linked to Okta user {other}."),
                "Part it from that user with `okta-anypoint unlink`, then replay the event.",
            )),
        }
    }
}
