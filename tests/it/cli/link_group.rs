//! A group and a team that is there under another name.

use serde_json::{Value, json};

use super::Desk;

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
async fn a_team_of_another_name_becomes_the_groups() {
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

    // Once more is the same.
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
    // Both are in the group's history, as the operator's; what changed nothing is not.
    let history = desk.on_file(&["history", &group, "--json"]).await.expect(0);
    let count = |word: &str| history.out.matches(word).count();
    assert_eq!(count("\"link_team\""), 1, "{}", history.out);
    assert_eq!(count("\"unlink_team\""), 1, "{}", history.out);
    assert_eq!(count("\"operator\""), 2, "{}", history.out);
    // The team is free again, and the group gets a team of its name.
    desk.on_file(&["push", &group]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.teams[&developers].name, "developers");
    assert!(world.team_by_name("Engineers").is_some());
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
            "Assign the group to the app".to_owned(),
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

    // Another team has the group's name, so the look could not rename this one.
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
