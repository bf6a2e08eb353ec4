//! `explain` shows the steps of a run that would fail, and the failure. So do `link-group` and a dry run.

use okta_anypoint::simulator::fault::Fault;
use serde_json::Value;

use super::explain::actions;
use super::{APP, Desk};

/// The people and the group of one team.
struct Team {
    desk: Desk,
    group: String,
    users: Vec<String>,
}

/// Ann and Ben are in the team. Ann has left the group since, and Cat has joined it.
async fn changed() -> Team {
    let desk = Desk::new().await;
    let names = ["ann", "ben", "cat"];
    let users = names.map(|name| desk.assigned(name, name)).to_vec();
    let group = desk.pushed_group("Devs", &users[0]);
    let add = |user: &String| desk.okta.world().add_member(&group, user).unwrap();
    add(&users[1]);
    let all: Vec<&str> = users.iter().map(String::as_str).collect();
    desk.on_file(&[&["push", &group], &all[..]].concat())
        .await
        .expect(0);
    add(&users[2]);
    desk.okta.world().remove_member(&group, &users[0]).unwrap();
    desk.wrote();
    Team { desk, group, users }
}

impl Team {
    async fn explained(&self, name: &str) -> Value {
        let explained = self.desk.on_file(&["explain", name, "--json"]).await;
        explained.expect(1).json()
    }

    async fn records_error(&self, changes: &str) -> String {
        let file = self.desk.data.to_str().unwrap();
        let push = ["push", &self.group, "--json", "--data", file];
        let pushed = self.desk.run_with(&[("CHANGES", changes)], &push).await;
        pushed.expect(1).json()["results"][0]["error"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// An entry of the group's list of members has no readable id.
#[tokio::test]
async fn a_list_that_removes_nobody_is_not_in_sync() {
    let team = changed().await;
    let Team { desk, group, users } = &team;
    let members = format!("/api/v1/groups/{group}/users");
    let faults = desk.okta.traffic();
    faults.inject(Fault::removed(&members, Some(&users[1]), "/id"));

    let explained = team.explained(group).await;
    assert_eq!(actions(&explained), ["add_members"]);
    assert_eq!(explained["failure"]["code"], "unreadable", "{explained}");
    let shown = desk.on_file(&["explain", group]).await.expect(1);
    assert!(!shown.out.contains("in sync"), "{}", shown.out);
    shown.says("to team").says("it removes nobody");
    let linked = desk.on_file(&["link-group", group, "Devs", "--json"]).await;
    let linked = linked.expect(0).json();
    assert_eq!(actions(&linked), ["add_members"]);
    assert_eq!(linked["failure"]["code"], "unreadable", "{linked}");
    assert!(!desk.wrote());

    // A dry run fails as a run does. Its record says what it would do before.
    let planned = team.records_error("report").await;
    assert!(planned.contains("it removes nobody"), "{planned}");
    let listed = desk.on_file(&["events", "--failed", "--json"]).await;
    let listed = listed.expect(0).json();
    let step = listed["events"][0]["planned"][0].as_str().unwrap();
    assert!(step.starts_with("add_members"), "{step}");
    desk.on_file(&["events", "--status", "failed"])
        .await
        .expect(0)
        .says("would do: add_members");
    assert!(!desk.wrote());
    // The text is that of the run.
    assert_eq!(team.records_error("apply").await, planned);
    let listed = desk.on_file(&["events", "--failed", "--json"]).await;
    assert_eq!(listed.expect(0).json()["events"][0]["planned"], Value::Null);
    assert_eq!(actions(&team.explained(group).await), Vec::<&str>::new());
}

/// The members of a team that cannot get its new name still follow the group.
#[tokio::test]
async fn a_group_whose_team_cannot_be_renamed_shows_its_members() {
    let team = changed().await;
    let Team { desk, group, .. } = &team;
    desk.anypoint.world().add_team("Ops", None).unwrap();
    desk.okta.world().rename_group(group, "Ops").unwrap();
    let explained = team.explained(group).await;
    assert_eq!(
        explained["failure"]["code"], "team_name_taken",
        "{explained}"
    );
    assert_eq!(actions(&explained), ["add_members"]);
    assert_eq!(
        explained["doubts"][0]["finding"],
        format!("not_member:{}", team.users[0])
    );
    desk.on_file(&["push", group]).await.expect(1);
    let world = desk.anypoint.world();
    let members = world.members_of(&world.team_by_name("Devs").unwrap().id);
    assert_eq!(members, ["ben", "cat"]);
}

/// Without a team, nobody can be added.
#[tokio::test]
async fn a_group_that_gets_no_team_adds_nobody() {
    let desk = Desk::new().await;
    let user = desk.assigned("ann", "ann");
    desk.on_file(&["push", &user]).await.expect(0);
    let group = desk.pushed_group("Devs", &user);
    let parent = desk.anypoint.world().add_team("Parent", None).unwrap();
    let below = desk.anypoint.world().add_team("Devs", Some(&parent));
    below.unwrap();
    let team = Team {
        desk,
        group,
        users: vec![user],
    };
    let explained = team.explained(&team.group).await;
    assert_eq!(
        explained["failure"]["code"], "team_name_taken",
        "{explained}"
    );
    assert_eq!(actions(&explained), Vec::<&str>::new());
}

/// A user whose new app username is refused keeps the account, and the rest is done.
#[tokio::test]
async fn a_refused_username_is_shown_beside_the_other_steps() {
    let team = changed().await;
    let Team { desk, users, .. } = &team;
    let cat = &users[2];
    let mut okta = desk.okta.world();
    okta.set_app_username(APP, cat, "not valid!").unwrap();
    drop(okta);
    let explained = team.explained(cat).await;
    assert_eq!(actions(&explained), ["join_team"]);
    assert_eq!(
        explained["failure"]["code"], "username_invalid",
        "{explained}"
    );
    desk.on_file(&["explain", cat])
        .await
        .expect(1)
        .says("USERNAME_POLICY");
}

/// Dry runs of two users fail for one cause, and would do different things before.
#[tokio::test]
async fn dry_runs_with_one_cause_are_listed_together() {
    let team = changed().await;
    let Team { desk, users, .. } = &team;
    for user in &users[1..] {
        let mut okta = desk.okta.world();
        okta.set_app_username(APP, user, "not valid!").unwrap();
    }
    let file = desk.data.to_str().unwrap();
    let push = ["push", &users[1], &users[2], "--data", file];
    let pushed = desk.run_with(&[("CHANGES", "report")], &push).await;
    pushed.expect(1).says("would do: join_team");
    let push = ["push", &users[2], "--json", "--data", file];
    let pushed = desk.run_with(&[("CHANGES", "report")], &push).await;
    let step = pushed.expect(1).json()["results"][0]["planned"][0].clone();
    assert!(
        step.as_str()
            .is_some_and(|step| step.starts_with("join_team")),
        "{step}"
    );
    let listed = desk.on_file(&["events", "--failed", "--json"]).await;
    let listed = listed.expect(0).json();
    let groups = listed["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(groups[0]["count"], 3);
}
