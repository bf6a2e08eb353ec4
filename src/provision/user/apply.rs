//! Settles what a dead run left, looks, plans and carries the plan out. Each step is safe to do twice.
//!
//! No other run works on the user meanwhile: this one holds the lease. A step that needs a second subject (the
//! missing team of a group, the account of another user: `take.rs`) takes the lease on that subject, too.

use super::look::UserKnown;
use super::plan::{AccountPlan, Retire, UserPlan, plan_user, update_name};
use super::view::{Membership, UserView, WantedTeam};
use crate::anypoint::AccountChanges;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::ledger::{AuditEntry, Conclusion, Lease, Leased, SUBJECT_WAIT, lease_within};
use crate::provision::brake::Held;
use crate::provision::evidence::Finding;
use crate::provision::policy::ResetEmail;
use crate::provision::provisioner::{FollowUp, Work};
use crate::provision::step::{Applied, action};
use crate::provision::team::{EnsuredTeam, NamedBy, Past, overtaken};
use crate::store::{Intent, LastWrite, Linked, Recalled, UserLink};

/// How often one look is repeated because the world moved underneath it.
const MAX_LOOKS: usize = 4;

/// How carrying out a plan ended.
pub(super) enum End {
    /// All is done.
    Done,
    /// An account of the wanted name appeared since the look.
    LookAgain,
}

/// A membership that this run made.
struct Joined {
    group: OktaGroupId,
    team: TeamId,
    /// The group was looked at then, in milliseconds since the epoch.
    as_of_ms: i64,
}

/// The app username that a plan is about.
fn username_of(view: &UserView, plan: &UserPlan) -> Option<String> {
    match &plan.account {
        AccountPlan::Nothing => view.link.as_ref().map(|link| link.username.clone()),
        AccountPlan::Keep { username, .. } => Some(username.clone()),
        AccountPlan::Take(taking) => Some(taking.link.username.clone()),
        AccountPlan::Create { person, .. } => Some(person.username.clone()),
    }
}

fn groups_not_whole() -> Failure {
    Failure::retryable(
        Side::Okta,
        "the list of the user's groups lacks the built-in group that every user is in, so it is not whole; \
         all was done but leaving teams. Check that the credentials may read every group (scope \
         okta.groups.read, and an admin role that sees all groups)",
    )
    .because(Cause::Contradiction)
}

impl Work<'_> {
    pub(in crate::provision) async fn provision_user(
        &mut self,
        user: &OktaUserId,
        recalled: Recalled,
    ) -> Result<(), Failure> {
        self.settle(user, &recalled).await?;
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
            let mut plan = plan_user(&looked.view, &self.ports().policy, &self.evidence)?;
            if (!plan.doubted.is_empty() || looked.unshown.is_some())
                && self.pause_for_second_read().await
            {
                if looked.unshown.is_some() {
                    // An announcement does not show: the whole look is the answer in doubt.
                    for finding in &plan.doubted {
                        self.evidence.agree(finding);
                    }
                    self.evidence.agree_with_the_look();
                    continue;
                }
                if !self.read_again(user, &plan).await? {
                    continue;
                }
                plan = plan_user(&looked.view, &self.ports().policy, &self.evidence)?;
            }
            let findings: Vec<Finding> =
                plan.believed.iter().chain(&plan.doubted).cloned().collect();
            self.remember(&findings);
            self.wait_for_second_look(&plan, looked.unshown);
            let steps = plan.steps();
            self.progress.because_of(&steps);
            self.progress.username = username_of(&looked.view, &plan);
            if let Some(why) = Box::pin(self.held(&plan.removes(&looked.view))).await? {
                let steps = steps.iter().map(ToString::to_string).collect();
                self.progress.held = Some(Held { steps, why });
                return Ok(());
            }
            match self.carry_out(&looked.view, &plan, began_ms).await? {
                End::LookAgain => {}
                End::Done if looked.view.misses_groups() => {
                    return Err(groups_not_whole());
                }
                End::Done => return Ok(()),
            }
        }
        Err(Failure::retryable(
            Side::Anypoint,
            "accounts of the wanted name come and go; the next run looks afresh",
        )
        .because(Cause::Overtaken))
    }

    /// Reads once more what is in doubt. Whether the look stands.
    async fn read_again(&mut self, user: &OktaUserId, plan: &UserPlan) -> Result<bool, Failure> {
        for finding in &plan.doubted {
            if !self.look.still_unshown(user, finding).await? {
                return Ok(false);
            }
            self.evidence.agree(finding);
        }
        Ok(true)
    }

    fn wait_for_second_look(&mut self, plan: &UserPlan, unshown: Option<i64>) {
        for finding in &plan.doubted {
            let weight = self.evidence.weigh(finding);
            let until_ms = self.evidence.believed_after(weight);
            self.progress.wait_until(until_ms, finding.in_words());
        }
        if let Some(until_ms) = unshown {
            let seen = "Okta does not show yet what the event announced";
            self.progress.wait_until(until_ms, seen.to_owned());
        }
    }

    async fn carry_out(
        &mut self,
        view: &UserView,
        plan: &UserPlan,
        began_ms: i64,
    ) -> Result<End, Failure> {
        let account = match &plan.account {
            AccountPlan::Nothing => None,
            AccountPlan::Keep {
                account,
                username,
                changes,
                link,
                mail,
            } => {
                self.update(account, changes).await?;
                if let Some(link) = link {
                    self.mail_reset(username, *mail).await?;
                    self.link(view, link).await?;
                }
                Some(account.clone())
            }
            AccountPlan::Take(taking) => {
                if let End::LookAgain = self.take(view, taking, plan.retire.as_ref()).await? {
                    return Ok(End::LookAgain);
                }
                Some(taking.account.clone())
            }
            AccountPlan::Create { person, mail } => {
                let Some(link) = self.create(person, *mail).await? else {
                    return Ok(End::LookAgain);
                };
                self.retire(plan.retire.as_ref()).await?;
                self.link(view, &link).await?;
                Some(link.anypoint_id)
            }
        };
        let Some(account) = account else {
            self.retire(plan.retire.as_ref()).await?;
            return Ok(End::Done);
        };
        for team in &plan.leave {
            self.leave(&account, team).await?;
        }
        let (mut refused, mut joined) = (None, Vec::new());
        for team in &plan.join {
            match self.join(view, &account, team, began_ms).await {
                // The name of a team is its group's matter: the account is done, and the group's own look says why.
                // Once the group has a team, its look puts its members in.
                Err(failure) if failure.cause.is_about_team_name() => {
                    let group = Subject::Group(team.group.clone());
                    tracing::warn!(subject = self.lease.subject(), %group, "the group has no team: {failure}");
                    self.progress.follow(FollowUp::Subject(group));
                }
                // One team that cannot be had must not keep the person out of the others.
                Err(failure) if !failure.is_retryable() || failure.cause.is_refusal() => {
                    refused.get_or_insert(failure);
                }
                other => joined.extend(other?),
            }
        }
        self.verify_joins(&view.user, &account, joined).await?;
        refused.map_or(Ok(End::Done), Err)
    }

    /// Writes ahead which account is about to be created or enabled.
    pub(super) async fn intend(&mut self, username: &str) -> Result<(), Failure> {
        self.memory.intent = Some(Intent {
            username: username.to_owned(),
        });
        self.write_memory().await
    }

    pub(super) async fn update(
        &mut self,
        account: &AccountId,
        changes: &AccountChanges,
    ) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let anypoint = self.anypoint()?;
        let what = Applied::on(update_name(changes), account).of(changes.fields());
        self.progress.begin(what);
        let updated = anypoint
            .update_account(account, changes, self.look.deadline)
            .await;
        self.progress.settle(updated)?;
        Ok(())
    }

    pub(super) async fn mail_reset(
        &mut self,
        username: &str,
        mail: ResetEmail,
    ) -> Result<(), Failure> {
        if mail == ResetEmail::Skip {
            return Ok(());
        }
        let anypoint = self.anypoint()?;
        match anypoint
            .mail_password_reset(username, self.look.deadline)
            .await
        {
            // Without the mail the account is whole, only less convenient; a failure that stays must not
            // keep the person from their teams.
            Err(error) if error.is_about_this_call() || error.is_refusal() => {
                tracing::warn!(
                    subject = self.lease.subject(),
                    "Anypoint refused the reset mail; `okta-anypoint reset-email` asks again: {error}"
                );
            }
            other => {
                other?;
                self.applied(Applied::plain(action::MAIL_RESET));
            }
        }
        Ok(())
    }

    pub(super) async fn retire(&mut self, retire: Option<&Retire>) -> Result<(), Failure> {
        let Some(retire) = retire else { return Ok(()) };
        if let Some(changes) = &retire.disable {
            self.update(&retire.account, changes).await?;
        }
        for team in &retire.leave {
            self.leave(&retire.account, team).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, account: &AccountId, team: &TeamId) -> Result<(), Failure> {
        let anypoint = self.anypoint()?;
        let accounts = std::slice::from_ref(account);
        self.progress.begin(Applied::on(action::LEAVE_TEAM, team));
        let removed = anypoint
            .remove_members(team, accounts, self.look.deadline)
            .await;
        self.progress.settle(removed)?;
        self.note_membership(team, LastWrite::Left);
        Ok(())
    }

    fn note_membership(&mut self, team: &TeamId, written: LastWrite) {
        let now_ms = self.ports().clock.now_ms();
        self.memory.note_membership(team.clone(), written, now_ms);
        self.keep_memory();
    }

    /// Writes the link; the intent goes with it.
    pub(super) async fn link(&mut self, view: &UserView, link: &UserLink) -> Result<(), Failure> {
        self.memory.intent = None;
        let memo = self.memory.to_memo();
        let store = &self.ports().store;
        let before = view.link.as_ref();
        match store
            .link_user(self.lease, &view.user, link, before, memo)
            .await?
        {
            Linked::Written => {
                self.keep_memory();
                self.applied(Applied::on(action::LINK, &link.anypoint_id));
                Ok(())
            }
            Linked::TakenBy(other) => Err(Failure::permanent(
                Side::Table,
                format!("the account is linked to Okta user {other}."),
                format!("Unlink it first: `okta-anypoint unlink {other}`."),
            )
            .because(Cause::LinkedElsewhere)),
        }
    }

    /// Gives a second lease back, with what was `done` under it: the subject's own trail tells it, too. If the run that
    /// had the lease before was cut off, that is told here: the next owner cannot know.
    pub(super) async fn give_back(&self, lease: Lease, done: &[Applied]) -> Result<(), Failure> {
        let ports = self.ports();
        let now_ms = ports.clock.now_ms();
        let found = "a user's run that needed the subject found an earlier run of it cut off";
        let interrupted = AuditEntry::for_interrupted(&lease, found, now_ms);
        interrupted.iter().for_each(AuditEntry::log);
        let why = format!("a run of {} needed it", self.lease.subject());
        let done = done.iter().map(|applied| AuditEntry {
            id: applied.id.clone(),
            why: Some(why.clone()),
            ..AuditEntry::new(&lease, applied.action, now_ms)
        });
        let audit = interrupted.into_iter().chain(done).collect();
        let conclusion = Conclusion {
            audit,
            ..Conclusion::default()
        };
        ports.ledger.conclude(lease, conclusion).await?;
        Ok(())
    }

    /// Puts the account into the team of a group, which is made or adopted first if it has none.
    async fn join(
        &mut self,
        view: &UserView,
        account: &AccountId,
        wanted: &WantedTeam,
        began_ms: i64,
    ) -> Result<Option<Joined>, Failure> {
        let joined = |team: &TeamId, as_of_ms| Joined {
            group: wanted.group.clone(),
            team: team.clone(),
            as_of_ms,
        };
        if let Some(team) = &wanted.team {
            let made_now = |done: &Applied| done.action == action::CREATE_ACCOUNT;
            let is_expected = self.evidence.announces_joining(&wanted.group)
                || self.progress.applied.iter().any(made_now);
            // Nobody announced it, so the account's list may lack a team, and to put a maintainer in again makes a
            // plain member of them.
            if !is_expected && self.look.is_in_team(team, account).await? {
                return Ok(None);
            }
            // A team that was deleted by hand is made again.
            if self.add(account, team).await? {
                return Ok(Some(joined(team, began_ms)));
            }
        }
        let EnsuredTeam { link, past, .. } = self.team_of(wanted, began_ms).await?;
        // From here on, another run's time is later than our own of giving the lease back.
        let as_of_ms = self.ports().clock.now_ms() + 1;
        let membership = (account.clone(), link.team_id.clone());
        // The team was there and became the group's just now: who is in it stays what they are. A list may show as
        // plain members people whom the run of the group before took out.
        let left = view.fresh.get(&link.team_id) == Some(&LastWrite::Left);
        match view.memberships.get(&membership) {
            Some(Membership::Special) => return Ok(None),
            Some(Membership::Ours) if past == Past::OfNoOther && !left => return Ok(None),
            _ => {}
        }
        if self.add(account, &link.team_id).await? {
            return Ok(Some(joined(&link.team_id, as_of_ms)));
        }
        Err(Failure::retryable(
            Side::Anypoint,
            "the team was deleted since it was found; the next look makes it again",
        )
        .because(Cause::Overtaken))
    }

    /// A membership has two subjects, and this run has leased one. Whom it put into the team of a group that was worked
    /// on since the look, and who does not belong there any more, it takes out again.
    async fn verify_joins(
        &mut self,
        user: &OktaUserId,
        account: &AccountId,
        joined: Vec<Joined>,
    ) -> Result<(), Failure> {
        if joined.is_empty() {
            return Ok(());
        }
        let subject = |joined: &Joined| Subject::Group(joined.group.clone()).to_string();
        let subjects: Vec<String> = joined.iter().map(subject).collect();
        let held = self.ports().ledger.last_leased(&subjects).await?;
        let mut is_overtaken = false;
        for joined in joined {
            let meanwhile = held.get(&subject(&joined));
            if meanwhile.is_none_or(|at_ms| *at_ms < joined.as_of_ms)
                || self.look.belongs(user, &joined.group).await?
            {
                continue;
            }
            self.leave(account, &joined.team).await?;
            is_overtaken = true;
        }
        match is_overtaken {
            true => Err(overtaken()),
            false => Ok(()),
        }
    }

    /// Whether the team is there; then the account is in it.
    async fn add(&mut self, account: &AccountId, team: &TeamId) -> Result<bool, Failure> {
        let anypoint = self.anypoint()?;
        let accounts = std::slice::from_ref(account);
        self.progress.begin(Applied::on(action::JOIN_TEAM, team));
        let added = anypoint
            .add_members(team, accounts, self.look.deadline)
            .await;
        match self.progress.settle(added) {
            Err(error) if error.is_not_found() => Ok(false),
            other => {
                other?;
                self.note_membership(team, LastWrite::Joined);
                Ok(true)
            }
        }
    }

    /// The team of a group, made first if it is missing, under a lease on the group.
    async fn team_of(
        &mut self,
        wanted: &WantedTeam,
        began_ms: i64,
    ) -> Result<EnsuredTeam, Failure> {
        let ports = self.ports();
        let subject = Subject::Group(wanted.group.clone()).to_string();
        let deadline = self.look.deadline;
        let leased = lease_within(&*ports.ledger, &subject, deadline, SUBJECT_WAIT).await?;
        let Leased::Ours(lease) = leased else {
            return Err(busy(&subject));
        };
        let look = self.look;
        let before = self.progress.applied.len();
        let result = look
            .ensure_team(
                &wanted.group,
                &wanted.group_name,
                NamedBy::LookAt(began_ms),
                &lease,
                self.progress,
            )
            .await;
        let done = self.progress.applied.get(before..).unwrap_or_default();
        self.give_back(lease, done).await?;
        let result = result?;
        for next in &result.moved {
            self.progress
                .follow(FollowUp::Subject(Subject::Group(next.clone())));
        }
        Ok(result)
    }
}

pub(super) fn busy(subject: &str) -> Failure {
    Failure::retryable(
        Side::Program,
        format!("another run works on {subject}; this one goes back"),
    )
    .because(Cause::Busy)
}
