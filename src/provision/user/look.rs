//! Looks at one user on both sides. Reads only; reads that do not need each other run at once.
//!
//! Answers that contradict each other end the look, and nothing is planned from it.

use std::collections::{HashMap, HashSet};

use futures_util::future::{OptionFuture, try_join};
use futures_util::try_join;

use super::adopt::{Freed, freed_from};
use super::view::{
    FoundTeam, GroupsSeen, Membership, NamedAccount, TeamsFound, UserView, WantedTeam,
};
use crate::anypoint::{Account, TeamOfAccount};
use crate::failure::{Failure, Side};
use crate::http::Listed;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Assignment, Group, User, UserStatus};
use crate::provision::evidence::{Evidence, Fact, Finding, Sense, contradiction};
use crate::provision::policy::{SuspendedUsers, TeamRemoval};
use crate::provision::provisioner::Look;
use crate::provision::selection::{GroupSelection, Selected};
use crate::provision::wanted::{Unwanted, Wanted, standing, wanted};
use crate::store::{AccountOwner, LastWrite, Memory, Origin, Recalled, TeamLink, Tenure, UserLink};

/// The document that says that links which `TEAM_REMOVAL=keep` gives up have been given up.
pub(crate) const KEPT_TEAMS_GIVEN_UP: &str = "kept-teams-given-up";

/// What Okta says of a user.
pub(super) struct OktaSide {
    pub(super) user: Option<User>,
    pub(super) app_user: Option<AppUser>,
    groups: Option<Listed<Group>>,
    app_groups: Option<HashSet<OktaGroupId>>,
}

/// A value that cannot be read is not changed, and somebody has to know.
fn tell_unread(user: &OktaUserId, wanted: &Wanted) {
    let Wanted::Account(person) = wanted else {
        return;
    };
    for attribute in &person.unread {
        tracing::warn!(%user, attribute, "a profile value is not text; it is left out");
    }
}

fn listed_and_gone() -> Failure {
    contradiction(
        Side::Anypoint,
        "there is no such account, and the list of accounts shows it",
    )
}

/// An account with the teams it is in.
type WithTeams = (Account, Vec<TeamOfAccount>);

/// What the run knows before it looks.
pub struct UserKnown<'k> {
    /// What the table says.
    pub recalled: &'k Recalled,
    /// What earlier runs left.
    pub memory: &'k Memory,
    /// Groups whose memberships may be read as they were before.
    pub distrusted: &'k [OktaGroupId],
    /// What was announced, and seen before.
    pub evidence: &'k Evidence,
}

/// What a look found.
pub struct UserLook {
    /// What was seen.
    pub view: UserView,
    /// Announcements that the look does not show, and until when they are too young to be overruled, in
    /// milliseconds since the epoch.
    pub unshown: Option<i64>,
}

impl Look<'_> {
    /// Everything that matters of one user, on both sides.
    ///
    /// # Errors
    /// When anything could not be read whole, when answers contradict each other, or when the app
    /// username is against the policy.
    pub async fn user(self, user: &OktaUserId, known: UserKnown<'_>) -> Result<UserLook, Failure> {
        let ports = self.ports;
        let link = known.recalled.link.as_ref();
        let okta = self.okta_side(user);
        let linked = OptionFuture::from(link.map(|link| self.linked_account(link)));
        let (okta, linked) = try_join(okta, async { linked.await.transpose() }).await?;
        let linked = linked.flatten();
        check_contradictions(&okta, known.evidence)?;

        let wanted = wanted(okta.user.as_ref(), okta.app_user.as_ref(), &ports.policy)?;
        tell_unread(user, &wanted);
        let is_open = |(account, _): &WithTeams| account.is_enabled();
        if wanted == Wanted::Nothing(Unwanted::NotAssigned) && linked.as_ref().is_some_and(is_open)
        {
            // A wrong OKTA_APP_ID looks like "nobody is assigned"; make sure that the app is there.
            ports.okta.check_app(&ports.app, self.deadline).await?;
        }
        let named = self
            .named_account(user, &wanted, known.memory, linked.as_ref())
            .await?;
        let unshown = unshown(&okta, known.evidence);
        let view = self
            .view(user, wanted, &known, linked, named, &okta)
            .await?;
        Ok(UserLook { view, unshown })
    }

    async fn okta_side(&self, user: &OktaUserId) -> Result<OktaSide, Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        let pushes_groups = ports.policy.groups != GroupSelection::None;
        let by_assignment = ports.policy.groups == GroupSelection::Assigned;
        let groups = OptionFuture::from(
            pushes_groups.then(|| ports.okta.list_groups_of_user(user, deadline)),
        );
        let app_groups = OptionFuture::from(
            by_assignment.then(|| ports.okta.list_app_groups(&ports.app, deadline)),
        );
        let (user, app_user, groups, app_groups) = try_join!(
            ports.okta.user(user, deadline),
            ports.okta.app_user(&ports.app, user, deadline),
            async { groups.await.transpose() },
            async { app_groups.await.transpose() },
        )?;
        if let (Some(_), Some(None)) = (&user, &groups) {
            return Err(contradiction(
                Side::Okta,
                "the user is there, and the user's groups are not",
            ));
        }
        Ok(OktaSide {
            user,
            app_user,
            groups: groups.flatten().map(Listed::telling),
            app_groups: app_groups.map(|listed| {
                let listed = listed.telling();
                let unread: Vec<OktaGroupId> = listed.ids_unread().collect();
                listed.items.into_iter().chain(unread).collect()
            }),
        })
    }

    /// The linked account. Anypoint marks its own 404 by nothing, and a gateway's look the same: the list of accounts
    /// has to lack it, too.
    async fn linked_account(&self, link: &UserLink) -> Result<Option<WithTeams>, Failure> {
        let found = self.account_with_teams(&link.anypoint_id).await?;
        if found.is_none() {
            let anypoint = &self.ports.anypoint;
            let shown = anypoint
                .account_named(&link.username, self.deadline)
                .await?;
            if shown
                .account
                .is_some_and(|shown| shown.id == link.anypoint_id)
            {
                return Err(listed_and_gone());
            }
        }
        Ok(found)
    }

    async fn account_with_teams(&self, account: &AccountId) -> Result<Option<WithTeams>, Failure> {
        let anypoint = &self.ports.anypoint;
        let (found, teams) = try_join!(
            anypoint.account(account, self.deadline),
            anypoint.list_teams_of_account(account, self.deadline),
        )?;
        let Some(account) = found else {
            // An empty list says nothing: perhaps nobody's list is empty, too.
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
        let unread: Vec<TeamOfAccount> = listed.ids_unread().map(TeamOfAccount::unread).collect();
        Ok(Some((
            account,
            listed.items.into_iter().chain(unread).collect(),
        )))
    }

    /// An account is in the root team at least, so a list that names no team is not believed, nor is one that lacks a
    /// team that the user is announced to have left. The lists of those teams are asked for the account: nobody stays
    /// inside for one strange answer, and to put a maintainer in again would make a plain member of them.
    async fn ask_teams_for(
        &self,
        account: &AccountId,
        links: impl Iterator<Item = &TeamLink> + Send,
    ) -> Result<Vec<TeamOfAccount>, Failure> {
        let anypoint = &self.ports.anypoint;
        let mut teams = Vec::new();
        for link in links {
            let team = &link.team_id;
            let asked = std::slice::from_ref(account);
            let found = anypoint.members_among(team, asked, self.deadline).await?;
            let found = found.iter();
            teams.extend(found.map(|member| TeamOfAccount::of_member(team.clone(), member)));
        }
        Ok(teams)
    }

    /// Whether a team's own list has the account.
    pub(super) async fn is_in_team(
        &self,
        team: &TeamId,
        account: &AccountId,
    ) -> Result<bool, Failure> {
        let asked = std::slice::from_ref(account);
        let anypoint = &self.ports.anypoint;
        let found = anypoint.members_among(team, asked, self.deadline).await?;
        Ok(!found.is_empty())
    }

    /// The account of the wanted username, when it is not the linked one.
    async fn named_account(
        &self,
        user: &OktaUserId,
        wanted: &Wanted,
        memory: &Memory,
        linked: Option<&WithTeams>,
    ) -> Result<Option<(NamedAccount, Vec<TeamOfAccount>)>, Failure> {
        let Wanted::Account(person) = wanted else {
            return Ok(None);
        };
        let has_name = |name: &str| name.eq_ignore_ascii_case(&person.username);
        if linked.is_some_and(|(account, _)| has_name(&account.username)) {
            return Ok(None);
        }
        let (ports, deadline) = (self.ports, self.deadline);
        let search = ports.anypoint.account_named(&person.username, deadline);
        // An entry that cannot be read is somebody else's account, most likely. If it is the one, Anypoint refuses
        // to make a second.
        let Some(account) = search.await?.account else {
            return Ok(None);
        };
        let id = account.id;
        // Lists leave the phone number out, so the account is read once more by its id.
        let (whole, mut owners) = try_join(
            self.account_with_teams(&id),
            ports.store.account_owners(std::slice::from_ref(&id)),
        )
        .await?;
        let mut owner = owners.remove(&id);
        let intended = memory
            .intent
            .as_ref()
            .is_some_and(|intent| has_name(&intent.username));
        if owner.is_none() && intended {
            owner = Some(AccountOwner {
                okta_user: user.clone(),
                tenure: Tenure::Former,
                origin: Some(Origin::Created),
            });
        }
        let mut freed_from = None;
        if let Some(owner) = &owner
            && owner.okta_user != *user
            && owner.tenure == Tenure::Current
        {
            freed_from = self.freed_from(&owner.okta_user, &person.username).await?;
        }
        let Some((account, teams)) = whole else {
            return Err(listed_and_gone());
        };
        let named = NamedAccount {
            account,
            owner,
            freed_from,
            teams: TeamsFound::default(),
        };
        Ok(Some((named, teams)))
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
        if user.is_none() && app_user.is_some_and(is_assigned) {
            return Err(contradiction(
                Side::Okta,
                "there is no such user as the account's owner, and that user is assigned to the app",
            ));
        }
        Ok(freed_from(owner, user, app_user, username, &ports.policy))
    }

    async fn owner(&self, owner: &OktaUserId) -> Result<(Option<User>, Option<AppUser>), Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        let app_user = ports.okta.app_user(&ports.app, owner, deadline);
        try_join(ports.okta.user(owner, deadline), app_user)
            .await
            .map_err(Failure::from)
    }

    /// The groups of the user that become teams.
    fn selected<'o>(&self, okta: &'o OktaSide) -> Vec<&'o Group> {
        let is_assigned = |group: &Group| {
            let groups = okta.app_groups.as_ref();
            groups.is_some_and(|groups| groups.contains(&group.id))
        };
        let selection = &self.ports.policy.groups;
        let groups = okta.groups.iter().flat_map(|listed| &listed.items);
        let excluded = &self.ports.policy.excluded;
        groups
            .filter(|group| !excluded.group(group))
            .filter(|group| match selection.selects(group) {
                Selected::Yes => true,
                Selected::No => false,
                Selected::IfAssigned => is_assigned(group),
            })
            .collect()
    }

    async fn view(
        &self,
        user: &OktaUserId,
        wanted: Wanted,
        known: &UserKnown<'_>,
        mut linked: Option<WithTeams>,
        mut named: Option<(NamedAccount, Vec<TeamOfAccount>)>,
        okta: &OktaSide,
    ) -> Result<UserView, Failure> {
        let selected = match &wanted {
            Wanted::Account(_) => self.selected(okta),
            Wanted::Nothing(_) | Wanted::Excluded => Vec::new(),
        };
        let mut groups: HashSet<&OktaGroupId> = selected.iter().map(|group| &group.id).collect();
        groups.extend(known.distrusted);
        let left: HashSet<&OktaGroupId> = known.evidence.left_groups().collect();
        groups.extend(&left);
        let groups: Vec<OktaGroupId> = groups.into_iter().cloned().collect();
        let fresh = &known.memory.fresh_teams;
        let of_linked = linked.iter().flat_map(|(_, teams)| teams);
        let shown = of_linked.chain(named.iter().flat_map(|(_, teams)| teams));
        let shown = shown.map(|team| &team.id);
        let teams: HashSet<&TeamId> = shown.chain(fresh.keys()).collect();
        let teams: Vec<TeamId> = teams.into_iter().cloned().collect();
        let (links, mut owners) = self.ports.store.team_pairs(&groups, &teams).await?;
        let of_linked = linked.iter_mut().map(|(account, teams)| (&*account, teams));
        let of_named = named
            .iter_mut()
            .map(|(named, teams)| (&named.account, teams));
        for (account, teams) in of_linked.chain(of_named) {
            let shown: HashSet<&TeamId> = teams.iter().map(|team| &team.id).collect();
            let lacks = |(group, link): &(&OktaGroupId, &TeamLink)| {
                let in_doubt = shown.is_empty() || left.contains(group);
                in_doubt && !shown.contains(&link.team_id)
            };
            let lacking: Vec<_> = links.iter().filter(lacks).collect();
            let asked = lacking.iter().map(|(_, link)| *link);
            let found = self.ask_teams_for(&account.id, asked).await?;
            for (group, link) in lacking {
                if found.iter().any(|team| team.id == link.team_id) {
                    owners.insert(link.team_id.clone(), group.clone());
                }
            }
            teams.extend(found);
        }
        let linked_teams = linked.as_ref().map_or(&[][..], |(_, teams)| teams);
        let mut distrusted = HashSet::new();
        for (group, link) in &links {
            if known.distrusted.contains(group) {
                owners.insert(link.team_id.clone(), group.clone());
                distrusted.insert(link.team_id.clone());
            }
        }
        let listed = okta.groups.as_ref().map_or(&[][..], |listed| &listed.items);
        self.drop_excluded_teams(&mut owners, listed).await?;
        let groups = groups_seen(okta);
        let app_groups = okta.app_groups.as_ref();
        self.drop_kept_teams(&mut owners, &groups, &wanted, app_groups)
            .await?;
        let unshown: Vec<&TeamId> = fresh
            .iter()
            .filter(|(_, fresh)| fresh.written == LastWrite::Joined)
            .map(|(team, _)| team)
            .chain(&distrusted)
            .collect();
        let found = |teams: &[TeamOfAccount]| teams_found(teams, &unshown, &owners);
        let all = |account: &Account, teams: &[TeamOfAccount]| {
            let all = teams
                .iter()
                .map(|team| ((account.id.clone(), team.id.clone()), membership(team)));
            all.collect::<Vec<_>>()
        };
        let of_linked = linked.iter().map(|(account, teams)| all(account, teams));
        let of_named = named
            .iter()
            .map(|(named, teams)| all(&named.account, teams));
        Ok(UserView {
            memberships: of_linked.chain(of_named).flatten().collect(),
            user: user.clone(),
            linked_teams: found(linked_teams),
            named: named.as_ref().map(|(named, teams)| NamedAccount {
                teams: found(teams),
                ..named.clone()
            }),
            linked: linked.as_ref().map(|(account, _)| account.clone()),
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
            fresh: fresh
                .iter()
                .map(|(team, fresh)| (team.clone(), fresh.written))
                .collect(),
            distrusted,
            wanted,
        })
    }

    /// Under `TEAM_REMOVAL=keep` a team whose group left the selection keeps its people, and its link
    /// goes. Links of earlier versions are given up by the first reconcile; until then a
    /// look at the user takes nobody out of the team of a group that is not pushed.
    async fn drop_kept_teams(
        &self,
        owners: &mut HashMap<TeamId, OktaGroupId>,
        groups: &GroupsSeen,
        wanted: &Wanted,
        app_groups: Option<&HashSet<OktaGroupId>>,
    ) -> Result<(), Failure> {
        let keeps = self.ports.policy.team_removal == TeamRemoval::Keep;
        let ends = matches!(wanted, Wanted::Nothing(_));
        let may_leave = |group: &OktaGroupId| ends || !groups.contains(group);
        if !keeps || !owners.values().any(may_leave) {
            return Ok(());
        }
        let mark = self.ports.documents.document(KEPT_TEAMS_GIVEN_UP).await?;
        if mark.is_some() {
            return Ok(());
        }
        let mut kept = HashSet::new();
        for group in owners.values().filter(|group| may_leave(group)) {
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

    /// Reads once more what was not shown. Whether Okta still does not show it.
    pub(super) async fn still_unshown(
        &self,
        user: &OktaUserId,
        finding: &Finding,
    ) -> Result<bool, Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        Ok(match finding {
            Finding::NoUser => ports.okta.user(user, deadline).await?.is_none(),
            Finding::OwnerGone(owner) => {
                let (user, app_user) = self.owner(owner).await?;
                let kept = SuspendedUsers::Keep;
                let standing = standing(user.as_ref(), app_user.as_ref(), kept);
                standing.is_err_and(|reason| reason.finding().is_some())
            }
            Finding::NotAssigned => {
                let found = ports.okta.app_user(&ports.app, user, deadline).await?;
                found.is_none_or(|app_user| app_user.assignment() == Assignment::Ended)
            }
            Finding::NotInGroup(group) => {
                let groups = ports.okta.list_groups_of_user(user, deadline).await?;
                groups.is_some_and(|groups| groups.is_complete_for_user() && !groups.names(group))
            }
            Finding::NotPushed | Finding::NotMember(_) => false,
        })
    }
}

fn membership(team: &TeamOfAccount) -> Membership {
    if team.is_plain() {
        Membership::Ours
    } else {
        Membership::Special
    }
}

fn teams_found(
    teams: &[TeamOfAccount],
    unshown: &[&TeamId],
    owners: &HashMap<TeamId, OktaGroupId>,
) -> TeamsFound {
    let shown = teams.iter().map(|team| (&team.id, membership(team)));
    let hidden = unshown
        .iter()
        .filter(|team| teams.iter().all(|shown| shown.id != ***team))
        .map(|team| (*team, Membership::Unshown));
    let found = shown.chain(hidden).filter_map(|(team, membership)| {
        Some(FoundTeam {
            team: team.clone(),
            group: owners.get(team)?.clone(),
            membership,
        })
    });
    TeamsFound(found.collect())
}

fn groups_seen(okta: &OktaSide) -> GroupsSeen {
    let Some(groups) = &okta.groups else {
        return GroupsSeen::Unread;
    };
    let read = groups.items.iter().map(|group| group.id.clone());
    let ids = read.chain(groups.ids_unread()).collect();
    if groups.is_complete_for_user() {
        GroupsSeen::Whole(ids)
    } else {
        GroupsSeen::Incomplete(ids)
    }
}

fn is_assigned(app_user: &AppUser) -> bool {
    app_user.assignment() == Assignment::Assigned
}

/// Answers of one look that cannot both be true. What an event announced outweighs them.
fn check_contradictions(okta: &OktaSide, evidence: &Evidence) -> Result<(), Failure> {
    let is_assigned = okta.app_user.as_ref().is_some_and(is_assigned);
    if okta.user.is_some() || evidence.user_ended() {
        return Ok(());
    }
    if is_assigned {
        return Err(contradiction(
            Side::Okta,
            "there is no such user, and the user is assigned to the app",
        ));
    }
    if okta.groups.is_some() {
        return Err(contradiction(
            Side::Okta,
            "there is no such user, and the user is in groups",
        ));
    }
    Ok(())
}

/// Until when announcements that the look does not show are too young to be overruled.
fn unshown(okta: &OktaSide, evidence: &Evidence) -> Option<i64> {
    let holds = |yes: bool| if yes { Sense::Holds } else { Sense::Ended };
    let status = okta.user.as_ref().map(|user| &user.status);
    let active = !matches!(status, None | Some(UserStatus::Deprovisioned));
    let app_user = okta.app_user.as_ref();
    let assigned = app_user.is_some_and(is_assigned);
    let mut until = vec![
        evidence.too_young(&Fact::Active, holds(active)),
        // A deactivated or deleted user is neither assigned nor suspended any more.
        evidence
            .too_young(&Fact::Assigned, holds(assigned))
            .filter(|_| active),
        evidence
            .too_young(
                &Fact::Suspended,
                holds(status == Some(&UserStatus::Suspended)),
            )
            .filter(|_| active),
    ];
    if active && let Some(groups) = &okta.groups {
        let is_pushed = |group: &OktaGroupId| {
            let pushed = okta.app_groups.as_ref();
            pushed.is_none_or(|pushed| pushed.contains(group))
        };
        for group in evidence.announced_groups().filter(|group| is_pushed(group)) {
            let is_in = groups.names(group);
            until.push(evidence.too_young(&Fact::InGroup(group.clone()), holds(is_in)));
        }
    }
    until.into_iter().flatten().max()
}
