//! Teams and their members. Source of shapes: Anypoint Access Management API, "Teams".

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::Anypoint;
use crate::deadline::Deadline;
use crate::http::{
    Call, CallError, CallErrorKind, Entry, Listed, another_object, entries, if_found,
    not_as_written,
};
use crate::ids::{AccountId, TeamId};

entries!(Team: "team_id", Member: "id", TeamOfAccount: "team_id");

/// Members that one call asks about: each id stands in the address.
const MAX_ASKED_PER_CALL: usize = 50;

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Team {
    /// The team's id.
    #[serde(rename = "team_id")]
    pub id: TeamId,
    /// The team's name, unique in the organization.
    #[serde(rename = "team_name")]
    pub name: String,
    /// The teams above it, root first, parent last; empty for a root team. Always present: a missing list must not make a
    /// child team a root team.
    #[serde(rename = "ancestor_team_ids")]
    pub ancestors: Vec<TeamId>,
    /// Always present, too: a missing type must not make an external team an internal one.
    team_type: String,
}

impl Team {
    /// Whether it is the root of the internal teams: there is one such team, whatever its name.
    pub fn is_internal_root(&self) -> bool {
        self.ancestors.is_empty() && self.team_type == "internal"
    }

    /// Whether it is directly below `parent`.
    pub(crate) fn is_child_of(&self, parent: &TeamId) -> bool {
        self.ancestors.last() == Some(parent)
    }
}

/// The kind of a membership. An entry of another kind, or of none, cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Member,
    Maintainer,
    #[serde(skip)]
    Unread,
}

/// A membership, whether a team or an account lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Membership {
    #[serde(rename = "membership_type")]
    kind: Kind,
    /// Every membership has it. Without it, nobody knows whether this program may end the membership.
    is_assigned_via_external_groups: Option<bool>,
}

impl Membership {
    /// A membership of which nothing could be read.
    const UNREAD: Self = Self {
        kind: Kind::Unread,
        is_assigned_via_external_groups: None,
    };

    fn is_plain(&self) -> bool {
        self.kind == Kind::Member && self.is_assigned_via_external_groups == Some(false)
    }

    /// Whether the answer does not say if the membership is plain.
    fn is_unread(&self) -> bool {
        match self.kind {
            Kind::Member => self.is_assigned_via_external_groups.is_none(),
            Kind::Maintainer => false,
            Kind::Unread => true,
        }
    }
}

/// One member of a team.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// The account's id.
    pub id: AccountId,
    #[serde(flatten)]
    membership: Membership,
    identity_type: Option<String>,
}

impl Member {
    /// A member of whom only the id could be read.
    pub fn unread(id: AccountId) -> Self {
        Self {
            id,
            membership: Membership::UNREAD,
            identity_type: None,
        }
    }

    /// Whether it is a plain membership made by hand or by a program: the only kind that is ours to
    /// end. Memberships from external group mappings are recomputed at sign-in.
    pub(crate) fn is_plain(&self) -> bool {
        self.membership.is_plain()
    }

    /// Whether the answer does not say if the membership is plain.
    pub(crate) fn is_unread(&self) -> bool {
        self.membership.is_unread()
    }
}

/// One team of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TeamOfAccount {
    /// The team's id.
    #[serde(rename = "team_id")]
    pub id: TeamId,
    #[serde(flatten)]
    membership: Membership,
}

impl TeamOfAccount {
    /// The same membership, as the team's list shows it.
    pub(crate) fn of_member(id: TeamId, member: &Member) -> Self {
        let membership = member.membership.clone();
        Self { id, membership }
    }

    /// A team of which only the id could be read.
    pub fn unread(id: TeamId) -> Self {
        let membership = Membership::UNREAD;
        Self { id, membership }
    }

    /// As [`Member::is_plain`].
    pub(crate) fn is_plain(&self) -> bool {
        self.membership.is_plain()
    }

    /// Whether the answer does not say if the membership is plain.
    pub(crate) fn is_unread(&self) -> bool {
        self.membership.is_unread()
    }
}

impl Anypoint {
    /// All teams of the organization, 500 a page.
    pub async fn list_teams(&self, deadline: Deadline) -> Result<Listed<Team>, CallError> {
        let call = self.get("list the teams", &["teams"]);
        self.read_list(&call, deadline).await
    }

    /// Reads a team; `None` when it does not exist.
    pub async fn team(&self, team: &TeamId, deadline: Deadline) -> Result<Option<Team>, CallError> {
        let call = self.get("read the team", &["teams", team.as_str()]);
        self.read(&call, team.as_str(), deadline).await
    }

    /// Creates an internal team below `parent`; `None` when the answer had no body.
    pub async fn create_team(
        &self,
        parent: &TeamId,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<TeamId>, CallError> {
        let call = self
            .call("create the team", Method::POST, &["teams"])
            .json(json!({"parent_team_id": parent, "team_name": name, "team_type": "internal"}));
        let echo = self.send(&call, deadline).await?.echo();
        if !echo.agrees("team_name", Some(name)) {
            return Err(another_object(&call));
        }
        Ok(echo.text(Team::ID).and_then(|id| TeamId::parse(id).ok()))
    }

    /// Renames a team in place.
    pub async fn rename_team(
        &self,
        team: &TeamId,
        name: &str,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str()];
        let call = self
            .call("rename the team", Method::PATCH, &path)
            .json(json!({"team_name": name}));
        let echo = self.send(&call, deadline).await?.echo();
        echo.check_id(&call, Team::ID, team.as_str())?;
        if !echo.agrees("team_name", Some(name)) {
            return Err(not_as_written(&call, &["team_name"]));
        }
        Ok(())
    }

    /// Deletes a team **and every team below it**. The caller has made sure that there is none.
    /// A team that is already gone is no error: if the answer says so, the client reads the team.
    pub async fn delete_team(&self, team: &TeamId, deadline: Deadline) -> Result<(), CallError> {
        let path = ["teams", team.as_str()];
        let call = self.call("delete the team", Method::DELETE, &path);
        match self.send(&call, deadline).await {
            Err(error) if error.is_not_found() => match self.team(team, deadline).await? {
                Some(_) => Err(denied(&call, "the team is gone, but the team can be read")),
                None => Ok(()),
            },
            other => other?.check_empty(&call),
        }
    }

    /// The people in a team (not its child teams); `None` when the team does not exist.
    pub async fn list_members(
        &self,
        team: &TeamId,
        deadline: Deadline,
    ) -> Result<Option<Listed<Member>>, CallError> {
        self.members(team, &[("identity_type", "user")], deadline)
            .await
    }

    /// Those of the accounts that are in the team, `MAX_ASKED_PER_CALL` a call; none when there is no such team.
    pub async fn members_among(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<Vec<Member>, CallError> {
        let mut among = Vec::new();
        for batch in accounts.chunks(MAX_ASKED_PER_CALL) {
            let ids = batch.iter().map(|id| ("member_ids", id.as_str()));
            let query: Vec<_> = [("identity_type", "user")].into_iter().chain(ids).collect();
            let Some(found) = self.members(team, &query, deadline).await? else {
                break;
            };
            let found = found.with_unread(Member::unread).into_iter();
            among.extend(found.filter(|member| batch.contains(&member.id)));
        }
        Ok(among)
    }

    async fn members(
        &self,
        team: &TeamId,
        query: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<Option<Listed<Member>>, CallError> {
        let path = ["teams", team.as_str(), "members"];
        let call = self.get("list the team's members", &path).query(query);
        let members: Option<Listed<Member>> = if_found(self.read_list(&call, deadline).await)?;
        // A misspelt or unknown filter is dropped silently by the service, so look again here.
        let is_user = |member: &Member| {
            member
                .identity_type
                .as_deref()
                .is_none_or(|kind| kind == "user")
        };
        Ok(members.map(|members| members.retaining(is_user)))
    }
}

/// An answer that another one contradicts.
pub(super) fn denied(call: &Call, what: &str) -> CallError {
    call.error(CallErrorKind::Unreadable(format!("it says that {what}")))
}
