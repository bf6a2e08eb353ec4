//! Which users an import pairs, what it creates, and what it leaves alone.

use std::sync::Arc;

use http::Method;
use okta_anypoint::clock::SystemClock;
use okta_anypoint::http::HttpClient;
use okta_anypoint::okta::{Credentials, Okta, PrivateKey};
use okta_anypoint::provision::{Adopt, UsernamePolicy};
use okta_anypoint::schedule::{Mode, RunOutcome, Scheduler, Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::{NewUser, UserStatus};
use okta_anypoint::store::Origin;
use rstest::rstest;
use serde_json::json;

use super::{APP, Stage, long};

pub async fn stage(mode: ImportMode) -> Stage {
    let mut stage = Stage::new().await;
    stage.import_mode(mode);
    stage
}

/// Runs an import. Then import and reconcile have nothing to do, and end without a write.
pub async fn import_and_rest(stage: &Stage) -> Summary {
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert!(stage.anypoint.traffic().writes().is_empty());
    stage.forget_traffic();
    let again = stage.run(Task::Import).await;
    assert_eq!(again.differences, [], "a second import finds something");
    stage.run(Task::CatchUp).await;
    let reconciled = stage.run(Task::Reconcile).await;
    assert_eq!(reconciled.count("deactivations"), 0);
    assert_eq!(reconciled.differences, []);
    assert_eq!(stage.run(Task::Import).await.differences, []);
    assert_eq!(stage.writes(), Vec::<String>::new());
    summary
}

fn no_personal_data(summary: &Summary) {
    let text = serde_json::to_string(summary).unwrap();
    for name in ["acme.example", "ann", "Example"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

#[tokio::test]
async fn import_mode_link_pairs_by_username_and_writes_links_only() {
    let stage = stage(ImportMode::Link).await;
    let ann = stage.assigned("ann");
    let account = {
        let mut world = stage.anypoint.world();
        world
            .add_user("ANN", "ann", "Example", "Ann@acme.example")
            .unwrap()
    };
    let summary = import_and_rest(&stage).await;
    assert_eq!(summary.count("linked"), 1);
    let link = stage.link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    assert_eq!(link.origin, Origin::Imported);
    assert_eq!(link.agreed.unwrap().last_name, "Example");
    no_personal_data(&summary);
}

#[tokio::test]
async fn import_mode_link_reports_unpaired_accounts() {
    let stage = stage(ImportMode::Link).await;
    stage.native("nobody");
    let known = stage.user("known");
    stage.native("known");
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("unpaired"), 2);
    assert_eq!(stage.writes(), Vec::<String>::new());
    assert!(stage.link(&known).await.is_none());
    no_personal_data(&summary);
}

#[rstest]
#[case(ImportMode::Off, None)]
#[case(ImportMode::Off, Some(Mode::Report))]
#[case(ImportMode::Off, Some(Mode::Apply))]
#[case(ImportMode::Report, None)]
#[case(ImportMode::Report, Some(Mode::Apply))]
#[case(ImportMode::Create, Some(Mode::Report))]
#[tokio::test]
async fn import_mode_report_writes_nothing(
    #[case] setting: ImportMode,
    #[case] mode: Option<Mode>,
) {
    let stage = stage(setting).await;
    let ann = stage.assigned("ann");
    stage.native("ann");
    stage.native("ben");
    let summary = stage.try_run(Task::Import, mode).await.unwrap();
    assert_eq!(summary.mode, Mode::Report);
    if setting == ImportMode::Off && mode.is_none() {
        assert!(stage.anypoint.traffic().log().is_empty());
        assert!(summary.message.unwrap().contains("off"));
    } else {
        assert_eq!(
            (summary.count("to_link"), summary.count("to_create")),
            (1, 1)
        );
        assert_eq!(summary.message.is_some(), mode == Some(Mode::Apply));
    }
    assert_eq!(stage.writes(), Vec::<String>::new());
    assert!(stage.link(&ann).await.is_none());
}

#[tokio::test]
async fn import_mode_create_makes_staged_users_assigns_and_links() {
    let stage = stage(ImportMode::Create).await;
    let account = stage.native("ann_lee");
    let summary = import_and_rest(&stage).await;
    assert_eq!(
        ["created", "assigned", "linked"].map(|name| summary.count(name)),
        [1, 1, 1]
    );
    let (id, status, profile) = {
        let world = stage.okta.world();
        let user = world.find_user("ann_lee@acme.example").unwrap();
        (user.id.clone(), user.status, user.profile.clone())
    };
    assert_eq!(status, UserStatus::Staged);
    let given: Vec<(&str, &str)> = profile
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    for (key, value) in [
        ("login", "ann_lee@acme.example"),
        ("email", "ann_lee@acme.example"),
        ("firstName", "ann_lee"),
        ("lastName", "Example"),
    ] {
        assert!(given.contains(&(key, value)), "{given:?}");
    }
    assert_eq!(given.len(), 4, "nothing else: {given:?}");
    let username = {
        let world = stage.okta.world();
        world.apps[APP].users[&id].user_name.clone()
    };
    assert_eq!(username, "ann_lee");
    let link = stage.link(&id).await.unwrap();
    assert_eq!(
        (link.anypoint_id.as_str(), link.origin),
        (account.as_str(), Origin::Imported)
    );
    no_personal_data(&summary);
}

#[tokio::test]
async fn only_active_native_accounts_are_imported() {
    let stage = stage(ImportMode::Create).await;
    let disabled = stage.native("disabled");
    {
        let mut world = stage.anypoint.world();
        world.disable(&disabled).unwrap();
        world.add_sso_user("sso", "S", "So", "sso@acme.example", "their-idp");
    }
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("active_native_accounts"), 0);
    assert!(stage.okta.world().users.is_empty());
}

#[tokio::test]
async fn a_user_with_the_login_is_paired_and_never_duplicated() {
    let stage = stage(ImportMode::Create).await;
    let ann = stage.user("ann");
    stage.native("ann");
    let summary = import_and_rest(&stage).await;
    assert_eq!(
        (summary.count("created"), summary.count("assigned")),
        (0, 1)
    );
    assert_eq!(stage.okta.world().users.len(), 1);
    assert_eq!(stage.link(&ann).await.unwrap().origin, Origin::Imported);
}

/// Apps with a stored credential keep the app user after the assignment ended.
#[rstest]
#[tokio::test]
async fn a_user_whose_assignment_ended_is_assigned_again(
    #[values("INACTIVE", "DEPROVISIONED")] status: &str,
) {
    let ended = |method: Method, path: &str| {
        let fault = Fault::changed(path, None, "/status", json!(status));
        fault.on(method).once()
    };
    let (list, one) = ("/api/v1/apps/*/users", "/api/v1/apps/*/users/*");
    for is_renewed in [true, false] {
        let stage = stage(ImportMode::Create).await;
        let ann = stage.assigned("ann");
        stage.native("ann");
        // What the plan and the run under the lease read.
        let okta = stage.okta.traffic();
        okta.inject(ended(Method::GET, list));
        okta.inject(ended(Method::GET, one));
        if is_renewed {
            let summary = import_and_rest(&stage).await;
            let counts = ["created", "assigned", "linked"].map(|name| summary.count(name));
            assert_eq!(counts, [0, 1, 1]);
            assert_eq!(stage.link(&ann).await.unwrap().origin, Origin::Imported);
        } else {
            okta.inject(ended(Method::POST, list));
            let summary = stage.run(Task::Import).await;
            let problem = &summary.problems[0].text;
            assert!(problem.contains("not assigned"), "{problem}");
            assert_eq!(stage.link(&ann).await, None);
        }
    }
}

#[tokio::test]
async fn a_single_user_with_the_address_is_paired_despite_another_login() {
    let stage = stage(ImportMode::Create).await;
    let other_login = |login: &str| {
        let new = NewUser::active(login, "ann", "Example", "ann@acme.example", None);
        let mut world = stage.okta.world();
        world.create_user_from(new).unwrap().id
    };
    let one = other_login("one@acme.example");
    stage.native("ann");
    import_and_rest(&stage).await;
    assert!(stage.link(&one).await.is_some());

    let stage = self::stage(ImportMode::Create).await;
    let other_login = |login: &str| {
        let new = NewUser::active(login, "ann", "Example", "ann@acme.example", None);
        let mut world = stage.okta.world();
        world.create_user_from(new).unwrap().id
    };
    other_login("one@acme.example");
    other_login("two@acme.example");
    stage.native("ann");
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("unpaired"), 1);
    assert_eq!(stage.writes(), Vec::<String>::new());
}

/// Each case makes at least one account that no mode may pair.
#[rstest]
#[case::another_app_username("other_name")]
#[case::suspended("suspended")]
#[case::deactivated("deactivated")]
#[case::two_app_usernames("two_app_usernames")]
#[case::two_accounts_one_address("two_accounts")]
#[case::name_and_address_disagree("disagree")]
#[case::username_against_policy("policy")]
#[case::no_address("no_address")]
#[case::two_accounts_claim_one_user("claimed_twice")]
#[case::has_another_account("another")]
#[tokio::test]
async fn ambiguous_and_self_undoing_pairs_are_only_reported(
    #[case] situation: &str,
    #[values(ImportMode::Link, ImportMode::Create)] mode: ImportMode,
) {
    let mut stage = stage(mode).await;
    stage.policy.usernames = UsernamePolicy::Sanitize;
    let mut expected = 1;
    match situation {
        "other_name" => {
            let ann = stage.user("ann");
            let mut world = stage.okta.world();
            world.assign_with_username(APP, &ann, "someone").unwrap();
            drop(world);
            stage.native("ann");
        }
        "suspended" => {
            let ann = stage.assigned("ann");
            stage.okta.world().suspend(&ann).unwrap();
            stage.native("ann");
        }
        "deactivated" => {
            let ann = stage.user("ann");
            stage.okta.world().deactivate(&ann).unwrap();
            stage.native("ann");
        }
        "two_app_usernames" => {
            stage.assigned("ann");
            let other = stage.user("other");
            let mut world = stage.okta.world();
            world.assign_with_username(APP, &other, "ANN").unwrap();
            drop(world);
            stage.native("ann");
        }
        "two_accounts" => {
            let mut world = stage.anypoint.world();
            for name in ["one", "two"] {
                world.add_user(name, "A", "B", "same@acme.example").unwrap();
            }
            drop(world);
            let same = stage.user("same");
            let mut world = stage.okta.world();
            world.assign_with_username(APP, &same, "three").unwrap();
            expected = 2;
        }
        "disagree" => {
            stage.assigned("ann");
            stage.assigned("ben");
            let mut world = stage.anypoint.world();
            world.add_user("ann", "A", "B", "ben@acme.example").unwrap();
        }
        "policy" => {
            stage.native("ann.lee");
        }
        "claimed_twice" => {
            let new = NewUser::active("ann@acme.example", "A", "B", "ben@acme.example", None);
            let mut world = stage.okta.world();
            world.create_user_from(new).unwrap();
            drop(world);
            stage.native("ann");
            stage.native("ben");
            expected = 2;
        }
        "no_address" => {
            let ann = stage.native("ann");
            let mut world = stage.anypoint.world();
            world.edit_user(&ann, |user| user.email.clear()).unwrap();
        }
        _ => {
            stage.assigned("ann");
            stage.run(Task::Reconcile).await;
            let mut world = stage.anypoint.world();
            world
                .add_user("second", "A", "B", "ann@acme.example")
                .unwrap();
        }
    }
    stage.forget_traffic();
    let links = stage.table.store.all_user_links().await.unwrap();
    let users = stage.okta.world().users.len();
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("unpaired"), expected, "{situation}");
    assert_eq!(summary.problems.len(), expected);
    assert_eq!(stage.table.store.all_user_links().await.unwrap(), links);
    assert_eq!(stage.okta.world().users.len(), users, "{situation}");
    assert_eq!(stage.writes(), Vec::<String>::new(), "{situation}");
    no_personal_data(&summary);
}

/// Jane's account has John's app username. `ADOPT` decides, as for an event.
#[tokio::test]
async fn an_import_pairs_by_the_username_alone_only_as_adopt_says() {
    for (adopt, address, paired) in [
        (Adopt::UsernameAndEmail, "jane@acme.example", false),
        (Adopt::UsernameAndEmail, "John@acme.example", true),
        (Adopt::Username, "jane@acme.example", true),
        (Adopt::Never, "jane@acme.example", false),
        // The login identifies the owner.
        (Adopt::Never, "John@acme.example", true),
    ] {
        for mode in [ImportMode::Link, ImportMode::Create] {
            let case = format!("{adopt:?} {address} {mode:?}");
            let mut stage = stage(mode).await;
            stage.policy.adopt = adopt;
            let (john, jane) = (stage.assigned("john"), stage.user("jane"));
            let mut world = stage.anypoint.world();
            world.add_user("john", "J", "Smith", address).unwrap();
            drop(world);
            let summary = stage.run(Task::Import).await;
            assert_eq!(stage.link(&john).await.is_some(), paired, "{case}");
            assert_eq!(stage.link(&jane).await, None, "{case}");
            let problems = usize::from(!paired);
            assert_eq!(summary.problems.len(), problems, "{case}");
            for problem in &summary.problems {
                assert!(problem.text.contains("okta-anypoint link"), "{case}");
            }
        }
    }
}

/// A service app without write permission can still report.
#[tokio::test]
async fn a_report_needs_no_write_permission() {
    let stage = stage(ImportMode::Create).await;
    stage.native("ann");
    let key = PrivateKey::generate().unwrap();
    let read = ["okta.users.read", "okta.apps.read", "okta.groups.read"];
    let (client, key_id) = ("0oaSERVICE", "key-1");
    let public = key.public_jwk();
    stage
        .okta
        .world()
        .add_service_app(client, key_id, public, &read);
    let mut ports = stage.ports();
    ports.okta = Okta::new(
        HttpClient::new(Arc::new(SystemClock)).unwrap(),
        stage.okta.base_url().parse().unwrap(),
        Credentials::ServiceApp {
            client_id: client.to_owned(),
            key,
            key_id: key_id.to_owned(),
        },
    );
    let metrics = stage.metrics.clone();
    let scheduler = Scheduler::new(ports, stage.inline(), stage.settings, metrics);
    let reported = scheduler
        .run(Task::Import, Some(Mode::Report), long())
        .await;
    assert_eq!(reported.unwrap().outcome, RunOutcome::Completed);
    // Modes that write need it.
    let imported = scheduler.run(Task::Import, None, long()).await;
    let failure = imported.unwrap_err().to_string();
    assert!(failure.contains("manage"), "{failure}");
}
