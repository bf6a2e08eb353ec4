//! No command changes anything at Anypoint for excluded users and groups.

use super::{APP, Desk};

const EXCLUDED: [(&str, &str); 2] = [("EXCLUDE_USERS", "lin@*"), ("EXCLUDE_GROUPS", "engin*")];

/// A desk with one user, who is in sync.
async fn desk() -> (Desk, String) {
    let mut desk = Desk::new().await;
    let limit = ("MAX_REMOVALS_PER_HOUR".to_owned(), "0".to_owned());
    let file = ("DATA_FILE".to_owned(), desk.data.display().to_string());
    desk.environment.extend([limit, file]);
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    (desk, user)
}

#[tokio::test]
async fn commands_that_write_or_link_refuse_excluded_subjects() {
    let (desk, user) = desk().await;
    let group = desk.pushed_group("Engineers", &user);
    desk.on_file(&["push", &group]).await.expect(0);
    desk.wrote();
    for command in [
        &["reset-email", &user][..],
        &["reset-email", "lin_example"],
        &["link", &user, "lin_example"],
        &["link-group", &group, "Engineers"],
        &["push", &user],
        &["push", "Engineers"],
    ] {
        let setting = match command[0] {
            "link-group" => "EXCLUDE_GROUPS",
            _ if command[1] == "Engineers" => "EXCLUDE_GROUPS",
            _ => "EXCLUDE_USERS",
        };
        let ran = desk.run_with(&EXCLUDED, command).await;
        ran.expect(1).says(setting);
    }
    assert!(!desk.wrote());
    assert_eq!(desk.anypoint.world().mails.len(), 1);

    // Links belong to this program, so the operator can unlink excluded subjects.
    for command in [&["unlink", &user][..], &["unlink-group", &group]] {
        desk.run_with(&EXCLUDED, command)
            .await
            .expect(0)
            .says("are unlinked");
    }
    assert!(!desk.wrote());
}

#[tokio::test]
async fn explain_omits_empty_sections() {
    let (desk, user) = desk().await;
    let explained = desk.run_with(&EXCLUDED, &["explain", &user]).await;
    let explained = explained.expect(0).says("\nLink\n");
    assert!(!explained.out.contains("Anypoint\n"), "{}", explained.out);
}

#[tokio::test]
async fn approve_and_replay_do_not_report_an_excluded_subject_as_done() {
    let (desk, user) = desk().await;
    desk.okta.world().unassign(APP, &user).unwrap();
    let held = desk.on_file(&["push", &user, "--json"]).await.expect(1);
    let uuid = held.json()["results"][0]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    desk.wrote();
    for command in [
        &["approve", &user][..],
        &["approve", "--all"],
        &["replay", &uuid],
    ] {
        let ran = desk.run_with(&EXCLUDED, command).await.expect(1);
        let ran = ran.says("excluded by EXCLUDE_USERS");
        ran.says(&format!("okta-anypoint dismiss {uuid}"));
        let json = [command, &["--json"]].concat();
        let ran = desk.run_with(&EXCLUDED, &json).await.expect(1).json();
        assert_eq!(ran["results"][0]["status"], "excluded");
        assert_eq!(ran["results"][0]["uuid"], uuid);
    }
    assert!(!desk.wrote());
    desk.run_with(&EXCLUDED, &["dismiss", &uuid])
        .await
        .expect(0);
    desk.on_file(&["held"])
        .await
        .expect(0)
        .says("holds nothing");
}
