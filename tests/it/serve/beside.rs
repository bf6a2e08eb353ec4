//! Commands on the file while `serve` works on it, from a shell that lacks its settings.

use okta_anypoint::simulator::traffic::Fault;
use rusqlite::Connection;
use serde_json::Value;

use super::file::{command, ran, said};
use super::{APP, Remotes, Serve, eventually};

fn serve_with(remotes: &Remotes, settings: &[(&str, &str)]) -> Serve {
    let mut command = remotes.command(&["--catch-up-every", "off", "--reconcile-every", "off"]);
    command.envs(settings.iter().copied());
    Serve::start(command, remotes.folder.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_takes_missing_settings_from_serve() {
    let remotes = Remotes::start().await;
    let ada = remotes.user("ada");
    remotes.assign(&ada);

    let serve = serve_with(&remotes, &[("EXCLUDE_USERS", &ada)]);
    let (code, text) = ran(&remotes, &["push", &ada]);
    assert!(text.contains("EXCLUDE_USERS"), "{code} {text}");
    assert!(!remotes.has_account("ada"));
    serve.terminate();
    serve.ended().await;

    let serve = serve_with(&remotes, &[("CHANGES", "pause")]);
    let (code, text) = ran(&remotes, &["push", &ada]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("CHANGES=pause"), "{text}");
    assert!(!remotes.has_account("ada"));
    serve.terminate();
    serve.ended().await;

    // Without a running `serve`, only the shell's settings count.
    let (code, text) = ran(&remotes, &["push", &ada]);
    assert_eq!(code, 0, "{text}");
    assert!(remotes.has_account("ada"));
}

/// `doctor` and `status` judge by the settings that commands follow.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_takes_missing_settings_from_serve() {
    let remotes = Remotes::start().await;
    let ada = remotes.user("ada");
    let mut okta = remotes.okta.world();
    okta.assign_with_username(APP, &ada, "ada@acme.example")
        .unwrap();
    drop(okta);
    let settings = [("USERNAME_POLICY", "sanitize"), ("CHANGES", "report")];
    let serve = serve_with(&remotes, &settings);
    let (_, text) = ran(&remotes, &["doctor"]);
    assert!(text.contains("Anypoint accepts all of them"), "{text}");
    let started = "`serve` started with CHANGES=";
    assert!(!text.contains(started), "{text}");
    let (_, text) = ran(&remotes, &["status"]);
    assert!(!text.contains(started), "{text}");
    assert!(text.contains("a dry run (CHANGES=report)"), "{text}");

    // A shell that has the setting itself does not follow `serve`.
    let mut status = command(&remotes, &["status"]);
    let (_, text) = said(status.env("CHANGES", "apply").output().unwrap());
    let says = format!("{started}report, and commands here follow CHANGES=apply");
    assert!(text.contains(&says), "{text}");
    serve.terminate();
    serve.ended().await;
}

/// A message that used up its retries is not "retried by itself".
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_waits_for_a_person() {
    let remotes = Remotes::start().await;
    let fault = Fault::status("/users", 500, "{}");
    remotes.anypoint.traffic().inject(fault);
    let serve = remotes.serve_deliveries_only();
    let ada = remotes.user("ada");
    assert_eq!(
        remotes.deliver(&serve, &remotes.assign(&ada)).await,
        Some(204)
    );
    let file = Connection::open(remotes.data()).unwrap();
    let failed = || {
        let sql =
            "SELECT COUNT(*) FROM events WHERE status = 'failed' AND error_class = 'retryable'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1
    };
    eventually("the change fails", failed).await;
    let next = || {
        let (_, text) = ran(&remotes, &["events", "--failed", "--json"]);
        let listed: Value = serde_json::from_str(&text).unwrap();
        listed["groups"][0]["next"].clone()
    };
    assert_eq!(next(), "retry");
    file.execute("UPDATE messages SET dead = 1", []).unwrap();
    assert_eq!(next(), "dead_letter");
    let (_, text) = ran(&remotes, &["events", "--failed"]);
    assert!(text.contains("waits for you"), "{text}");
    let (_, text) = ran(&remotes, &["status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["dead_letters"], 1);
    let (code, text) = ran(&remotes, &["doctor"]);
    assert_eq!(code, 1);
    assert!(text.contains("FAILED   dead letters: 1 user"), "{text}");
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(page.contains("1 person waits for you"), "{page}");
}
