//! Looks at one user on both sides. Reads only. Independent reads run at the same time.
//!
//! Answers that contradict each other end the look, and nothing is planned from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::{OptionFuture, try_join};
use futures_util::try_join;

use super::adopt::{Freed, freed_from};
use super::okta_side::OktaSide;
use super::orphans::owner_by_intent;
use super::view::{FoundTeam, GroupsSeen, Membership, NamedAccount, UserView, WantedTeam};
use crate::anypoint::{Account, TeamOfAccount};
use crate::failure::{Failure, Side};
use crate::http::Listed;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::provision::evidence::{Evidence, contradiction};
use crate::provision::policy::TeamRemoval;
use crate::provision::provisioner::Look;
use crate::provision::selection::Selected;
use crate::provision::wanted::{Unwanted, Wanted, wanted};
use crate::store::{
    AccountOwner, FreshWrite, LastWrite, Memory, Recalled, TeamLink, Tenure, UserLink,
};

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

fn listed_and_gone() -> Failure {
    contradiction(
        Side::Anypoint,
        "there is no such account, and the list of accounts shows it",
    )
}

/// An account with the teams it is in.
pub(super) struct WithTeams {
    account: Account,
    teams: Vec<TeamOfAccount>,
}

impl WithTeams {
    /// Whether an earlier look saw the same.
    pub(super) fn is_as(&self, seen: &NamedAccount) -> bool {
        let by_id = |teams: &[TeamOfAccount]| -> BTreeMap<TeamId, TeamOfAccount> {
            let teams = teams.iter().cloned();
            teams.map(|team| (team.id.clone(), team)).collect()
        };
        self.account == seen.account && by_id(&self.teams) == by_id(&seen.listed)
    }
}

/// The account of the wanted username, when it is not the linked one.
struct Named {
    found: WithTeams,
    owner: Option<AccountOwner>,
    freed_from: Option<Freed>,
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

    /// The linked account. A gateway's 404 looks like Anypoint's own, so `None` also needs a list of accounts without it.
    async fn linked_account(&self, link: &UserLink) -> Result<Option<WithTeams>, Failure> {
        let found = self.account_with_teams(&link.anypoint_id).await?;
        if found.is_none() {
            let shown = self
                .ports
                .anypoint
                .account_named(&link.username, self.deadline);
            let is_it = |shown: Account| shown.id == link.anypoint_id;
            if shown.await?.account.is_some_and(is_it) {
                return Err(listed_and_gone());
            }
        }
        Ok(found)
    }

    pub(super) async fn account_with_teams(
        &self,
        account: &AccountId,
    ) -> Result<Option<WithTeams>, Failure> {
        let anypoint = &self.ports.anypoint;
        let (found, teams) = try_join!(
            anypoint.account(account, self.deadline),
            anypoint.list_teams_of_account(account, self.deadline),
        )?;
        let Some(account) = found else {
            // An empty list proves nothing, because a deleted account may have one, too.
            return match teams {
                Some(listed) if !listed.items.is_empty() => Err(contradiction(
                    Side::Anypoint,
                    "there is no such account, and it has teams",
                )),
                _ => Ok(None),
            };
        };
        let Some(listed) = teams.map(Listed::telling) else {
            return Err(contradiction(
                Side::Anypoint,
                "the account is there, and its teams are not",
            ));
        };
        let teams = listed.with_unread(TeamOfAccount::unread);
        Ok(Some(WithTeams { account, teams }))
    }

    /// Asks a team's own list for an account.
    ///
    /// Every account is at least in the root team, so an account's empty list of teams is not believed. Neither is a list
    /// that lacks a team that the user was announced to have left: one strange answer must not keep a membership. Adding
    /// a maintainer again would make them a plain member.
    pub(super) async fn ask_team_for(
        &self,
        account: &AccountId,
        team: &TeamId,
    ) -> Result<Option<TeamOfAccount>, Failure> {
        let (anypoint, asked) = (&self.ports.anypoint, std::slice::from_ref(account));
        let found = anypoint.members_among(team, asked, self.deadline).await?;
        let found = found.first();
        Ok(found.map(|member| TeamOfAccount::of_member(team.clone(), member)))
    }

    async fn named_account(
        &self,
        user: &OktaUserId,
        wanted: &Wanted,
        memory: &Memory,
        linked: Option<&WithTeams>,
    ) -> Result<Option<Named>, Failure> {
        let Wanted::Account(person) = wanted else {
            return Ok(None);
        };
        let Ok(username) = &person.username else {
            return Ok(None);
        };
        let has_name = |name: &str| name.eq_ignore_ascii_case(username);
        if linked.is_some_and(|linked| has_name(&linked.account.username)) {
            return Ok(None);
        }
        let (ports, deadline) = (self.ports, self.deadline);
        let intent = memory
            .intent
            .as_ref()
            .filter(|intent| intent.names(username));
        let search = ports.anypoint.account_named(username, deadline).await?;
        let found = match intent {
            Some(_) => search.sure()?,
            // An unreadable entry is most likely another person's account. If not, Anypoint refuses to create a second one.
            None => search.account,
        };
        let Some(account) = found else {
            return Ok(None);
        };
        let id = account.id;
        // A run links its user's new account after it ended the old one. So a look that finds a former account reads it
        // after that.
        let ids = std::slice::from_ref(&id);
        let mut owner = ports.store.account_owners(ids).await?.remove(&id);
        // Lists do not have the phone number, so the account is read again by its id.
        let found = self.account_with_teams(&id).await?;
        let found = found.ok_or_else(listed_and_gone)?;
        if owner.is_none() && intent.is_some_and(|intent| intent.made(&found.account)) {
            owner = Some(owner_by_intent(user));
        }
        let mut freed_from = None;
        if let Some(owner) = &owner
            && owner.okta_user != *user
            && owner.tenure == Tenure::Current
        {
            freed_from = self.freed_from(&owner.okta_user, username).await?;
        }
        Ok(Some(Named {
            found,
            owner,
            freed_from,
        }))
    }

    /// Whether the account `username` of another user is free, by what Okta says of that user now.
    pub(super) async fn freed_from(
        &self,
        owner: &OktaUserId,
        username: &str,
    ) -> Result<Option<Freed>, Failure> {
        let ports = self.ports;
        if ports.policy.excluded.users.ids.contains(owner) {
            return Ok(None);
        }
        let (user, app_user) = self.owner(owner).await?;
        let (user, app_user) = (user.as_ref(), app_user.as_ref());
        if user.is_none() && app_user.is_some_and(|found| found.is_assigned()) {
            return Err(contradiction(
                Side::Okta,
                "there is no such user as the account's owner, and that user is assigned to the app",
            ));
        }
        Ok(freed_from(owner, user, app_user, username, &ports.policy))
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
            orphan: None,
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
