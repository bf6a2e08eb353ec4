//! A first run of `serve`: a dry run that changes nothing, then changes under the brake.

use std::process::{Command, Output};

use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::simulator::anypoint::AnypointSimulator;
use okta_anypoint::simulator::okta::OktaSimulator;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::Value;

use super::{APP, LONG, Remotes, Serve, eventually};

/// A command on the file of `serve`.
fn operate(remotes: &Remotes, arguments: &[&str]) -> Output {
    let serve = remotes.command(&[]);
    let mut command = Command::new(serve.get_program());
    let settings = serve
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(settings).args(arguments);
    command.arg("--data").arg(remotes.data()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn writes(okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Vec<String> {
    let of_okta = okta.traffic().writes();
    let of_anypoint = anypoint.traffic().writes();
    of_okta
        .iter()
        .chain(&of_anypoint)
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

/// The program as a new operator runs it first, with every task on.
fn first_run(remotes: &Remotes, changes: &str) -> Serve {
    let often = [
        "--catch-up-every",
        "1s",
        "--reconcile-every",
        "1s",
        "--import-every",
        "1s",
    ];
    let mut command = remotes.command(&often);
    command.envs([
        ("CHANGES", changes),
        ("IMPORT_MODE", "create"),
        ("MAX_REMOVALS_PER_HOUR", "0"),
    ]);
    Serve::start(command, remotes.folder.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_in_report_mode_changes_nothing_and_the_brake_holds_the_next() {
    let remotes = Remotes::start().await;
    // A new person, one with an account, one who is only in Anypoint, and a group.
    let ada = remotes.user("ada");
    remotes.assign(&ada);
    let ben = remotes.user("ben");
    remotes.assign(&ben);
    {
        let mut anypoint = remotes.anypoint.world();
        anypoint
            .add_user("ben", "Benjamin", "Other", "ben@acme.example")
            .unwrap();
        anypoint
            .add_user("only_there", "Only", "There", "only.there@acme.example")
            .unwrap();
        let mut okta = remotes.okta.world();
        let devs = okta.create_group("Devs").unwrap().id;
        okta.assign_group(APP, &devs).unwrap();
        okta.add_member(&devs, &ada).unwrap();
    }
    let serve = first_run(&remotes, "report");
    remotes.register(&serve, &HOOK_EVENT_TYPES).await;
    remotes.okta.traffic().clear();
    remotes.anypoint.traffic().clear();
    let cat = remotes.user("cat");
    remotes.assign(&cat);
    remotes.okta.world().suspend(&ben).unwrap();
    assert!(remotes.okta.delivered(LONG).await);
    // Each task has run several times.
    for (remote, path) in [
        (remotes.okta.traffic(), "/api/v1/logs"),
        (remotes.anypoint.traffic(), "/teams"),
        (remotes.anypoint.traffic(), "/users"),
    ] {
        eventually(path, || remote.count(&http::Method::GET, path) >= 4).await;
    }
    serve.settled(&remotes).await;
    assert_eq!(
        writes(&remotes.okta, &remotes.anypoint),
        Vec::<String>::new()
    );
    let events = operate(&remotes, &["events", "--json"]);
    let events: Value = serde_json::from_slice(&events.stdout).unwrap();
    let events = events["events"].as_array().unwrap().clone();
    assert!(!events.is_empty());
    for event in &events {
        assert_eq!(event["dry_run"], true, "{event}");
        assert_eq!(event["status"], "done", "{event}");
    }
    drop(serve);

    // The first reconcile that applies also applies all plans.
    let serve = first_run(&remotes, "apply");
    eventually("accounts, and the team", || {
        let has_team = remotes.anypoint.world().team_by_name("Devs").is_some();
        remotes.enabled("ada") == Some(true) && remotes.enabled("cat") == Some(true) && has_team
    })
    .await;

    // The brake holds a wrong click, whatever the tasks do meanwhile. A person approves it.
    remotes.okta.world().unassign(APP, &cat).unwrap();
    eventually("held", || {
        said(&operate(&remotes, &["held"])).contains(&cat)
    })
    .await;
    assert_eq!(remotes.enabled("cat"), Some(true));
    let approved = operate(&remotes, &["approve", &cat]);
    assert!(approved.status.success(), "{}", said(&approved));
    eventually("disabled", || remotes.enabled("cat") == Some(false)).await;
    let history = said(&operate(&remotes, &["history", &cat]));
    for said in [
        "create_account",
        "disable_account",
        "approved by an operator",
    ] {
        assert!(history.contains(said), "{history}");
    }
    let history = operate(&remotes, &["history", &cat, "--json"]);
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let last = history["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "disable_account");
    assert!(last["actor"].is_string(), "{last}");
    // The log has a line for each change, too.
    let log = serve.log();
    let is_audit = |line: &&str| line.contains(r#""message":"audit""#) && line.contains(&cat);
    assert!(log.lines().any(|line| is_audit(&line)), "{log}");
    serve.settled(&remotes).await;
}

/// After a switch of `CHANGES`, all plans are applied at once, whatever the schedule says. Before that, nothing reports
/// that all is in sync.
#[tokio::test(flavor = "multi_thread")]
async fn switching_to_apply_applies_planned_changes_at_once() {
    let mut remotes = Remotes::start().await;
    remotes.settings.push(("CHANGES", "report"));
    let seldom = ["--catch-up-every", "off", "--reconcile-every", "6h"];
    let serve = remotes.serve(&seldom);
    expect(&remotes, &["reconcile"], 0, "");
    let ada = remotes.user("ada");
    let events = remotes.assign(&ada);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(page.contains("A dry run: nothing is written."), "{page}");
    let (_, page) = serve.get(&remotes, "/events").await;
    assert!(page.contains(">dry run<td>"), "{page}");
    assert!(page.contains("would do: create_account"), "{page}");
    let (_, page) = serve.get(&remotes, "/events?state=done").await;
    assert!(!page.contains(&ada), "{page}");
    let (_, page) = serve.get(&remotes, "/events?state=dry+run").await;
    assert!(page.contains(&ada), "{page}");
    drop(serve);

    // Without a schedule the program leaves it to the operator, and says so.
    remotes.settings.retain(|(name, _)| *name != "CHANGES");
    let serve = remotes.serve_deliveries_only();
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(!page.contains("All in sync"), "{page}");
    let waits = "1 person waits for the first reconcile that applies what the dry runs planned.";
    assert!(page.contains(waits), "{page}");
    drop(serve);
    assert_eq!(
        writes(&remotes.okta, &remotes.anypoint),
        Vec::<String>::new()
    );

    let serve = remotes.serve(&seldom);
    eventually("the account", || remotes.has_account("ada")).await;
    serve.settled(&remotes).await;
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(!page.contains(waits), "{page}");
    let ran = "scheduled run ended";
    assert!(serve.log().contains(ran), "{}", serve.log());
    drop(serve);

    // The next start follows the schedule.
    let serve = remotes.serve(&seldom);
    let ben = remotes.user("ben");
    let events = remotes.assign(&ben);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    assert_eq!(serve.log().matches(ran).count(), 1, "{}", serve.log());
    drop(serve);

    // A short dry run between two scheduled times is noticed, too, although the last reconcile applied.
    remotes.settings.push(("CHANGES", "report"));
    let serve = remotes.serve(&seldom);
    let cat = remotes.user("cat");
    let events = remotes.assign(&cat);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    drop(serve);
    remotes.settings.retain(|(name, _)| *name != "CHANGES");
    let serve = remotes.serve(&seldom);
    eventually("the third account", || remotes.has_account("cat")).await;
    serve.settled(&remotes).await;
}

/// A reconcile in report mode does not count as the last run. A stopped one does, so that restarts do not repeat it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_is_due_at_once_after_a_report_but_not_after_a_stop() {
    let mut remotes = Remotes::start().await;
    let every = |time| ["--catch-up-every", "off", "--reconcile-every", time];
    let [ada, ben] = ["ada", "ben"].map(|name| remotes.user(name));
    for user in [&ada, &ben] {
        remotes.assign(user);
    }
    remotes.settings.push(("RECONCILE_MODE", "report"));
    let serve = remotes.serve(&every("1s"));
    let ended = |serve: &Serve, how: &str| serve.log().matches(how).count();
    let (completed, stopped) = ("scheduled run ended", "scheduled run stopped");
    eventually("a report", || ended(&serve, completed) > 0).await;
    let (_, page) = serve.get(&remotes, "/").await;
    let said = "The last reconcile only reported, and found 2 differences.";
    assert!(page.contains(said), "{page}");
    drop(serve);

    remotes.settings.clear();
    let serve = remotes.serve(&every("6h"));
    eventually("the accounts", || {
        remotes.enabled("ada").is_some() && remotes.enabled("ben").is_some()
    })
    .await;
    serve.settled(&remotes).await;
    drop(serve);

    // Plans that disable more people than MAX_DEACTIVATIONS allows.
    remotes.settings.push(("CHANGES", "report"));
    let serve = remotes.serve(&every("6h"));
    let left = remotes.okta.world().unassign(APP, &ada).unwrap();
    assert_eq!(remotes.deliver(&serve, &left).await, Some(204));
    serve.settled(&remotes).await;
    drop(serve);
    remotes.settings.clear();
    remotes.settings.push(("MAX_DEACTIVATIONS", "0"));
    let serve = remotes.serve(&every("6h"));
    eventually("a stop", || ended(&serve, stopped) == 1).await;
    drop(serve);
    let serve = remotes.serve(&every("6h"));
    let cat = remotes.user("cat");
    let events = remotes.assign(&cat);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    eventually("the third account", || remotes.enabled("cat").is_some()).await;
    serve.settled(&remotes).await;
    assert_eq!(ended(&serve, stopped), 1, "{}", serve.log());
    assert_eq!(remotes.enabled("ada"), Some(true));
}

/// What stopped it may pass, and without the restart it would run again after two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_delay_the_run_after_a_stop_that_may_pass() {
    let remotes = Remotes::start().await;
    let every = |time| ["--catch-up-every", "off", "--reconcile-every", time];
    remotes.assign(&remotes.user("ada"));
    let unavailable = Fault::status("/api/v1/apps/", 501, "{}");
    remotes.okta.traffic().inject(unavailable);
    let serve = remotes.serve(&every("1s"));
    eventually("a stop", || serve.log().contains("scheduled run stopped")).await;
    drop(serve);
    remotes.okta.traffic().remove_all_faults();
    // Ten minutes pass, which is far less than the interval.
    let began = rfc3339(SystemClock.now_ms() - 600_000);
    let file = rusqlite::Connection::open(remotes.data()).unwrap();
    let sql = "UPDATE documents SET json = json_set(json, '$.started_at', ?1) WHERE name = 'report#reconcile'";
    assert_eq!(file.execute(sql, [began]).unwrap(), 1);
    drop(file);
    let _serve = remotes.serve(&every("6h"));
    eventually("the account", || remotes.has_account("ada")).await;
}

/// The page says that the brake is off, which change of one person it holds, and that a reconcile only reported.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_is_held_and_that_the_brake_is_off() {
    let mut remotes = Remotes::start().await;
    remotes.settings.push(("MAX_REMOVALS_PER_HOUR", "0"));
    let serve = remotes.serve_deliveries_only();
    let ada = remotes.user("ada");
    let [ben, cat] = ["ben", "cat"].map(|name| remotes.user(name));
    let mut events = remotes.assign(&ada);
    events.extend(remotes.assign(&ben));
    events.extend(remotes.assign(&cat));
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    serve.settled(&remotes).await;
    let left = remotes.okta.world().unassign(APP, &ada).unwrap();
    assert_eq!(remotes.deliver(&serve, &left).await, Some(204));
    serve.settled(&remotes).await;
    let about = format!("/subject?id=user%23{ada}");
    let (_, page) = serve.get(&remotes, &about).await;
    assert!(page.contains("the brake holds it: "), "{page}");
    let approve = format!("okta-anypoint approve {ada} --data ");
    assert!(page.contains(&approve), "{page}");

    expect(&remotes, &["approve", "--all", "--for", "1h"], 0, "is off");
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(page.contains("The brake is off until "), "{page}");
    let (_, page) = serve.get(&remotes, &about).await;
    assert!(!page.contains("brake holds"), "{page}");
    expect(&remotes, &["approve", "--end"], 0, "the brake holds again");
    let (_, page) = serve.get(&remotes, "/").await;
    assert!(!page.contains("The brake is off"), "{page}");

    // Both sides differ, and the reconcile that found it ran in report mode.
    remotes.settings.push(("CHANGES", "report"));
    remotes.okta.world().unassign(APP, &ben).unwrap();
    expect(&remotes, &["reconcile"], 1, "would stop");
    let (_, page) = serve.get(&remotes, "/").await;
    let said = "The last reconcile only reported, and found 1 difference.";
    assert!(page.contains(said), "{page}");
}

/// Commands beside the running program: pair a team of the operator's choice, exclude somebody, settle a fixed failure,
/// and run the doctor.
#[tokio::test(flavor = "multi_thread")]
async fn commands_beside_serve_pair_exclude_and_settle() {
    let mut remotes = Remotes::start().await;
    remotes.settings.push(("EXCLUDE_USERS", "max@*,svc-*"));
    let max = remotes.user("max");
    let sso = "4a7c0f7e-0000-4000-8000-000000000001".to_owned();
    let developers = {
        let mut anypoint = remotes.anypoint.world();
        anypoint.identity_provider = Some(sso);
        anypoint
            .add_user("max", "Max", "Other", "max@acme.example")
            .unwrap();
        anypoint.add_team("Developers", None).unwrap()
    };
    let serve = remotes.serve(&["--reconcile-every", "1s", "--catch-up-every", "off"]);
    remotes.register(&serve, &HOOK_EVENT_TYPES).await;

    // A group that will be paired by hand waits for that.
    let engineers = {
        let mut okta = remotes.okta.world();
        okta.create_group("Engineers").unwrap().id
    };
    // Changes that are running at a pause still finish.
    assert!(remotes.okta.delivered(LONG).await);
    serve.settled(&remotes).await;
    expect(&remotes, &["pause"], 0, "paused");
    let (ada, robot) = (remotes.user("ada"), remotes.user("svc-robot"));
    {
        let mut okta = remotes.okta.world();
        okta.assign_group(APP, &engineers).unwrap();
        for user in [&ada, &max, &robot] {
            okta.add_member(&engineers, user).unwrap();
        }
    }
    assert!(remotes.okta.delivered(LONG).await);
    expect(
        &remotes,
        &["link-group", "Engineers", "Developers"],
        0,
        "renames team",
    );
    expect(&remotes, &["resume"], 0, "");
    eventually("the team has the group's name and member", || {
        let world = remotes.anypoint.world();
        let is_renamed = world.teams[&developers].name == "Engineers";
        is_renamed && world.members_of(&developers) == ["ada"]
    })
    .await;

    // A failure stays in the inbox until a later look succeeds.
    let kim = remotes.user("kim");
    {
        let mut okta = remotes.okta.world();
        okta.assign_with_username(APP, &kim, "kim doe!").unwrap();
    }
    eventually("a failure", || {
        said(&operate(&remotes, &["events", "--failed"])).contains(&kim)
    })
    .await;
    expect(
        &remotes,
        &["doctor"],
        1,
        "1 user or group: username_invalid",
    );
    {
        let mut okta = remotes.okta.world();
        okta.set_app_username(APP, &kim, "kim_doe").unwrap();
    }
    expect(&remotes, &["push", &kim], 0, "done");
    let failed = said(&operate(&remotes, &["events", "--failed"]));
    assert!(!failed.contains(&kim), "{failed}");
    // The rig's hook has another name than that of `hook register`.
    for says in [
        "open failures: none",
        "a deactivation disables the native one only",
    ] {
        expect(&remotes, &["doctor"], 1, says);
    }

    // The excluded people are unchanged.
    serve.settled(&remotes).await;
    expect(&remotes, &["explain", &max], 0, "EXCLUDE_USERS");
    let world = remotes.anypoint.world();
    assert!(world.user_by_username("svc-robot").is_none());
    let account = world.user_by_username("max").unwrap();
    assert_eq!((&*account.last_name, account.enabled), ("Other", true));
    drop(world);
}

fn expect(remotes: &Remotes, arguments: &[&str], code: i32, says: &str) {
    let output = operate(remotes, arguments);
    let told = format!(
        "{arguments:?}: {}\n{}",
        said(&output),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(says), "{says:?} is not in {told}");
}
