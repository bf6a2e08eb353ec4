//! Teams and their members. Source of shapes: Anypoint Access Management API, "Teams".

use http::{Method, StatusCode};
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

/// Members in one PATCH or DELETE at the most.
pub(crate) const MAX_MEMBERS_PER_CALL: usize = 100;
/// If so many accounts are refused one after another and none is accepted, the team is refused, not an account.
const MAX_REFUSED_MEMBERS: usize = 5;
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

    /// Makes the accounts plain members, `MAX_MEMBERS_PER_CALL` a call. Members stay members. Returns the accounts that
    /// Anypoint refused.
    pub async fn add_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        self.in_batches(team, accounts, MemberChange::Join, deadline)
            .await
    }

    /// Takes the accounts out of a team, `MAX_MEMBERS_PER_CALL` a call. An account that is not in it, or a team that is
    /// gone, is no error: if the answer says so, the client reads the membership. Returns the accounts that Anypoint
    /// refused.
    pub async fn remove_members(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        let removed = self.in_batches(team, accounts, MemberChange::Leave, deadline);
        match removed.await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    /// Makes one account a plain member: [`Anypoint::add_members`].
    pub(crate) async fn add_member(
        &self,
        team: &TeamId,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let one = std::slice::from_ref(account);
        alone(self.add_members(team, one, deadline).await?)
    }

    /// Takes one account out of a team: [`Anypoint::remove_members`].
    pub(crate) async fn remove_member(
        &self,
        team: &TeamId,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let one = std::slice::from_ref(account);
        alone(self.remove_members(team, one, deadline).await?)
    }

    /// Sends the accounts in batches. One account may fail its whole batch: that is not documented. So a refused batch is
    /// sent in halves, until only single accounts are refused.
    ///
    /// # Errors
    /// When the calls fail for everybody. A 404: the team is gone.
    async fn in_batches(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
        change: MemberChange,
        deadline: Deadline,
    ) -> Result<Vec<RefusedMember>, CallError> {
        let mut left: Vec<&[AccountId]> = accounts.chunks(MAX_MEMBERS_PER_CALL).collect();
        left.reverse();
        let (mut refused, mut accepted, mut is_there) = (Vec::new(), 0, false);
        while let Some(batch) = left.pop() {
            let sent = match change {
                MemberChange::Join => self.add_batch(team, batch, deadline).await,
                MemberChange::Leave => self.remove_batch(team, batch, deadline).await,
            };
            let error = match sent {
                Ok(()) => {
                    accepted += 1;
                    continue;
                }
                Err(error) => error,
            };
            if !error.is_about_this_call() && !is_absent(&error) && !error.is_unreadable() {
                return Err(error);
            }
            if error.is_not_found() && !is_there {
                is_there = self.team(team, deadline).await?.is_some();
                if !is_there {
                    return Err(error);
                }
            }
            let [account] = batch else {
                let (first, second) = batch.split_at(batch.len() / 2);
                left.extend([second, first]);
                continue;
            };
            if accepted == 0 && refused.len() + 1 >= MAX_REFUSED_MEMBERS {
                return Err(error);
            }
            let account = account.clone();
            refused.push(RefusedMember { account, error });
        }
        Ok(refused)
    }

    async fn add_batch(
        &self,
        team: &TeamId,
        batch: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let body: Vec<_> = batch
            .iter()
            .map(|account| json!({"id": account, "membership_type": "member"}))
            .collect();
        let call = self
            .call("add the team's members", Method::PATCH, &path)
            .json(json!(body));
        let added = self.send_without_values(&call, deadline).await;
        added
            .map_err(CallError::passing_conflict)?
            .check_empty(&call)
    }

    async fn remove_batch(
        &self,
        team: &TeamId,
        batch: &[AccountId],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["teams", team.as_str(), "members"];
        let call = self
            .call("remove the team's members", Method::DELETE, &path)
            .json(json!(batch));
        match self.send_without_values(&call, deadline).await {
            Err(error) if is_absent(&error) && batch.len() == 1 => {
                // One strange answer must not leave anybody in the team. The list may show the past for a moment, so
                // both are asked once more before the answers count as a contradiction.
                for _ in 0..2 {
                    if (self.members_among(team, batch, deadline).await?).is_empty() {
                        return Ok(());
                    }
                    match self.send(&call, deadline).await {
                        Err(error) if is_absent(&error) => {}
                        other => return other?.check_empty(&call),
                    }
                }
                Err(denied(
                    &call,
                    "the account is no member, but the team lists it",
                ))
            }
            other => other?.check_empty(&call),
        }
    }
}

/// What a call does with accounts.
#[derive(Debug, Clone, Copy)]
enum MemberChange {
    Join,
    Leave,
}

/// An account whose membership Anypoint refused to change, alone.
#[derive(Debug)]
pub struct RefusedMember {
    /// The account.
    pub account: AccountId,
    /// The refusal.
    pub error: CallError,
}

/// The refusal, after a call about one account.
fn alone(refused: Vec<RefusedMember>) -> Result<(), CallError> {
    match refused.into_iter().next() {
        Some(refused) => Err(refused.error),
        None => Ok(()),
    }
}

/// An answer that another one contradicts.
fn denied(call: &Call, what: &str) -> CallError {
    call.error(CallErrorKind::Unreadable(format!("it says that {what}")))
}

/// 404 and 409 both mean "not a member" here, as the vendor's own Terraform provider reads them.
fn is_absent(error: &CallError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)
    )
}
