//! The planner for users: a pure function of what was seen. No I/O, no clock.
//!
//! The worker, `plan`, `explain` and reconcile all use this one list. Two questions have files of their own: whether an
//! account may be adopted (`adopt.rs`), and what changes in a profile (`profile.rs`).

use super::action::{AccountRef, UserAction, UserStep};
use super::adopt::{Grounds, may_take};
use super::profile::{agreed_after, changes};
use super::view::{TeamsFound, UserView, WantedTeam};
use crate::anypoint::{Account, AccountChanges};
use crate::failure::Failure;
use crate::ids::{AccountId, TeamId};
use crate::provision::policy::{Policy, ResetEmail};
use crate::provision::wanted::{Person, Unwanted, Wanted};
use crate::store::{FreshTeams, LastWrite, Origin, ResetMail};

/// Plans what makes Anypoint agree with Okta for one user. An empty plan: they agree.
///
/// # Errors
/// Permanent, when the wanted username belongs to an account that may not be adopted.
pub fn plan_user(view: &UserView, policy: &Policy) -> Result<Vec<UserStep>, Failure> {
    match &view.wanted {
        Wanted::Nothing(reason) => Ok(plan_end(view, *reason, policy)),
        Wanted::Account(person) => plan_account(view, person, policy),
    }
}

/// No enabled account is wanted: whatever is ours is disabled and leaves the pushed teams.
fn plan_end(view: &UserView, reason: Unwanted, policy: &Policy) -> Vec<UserStep> {
    let mut plan = Plan::default();
    match (&view.linked, &view.named) {
        (Some(account), _) => {
            plan.disable(account, &view.linked_teams, &view.fresh, reason.as_str());
        }
        // No link, yet an account under the name that we were about to create: a run was cut off
        // between creating and linking. It is ours, so it must not stay open.
        (None, Some(named)) => {
            plan.disable(&named.account, &named.teams, &view.fresh, reason.as_str());
            plan.add(
                UserAction::Link {
                    account: AccountRef::Known(named.account.id.clone()),
                    username: named.account.username.clone(),
                    origin: Origin::Created,
                    agreed: None,
                    // Whether it was asked for is not known; a closed account has no use for it now.
                    reset_mail: match policy.reset_email {
                        ResetEmail::Send => ResetMail::Owed,
                        ResetEmail::Skip => ResetMail::Settled,
                    },
                },
                "an earlier run created the account and could not record it",
            );
        }
        (None, None) => {}
    }
    plan.0
}

fn plan_account(
    view: &UserView,
    person: &Person,
    policy: &Policy,
) -> Result<Vec<UserStep>, Failure> {
    let mut plan = Plan::default();
    let keeps_account = view
        .linked
        .as_ref()
        .filter(|account| account.username.eq_ignore_ascii_case(&person.username));
    if let (Some(account), Some(link)) = (keeps_account, &view.link) {
        let changes = changes(account, person, Some(link), policy);
        let agreed = agreed_after(&changes, link, policy);
        let id = AccountRef::Known(account.id.clone());
        plan.update(id.clone(), changes, "Okta's profile and assignment decide");
        let owed = link.reset_mail == ResetMail::Owed;
        if owed && policy.reset_email == ResetEmail::Send {
            plan.add(
                UserAction::MailReset {
                    username: account.username.clone(),
                },
                "the account was closed before its owner was sent the mail",
            );
        }
        if owed || agreed.is_some() {
            plan.add(
                UserAction::Link {
                    account: id.clone(),
                    username: link.username.clone(),
                    origin: link.origin,
                    agreed: agreed.or_else(|| link.agreed.clone()),
                    reset_mail: ResetMail::Settled,
                },
                if owed {
                    "the mail is not owed any more"
                } else {
                    "both sides agree on new names"
                },
            );
        }
        plan.teams(view, &id, Some((&account.id, &view.linked_teams)));
        return Ok(plan.0);
    }

    let renamed = view.linked.as_ref();
    let (id, origin, teams) = match &view.named {
        Some(named) => {
            let grounds = may_take(view, named, person, policy)?;
            if grounds == Grounds::Ours && policy.reset_email == ResetEmail::Send {
                plan.add(
                    UserAction::MailReset {
                        username: person.username.clone(),
                    },
                    "an earlier run created the account and may not have asked for the mail",
                );
            }
            let id = AccountRef::Known(named.account.id.clone());
            let changes = changes(&named.account, person, None, policy);
            plan.update(id.clone(), changes, "the account is taken over");
            let origin = if grounds == Grounds::Ours {
                Origin::Created
            } else {
                Origin::Adopted
            };
            (id, origin, Some((&named.account.id, &named.teams)))
        }
        None => {
            plan.add(
                UserAction::Create(person.clone()),
                if view.link.is_some() {
                    "the app username changed, or the linked account is gone"
                } else {
                    "the user is assigned and has no account"
                },
            );
            if policy.reset_email == ResetEmail::Send {
                plan.add(
                    UserAction::MailReset {
                        username: person.username.clone(),
                    },
                    "a new account needs a password of its owner's choice",
                );
            }
            (AccountRef::Created, Origin::Created, None)
        }
    };
    if let Some(old) = renamed {
        // The old account is closed only when the new one exists: a name that cannot be had must not
        // lock the person out.
        plan.disable(
            old,
            &view.linked_teams,
            &view.fresh,
            "the app username changed",
        );
    }
    plan.add(
        UserAction::Link {
            account: id.clone(),
            username: person.username.clone(),
            origin,
            agreed: None,
            reset_mail: ResetMail::Settled,
        },
        "the account belongs to the user now",
    );
    plan.teams(view, &id, teams);
    Ok(plan.0)
}

#[derive(Default)]
struct Plan(Vec<UserStep>);

impl Plan {
    fn add(&mut self, action: UserAction, reason: &'static str) {
        self.0.push(UserStep { action, reason });
    }

    fn update(&mut self, account: AccountRef, changes: AccountChanges, reason: &'static str) {
        if !changes.is_empty() {
            self.add(UserAction::Update { account, changes }, reason);
        }
    }

    fn disable(
        &mut self,
        account: &Account,
        teams: &TeamsFound,
        fresh: &FreshTeams,
        reason: &'static str,
    ) {
        if account.is_enabled() {
            let changes = AccountChanges::enabled(false);
            self.update(AccountRef::Known(account.id.clone()), changes, reason);
        }
        self.leave(&account.id, teams, fresh, &[]);
    }

    /// Leaves every team of ours that is not wanted, also one that was joined moments ago and does
    /// not show yet.
    fn leave(
        &mut self,
        account: &AccountId,
        teams: &TeamsFound,
        fresh: &FreshTeams,
        wanted: &[WantedTeam],
    ) {
        let is_wanted = |team: &TeamId| wanted.iter().any(|w| w.team.as_ref() == Some(team));
        let shown = teams
            .0
            .iter()
            .filter(|found| found.ours)
            .map(|found| &found.team);
        let unshown = fresh
            .iter()
            .filter(|(_, written)| **written == LastWrite::Joined)
            .map(|(team, _)| team)
            .filter(|team| teams.0.iter().all(|found| found.team != **team));
        for team in shown.chain(unshown).filter(|team| !is_wanted(team)) {
            self.add(
                UserAction::LeaveTeam {
                    account: account.clone(),
                    team: team.clone(),
                },
                "the user is not in the team's group, or has no enabled account",
            );
        }
    }

    fn teams(
        &mut self,
        view: &UserView,
        account: &AccountRef,
        found: Option<(&AccountId, &TeamsFound)>,
    ) {
        // What one leaves comes first: a team that cannot be joined must not keep a person in another.
        if let Some((account, teams)) = found {
            self.leave(account, teams, &view.fresh, &view.teams);
        }
        // A membership of another kind is not ours to write again, whatever was written before.
        let is_in = |team: &TeamId| {
            let left = view.fresh.get(team) == Some(&LastWrite::Left);
            found.is_some_and(|(_, teams)| {
                teams
                    .0
                    .iter()
                    .any(|found| found.team == *team && !(left && found.ours))
            })
        };
        for wanted in &view.teams {
            if !wanted.team.as_ref().is_some_and(&is_in) {
                self.add(
                    UserAction::JoinTeam {
                        account: account.clone(),
                        team: wanted.clone(),
                    },
                    "the user is in the team's group",
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
