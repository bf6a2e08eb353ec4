//! The output of the program at the highest log level, and its stored data beside the links, hold no personal data and
//! no secret, whatever the remotes answer.

use std::process::Command;

use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::telemetry::{start_logging, start_logging_for_people};
use rusqlite::Connection;

use super::{APP, Remotes, SECRET, Serve, eventually};
use crate::planted::check;

/// An answer that quotes a person, with the fields of both remotes.
const QUOTE: &str = r#"{"errorCode":"E0000001","errorSummary":"Xaveria Plantedname","message":
"xaveria@planted.example","id":["planted_user"],"profile":"planted-secret","data":"555 0199"}"#;

/// Every text of a table.
fn rows(file: &Connection, table: &str) -> String {
    let mut all = file.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = all.column_count();
    let mut text = String::new();
    let mut rows = all.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            text.push_str(&format!(
                "{:?} ",
                row.get_ref(column).unwrap().as_str_or_null()
            ));
        }
        text.push('\n');
    }
    text
}

fn answered(code: u16, body: &str) -> FaultKind {
    FaultKind::Status {
        code,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_level_shows_personal_data() {
    let remotes = Remotes::start().await;
    let every = [
        "--catch-up-every",
        "1s",
        "--reconcile-every",
        "1s",
        "--import-every",
        "1s",
    ];
    let mut command = remotes.command(&every);
    command
        .env("RUST_LOG", "trace")
        .env("DEFAULT_PHONE", "555 0199");
    let serve = Serve::start(command, remotes.folder.path());

    // The successful cases.
    let person = |name: &str| {
        let login = format!("{name}@planted.example");
        let mut okta = remotes.okta.world();
        let made = okta.create_user(&login, "Xaver", "Plantedname", &login, None);
        made.unwrap().id
    };
    let user = person("planted_user");
    let mut events = remotes.assign(&user);
    {
        let mut okta = remotes.okta.world();
        let renamed = [("firstName", "Xaverine".into())];
        events.extend(okta.update_profile(&user, &renamed).unwrap());
        let group = okta.create_group("Planted Group").unwrap();
        events.extend(group.events);
        events.extend(okta.add_member(&group.id, &user).unwrap());
        events.extend(okta.assign_group(APP, &group.id).unwrap());
    }
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("an account in a team", || {
        let anypoint = remotes.anypoint.world();
        let team = anypoint.team_by_name("Planted Group");
        team.is_some_and(|team| !anypoint.members_of(&team.id).is_empty())
    })
    .await;

    // Refusals and nonsense that quote the person, from every endpoint of both sides.
    let faults = [
        answered(400, QUOTE),
        answered(401, QUOTE),
        answered(403, QUOTE),
        answered(404, QUOTE),
        answered(409, QUOTE),
        answered(500, QUOTE),
        answered(200, QUOTE),
        answered(200, &QUOTE[..60]),
        answered(200, "<b>Xaveria Plantedname</b>"),
        FaultKind::TruncatedBody,
    ];
    let paths = [
        "/users",
        "/apps",
        "/groups",
        "/logs",
        "/teams",
        "/token",
        "/recover",
        "/api/",
        "/accounts/",
    ];
    for (number, kind) in faults.iter().enumerate() {
        for path in paths {
            let fault = Fault::new(path, kind.clone());
            let ids = [remotes.okta.traffic(), remotes.anypoint.traffic()]
                .map(|traffic| (traffic, traffic.inject(fault.clone())));
            let name = format!("planted_user{number}{}", path.replace('/', ""));
            let other = person(&name);
            let mut events = remotes.assign(&other);
            let suspended = remotes.okta.world().suspend(&user);
            events.extend(suspended.unwrap_or_default());
            assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
            eventually("somebody looked", || {
                ids.iter().any(|(traffic, id)| traffic.fired(*id) > 0) || remotes.has_account(&name)
            })
            .await;
            for (traffic, id) in ids {
                traffic.remove_fault(id);
            }
            let _ = remotes.okta.world().unsuspend(&user);
        }
    }

    // A permanent failure: somebody else has the name.
    let taken = "planted_taken";
    let mail = "xaveria@planted.example";
    let made = remotes
        .anypoint
        .world()
        .add_user(taken, "Xaveria", "Plantedname", mail);
    made.unwrap();
    let events = remotes.assign(&person(taken));
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("a failure for good", || {
        let file = Connection::open(remotes.data()).unwrap();
        rows(&file, "events").contains("adoption_refused")
    })
    .await;

    // Malformed requests.
    for (secret, body) in [
        ("planted-secret", "{}"),
        (SECRET, "Xaveria Plantedname"),
        (SECRET, r#"{"data":{"events":[{"Xaveria":"Plantedname"}]}}"#),
        (
            SECRET,
            r#"{"eventType":"com.okta.event_hook","data":{"events":"xaveria@planted.example"}}"#,
        ),
    ] {
        let request = remotes
            .http
            .post(&serve.hook)
            .header("authorization", secret);
        let answer = request.body(body).send().await.unwrap();
        check("an answer", &answer.text().await.unwrap(), &[]);
    }
    let path = format!("{}planted_user?name=Xaveria", serve.hook);
    let challenge = remotes
        .http
        .get(path)
        .header("authorization", "planted-secret");
    assert_eq!(challenge.send().await.unwrap().status(), 401);

    // Each task has run with the person.
    eventually("reports of all tasks", || {
        let file = Connection::open(remotes.data()).unwrap();
        let reports = rows(&file, "documents");
        ["report#catch_up", "report#reconcile", "report#import"]
            .iter()
            .all(|name| reports.contains(name))
    })
    .await;
    let pages = [
        serve.get(&remotes, "/status.json").await.1,
        serve.get(&remotes, "/events").await.1,
    ];

    serve.terminate();
    let log = serve.log.clone();
    assert_eq!(serve.ended().await.code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    let levels = ["ERROR", "WARN", "INFO", "DEBUG"];
    for level in levels {
        assert!(
            log.contains(&format!("\"level\":\"{level}\"")),
            "no {level} in the log"
        );
    }
    let lines = log.lines().count();
    assert!(lines > 100, "only {lines} lines were logged");
    let calls = remotes.anypoint.traffic().log();
    let passwords = calls
        .iter()
        .filter_map(|call| call.body.as_ref()?["password"].as_str());
    let passwords: Vec<String> = passwords.map(str::to_owned).collect();
    assert!(!passwords.is_empty());
    check("the log", &log, &passwords);
    for page in pages {
        check("the status page", &page, &passwords);
    }
    let file = Connection::open(remotes.data()).unwrap();
    for table in ["events", "messages", "sent", "documents", "leases"] {
        let kept = rows(&file, table);
        // The intent in a lease's memo needs the name to find the account again.
        if table != "leases" {
            check(table, &kept, &passwords);
        }
    }
    // Links store the username, and the names of imported people, but never a secret.
    let raw = std::fs::read(remotes.data()).unwrap();
    let raw = String::from_utf8_lossy(&raw);
    for secret in [
        SECRET,
        "simulated-okta-token",
        "simulated-secret",
        "planted.example",
    ] {
        assert!(!raw.contains(secret), "{secret} is in the file");
    }
}

/// Set only in the child process that the test below starts.
const PANICS: &str = "OKTA_ANYPOINT_TEST_PANICS";

#[test]
fn a_panic_does_not_log_its_message() {
    if let Some(who) = std::env::var_os(PANICS) {
        match who.to_str() {
            Some("service") => start_logging(),
            _ => start_logging_for_people("warn"),
        }
        let caught = std::panic::catch_unwind(|| panic!("Xaveria Plantedname broke it"));
        assert!(caught.is_err());
        return;
    }
    for who in ["service", "people"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "serve::output::a_panic_does_not_log_its_message",
                "--nocapture",
            ])
            .env(PANICS, who)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("panicked") && said.contains("output.rs"),
            "{said}"
        );
        check("a panic", &said, &[]);
    }
}
