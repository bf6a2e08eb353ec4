//! Looks at one user on both sides. Reads only. Independent reads run at the same time.
//!
//! Answers that contradict each other end the look, and nothing is planned from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::{OptionFuture, try_join};

use super::anypoint_side::{Named, WithTeams};
use super::okta_side::OktaSide;
use super::view::{FoundTeam, GroupsSeen, Membership, NamedAccount, Orphan, UserView, WantedTeam};
use crate::anypoint::TeamOfAccount;
use crate::failure::Failure;
use crate::ids::{OktaGroupId, OktaUserId, TeamId};
use crate::provision::evidence::Evidence;
use crate::provision::policy::TeamRemoval;
use crate::provision::provisioner::Look;
use crate::provision::selection::Selected;
use crate::provision::wanted::{Unwanted, Wanted, wanted};
use crate::store::{FreshWrite, LastWrite, Memory, Recalled, TeamLink};

/// The document that a reconcile writes after it removed the links of teams that `TEAM_REMOVAL=keep` gives up.
pub(crate) const KEPT_TEAMS_GIVEN_UP: &str = "kept-teams-given-up";

/// Warns of profile values that cannot be read. The account keeps its values.
fn warn_unread(user: &OktaUserId, wanted: &Wanted) {
    let Wanted::Account(person) = wanted else {
        return;
    };
    for attribute in &person.unread {
        tracing::warn!(%user, attribute, "a profile value is not text; it is left out");
    }
    if person.first_name.is_none() || person.last_name.is_none() {
        tracing::warn!(%user, "Okta shows no first name or no last name; an account keeps its own");
    }
}

/// What the run knows before it looks.
pub(crate) struct UserKnown<'k> {
    pub(crate) recalled: &'k Recalled,
    pub(crate) memory: &'k Memory,
    /// Groups whose memberships may be read as they were before.
    pub(crate) distrusted: &'k [OktaGroupId],
    /// What was announced, and seen before.
    pub(crate) evidence: &'k Evidence,
}

pub(crate) struct UserLook {
    pub(crate) view: UserView,
    /// Announcements that the look does not show, and until when they are too young to be overruled, in
    /// milliseconds since the epoch.
    pub(crate) unshown: Option<i64>,
}

impl Look<'_> {
    /// Everything that the plan needs about one user, on both sides.
    ///
    /// # Errors
    /// When anything could not be read completely, when answers contradict each other, or when the app username is
    /// against the policy.
    pub(crate) async fn user(
        self,
        user: &OktaUserId,
        known: UserKnown<'_>,
    ) -> Result<UserLook, Failure> {
        let ports = self.ports;
        let link = known.recalled.link.as_ref();
        let okta = self.okta_side(user);
        let linked = OptionFuture::from(link.map(|link| self.linked_account(link)));
        let (okta, linked) = try_join(okta, async { linked.await.transpose() }).await?;
        let linked = linked.flatten();
        okta.check(known.evidence)?;

        let wanted = wanted(okta.user.as_ref(), okta.app_user.as_ref(), &ports.policy);
        warn_unread(user, &wanted);
        let is_enabled = |linked: &WithTeams| linked.account.is_enabled();
        if wanted == Wanted::Nothing(Unwanted::NotAssigned)
            && linked.as_ref().is_some_and(is_enabled)
        {
            // A wrong OKTA_APP_ID looks like "nobody is assigned", so make sure that the app exists.
            ports.okta.check_app(&ports.app, self.deadline).await?;
        }
        let (named, orphan) = try_join(
            self.named_account(user, &wanted, known.memory, linked.as_ref()),
            self.orphan(
                user,
                &wanted,
                known.memory.intent.as_ref(),
                linked.as_ref().map(|linked| &linked.account),
            ),
        )
        .await?;
        let unshown = self.unshown(&okta, known.evidence).await?;
        let view = self
            .view(user, wanted, &known, linked, named, &okta)
            .await?;
        let view = UserView { orphan, ..view };
        Ok(UserLook { view, unshown })
    }

    async fn view(
        &self,
        user: &OktaUserId,
        wanted: Wanted,
        known: &UserKnown<'_>,
        mut linked: Option<WithTeams>,
        mut named: Option<Named>,
        okta: &OktaSide,
    ) -> Result<UserView, Failure> {
        let (mut selected, unselected) = match &wanted {
            Wanted::Account(_) => okta.selected(&self.ports.policy),
            Wanted::Nothing(_) | Wanted::Excluded => Default::default(),
        };
        let left: HashSet<&OktaGroupId> = known.evidence.left_groups().collect();
        let groups: HashSet<&OktaGroupId> = selected
            .iter()
            .chain(&unselected)
            .map(|group| &group.id)
            .chain(known.distrusted)
            .chain(left.iter().copied())
            .collect();
        let groups: Vec<OktaGroupId> = groups.into_iter().cloned().collect();
        let fresh = &known.memory.fresh_teams;
        let listed = named.as_ref().map(|named| named.found.teams.clone());
        let named_found = named.as_mut().map(|named| &mut named.found);
        let mut accounts: Vec<&mut WithTeams> =
            linked.as_mut().into_iter().chain(named_found).collect();
        let shown = accounts.iter().flat_map(|found| &found.teams);
        let teams: HashSet<&TeamId> = shown.map(|team| &team.id).chain(fresh.keys()).collect();
        let teams: Vec<TeamId> = teams.into_iter().cloned().collect();
        let (links, mut owners) = self.ports.store.team_pairs(&groups, &teams).await?;
        for group in unselected {
            let is_known = links.contains_key(&group.id) || known.evidence.announces_in(&group.id);
            if is_known && self.is_selected(group).await? {
                tracing::warn!(%user, group = %group.id, "the app's list of groups lacks a group that is assigned");
                selected.push(group);
            }
        }
        for found in &mut accounts {
            let shown: HashSet<&TeamId> = found.teams.iter().map(|team| &team.id).collect();
            let lacks = |(group, link): &(&OktaGroupId, &TeamLink)| {
                let in_doubt = shown.is_empty() || left.contains(group);
                in_doubt && !shown.contains(&link.team_id)
            };
            let lacking: Vec<_> = links.iter().filter(lacks).collect();
            for (group, link) in lacking {
                let asked = self.ask_team_for(&found.account.id, &link.team_id).await?;
                if let Some(team) = asked {
                    owners.insert(link.team_id.clone(), group.clone());
                    found.teams.push(team);
                }
            }
        }
        let mut distrusted = Vec::new();
        for (group, link) in &links {
            if known.distrusted.contains(group) {
                owners.insert(link.team_id.clone(), group.clone());
                distrusted.push(&link.team_id);
            }
        }
        self.drop_excluded_teams(&mut owners, okta.groups()).await?;
        let groups = okta.groups_seen();
        let app_groups = okta.app_groups.as_ref();
        self.drop_kept_teams(&mut owners, &groups, &wanted, app_groups)
            .await?;
        let found = |found: &WithTeams| teams_found(&found.teams, fresh, &distrusted, &owners);
        Ok(UserView {
            user: user.clone(),
            linked_teams: linked.as_ref().map(found).unwrap_or_default(),
            named: named.map(|named| NamedAccount {
                teams: found(&named.found),
                listed: listed.unwrap_or_default(),
                account: named.found.account,
                owner: named.owner,
                freed_from: named.freed_from,
            }),
            linked: linked.map(|linked| linked.account),
            groups,
            teams: selected
                .iter()
                .map(|group| WantedTeam {
                    group: group.id.clone(),
                    group_name: group.name().to_owned(),
                    team: links.get(&group.id).map(|link| link.team_id.clone()),
                })
                .collect(),
            link: known.recalled.link.clone(),
            orphan: Orphan::None,
            wanted,
        })
    }

    /// Under `TEAM_REMOVAL=keep` a team whose group left the selection keeps its members, and the link is removed.
    /// The first reconcile removes such links of earlier versions. Until then a look at the user ends no membership in
    /// the team of a group that is not pushed.
    async fn drop_kept_teams(
        &self,
        owners: &mut HashMap<TeamId, OktaGroupId>,
        groups: &GroupsSeen,
        wanted: &Wanted,
        app_groups: Option<&HashSet<OktaGroupId>>,
    ) -> Result<(), Failure> {
        let keeps = self.ports.policy.team_removal == TeamRemoval::Keep;
        let ends = matches!(wanted, Wanted::Nothing(_));
        let may_leave = |group: &&OktaGroupId| ends || !groups.contains(group);
        if !keeps || !owners.values().any(|group| may_leave(&group)) {
            return Ok(());
        }
        let documents = &self.ports.documents;
        if documents.document(KEPT_TEAMS_GIVEN_UP).await?.is_some() {
            return Ok(());
        }
        let mut kept = HashSet::new();
        for group in owners.values().filter(may_leave) {
            let is_pushed = match app_groups {
                Some(assigned) => assigned.contains(group),
                None => {
                    let found = self.ports.okta.group(group, self.deadline).await?;
                    let selection = &self.ports.policy.groups;
                    found.is_some_and(|found| selection.selects(&found) == Selected::Yes)
                }
            };
            if !is_pushed {
                kept.insert(group.clone());
            }
        }
        owners.retain(|_, group| !kept.contains(group));
        Ok(())
    }
}

/// The linked teams among an account's `teams`. Reads may still show old memberships where they were written moments
/// ago, and in `distrusted` teams.
fn teams_found(
    teams: &[TeamOfAccount],
    fresh: &BTreeMap<TeamId, FreshWrite>,
    distrusted: &[&TeamId],
    owners: &HashMap<TeamId, OktaGroupId>,
) -> Vec<FoundTeam> {
    let was = |team: &TeamId, written| {
        let fresh = fresh.get(team).map(|fresh| fresh.written);
        distrusted.contains(&team) || fresh == Some(written)
    };
    let shown = teams.iter().map(|team| match Membership::from(team) {
        Membership::Ours if was(&team.id, LastWrite::Left) => (&team.id, Membership::Uncertain),
        membership => (&team.id, membership),
    });
    let is_hidden = |team: &&TeamId| {
        let is_shown = teams.iter().any(|shown| shown.id == **team);
        !is_shown && was(team, LastWrite::Joined)
    };
    let written: BTreeSet<&TeamId> = fresh.keys().chain(distrusted.iter().copied()).collect();
    let hidden = written.into_iter().filter(is_hidden);
    let found = shown.chain(hidden.map(|team| (team, Membership::Uncertain)));
    let found = found.filter_map(|(team, membership)| {
        Some(FoundTeam {
            team: team.clone(),
            group: owners.get(team)?.clone(),
            membership,
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_membership_written_moments_ago_outweighs_what_a_read_shows() {
        let team = TeamId::parse("t1").unwrap();
        let owners = [(team.clone(), OktaGroupId::parse("00g1").unwrap())].into();
        let found = |shown: Option<&str>, written: Option<LastWrite>, distrusted: &[&TeamId]| {
            let shown = shown.map(|kind| json!({"team_id": "t1", "membership_type": kind, "is_assigned_via_external_groups": false}));
            let shown = shown.map(|team| serde_json::from_value(team).unwrap());
            let until_ms = 1;
            let fresh = written.map(|written| (team.clone(), FreshWrite { written, until_ms }));
            let fresh = fresh.into_iter().collect();
            let shown = Vec::from_iter(shown);
            let found = teams_found(&shown, &fresh, distrusted, &owners);
            found.first().map(|found| found.membership)
        };
        let (plain, maintainer) = (Some("member"), Some("maintainer"));
        let (joined, left) = (Some(LastWrite::Joined), Some(LastWrite::Left));
        assert_eq!(found(plain, None, &[]), Some(Membership::Ours));
        assert_eq!(
            found(plain, joined, &[]),
            Some(Membership::Ours),
            "they agree"
        );
        assert_eq!(found(plain, left, &[]), Some(Membership::Uncertain));
        assert_eq!(found(plain, None, &[&team]), Some(Membership::Uncertain));
        assert_eq!(found(None, joined, &[]), Some(Membership::Uncertain));
        assert_eq!(found(None, None, &[&team]), Some(Membership::Uncertain));
        assert_eq!(found(None, left, &[]), None, "they agree");
        // A maintainer's membership is never written, whatever is distrusted.
        for written in [None, joined, left] {
            assert_eq!(
                found(maintainer, written, &[&team]),
                Some(Membership::Special)
            );
        }
    }
}
