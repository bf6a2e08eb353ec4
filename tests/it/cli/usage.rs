use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Desk, run};

#[tokio::test]
async fn wrong_usage_and_wrong_settings_exit_with_2() {
    let nothing = Default::default();
    run(&nothing, &[]).await.expect(2);
    run(&nothing, &["no-such-command"]).await.expect(2);
    run(&nothing, &["explain"]).await.expect(2);
    for wrong in [
        &["--json"][..],
        &["no-such-command", "--json"],
        &["--json", "explain"],
        &["events", "--json", "--no-such-option"],
        &["--json", "hook", "register", "--url", "ftp://x"],
        &["events", "--json=true"],
        &["--json=no", "events"],
        &["--jso", "events"],
        &["events", "--jsonl"],
    ] {
        let error = run(&nothing, wrong).await.expect(2).json();
        let text = error["error"].as_str().unwrap();
        assert!(!text.is_empty() && !text.starts_with("error"), "{text}");
    }
    // The message quotes a wrong word without terminal escapes.
    let ran = run(&nothing, &["--json", "\u{1b}[2Jno\rsuch"])
        .await
        .expect(2);
    assert!(!ran.err.contains(['\u{1b}', '\r']), "{}", ran.err);
    assert!(ran.err.contains("no\\u000dsuch"), "{}", ran.err);
    // Anything after `--` is a name.
    let ran = run(&nothing, &["explain", "--no-such-option", "--", "--json"]).await;
    assert_eq!(ran.expect(2).out, "");
    assert!(
        run(&nothing, &["--json", "--help"])
            .await
            .expect(0)
            .out
            .contains("Usage")
    );
    // The message names all missing settings at once.
    run(&nothing, &["explain", "00uSOMEBODY00001"])
        .await
        .expect(2)
        .says("OKTA_ORG_URL is missing")
        .says("ANYPOINT_CLIENT_SECRET is missing")
        .says("TABLE_NAME is missing");
    let desk = Desk::new().await;
    for command in [
        &["events"][..],
        &["plan"],
        &["replay", "uuid"],
        &["link", "00uSOMEBODY00001", "somebody"],
    ] {
        let mut missing = command.to_vec();
        missing.extend(["--data", "/no/such/file.db"]);
        desk.run(&missing)
            .await
            .expect(2)
            .says("there is no file /no/such/file.db");
    }
    assert!(!std::path::Path::new("/no/such").exists());
}

/// If it counted as unset, an exclusion would exclude nobody.
#[tokio::test]
async fn a_variable_that_is_not_utf_8_is_named() {
    let desk = Desk::new().await;
    let mut command = Command::new(super::PROGRAM);
    command
        .args(["push", "somebody", "--data"])
        .arg(&desk.data)
        .env_clear()
        .envs(&desk.environment)
        .env(
            "EXCLUDE_USERS",
            OsStr::from_bytes(b"m\xfcller@acme.example"),
        );
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    let ran = ran.unwrap().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("EXCLUDE_USERS has a"), "{said}");
    assert!(said.contains("broken UTF-8"), "{said}");
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_a_path() {
    let desk = Desk::new().await;
    let beside = |name: &[u8]| desk.data.with_file_name(OsStr::from_bytes(name));
    let (data, copy) = (beside(b"d\xfcta.db"), beside(b"c\xfcpy.db"));
    std::fs::copy(&desk.data, &data).unwrap();
    for command in ["backup", "restore"] {
        let mut ran = Command::new(super::PROGRAM);
        ran.args([command, "--json", "--data"])
            .arg(&data)
            .arg(&copy);
        let ran = ran.env_clear().output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(0), "{command}: {said}");
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(
            said["copy"].as_str().unwrap().ends_with("c\u{fffd}py.db"),
            "{said}"
        );
        assert!(
            said["data"].as_str().unwrap().ends_with("d\u{fffd}ta.db"),
            "{said}"
        );
    }
}

/// The reader of standard error may end before the command does.
#[tokio::test]
async fn a_closed_standard_error_changes_no_exit_code() {
    let desk = Desk::new().await;
    let data = desk.data.to_str().unwrap();
    for arguments in [
        &["replay", "nope", "--data", data, "--json"][..],
        &["status", "--json"],
        &["explain", "somebody", "--json"],
        &["no\u{1b}such", "--json"],
        &["explain", "--json"],
        &[
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--status",
            "127.0.0.1:0",
        ],
    ] {
        let ran = |stderr: Stdio| {
            let mut command = Command::new(super::PROGRAM);
            command.args(arguments).env_clear();
            if arguments[0] == "replay" {
                command.envs(&desk.environment);
            }
            let output = command.stderr(stderr).stdin(Stdio::null()).output();
            let output = output.unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stdout).unwrap(),
            )
        };
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let (code, out) = ran(closed.into());
        assert_eq!((code, out.clone()), ran(Stdio::null()));
        let said: Value = serde_json::from_str(&out).unwrap();
        assert!(said["error"].is_string(), "{arguments:?}: {said}");
    }
}

/// An empty setting counts as unset, too.
#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let desk = Desk::new().await;
    for empty in ["", " "] {
        let set = [("DATA_FILE", empty)];
        desk.run_with(&set, &["events"])
            .await
            .expect(2)
            .says("TABLE_NAME is missing");
        desk.run_with(&set, &["events", "--data", desk.data.to_str().unwrap()])
            .await
            .expect(0);
        // The default applies if there is one. Otherwise the message asks for the option.
        desk.run_with(&set, &["backup", "/no/such/folder/copy.db"])
            .await
            .says("okta-anypoint.db");
        desk.run_with(&set, &["status"])
            .await
            .expect(2)
            .says("--data FILE")
            .says("DATA_FILE");
    }
    let data = desk.data.to_str().unwrap();
    let set = [("DATA_FILE", data)];
    desk.run_with(&set, &["events"]).await.expect(0);
}

#[tokio::test]
async fn reconcile_says_that_the_report_mode_is_for_scheduled_runs() {
    run(&Default::default(), &["reconcile", "--help"])
        .await
        .expect(0)
        .says("RECONCILE_MODE=report");
}

#[tokio::test]
async fn failures_are_printed_as_json_too() {
    let desk = Desk::new().await;
    let ran = desk
        .on_file(&["explain", "nobody@acme.example", "--json"])
        .await;
    assert!(ran.expect(2).json()["error"].is_string());
    let ran = desk
        .run_with(
            &[("OKTA_API_TOKEN", "stale")],
            &[
                "push",
                "somebody",
                "--json",
                "--data",
                desk.data.to_str().unwrap(),
            ],
        )
        .await
        .expect(1);
    let error = ran.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("OKTA_API_TOKEN"), "{error}");
}

#[tokio::test]
async fn every_shell_gets_completions_and_help_has_examples() {
    let nothing = Default::default();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        run(&nothing, &["completions", shell])
            .await
            .expect(0)
            .says("reset-email");
    }
    run(&nothing, &["completions", "tcsh"]).await.expect(2);
    run(&nothing, &["--help"])
        .await
        .expect(0)
        .says("Exit codes");
    run(&nothing, &["explain", "--help"])
        .await
        .expect(0)
        .says("Examples:");
    run(&nothing, &["simulate", "--help"])
        .await
        .expect(0)
        .says("curl");
}
