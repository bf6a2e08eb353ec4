//! What a look at one user or group finds and what would follow, in words. Nothing is written.

use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use okta_anypoint::okta::Group;
use okta_anypoint::provision::{
    AccountRef, GroupAction, GroupStep, GroupView, GroupWanted, Provisioner, TeamPlan, UserAction,
    UserStep, UserView, plan_group, plan_user,
};
use okta_anypoint::store::{Origin, TeamLink};
use serde::Serialize;

/// One thing that would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The action's name, as in metrics.
    pub action: &'static str,
    /// What it does, in words; opaque ids and usernames only.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What a look at a user found.
pub struct UserOutlook {
    /// What was seen; `None` when it could not be read or names a person nobody may have.
    pub view: Option<UserView>,
    /// What would follow, or why nothing can.
    pub plan: Result<Vec<Planned>, Failure>,
}

/// What a look at a group found.
pub struct GroupOutlook {
    /// The group, when it exists.
    pub group: Option<Group>,
    /// What was seen.
    pub view: GroupView,
    /// What would follow, or why nothing can.
    pub plan: Result<Vec<Planned>, Failure>,
}

/// What would be done for a subject.
pub async fn plan(
    provisioner: &Provisioner,
    subject: &Subject,
    deadline: Deadline,
) -> Result<Vec<Planned>, Failure> {
    match subject {
        Subject::User(user) => look_at_user(provisioner, user, deadline).await.plan,
        Subject::Group(group) => look_at_group(provisioner, group, deadline).await?.plan,
    }
}

/// Looks at a user.
pub async fn look_at_user(
    provisioner: &Provisioner,
    user: &OktaUserId,
    deadline: Deadline,
) -> UserOutlook {
    match provisioner.look_at_user(user, deadline).await {
        Ok(view) => {
            let plan = plan_user(&view, &provisioner.policy)
                .map(|steps| steps.iter().map(of_user).collect());
            UserOutlook {
                view: Some(view),
                plan,
            }
        }
        Err(failure) => UserOutlook {
            view: None,
            plan: Err(failure),
        },
    }
}

/// Looks at a group, its team, and who would be in it.
pub async fn look_at_group(
    provisioner: &Provisioner,
    id: &OktaGroupId,
    deadline: Deadline,
) -> Result<GroupOutlook, Failure> {
    let group = provisioner.okta.group(id, deadline).await?;
    let view = provisioner.look_at_group(id, deadline).await?;
    let plan = match (&group, &view.wanted) {
        (Some(group), GroupWanted::Team { .. }) => {
            with_team(provisioner, group, view.clone(), deadline).await
        }
        _ => Ok(plan_group(&view, &provisioner.policy)
            .iter()
            .map(|step| of_group(step, None))
            .collect()),
    };
    Ok(GroupOutlook { group, view, plan })
}

/// The plan of a group that becomes a team: the team first, then its members as they will be found.
async fn with_team(
    provisioner: &Provisioner,
    group: &Group,
    mut view: GroupView,
    deadline: Deadline,
) -> Result<Vec<Planned>, Failure> {
    let name = provisioner.policy.team_names.apply(group.name())?;
    let (team, _) = provisioner.look_at_team(&group.id, &name, deadline).await?;
    let mut planned = Vec::new();
    let planned_step = |action, what: String, reason: &str| Planned {
        action,
        what,
        reason: reason.to_owned(),
    };
    let mut label = None;
    match &team {
        TeamPlan::Keep(_) => {}
        TeamPlan::Rename(id) => planned.push(planned_step(
            "rename_team",
            format!("rename team {id} to \"{name}\""),
            "a team is named as its group",
        )),
        TeamPlan::Adopt(id) | TeamPlan::AdoptAndRename(id) => {
            planned.push(planned_step(
                "adopt_team",
                format!("take over team {id} as \"{name}\""),
                "a team of that name is there and belongs to no other group",
            ));
            let members = provisioner.anypoint.members(id, deadline).await?;
            let members = members.unwrap_or_default();
            view.found = Some(provisioner.members_found(members, deadline).await?);
            view.link = Some(link(id, &name));
        }
        TeamPlan::Create { root } => {
            planned.push(planned_step(
                "create_team",
                format!("create team \"{name}\" below {root}"),
                "the group is pushed and has no team",
            ));
            label = Some(format!("the new team \"{name}\""));
            view.found = Some(Vec::new());
            view.link = Some(link(root, &name));
        }
        TeamPlan::HeldBy {
            group: other, team, ..
        } => planned.push(planned_step(
            "wait_for_name",
            format!("settle the name \"{name}\" with group {other}, which holds team {team}"),
            "a name belongs to one team",
        )),
    }
    let steps = plan_group(&view, &provisioner.policy);
    planned.extend(steps.iter().map(|step| of_group(step, label.as_deref())));
    Ok(planned)
}

fn link(team: &TeamId, name: &str) -> TeamLink {
    TeamLink {
        team_id: team.clone(),
        team_name: name.to_owned(),
        origin: Origin::Created,
    }
}

fn of_user(step: &UserStep) -> Planned {
    let account = |account: &AccountRef| match account {
        AccountRef::Known(id) => format!("account {id}"),
        AccountRef::Created => "the new account".to_owned(),
    };
    let what = match &step.action {
        UserAction::Create(person) => format!("create account \"{}\"", person.username),
        UserAction::MailReset { username } => {
            format!("ask for a password reset mail to \"{username}\"")
        }
        UserAction::Update {
            account: of,
            changes,
        } => format!("set {} of {}", changes.fields().join(", "), account(of)),
        UserAction::LeaveTeam { account, team } => {
            format!("take account {account} out of team {team}")
        }
        UserAction::Link {
            account: of,
            username,
            origin,
            ..
        } => format!("link {} (\"{username}\", {})", account(of), origin.as_str()),
        UserAction::JoinTeam { account: of, team } => match &team.team {
            Some(id) => format!(
                "put {} into team {id} of group \"{}\"",
                account(of),
                team.group_name
            ),
            None => format!(
                "put {} into the team of group \"{}\", made first if it is missing",
                account(of),
                team.group_name
            ),
        },
    };
    Planned {
        action: step.action.name(),
        what,
        reason: step.reason.to_owned(),
    }
}

fn of_group(step: &GroupStep, label: Option<&str>) -> Planned {
    let name = |team: &TeamId| label.map_or_else(|| format!("team {team}"), str::to_owned);
    let list = |accounts: &[AccountId]| {
        let ids: Vec<&str> = accounts.iter().take(5).map(AccountId::as_str).collect();
        match accounts.len() {
            1 => format!("account {}", ids.join("")),
            n if n > ids.len() => format!("{n} accounts ({}, …)", ids.join(", ")),
            n => format!("{n} accounts ({})", ids.join(", ")),
        }
    };
    let what = match &step.action {
        GroupAction::AddMembers { team, accounts } => {
            format!("put {} into {}", list(accounts), name(team))
        }
        GroupAction::RemoveMembers { team, accounts } => {
            format!("take {} out of {}", list(accounts), name(team))
        }
        GroupAction::DeleteTeam { team } => format!("delete {}", name(team)),
        GroupAction::FollowUp(user) => format!("look at member {user}, who has no account yet"),
    };
    Planned {
        action: step.action.name(),
        what,
        reason: step.reason.to_owned(),
    }
}

/// A failure for machines.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "side": failure.side,
        "class": failure.class,
        "message": failure.message,
        "advice": failure.advice,
    })
}
