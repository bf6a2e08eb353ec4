//! Decides about a name that one group wants and the team of another group has. The live look and reconcile share the
//! rule.
//!
//! The other group decides:
//!
//! - It wants the same name. The first group's team gets the end of its group's id
//!   ([`TeamNamePolicy::apart`](crate::provision::TeamNamePolicy::apart)), unless both groups have that name in Okta.
//!   Then only an administrator can help.
//! - It wants another name. Its team gets that name now, or moves aside until that name is free.
//! - It is no longer pushed, and that is known. Its link is removed, and the first group adopts its team. If the first
//!   group has a team, or the other team hangs below a third one, the other team moves aside. `TEAM_REMOVAL=keep` keeps
//!   its name.
//! - It is excluded. Its team keeps the name.

use std::borrow::Cow;

use super::plan::{TakenName, TeamPlan, name_taken, two_groups};
use crate::failure::{Cause, Failure, Side};
use crate::ids::OktaGroupId;
use crate::ledger::Lease;
use crate::provision::evidence::Evidence;
use crate::provision::group::GroupState;
use crate::provision::policy::{Policy, TeamRemoval};
use crate::provision::provisioner::Look;
use crate::provision::run::Run;

/// How many characters of a name a team keeps when it moves aside. The rest is for its id.
const MAX_ASIDE_CHARS: usize = 200;

/// The group whose team has the name, as Okta shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOwner<'h> {
    /// `EXCLUDE_GROUPS` names it.
    Excluded,
    /// It is pushed, and this is its display name.
    Pushed(&'h str),
    /// It does not exist, or `PUSH_GROUPS` does not select it.
    Unpushed,
}

impl<'h> NameOwner<'h> {
    pub(super) fn of(state: &'h GroupState) -> Self {
        match state {
            GroupState::Excluded => Self::Excluded,
            GroupState::Pushed(found) => Self::Pushed(found.name()),
            GroupState::Unpushed(_) => Self::Unpushed,
        }
    }
}

/// A group, its display name, and the name that its team is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedName<'w> {
    pub(crate) group: &'w OktaGroupId,
    pub(crate) called: &'w str,
    pub(crate) name: &'w str,
}

/// What follows for a taken name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePlan {
    /// The first group's team gets this name.
    Apart(String),
    /// The first group's team gets the name, or waits for it, by this plan.
    Team(TeamPlan),
}

/// Plans what follows for a name that the team of another group has. Pure.
///
/// # Errors
/// Permanent, when the name cannot become free.
pub(crate) fn plan_taken(
    wanted: WantedName<'_>,
    taken: TakenName,
    name_owner: NameOwner<'_>,
    policy: &Policy,
    evidence: &Evidence,
) -> Result<NamePlan, Failure> {
    let names = policy.team_names;
    let apart = |other: &str, refused: Failure| {
        let apart = names.apart(wanted.group, wanted.called, other, wanted.name);
        apart.map(NamePlan::Apart).ok_or(refused)
    };
    let plan = match name_owner {
        NameOwner::Excluded => return apart(wanted.name, excluded(&taken.by)),
        // A team of an excluded name stays as it is, whatever its group is called.
        _ if policy.excluded.name(wanted.name) => {
            return apart(wanted.name, excluded(&taken.by));
        }
        NameOwner::Pushed(called) => {
            let theirs = names.team_name(&taken.by, called, Some(wanted.name)).ok();
            if (theirs.as_ref()).is_some_and(|theirs| theirs.eq_ignore_ascii_case(wanted.name)) {
                return apart(called, two_groups(&taken.by));
            }
            TeamPlan::Free { taken, theirs }
        }
        NameOwner::Unpushed if !evidence.weigh(&taken.not_pushed()).is_enough() => {
            TeamPlan::InDoubt(taken)
        }
        NameOwner::Unpushed if taken.can_be_adopted => TeamPlan::TakeOver(taken),
        NameOwner::Unpushed if policy.team_removal == TeamRemoval::Keep => {
            return apart(wanted.name, name_taken());
        }
        NameOwner::Unpushed => TeamPlan::MoveAside(taken),
    };
    Ok(NamePlan::Team(plan))
}

fn excluded(by: &OktaGroupId) -> Failure {
    let what = format!("the team of group {by}, which is excluded, has the team name.");
    let advice = "Rename one of the two groups in Okta.";
    Failure::permanent(Side::Anypoint, what, advice).because(Cause::TeamNameTaken)
}

impl Look<'_> {
    /// Reads the group whose team has the name. Events about the subject announce nothing about that group.
    pub(super) async fn name_owner(
        &self,
        by: &OktaGroupId,
        name: &str,
    ) -> Result<GroupState, Failure> {
        let policy = &self.ports.policy;
        if policy.excluded.groups.ids.contains(by) || policy.excluded.name(name) {
            return Ok(GroupState::Excluded);
        }
        let evidence = Evidence::without_events(self.ports.clock.now_ms(), policy.confirm.0);
        Ok(self.group_state(by, &evidence).await?.0)
    }
}

impl Run<'_> {
    /// Gives the team that has `name` the name `theirs`. If another team has that one, or there is none, the team moves
    /// aside. Its group becomes a follow-up. The caller looks again.
    pub(super) async fn free_name(
        &mut self,
        taken: &TakenName,
        name: &str,
        theirs: Option<String>,
        lease: &Lease,
        why: Cow<'static, str>,
    ) -> Result<(), Failure> {
        let teams = self.ports().anypoint.list_teams(self.look.deadline).await?;
        let is_free = |name: &String| {
            let mut others = teams.items.iter().filter(|team| team.id != taken.team);
            !others.any(|team| team.name.eq_ignore_ascii_case(name))
        };
        let name = theirs.filter(is_free).unwrap_or_else(|| {
            // The whole id: another team may have moved aside from the same name.
            let kept: String = name.chars().take(MAX_ASIDE_CHARS).collect();
            format!("{kept} {}", taken.team)
        });
        if self.rename(&taken.team, &name, lease, why).await? {
            self.progress.follow_group(&taken.by);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::TeamId;

    fn taken(can_be_adopted: bool) -> TakenName {
        TakenName {
            by: OktaGroupId::parse("00gowner00001").unwrap(),
            team: TeamId::parse("t1").unwrap(),
            own: (!can_be_adopted).then(|| TeamId::parse("t2").unwrap()),
            can_be_adopted,
        }
    }

    fn plan(
        called: &str,
        can_be_adopted: bool,
        name_owner: NameOwner<'_>,
        policy: &Policy,
        evidence: &Evidence,
    ) -> Result<NamePlan, Failure> {
        let group = OktaGroupId::parse("00gwants000002").unwrap();
        let wanted = WantedName {
            group: &group,
            called,
            name: "A-B",
        };
        plan_taken(wanted, taken(can_be_adopted), name_owner, policy, evidence)
    }

    #[test]
    fn a_pushed_group_keeps_the_name_of_its_team_or_frees_it() {
        let (policy, known) = (Policy::default(), Evidence::first_look());
        for can_be_adopted in [true, false] {
            let plan = |called, theirs| {
                let name_owner = NameOwner::Pushed(theirs);
                plan(called, can_be_adopted, name_owner, &policy, &known)
            };
            let free = |theirs: Option<&str>| {
                let theirs = theirs.map(str::to_owned);
                let taken = taken(can_be_adopted);
                Ok(NamePlan::Team(TeamPlan::Free { taken, theirs }))
            };
            assert_eq!(plan("A-B", "Other"), free(Some("Other")));
            assert_eq!(plan("A-B", " "), free(None), "it can have no name");
            let apart = NamePlan::Apart("A-B 000002".to_owned());
            assert_eq!(plan("A:B", "A-B"), Ok(apart));
            let failure = plan("a-b", "A-B").unwrap_err();
            assert!(failure.to_string().contains("00gowner00001"), "{failure}");
        }
    }

    #[test]
    fn the_team_of_a_group_that_is_no_longer_pushed_is_adopted_or_moves_aside() {
        let known = Evidence::first_look();
        let mut policy = Policy::default();
        let plan = |can_be_adopted, policy: &Policy| {
            plan("A-B", can_be_adopted, NameOwner::Unpushed, policy, &known)
        };
        for team_removal in [TeamRemoval::Empty, TeamRemoval::Delete, TeamRemoval::Keep] {
            policy.team_removal = team_removal;
            let adopted = NamePlan::Team(TeamPlan::TakeOver(taken(true)));
            assert_eq!(plan(true, &policy), Ok(adopted));
            let aside = match team_removal {
                TeamRemoval::Keep => Err(name_taken()),
                _ => Ok(NamePlan::Team(TeamPlan::MoveAside(taken(false)))),
            };
            assert_eq!(plan(false, &policy), aside);
        }
    }

    #[test]
    fn one_look_without_the_group_takes_no_team_and_refuses_no_name() {
        let once = Evidence::without_events(1_000_000, Duration::from_secs(15));
        let mut policy = Policy::default();
        for team_removal in [TeamRemoval::Empty, TeamRemoval::Keep] {
            policy.team_removal = team_removal;
            for can_be_adopted in [true, false] {
                let found = plan("A-B", can_be_adopted, NameOwner::Unpushed, &policy, &once);
                let in_doubt = NamePlan::Team(TeamPlan::InDoubt(taken(can_be_adopted)));
                assert_eq!(found, Ok(in_doubt));
            }
        }
    }

    #[test]
    fn the_team_of_an_excluded_group_keeps_its_name() {
        let known = Evidence::first_look();
        let mut by_name = Policy::default();
        by_name.excluded.groups.names.push("a-*".to_owned());
        for (name_owner, policy) in [
            (NameOwner::Excluded, Policy::default()),
            (NameOwner::Unpushed, by_name.clone()),
            (NameOwner::Pushed("Other"), by_name),
        ] {
            let plan = |called| plan(called, true, name_owner, &policy, &known);
            assert!(plan("A-B").unwrap_err().to_string().contains("excluded"));
            let apart = NamePlan::Apart("A-B 000002".to_owned());
            assert_eq!(plan("A:B"), Ok(apart));
        }
    }
}
