//! A group, and an existing team with another name.

use serde_json::{Value, json};

use super::{APP, Desk};

/// A desk with a pushed group "Engineers" that has one member.
async fn desk() -> (Desk, String) {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &lin]).await.expect(0);
    let group = desk.pushed_group("Engineers", &lin);
    desk.wrote();
    (desk, group)
}

fn team(desk: &Desk, name: &str, parent: Option<&str>) -> String {
    desk.anypoint.world().add_team(name, parent).unwrap()
}

#[tokio::test]
async fn a_team_of_another_name_is_linked_to_the_group() {
    let (desk, group) = desk().await;
    let developers = team(&desk, "developers", None);
    let linked = desk
        .on_file(&["link-group", "engineers", "Developers"])
        .await
        .expect(0)
        .says(&format!(
            "The next look renames team {developers} from \"developers\" to \"Engineers\"."
        ))
        .says(&format!("push {group}"))
        .says("rename team");
    let (renames, is_linked) = (linked.out.find("renames"), linked.out.find("are linked"));
    assert!(renames < is_linked, "said too late: {}", linked.out);
    assert!(!desk.wrote(), "link-group changed a side");

    // Repeating it changes nothing.
    let again = desk
        .on_file(&["link-group", &group, &developers, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(again["team_id"], developers);
    assert_eq!(again["next_name"], "Engineers");
    assert_eq!(again["actions"][0]["action"], "rename_team");

    desk.on_file(&["push", &group]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.teams[&developers].name, "Engineers");
    assert_eq!(world.members_of(&developers), ["lin_example"]);
}

#[tokio::test]
async fn unlinking_changes_neither_side() {
    let (desk, group) = desk().await;
    let developers = team(&desk, "developers", None);
    desk.on_file(&["link-group", &group, &developers])
        .await
        .expect(0);
    let unlinked = desk
        .on_file(&["unlink-group", "Engineers", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        unlinked["unlinked"],
        json!({"team_id": developers, "team_name": "developers", "origin": "adopted"})
    );
    assert!(!desk.wrote());
    desk.on_file(&["unlink-group", &group])
        .await
        .expect(0)
        .says("was not linked");
    // The group's history has both as operator actions. The repetition that changed nothing is not in it.
    let history = desk.on_file(&["history", &group, "--json"]).await.expect(0);
    let count = |word: &str| history.out.matches(word).count();
    assert_eq!(count("\"link_team\""), 1, "{}", history.out);
    assert_eq!(count("\"unlink_team\""), 1, "{}", history.out);
    assert_eq!(count("\"operator\""), 2, "{}", history.out);
    // The team is free again, and the group gets a team with its own name.
    desk.on_file(&["push", &group]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.teams[&developers].name, "developers");
    assert!(world.team_by_name("Engineers").is_some());
}

/// The commands that a text names, in order.
fn commands_in(text: &str) -> Vec<Vec<&str>> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|command| command.strip_prefix("okta-anypoint "))
        .map(|command| command.split(' ').collect())
        .collect()
}

/// A refused pairing, and the commands that its advice names. The last one is `resume`.
async fn refused(desk: &Desk, group: &str, team: &str) -> String {
    let refused = desk.on_file(&["link-group", group, team]).await.expect(1);
    refused.err
}

/// Whether an event would cause a look now.
async fn is_paused(desk: &Desk) -> bool {
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    status["paused_since"].is_string()
}

#[tokio::test]
async fn the_advice_pairs_a_group_that_is_not_selected() {
    let desk = Desk::new().await;
    let group = desk.okta.world().create_group("Sales").unwrap().id;
    let people = team(&desk, "Sales People", None);
    let advice = refused(&desk, "Sales", "Sales People").await;
    let commands = commands_in(&advice);
    let [pause, resume] = commands.as_slice() else {
        panic!("{advice}");
    };
    desk.on_file(pause).await.expect(0);
    assert!(is_paused(&desk).await);
    assert!(advice.contains("assign the group to the app"), "{advice}");
    desk.okta.world().assign_group(APP, &group).unwrap();
    assert!(advice.contains("repeat this command"), "{advice}");
    desk.on_file(&["link-group", "Sales", "Sales People"])
        .await
        .expect(0);
    desk.on_file(resume).await.expect(0);
    assert!(!is_paused(&desk).await);
    desk.on_file(&["push", &group]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.teams[&people].name, "Sales");

    drop(world);
    let other = desk.okta.world().create_group("Legal").unwrap().id;
    let data = desk.data.to_str().unwrap();
    let link = ["link-group", &other, "Sales", "--data", data];
    desk.run_with(&[("PUSH_GROUPS", "name:S*")], &link)
        .await
        .expect(1)
        .says("select the group with PUSH_GROUPS, repeat this command");
}

#[tokio::test]
async fn the_advice_replaces_the_team_that_was_made_for_the_group() {
    for deletes in [true, false] {
        let (desk, group) = desk().await;
        desk.on_file(&["push", &group]).await.expect(0);
        let own = {
            let world = desk.anypoint.world();
            world.team_by_name("Engineers").unwrap().id.clone()
        };
        let developers = team(&desk, "developers", None);
        let gives_way = || {
            let mut world = desk.anypoint.world();
            if deletes {
                world.delete_team(&own).unwrap();
            } else {
                world.rename_team(&own, "Engineers old").unwrap();
            }
        };
        let advice = refused(&desk, "Engineers", "developers").await;
        let commands = commands_in(&advice);
        let [pause, unlink, resume] = commands.as_slice() else {
            panic!("{advice}");
        };
        assert!(
            advice.contains(&format!("delete or rename team {own} in Anypoint")),
            "{advice}"
        );
        desk.on_file(pause).await.expect(0);
        desk.on_file(unlink).await.expect(0);
        // The command reminds an operator who forgets the team.
        let forgot = refused(&desk, "Engineers", "developers").await;
        assert!(
            forgot.contains(&format!("rename or delete team {own} in Anypoint")),
            "{forgot}"
        );
        gives_way();
        desk.on_file(&["link-group", "Engineers", "developers"])
            .await
            .expect(0);
        desk.on_file(resume).await.expect(0);
        desk.on_file(&["push", &group]).await.expect(0);
        let world = desk.anypoint.world();
        assert_eq!(world.teams[&developers].name, "Engineers");
        assert_eq!(world.members_of(&developers), ["lin_example"]);
        assert_eq!(world.teams.contains_key(&own), !deletes);
    }
}

#[tokio::test]
async fn the_advice_moves_a_team_from_one_group_to_another() {
    let (desk, group) = desk().await;
    let kim = desk.user("kim");
    let other = desk.pushed_group("Operators", &kim);
    desk.on_file(&["push", &other]).await.expect(0);
    let advice = refused(&desk, "Engineers", "Operators").await;
    let commands = commands_in(&advice);
    let [pause, unlink, resume] = commands.as_slice() else {
        panic!("{advice}");
    };
    assert_eq!(unlink.last(), Some(&&*other));
    desk.on_file(pause).await.expect(0);
    desk.on_file(unlink).await.expect(0);
    desk.on_file(&["link-group", "Engineers", "Operators"])
        .await
        .expect(0);
    desk.on_file(resume).await.expect(0);
    desk.on_file(&["push", &group, &other]).await.expect(0);
    let world = desk.anypoint.world();
    for name in ["Engineers", "Operators"] {
        assert!(world.team_by_name(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_pairing_that_cannot_last_is_refused() {
    let (desk, group) = desk().await;
    let kim = desk.user("kim");
    let other = desk.pushed_group("Operators", &kim);
    let unpushed = desk.okta.world().create_group("Friends").unwrap().id;
    let (root, root_name) = {
        let world = desk.anypoint.world();
        let root = world.root_team_id.clone();
        (root.clone(), world.teams[&root].name.clone())
    };
    let developers = team(&desk, "developers", None);
    let deep = team(&desk, "deep", Some(&developers));
    let free = team(&desk, "free", None);
    desk.on_file(&["link-group", &other, &free]).await.expect(0);

    let refused: [(&[&str], i32, String); 9] = [
        (&[&group, "nowhere"], 1, "has the id or name".to_owned()),
        (&[&group, &root], 1, "is a root team".to_owned()),
        (&[&group, &root_name], 1, "is a root team".to_owned()),
        (
            &[&group, &deep],
            1,
            "not directly below the root".to_owned(),
        ),
        (&[&group, "free"], 1, format!("unlink-group {other}")),
        (&[&other, "developers"], 1, format!("unlink-group {other}")),
        (
            &[&unpushed, "developers"],
            1,
            "assign the group to the app".to_owned(),
        ),
        (
            &["00gNEVERSEEN0001", "developers"],
            1,
            "does not exist".to_owned(),
        ),
        (
            &["Nobody", "developers"],
            2,
            "Okta knows no group".to_owned(),
        ),
    ];
    for (names, code, said) in refused {
        let arguments: Vec<&str> = ["link-group"].iter().chain(names).copied().collect();
        desk.on_file(&arguments).await.expect(code).says(&said);
    }

    let excluded = [("EXCLUDE_GROUPS", "Engin*")];
    let data = desk.data.to_str().unwrap();
    desk.run_with(
        &excluded,
        &["link-group", &group, "developers", "--data", data],
    )
    .await
    .expect(1)
    .says("EXCLUDE_GROUPS names group");

    // Another team has the group's name, so a look could not rename this one.
    let taken = team(&desk, "engineers", None);
    let ran = desk
        .on_file(&["link-group", &group, "developers", "--json"])
        .await
        .expect(1)
        .json();
    let error = ran["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("team {taken} has the name")),
        "{error}"
    );
    assert!(!desk.wrote());
    let unlinked = desk
        .on_file(&["unlink-group", &group, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        unlinked["unlinked"],
        Value::Null,
        "a refused pairing was written"
    );
}
