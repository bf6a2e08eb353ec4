//! How people name users and groups.

use okta_anypoint::simulator::okta::NewUser;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::json;

use super::{APP, Desk};

#[tokio::test]
async fn a_name_that_is_no_valid_login_can_name_a_group() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let group = desk.pushed_group("Eng/Backend", &user);
    let explained = desk.on_file(&["explain", "Eng/Backend", "--json"]).await;
    assert_eq!(
        explained.expect(0).json()["subject"],
        format!("group#{group}")
    );
    for command in [&["push", "eng/backend"][..], &["history", "Eng/Backend"]] {
        desk.on_file(command).await.expect(0).says(&group);
    }
    let group = desk.pushed_group("Eng Frontend", &user);
    // Okta's own servers and its gateways answer differently.
    for status in [400, 404] {
        let fault = Fault::status("/api/v1/users/Eng", status, "<html>");
        desk.okta.traffic().inject(fault);
        let explained = desk.on_file(&["explain", "Eng Frontend", "--json"]).await;
        assert_eq!(
            explained.expect(0).json()["subject"],
            format!("group#{group}")
        );
        desk.okta.traffic().remove_all_faults();
    }
    // Without an answer, the command cannot know whether the name is unique.
    let fault = Fault::status("/api/v1/users/Eng", 403, "{}");
    desk.okta.traffic().inject(fault);
    desk.on_file(&["explain", "Eng Frontend"]).await.expect(1);
    desk.okta.traffic().remove_all_faults();

    // Nothing has this name.
    desk.on_file(&["explain", "a/b"])
        .await
        .expect(2)
        .says("Okta knows no user or group");
}

/// Okta reads such a login by no address.
#[tokio::test]
async fn a_login_with_a_slash_names_its_user() {
    let desk = Desk::new().await;
    let user = desk.user("lin/one?x");
    let login = "Lin/One?x@acme.example";
    let explained = desk.on_file(&["explain", login, "--json"]).await;
    assert_eq!(
        explained.expect(0).json()["subject"],
        format!("user#{user}")
    );
}

#[tokio::test]
async fn an_empty_or_dotted_name_is_wrong_usage() {
    let desk = Desk::new().await;
    desk.wrote();
    for name in ["", " ", ".", ".."] {
        for command in [
            &["explain", name][..],
            &["push", name],
            &["history", name],
            &["events", "--subject", name],
            &["unlink", name],
            &["unlink-group", name],
            &["reset-email", name],
            &["approve", name],
            &["link", name, "somebody"],
            &["link", "00uSOMEBODY00001", name],
            &["link-group", name, "Engineers"],
            &["link-group", "00gSOMETHING0001", name],
        ] {
            desk.on_file(command).await.expect(2).says("name");
        }
    }
    assert_eq!(desk.okta.traffic().log().len(), 0);
    assert_eq!(desk.anypoint.traffic().log().len(), 0);
}

#[tokio::test]
async fn a_push_of_an_unknown_id_fails() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    for (id, said) in [
        ("00uUNKNOWN000001", "Okta has no such user"),
        ("00gUNKNOWN000001", "Okta has no such group"),
    ] {
        desk.on_file(&["push", id]).await.expect(1).says(said);
        let pushed = desk.on_file(&["push", id, &user, "--json"]).await.expect(1);
        assert_eq!(pushed.json()["results"][0]["status"], "not_found");
        assert_eq!(pushed.json()["results"][1]["status"], "done");
    }
    // The link still identifies a user who was deleted in Okta.
    desk.okta.world().delete_user(&user).unwrap();
    desk.on_file(&["push", &user]).await.expect(0).says("done");
    assert!(
        desk.on_file(&["push", &user])
            .await
            .expect(0)
            .out
            .contains("done")
    );
}

#[tokio::test]
async fn a_name_must_be_unique() {
    let desk = Desk::new().await;
    let user = desk.assigned("ops", "ops_person");
    let group = desk.pushed_group("ops", &user);
    desk.on_file(&["explain", "ops"])
        .await
        .expect(2)
        .says(&user)
        .says(&group);
    desk.on_file(&["push", "ops"]).await.expect(2).says(&group);
    assert!(!desk.wrote());
    for name in ["ops@acme.example", "ops_person", "OPS_PERSON", &user] {
        let explained = desk.on_file(&["explain", name, "--json"]).await.expect(0);
        assert_eq!(explained.json()["subject"], format!("user#{user}"));
    }
    // The command needs a user, so the group does not count.
    desk.on_file(&["unlink", "ops"]).await.expect(0);
}

/// Okta also finds a user by the part of the login before the `@`, and the token's owner by `me`.
#[tokio::test]
async fn what_okta_finds_by_a_name_is_not_yet_the_only_one() {
    let desk = Desk::new().await;
    let grace = desk.assigned("grace", "grace_hopper");
    let other = desk.assigned("other", "Grace");
    for command in [
        &["explain", "grace"][..],
        &["push", "grace"],
        &["link", "grace", "grace_hopper"],
        &["reset-email", "GRACE"],
    ] {
        let ran = desk.on_file(command).await.expect(2);
        ran.says("not unique").says(&grace).says(&other);
    }
    assert!(!desk.wrote());
    // The whole login is unique, and nobody's assignment is read for it.
    desk.forget_traffic();
    let named = subject(&desk, "Grace@acme.example").await;
    assert_eq!(named, format!("user#{grace}"));
    let log = desk.okta.traffic().log();
    let is_list = |path: &str| path.split('?').next().unwrap().ends_with("/users");
    assert!(!log.iter().any(|call| is_list(&call.path)), "{log:?}");

    let user = desk.user("ops");
    assert_eq!(subject(&desk, "ops").await, format!("user#{user}"));
    desk.on_file(&["explain", "me"])
        .await
        .expect(2)
        .says("Okta knows no user or group");
    let me = desk.assigned("my", "me");
    assert_eq!(subject(&desk, "me").await, format!("user#{me}"));
}

#[tokio::test]
async fn a_group_and_a_link_are_not_yet_the_only_ones_either() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    let group = desk.pushed_group("Ada", &lin);
    let ada = desk.assigned("lovelace", "ada");
    let ran = desk.on_file(&["explain", "ada"]).await.expect(2);
    ran.says(&group).says(&ada);

    // Okta gave the username of a link to somebody else.
    desk.on_file(&["push", &lin]).await.expect(0);
    assert_eq!(subject(&desk, "lin_example").await, format!("user#{lin}"));
    let mut okta = desk.okta.world();
    okta.set_app_username(APP, &lin, "lin_former").unwrap();
    drop(okta);
    let kim = desk.assigned("kim", "lin_example");
    let ran = desk.on_file(&["explain", "lin_example"]).await.expect(2);
    ran.says(&lin).says(&kim);

    // An assignment that ended keeps its name, until somebody else has it.
    desk.okta.world().delete_group(&group).unwrap();
    let path = format!("/api/v1/apps/{APP}/users");
    let ended = Fault::changed(&path, Some(&ada), "/status", json!("INACTIVE"));
    desk.okta.traffic().inject(ended);
    assert_eq!(subject(&desk, "ada").await, format!("user#{ada}"));
    let next = desk.assigned("byron", "ada");
    assert_eq!(subject(&desk, "ada").await, format!("user#{next}"));
}

#[tokio::test]
async fn a_short_id_is_looked_up_as_a_name_too() {
    let desk = Desk::new().await;
    let group = |id: &str, name: &str| {
        let profile = serde_json::from_value(json!({"name": name})).unwrap();
        let mut okta = desk.okta.world();
        okta.create_group_from(Some(id), profile).unwrap();
    };
    group("00gdevs", "Developers");
    group("00gA12345678", "00gardeners-emea");
    group("00gB12345678", "00gnomes");
    for (name, id) in [
        ("00gdevs", "00gdevs"),
        ("00gardeners-emea", "00gA12345678"),
        ("00gnomes", "00gB12345678"),
        ("00gardeners", "00gardeners"),
    ] {
        assert_eq!(subject(&desk, name).await, format!("group#{id}"), "{name}");
    }
    let user = desk.assigned("00ubert", "bert_example");
    assert_eq!(subject(&desk, "00ubert").await, format!("user#{user}"));
    desk.on_file(&["unlink-group", "00gnomes"])
        .await
        .says("00gB12345678");

    // An id that Okta does not know (any more) is one all the same.
    for (id, said) in [
        ("00ugone", "Okta has no such user"),
        ("00ggone", "Okta has no such group"),
    ] {
        desk.on_file(&["push", id]).await.expect(1).says(said);
    }
    desk.on_file(&["unlink-group", "00gdevils"])
        .await
        .says("00gdevils");
    desk.on_file(&["unlink-group", "00gdevils-emea"])
        .await
        .expect(2)
        .says("Okta knows no group");

    // Of an id that is also a name, the message shows the form that is always an id.
    group("00gC12345678", "00gdevs");
    let ran = desk.on_file(&["explain", "00gdevs"]).await.expect(2);
    ran.says("group#00gC12345678, group#00gdevs");
    assert_eq!(subject(&desk, "group#00gdevs").await, "group#00gdevs");

    // The table alone answers for an id.
    desk.forget_traffic();
    desk.on_file(&["history", "00gnomes"]).await.expect(0);
    desk.on_file(&["events", "--subject", "00ugone"])
        .await
        .expect(0);
    assert_eq!(desk.okta.traffic().log().len(), 0);
}

/// Okta's own ids have letters and digits only. An id counts all the same if Okta knows it.
#[tokio::test]
async fn an_id_with_a_dash_or_an_underscore_names_what_okta_has_under_it() {
    let desk = Desk::new().await;
    let profile = |name: &str| serde_json::from_value(json!({"name": name})).unwrap();
    let mut okta = desk.okta.world();
    okta.create_group_from(Some("00gdevs-emea_1"), profile("Developers"))
        .unwrap();
    let lin = "lin@acme.example";
    okta.create_user_from(NewUser {
        id: Some("00ulin-1_x".to_owned()),
        ..NewUser::active(lin, "Given", "Family", lin, None)
    })
    .unwrap();
    drop(okta);
    assert_eq!(
        subject(&desk, "00gdevs-emea_1").await,
        "group#00gdevs-emea_1"
    );
    assert_eq!(subject(&desk, "00ulin-1_x").await, "user#00ulin-1_x");
}

/// The list of everybody is read once for all names of a command.
#[tokio::test]
async fn a_command_reads_the_apps_users_once() {
    let desk = Desk::new().await;
    for name in ["lin", "kim", "bob"] {
        desk.assigned(name, &format!("{name}_example"));
    }
    desk.forget_traffic();
    let names = ["push", "lin_example", "kim_example", "bob_example"];
    desk.on_file(&names).await.expect(0);
    let list = format!("/api/v1/apps/{APP}/users");
    let is_list = |call: &String| call.split('?').next().unwrap().ends_with(&list);
    let lists = desk.calls().into_iter().filter(is_list).count();
    assert_eq!(lists, 1);

    let down = Fault::status(&format!("/apps/{APP}/users"), 403, "{}");
    desk.okta.traffic().inject(down.times(u32::MAX));
    let refused = desk.on_file(&["push", "kim_example"]).await.expect(1);
    refused.says("name it by its id");
}

#[tokio::test]
async fn a_sanitized_username_names_its_user() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin one");
    let file = desk.data.to_str().unwrap();
    let sanitize = [("USERNAME_POLICY", "sanitize")];
    for name in ["lin_one", "lin one"] {
        let explain = ["explain", name, "--json", "--data", file];
        let explained = desk.run_with(&sanitize, &explain).await.expect(0);
        assert_eq!(explained.json()["subject"], format!("user#{lin}"));
    }
    desk.on_file(&["explain", "lin_one"]).await.expect(2);
}

/// The subject that a name stands for.
async fn subject(desk: &Desk, name: &str) -> String {
    let explained = desk.on_file(&["explain", name, "--json"]).await;
    explained.json()["subject"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
