//! What commands print: no terminal escapes, logs in the chosen format, settings from a file.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{APP, Desk, HOOK_SECRET, run};

#[tokio::test(flavor = "multi_thread")]
async fn escape_sequences_in_names_reach_no_terminal() {
    let desk = Desk::new().await;
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m\u{202e}Lin";
    let user = desk.assigned("lin", "lin_example");
    {
        let mut okta = desk.okta.world();
        okta.update_profile(&user, &[("firstName", evil.into())])
            .unwrap();
        okta.apps.get_mut(APP).unwrap().label = evil.to_owned();
        okta.create_group(&format!("Group {evil}")).unwrap();
    }
    let group = desk.pushed_group(&format!("Pushed {evil}"), &user);
    for arguments in [
        &["explain", &user][..],
        &["explain", &group],
        &["plan"],
        &["push", &user],
        &["push", &group],
        &["events"],
        &["doctor"],
        &["explain", evil],
    ] {
        for json in [false, true] {
            let mut arguments = arguments.to_vec();
            if json {
                arguments.push("--json");
            }
            let ran = desk.on_file(&arguments).await;
            let said = ran.out.clone() + &ran.err;
            let acts = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
            let found: Vec<char> = said.chars().filter(acts).collect();
            assert!(found.is_empty(), "{arguments:?} prints {found:?}: {said}");
            if json && !ran.out.is_empty() {
                assert!(
                    serde_json::from_str::<Value>(&ran.out).is_ok(),
                    "{}",
                    ran.out
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_come_from_a_named_file_only() {
    let desk = Desk::new().await;
    let file = desk.data.with_file_name("settings.env");
    let mut text = String::from("# settings\n");
    for (name, value) in &desk.environment {
        text.push_str(&format!("{name}=\"{value}\"\n"));
    }
    text.push_str(&format!("DATA_FILE={}\n", desk.data.display()));
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = file.to_str().unwrap();
    let nothing = BTreeMap::new();

    let ran = run(&nothing, &["plan", "--env-file", path]).await.expect(0);
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    // The file may also name the database file of commands that work on nothing else.
    for command in ["pause", "status", "resume"] {
        run(&nothing, &[command, "--env-file", path])
            .await
            .expect(0);
        let ran = run(&nothing, &[command]).await.expect(2);
        ran.says("--data").says("DATA_FILE");
    }
    // A file that only lies in the folder is ignored.
    let beside = desk.data.with_file_name(".env");
    std::fs::copy(&file, beside).unwrap();
    run(&nothing, &["plan"])
        .await
        .expect(2)
        .says("OKTA_ORG_URL is missing");
    // A variable of the environment wins.
    let other = BTreeMap::from([("OKTA_API_TOKEN".to_owned(), "stale".to_owned())]);
    let ran = run(&other, &["--env-file", path, "plan"]).await.expect(1);
    assert!(ran.err.contains("OKTA_API_TOKEN"), "{}", ran.err);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(&nothing, &["plan", "--env-file", path]).await.expect(0);
    assert!(ran.err.contains("chmod 600"), "{}", ran.err);
    std::fs::write(&file, format!("{HOOK_SECRET}\n")).unwrap();
    let ran = run(&nothing, &["plan", "--env-file", path]).await.expect(2);
    assert!(
        ran.err.contains("line 1") && !ran.err.contains(HOOK_SECRET),
        "{}",
        ran.err
    );
    run(&nothing, &["plan", "--env-file", "/nowhere.env"])
        .await
        .expect(2)
        .says("cannot be read");
}

#[tokio::test]
async fn manual_pages_are_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    run(&BTreeMap::new(), &["man", folder.path().to_str().unwrap()])
        .await
        .expect(0);
    for page in [
        "okta-anypoint.1",
        "okta-anypoint-serve.1",
        "okta-anypoint-hook-register.1",
    ] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}: {text}");
    }
}

#[tokio::test]
async fn logs_are_text_or_json_and_an_unknown_format_is_refused() {
    let desk = Desk::new().await;
    desk.assigned("lin", "no spaces allowed");
    desk.run_with(
        &[("LOG_FORMAT", "yaml")],
        &["plan", "--data", desk.data.to_str().unwrap()],
    )
    .await
    .expect(2)
    .says("LOG_FORMAT");
    let user = desk.assigned("kay", "kay_example");
    for (format, json) in [("json", true), ("text", false), ("", false)] {
        let file = desk.data.to_str().unwrap();
        let level = [("LOG_FORMAT", format), ("RUST_LOG", "info")];
        let ran = desk
            .run_with(&level, &["push", &user, "--data", file])
            .await
            .expect(0);
        let lines: Vec<&str> = ran
            .err
            .lines()
            .filter(|line| line.contains("INFO"))
            .collect();
        assert!(!lines.is_empty(), "{}", ran.err);
        for line in lines {
            let read: Result<Value, _> = serde_json::from_str(line);
            assert_eq!(read.is_ok(), json, "LOG_FORMAT={format}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_fit_eighty_columns_without_cutting_ids() {
    let desk = Desk::new().await;
    let users: Vec<String> = (0..23).map(|n| desk.user(&format!("user{n}"))).collect();
    let mut push = vec!["push"];
    push.extend(users.iter().map(String::as_str));
    desk.on_file(&push).await.expect(0);

    let all = desk.on_file(&["events", "--json"]).await.expect(0).json();
    let all = all["events"].as_array().unwrap().clone();
    assert_eq!(all.len(), 23);
    let ran = desk.on_file(&["events"]).await.expect(0);
    let shown = all
        .iter()
        .filter(|event| ran.out.contains(event["id"].as_str().unwrap()));
    assert_eq!(shown.count(), 20);
    assert!(ran.out.contains("20 of 23"), "{}", ran.out);
    for line in ran.out.lines() {
        assert!(line.trim_end().chars().count() <= 80, "{line}");
    }
    desk.on_file(&["events", "--limit", "30", "--wide"])
        .await
        .expect(0)
        .says(all[22]["id"].as_str().unwrap())
        .says("reconcile");
}
