//! How people name users and groups.

use okta_anypoint::simulator::traffic::Fault;

use super::Desk;

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
