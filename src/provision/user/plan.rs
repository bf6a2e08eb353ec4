//! The planner for users: a pure function of what was seen and of the evidence. No I/O, no clock.
//!
//! The worker applies its plan. `plan`, `explain` and reconcile print it. The planner refuses the values that
//! Anypoint would refuse. Three questions have files of their own: what a plan does with an account (`account.rs`),
//! whether an account may be adopted (`adopt.rs`), and what changes in a profile (`profile.rs`).

use super::account::{
    AccountPlan, Retire, adopt, keep, new_account, ours, retire, unread, unread_membership,
};
use super::view::{FoundTeam, GroupsSeen, Membership, Orphan, UserView, WantedTeam};
use crate::failure::{Failure, Side};
use crate::ids::TeamId;
use crate::provision::evidence::{Evidence, contradiction};
use crate::provision::finding::{Finding, Findings};
use crate::provision::policy::Policy;
use crate::provision::wanted::{Person, Unwanted, Wanted};

/// What brings one user in sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPlan {
    /// Which account the user is to have.
    pub account: AccountPlan,
    /// The account that the user loses.
    pub retire: Option<Retire>,
    /// The orphaned account that ends.
    pub(super) orphan: Option<Retire>,
    /// Teams that the user's account leaves.
    pub(crate) leave: Vec<TeamId>,
    /// Teams that the user's account joins.
    pub(crate) join: Vec<WantedTeam>,
    pub(crate) findings: Findings,
    /// Why a part cannot be done. The run reports it after the rest.
    pub(crate) refused: Option<Failure>,
    pub(super) why: &'static str,
}

/// Whether a look missed the linked account.
#[derive(PartialEq, Eq)]
enum Missed {
    /// There is no link, or the account is there.
    Nothing,
    /// The account is gone.
    Account,
    /// It was not shown, and that is not believed yet.
    InDoubt,
}

/// Why an orphaned account ends.
const ORPHANED: &str = "the account is the user's, and no link leads to it";

/// Plans what brings one user in sync.
///
/// # Errors
/// When the user has no account and cannot get one. The username is invalid or belongs to an account that may not be
/// adopted, or the profile lacks a value that Anypoint asks for. A user who has an account keeps it, and the plan has
/// the failure.
pub fn plan_user(
    view: &UserView,
    policy: &Policy,
    evidence: &Evidence,
) -> Result<UserPlan, Failure> {
    let mut plan = UserPlan::default();
    let creation = plan.miss_creation(view, evidence);
    let planned = match &view.wanted {
        Wanted::Nothing(reason) => {
            plan.end(view, *reason, evidence);
            Ok(())
        }
        Wanted::Excluded => Ok(()),
        Wanted::Account(person) => plan.have_account(view, person, creation, policy, evidence),
    };
    if view.orphan == Orphan::None {
        planned?;
        return Ok(plan);
    }
    // The orphaned account ends, whether the user can have another one or not.
    plan.refused = Failure::of_parts([planned.err(), plan.refused]);
    if let Orphan::Account(orphan) = &view.orphan
        && plan.is_unwanted(&view.wanted, evidence)
    {
        plan.orphan = Some(retire(orphan, &[], ORPHANED));
    }
    Ok(plan)
}

/// Plans again after the new account was `refused`. The user keeps the linked account.
///
/// # Errors
/// The refusal, when no account is linked.
pub(super) fn plan_with_old_account(
    view: &UserView,
    refused: Failure,
    policy: &Policy,
    evidence: &Evidence,
) -> Result<UserPlan, Failure> {
    let mut plan = UserPlan::default();
    match &view.wanted {
        Wanted::Account(person) => plan.keep_old(view, person, refused, policy, evidence)?,
        Wanted::Nothing(_) | Wanted::Excluded => return Err(refused),
    }
    Ok(plan)
}

impl UserPlan {
    /// Whether the user is known to need no orphaned account. An end that Okta did not say outright is a finding.
    fn is_unwanted(&mut self, wanted: &Wanted, evidence: &Evidence) -> bool {
        let finding = match wanted {
            Wanted::Nothing(reason) => reason.finding(),
            Wanted::Account(_) | Wanted::Excluded => None,
        };
        finding.is_none_or(|finding| self.believe(finding, evidence))
    }

    /// Disables the linked account and removes it from the pushed teams, because no enabled account is wanted.
    fn end(&mut self, view: &UserView, reason: Unwanted, evidence: &Evidence) {
        let Some(account) = &view.linked else {
            self.miss_account(view, evidence);
            return;
        };
        let retire = retire(account, &view.linked_teams, reason.as_str());
        let unread = unread(&view.linked_teams);
        if retire.disable.is_none() && retire.leave.is_empty() && unread.is_none() {
            return;
        }
        // Okta did not say the end outright, so it rests on a finding.
        if let Some(finding) = reason.finding()
            && !self.believe(finding, evidence)
        {
            // Only the account waits.
            self.leave_left(view, &view.linked_teams, evidence);
            return;
        }
        self.refused = unread;
        self.retire = Some(retire);
    }

    fn have_account(
        &mut self,
        view: &UserView,
        person: &Person,
        creation: Missed,
        policy: &Policy,
        evidence: &Evidence,
    ) -> Result<(), Failure> {
        let username = match &person.username {
            Ok(username) => username,
            Err(refused) => return self.keep_old(view, person, refused.clone(), policy, evidence),
        };
        let kept = view
            .linked
            .as_ref()
            .filter(|account| account.username.eq_ignore_ascii_case(username));
        if let (Some(account), Some(link)) = (kept, &view.link) {
            self.account = keep(account, link, person, policy);
            self.why = "Okta's profile and assignment decide";
            self.teams(view, &view.linked_teams, evidence);
            return Ok(());
        }
        if is_renamed(view, username) {
            return Err(renamed());
        }
        // Otherwise the user would get a second account, and nobody would end the first one.
        if self.miss_account(view, evidence) == Missed::InDoubt || creation == Missed::InDoubt {
            self.leave_left(view, &view.linked_teams, evidence);
            return Ok(());
        }
        let account = match &view.named {
            Some(named) => adopt(view, named, person, username, policy),
            None => new_account(person, username, policy),
        };
        self.account = match account {
            Ok(account) => account,
            Err(refused) => return self.keep_old(view, person, refused, policy, evidence),
        };
        match &view.named {
            Some(named) => {
                self.why = "the user adopts the account";
                if let Ok(Some(freed)) = &named.freed_from
                    && let Some(finding) = freed.finding()
                    && !self.believe(finding, evidence)
                {
                    self.account = AccountPlan::Nothing;
                    self.leave_left(view, &view.linked_teams, evidence);
                    return Ok(());
                }
                self.teams(view, &named.teams, evidence);
            }
            None => {
                self.why = if view.link.is_some() {
                    "the app username changed, or the linked account is gone"
                } else {
                    "the user is assigned and has no account"
                };
                self.teams(view, &[], evidence);
            }
        }
        // The run disables the old account only after the new one exists. A refused username leaves the old one enabled.
        self.retire = view
            .linked
            .as_ref()
            .map(|old| retire(old, &view.linked_teams, "the app username changed"));
        if self.retire.is_some() && self.refused.is_none() {
            self.refused = unread(&view.linked_teams);
        }
        Ok(())
    }

    /// Keeps the linked account, because the user cannot have the new one.
    fn keep_old(
        &mut self,
        view: &UserView,
        person: &Person,
        refused: Failure,
        policy: &Policy,
        evidence: &Evidence,
    ) -> Result<(), Failure> {
        let (Some(account), Some(link)) = (&view.linked, &view.link) else {
            return Err(refused);
        };
        self.account = keep(account, link, person, policy);
        self.why = "the user keeps the account until the new app username can be had";
        self.teams(view, &view.linked_teams, evidence);
        self.refused = Failure::of_parts([self.refused.take(), Some(refused)]);
        Ok(())
    }

    /// Whether the linked account is missing, and known to be gone.
    fn miss_account(&mut self, view: &UserView, evidence: &Evidence) -> Missed {
        let link = view.link.as_ref().filter(|_| view.linked.is_none());
        let Some(link) = link else {
            return Missed::Nothing;
        };
        match self.believe(Finding::AccountGone(link.anypoint_id.clone()), evidence) {
            true => Missed::Account,
            false => Missed::InDoubt,
        }
    }

    /// Whether an account whose creation got no answer is missing, and known not to exist.
    fn miss_creation(&mut self, view: &UserView, evidence: &Evidence) -> Missed {
        match view.orphan {
            Orphan::None | Orphan::Account(_) => Missed::Nothing,
            Orphan::Unshown => match self.believe(Finding::NotCreated, evidence) {
                true => Missed::Account,
                false => Missed::InDoubt,
            },
        }
    }

    fn believe(&mut self, finding: Finding, evidence: &Evidence) -> bool {
        let weight = evidence.weigh(&finding);
        self.findings.note(finding, weight)
    }

    fn teams(&mut self, view: &UserView, found: &[FoundTeam], evidence: &Evidence) {
        self.leave_left(view, found, evidence);
        let is_in = |team: &TeamId| {
            let mut found = found.iter();
            found.any(|found| found.team == *team && found.membership != Membership::Uncertain)
        };
        let missing = |wanted: &&WantedTeam| !wanted.team.as_ref().is_some_and(is_in);
        self.join = view.teams.iter().filter(missing).cloned().collect();
    }

    /// Plans to leave the teams of groups that the user is known to have left.
    fn leave_left(&mut self, view: &UserView, found: &[FoundTeam], evidence: &Evidence) {
        for team in ours(found) {
            if view.groups.contains(&team.group) {
                // The group's own look decides whether the group is pushed.
                continue;
            }
            let finding = Finding::NotInGroup(team.group.clone());
            let counts = match &view.groups {
                GroupsSeen::Whole(_) => true,
                // An incomplete list proves no absence. Only an event about this group counts, or `push --now`.
                GroupsSeen::Incomplete(_) => evidence.announces_leaving(&team.group),
                GroupsSeen::Unread => false,
            };
            if !counts || !self.believe(finding, evidence) {
                continue;
            }
            match team.membership {
                Membership::Unread => self.refused = Some(unread_membership()),
                _ => self.leave.push(team.team.clone()),
            }
        }
    }

    /// The users that the brake counts, because they lose an enabled account after an unassignment. If another user
    /// adopts the account, that is the account's owner.
    pub(crate) fn removes(&self, view: &UserView) -> Vec<String> {
        let is_disabled = self.retire.as_ref().is_some_and(|r| r.disable.is_some());
        let named = view.named.as_ref();
        let is_enabled = named.is_some_and(|named| named.account.is_enabled());
        match (&view.wanted, self.account.freed_from()) {
            (Wanted::Nothing(reason), _) if reason.is_unassigned() && is_disabled => {
                vec![view.user.to_string()]
            }
            (_, Some(freed)) if freed.is_unassigned() && is_enabled => {
                vec![freed.owner.to_string()]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the user gets another account.
    pub(super) fn is_new_account(&self) -> bool {
        matches!(
            self.account,
            AccountPlan::Adopt(_) | AccountPlan::Create { .. }
        )
    }

    /// Whether the user loses an account or a team.
    pub(crate) fn takes_away(&self) -> bool {
        self.retire.is_some() || !self.leave.is_empty()
    }
}

/// Whether the linked account has the wanted username, by its link or by the list of accounts, but shows another one.
/// After this check, the user's old account and new account are never the same.
fn is_renamed(view: &UserView, username: &str) -> bool {
    let Some(account) = &view.linked else {
        return false;
    };
    let named = view.named.as_ref().map(|named| &named.account.id);
    let linked_as = view.link.as_ref().map(|link| &link.username);
    named == Some(&account.id) || linked_as.is_some_and(|name| name.eq_ignore_ascii_case(username))
}

fn renamed() -> Failure {
    contradiction(
        Side::Anypoint,
        "the linked account shows another username than before, and usernames never change",
    )
}

#[cfg(test)]
#[path = "plan_tests/mod.rs"]
mod tests;
