//! One process per file, its settings, and how it stops.

use std::ffi::OsStr;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::file::ended;
use super::{Remotes, SECRET, Serve, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_file_is_refused() {
    let remotes = Remotes::start().await;
    let mut serve = remotes.serve_deliveries_only();
    let mut second = remotes.command(&[]);
    let second = second.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut second = second.spawn().unwrap();
    let mut status = None;
    eventually("the second one ends", || {
        status = second.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(1));
    let mut said = String::new();
    second
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let expected = format!("process {} serves", serve.pid());
    assert!(
        said.contains(&expected) && said.contains("--data"),
        "{said}"
    );
    assert_eq!(
        serve.get(&remotes, "/ready").await.0,
        200,
        "the first one goes on"
    );
    // A killed process leaves no lock behind.
    serve.kill();
    let again = remotes.serve_deliveries_only();
    assert_eq!(again.get(&remotes, "/ready").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_the_file_need_not_be_utf_8() {
    let remotes = Remotes::start().await;
    let settings = remotes.command(&[]);
    let mut command = Command::new(settings.get_program());
    command.env_clear();
    for (name, value) in settings.get_envs() {
        command.env(name, value.unwrap());
    }
    let name = OsStr::from_bytes(b"d\xfcta.db");
    command
        .args(["--json", "serve", "--listen", "127.0.0.1:0"])
        .args(["--status", "127.0.0.1:0", "--data"])
        .arg(remotes.data().with_file_name(name));
    let serve = Serve::start(command, remotes.folder.path());
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_names_missing_settings_and_warns_if_okta_cannot_reach_it() {
    let remotes = Remotes::start().await;
    let output = remotes
        .command(&[])
        .env_remove("HOOK_SECRET")
        .env("EVENT_TTL_DAYS", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("HOOK_SECRET is missing") && said.contains("EVENT_TTL_DAYS"),
        "{said}"
    );

    let simulated = remotes.okta.base_url();
    let real = "https://acme.okta.example";
    for (okta, url, reachable) in [
        (real, "http://hooks.acme.example/", false),
        (real, "https://hooks.acme.example/", true),
        (real, "http://127.0.0.1:8080/", false),
        (simulated, "http://hooks.acme.example/", false),
        (simulated, "http://127.0.0.1:8080/", true),
    ] {
        let mut command = remotes.command(&["--url", url]);
        let mut child = command
            .env("OKTA_ORG_URL", okta)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap());
        for line in std::io::BufRead::lines(lines).map_while(Result::ok) {
            said.push_str(&line);
            if line == "}" {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&said["register"], &said["reachable_for_okta"]),
            (&url.into(), &reachable.into())
        );
    }
}

/// The program without an option about the status page.
fn without_status(remotes: &Remotes) -> Command {
    let off = remotes.command(&["--no-status"]);
    let mut command = Command::new(off.get_program());
    command.env_clear().stdin(Stdio::null());
    for (name, value) in off.get_envs() {
        command.env(name, value.unwrap());
    }
    command.args(off.get_args().filter(|word| *word != "--no-status"));
    command
}

/// The options of the second one need not name the status page. Its start says that it shows none.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_the_machine_starts_without_a_status_page() {
    let remotes = Remotes::start().await;
    // If this fails, another program of this machine has the address.
    let _first = TcpListener::bind("127.0.0.1:8088");
    let serve = Serve::start(without_status(&remotes), remotes.folder.path());
    assert_eq!(serve.status, "", "{}", serve.log());
    let said = ["there is no status page", "127.0.0.1:8088", "--status"];
    assert!(said.iter().all(|text| serve.log().contains(text)));
    let events = remotes.assign(&remotes.user("ada"));
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("the account", || remotes.has_account("ada")).await;
    drop(serve);

    // An address that an operator names is not given up.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = without_status(&remotes);
    command.args(["--status", &address]);
    let (code, said) = ended(command).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&address) && said.contains("--status"),
        "{said}"
    );
}

/// Both cannot have one address. The deliveries get it, because the page is optional.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_both_goes_to_the_deliveries() {
    let remotes = Remotes::start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let usual = without_status(&remotes);
    let mut command = Command::new(usual.get_program());
    command.env_clear().stdin(Stdio::null());
    for (name, value) in usual.get_envs() {
        command.env(name, value.unwrap());
    }
    let anywhere = OsStr::new("127.0.0.1:0");
    command.args(usual.get_args().map(|word| match word {
        word if word == anywhere => OsStr::new(&address),
        word => word,
    }));
    command.args(["--status", &address]);
    let (code, said) = ended(command).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("Choose another address with --status"),
        "{said}"
    );
}

/// The status page has no password.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_page_for_other_machines_needs_an_option() {
    let remotes = Remotes::start().await;
    let command = |more: &[&str]| {
        let mut command = without_status(&remotes);
        command.args(["--status", "0.0.0.0:0"]).args(more);
        command
    };
    let (code, said) = ended(command(&[])).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--expose-status"), "{said}");
    let serve = super::Serve::start(command(&["--expose-status"]), remotes.folder.path());
    assert!(serve.log().contains("no password"), "{}", serve.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_finishes_its_work_when_told_to_stop() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    remotes
        .anypoint
        .traffic()
        .set_latency(Duration::from_millis(150));
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("the work has begun", || {
        !remotes.anypoint.traffic().log().is_empty()
    })
    .await;
    let (hook, http) = (serve.hook.clone(), remotes.http.clone());
    serve.terminate();
    let log = serve.log.clone();
    let status = serve.ended().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
    assert!(
        remotes.has_account("ada"),
        "the look under way was finished"
    );
    assert!(
        http.get(hook)
            .header("authorization", SECRET)
            .send()
            .await
            .is_err()
    );
    assert!(!log.contains(SECRET), "no secret in the log");

    let serve = remotes.serve_deliveries_only();
    assert_eq!(
        serve.overview(&remotes).await["events"]["done"],
        events.len()
    );
    serve.settled(&remotes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_gives_back_unfinished_work_when_it_stops() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    remotes
        .anypoint
        .traffic()
        .set_latency(Duration::from_secs(20));
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("the work has begun", || {
        remotes.okta.traffic().log().len() > 1
    })
    .await;
    serve.terminate();
    assert_eq!(serve.ended().await.code(), Some(0));
    remotes.anypoint.traffic().set_latency(Duration::ZERO);
    let serve = remotes.serve_deliveries_only();
    eventually("the next one takes it up at once", || {
        remotes.has_account("ada")
    })
    .await;
    serve.settled(&remotes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_idles_without_work() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let before = serve.cpu_ticks();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = serve.cpu_ticks() - before;
    assert!(used <= 6, "{used} of 300 ticks while nothing happened");
}
