//! The status page in a real browser: what it shows, and to whom.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use okta_anypoint::simulator::traffic::Fault;

use super::{Remotes, Serve, eventually};

/// The output of headless Chromium for a page, with the option `what`.
fn in_browser_do(what: &[&str], path: &str, serve: &Serve, remotes: &Remotes) -> String {
    let browser = std::env::var_os("CHROMIUM")
        .map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    let name = browser.display();
    assert!(
        browser.exists(),
        "{name} is missing: run tools/setup, or set CHROMIUM"
    );
    let profile = tempfile::tempdir_in(remotes.folder.path()).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--window-size=1200,1500"])
        .args(what)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("{}{path}", serve.status.trim_end_matches('/')))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The page's document after headless Chromium has loaded it.
fn in_browser(path: &str, serve: &Serve, remotes: &Remotes) -> String {
    let text = in_browser_do(&["--dump-dom"], path, serve, remotes);
    assert!(!text.is_empty());
    text
}

/// Pictures for people: `SERVE_SCREENSHOTS=folder`.
fn pictures(name: &str, paths: &[&str], serve: &Serve, remotes: &Remotes) {
    let Ok(folder) = std::env::var("SERVE_SCREENSHOTS") else {
        return;
    };
    for (number, path) in paths.iter().enumerate() {
        for width in [390, 1024, 1440] {
            for scheme in ["light", "dark"] {
                let what = format!("--screenshot={folder}/{name}-{number}-{width}-{scheme}.png");
                let size = format!("--window-size={width},1900");
                let scheme = match scheme {
                    "dark" => "--force-dark-mode",
                    _ => "--hide-scrollbars",
                };
                in_browser_do(&[&what, &size, scheme], path, serve, remotes);
            }
        }
    }
}

/// One event done, one failed for good, one that will be tried again.
async fn eventful() -> (Remotes, Serve, [String; 3]) {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let done = remotes.user("ada");
    assert_eq!(
        remotes.deliver(&serve, &remotes.assign(&done)).await,
        Some(204)
    );
    serve.settled(&remotes).await;
    let refused = remotes.user("lin");
    // A name that Anypoint refuses.
    let events = remotes
        .okta
        .world()
        .assign_with_username(super::APP, &refused, "no spaces allowed <b>")
        .unwrap();
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    let later = remotes.user("kim");
    let down = remotes
        .okta
        .traffic()
        .inject(Fault::status(&later, 503, "{}"));
    assert_eq!(
        remotes.deliver(&serve, &remotes.assign(&later)).await,
        Some(204)
    );
    eventually("the third event has failed", || {
        remotes.okta.traffic().fired(down) > 0
    })
    .await;
    loop {
        let overview = serve.overview(&remotes).await;
        if overview["events"]["failed_retryable"] == 1 && overview["queue"]["postponed"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (remotes, serve, [done, refused, later])
}

/// The events that the bars of a page show as done and as failed. A bar stands for one minute, and a test may run longer.
fn plotted(page: &str) -> (u64, u64) {
    let bars = page
        .split("<title>")
        .filter_map(|bar| bar.split_once(" UTC: ")?.1.split_once(" failed<"));
    bars.filter_map(|(counts, _)| counts.split_once(" done, "))
        .fold((0, 0), |(done, failed), (more_done, more_failed)| {
            (
                done + more_done.parse::<u64>().unwrap(),
                failed + more_failed.parse::<u64>().unwrap(),
            )
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_states_failures_and_plots() {
    let (remotes, serve, [done, refused, later]) = eventful().await;
    let overview = in_browser("/", &serve, &remotes);
    assert!(overview.contains("<b>1</b><span>done</span>"), "{overview}");
    assert!(
        overview.contains("<b>1</b><span>failed for good</span>"),
        "{overview}"
    );
    assert!(
        overview.contains("<b>1</b><span>failed, retried</span>"),
        "{overview}"
    );
    assert!(overview.contains("What to do: "), "{overview}");
    assert!(
        overview.contains("okta-anypoint replay ") && overview.contains("--data "),
        "{overview}"
    );
    assert!(overview.contains("Retried in"), "{overview}");
    assert!(
        overview.contains("1 person waits for you. Changes of 1 person are retried."),
        "{overview}"
    );
    let order = ["wait", "Scheduled tasks", "Failures", "Over time"];
    let places = order.map(|text| overview.find(text).expect(text));
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(overview.matches("<svg").count(), 2);
    assert_eq!(plotted(&overview), (1, 2), "{overview}");
    // No names, even if a failure is about one.
    for name in ["acme.example", "no spaces allowed"] {
        assert!(!overview.contains(name), "{name} is shown: {overview}");
    }

    let subject = format!("/subject?id=user%23{done}");
    let paths = ["/", "/events", "/links", &subject];
    pictures("eventful", &paths, &serve, &remotes);
    let filtered = |query: &str| in_browser(&format!("/events?{query}"), &serve, &remotes);
    let shows = |page: &str, users: [bool; 3]| {
        for (user, shown) in [&done, &refused, &later].into_iter().zip(users) {
            let found = page.contains(&format!("<code>user#{user}</code>"));
            assert_eq!(found, shown, "{user} in {page}");
        }
    };
    shows(&filtered(""), [true, true, true]);
    shows(&filtered("state=done"), [true, false, false]);
    shows(&filtered("state=failed"), [false, true, true]);
    shows(&filtered("state=queued"), [false, false, true]);
    shows(
        &filtered(&format!("subject={refused}")),
        [false, true, false],
    );
    shows(
        &filtered(&format!("state=done&subject=user%23{refused}")),
        [false, false, false],
    );
    let links = in_browser("/links", &serve, &remotes);
    assert!(
        links.contains(&done) && !links.contains(&refused),
        "{links}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_reach_a_page_as_text_only() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let empty = serve.get(&remotes, "/events").await.1;
    assert!(empty.contains("No event has arrived yet."), "{empty}");
    let page = in_browser(
        "/events?subject=%22%3E%3Cscript%3Edocument.title%3D%27owned%27%3C/script%3E",
        &serve,
        &remotes,
    );
    assert!(
        page.contains("Events · okta-anypoint") && !page.contains("<script"),
        "{page}"
    );

    let answer = remotes.http.get(&serve.status).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let text = answer.text().await.unwrap();
    assert!(
        !text.contains("<script") && !text.contains("style=\"") && !text.contains("//cdn"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_only_reads_and_only_for_this_machine() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = remotes.http.request(method.parse().unwrap(), &serve.status);
        assert_eq!(request.send().await.unwrap().status(), 405);
    }
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:8088", 403),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
    ] {
        for path in [
            "",
            "events",
            "links",
            "subject?id=user%2300u1",
            "status.json",
        ] {
            let request = remotes
                .http
                .get(format!("{}{path}", serve.status))
                .header("host", host);
            assert_eq!(
                request.send().await.unwrap().status(),
                status,
                "{host} {path}"
            );
        }
    }
    let missing = serve.get(&remotes, "/nowhere").await;
    let refused = remotes
        .http
        .get(&serve.status)
        .header("host", "evil.example");
    let refused = refused.send().await.unwrap().text().await.unwrap();
    assert_eq!(missing.0, 404);
    for page in [&missing.1, &refused] {
        assert!(page.contains("<meta name=\"viewport\""), "{page}");
    }
    // A request under another site's name gets nothing.
    assert!(!refused.contains(".db"), "{refused}");
    assert_eq!(
        serve
            .get(&remotes, "/events?page=x&state=%27%3B--&subject=%27")
            .await
            .0,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_distinguish_faults() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    assert_eq!(
        serve.get(&remotes, "/health").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(serve.get(&remotes, "/ready").await.0, 200);
    // Another process locks the file: `serve` is alive but not ready, and answers Okta in time.
    let other = rusqlite::Connection::open(remotes.data()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(503));
    // The answer does not wait for the database's own time-out, which is longer than Okta's.
    let log = serve.log();
    assert!(log.contains("could not be made durable in time"), "{log}");
    // The write of the refused delivery still waits for the file. It must not happen when the lock is free.
    let ready = serve.get(&remotes, "/ready").await;
    assert_eq!(
        ready,
        (503, "the database does not answer in time\n".to_owned())
    );
    assert_eq!(serve.get(&remotes, "/health").await.0, 200);
    other.execute_batch("ROLLBACK").unwrap();
    // The refused delivery is not recorded.
    let mut ready = 503;
    while ready != 200 {
        ready = serve.get(&remotes, "/ready").await.0;
    }
    serve.settled(&remotes).await;
    assert_eq!(serve.overview(&remotes).await["events"]["done"], 0);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    assert_eq!(
        serve.overview(&remotes).await["events"]["done"],
        events.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_has_a_page_with_both_sides_and_its_history() {
    let (remotes, serve, [done, refused, _]) = eventful().await;
    let page = in_browser(&format!("/subject?id=user%23{done}"), &serve, &remotes);
    for text in [
        "<h2>ada ",
        "Nothing: both sides are in sync.",
        "<dt>app username</dt><dd>ada</dd>",
        "<dt>enabled</dt><dd>yes</dd>",
        "create account",
        "no account → enabled",
        "event application.user_membership.add",
        "create_account",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = in_browser(&format!("/subject?id=user%23{refused}"), &serve, &remotes);
    assert!(page.contains("What to do: "), "{page}");
    assert!(page.contains("Nothing was changed."), "{page}");
    assert!(
        page.contains("<dd>no spaces allowed &lt;b&gt;</dd>"),
        "{page}"
    );
    for bad in ["/subject", "/subject?id=00u1", "/subject?id=%3Cscript%3E"] {
        assert_eq!(serve.get(&remotes, bad).await.0, 404, "{bad}");
    }
    let unknown = serve.get(&remotes, "/subject?id=user%2300uNOBODY").await;
    assert!(unknown.0 == 200 && unknown.1.contains("No event is recorded."));
    let text = "Okta does not know this user, and nothing is linked.";
    assert!(unknown.1.contains(text), "{}", unknown.1);
}

/// A page of another site can send a browser here, but it learns no name and causes no call.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_another_site_shows_no_names_and_makes_no_call() {
    let (remotes, serve, [done, ..]) = eventful().await;
    remotes.okta.traffic().clear();
    let ask = async |path: &str, site: &str| {
        let url = format!("{}{path}", serve.status);
        let request = remotes.http.get(url).header("sec-fetch-site", site);
        request.send().await.unwrap().text().await.unwrap()
    };
    let subject = format!("subject?id=user%23{done}");
    let calls = || {
        let log = remotes.okta.traffic().log();
        let about_them = log.iter().filter(|request| request.path.contains(&done));
        about_them.count()
    };
    for path in [subject.as_str(), "links", "links?q=ada"] {
        let page = ask(path, "cross-site").await;
        assert!(!page.contains(">ada"), "{path}: {page}");
        assert!(!page.contains("username ada"), "{path}: {page}");
    }
    assert!(
        ask("links?q=ada", "cross-site")
            .await
            .contains("No link matches.")
    );
    assert!(ask(&subject, "cross-site").await.contains("create account"));
    assert_eq!(calls(), 0, "somebody was called");

    assert!(ask(&subject, "same-origin").await.contains("<h2>ada "));
    assert!(calls() > 0);
    let found = ask("links?q=ADA", "none").await;
    assert!(
        found.contains("<b>ada</b>") && found.contains(&done),
        "{found}"
    );
    assert!(!ask("links?q=nobody", "none").await.contains(&done));
    assert!(
        ask(&format!("links?q={done}"), "cross-site")
            .await
            .contains(&done)
    );
}

/// Names come from Okta, so pages must treat them as text.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_escaped_in_pages() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let evil = "<script>document.title='owned'</script>\"'&";
    let file = rusqlite::Connection::open(remotes.data()).unwrap();
    let sql = "INSERT INTO team_links (okta_group, team_id, team_name, origin) VALUES (?1, ?2, ?3, 'adopted')";
    file.execute(sql, ("00gEVIL", "team-evil", evil)).unwrap();
    for path in [
        "/links",
        "/links?q=%3Cscript%3E",
        "/subject?id=group%2300gEVIL",
    ] {
        let page = in_browser(path, &serve, &remotes);
        assert!(!page.contains("<script"), "{path}: {page}");
        assert!(page.contains("&lt;script&gt;"), "{path}: {page}");
        assert!(page.contains("· okta-anypoint</title>"), "{path}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_excluded_user_says_so_without_a_call() {
    let remotes = Remotes::start().await;
    let ann = remotes.user("ann");
    let events = remotes.assign(&ann);
    let mut command = remotes.command(&["--catch-up-every", "off", "--reconcile-every", "off"]);
    command.env("EXCLUDE_USERS", &ann);
    let serve = Serve::start(command, remotes.folder.path());
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    let page = in_browser(&format!("/subject?id=user%23{ann}"), &serve, &remotes);
    assert!(
        page.contains("excluded by EXCLUDE_USERS: nothing changes"),
        "{page}"
    );
    assert!(!page.contains("in sync"), "{page}");
    assert!(!page.contains("<h3>Anypoint</h3>"), "{page}");
    let asked = remotes.okta.traffic().log();
    let about_ann = asked.iter().filter(|request| request.path.contains(&ann));
    assert_eq!(about_ann.count(), 0);
    assert!(!remotes.has_account("ann"));
}
