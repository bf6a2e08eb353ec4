//! Imports that are cut off, refused, or misled.

use http::Method;
use okta_anypoint::failure::Cause;
use okta_anypoint::schedule::Task;
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::store::Origin;
use rstest::rstest;

use super::APP;
use super::import::{import_and_rest, stage as stage_of};

#[rstest]
#[case::created_and_not_assigned("/api/v1/apps/", false)]
#[case::assigned_and_not_told("/api/v1/apps/", true)]
#[case::created_and_not_told("/api/v1/users", true)]
#[tokio::test]
async fn a_cut_off_import_is_finished_by_the_next(#[case] path: &str, #[case] after: bool) {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    // The run does not try it again.
    let mut fault = Fault::status(path, 501, "{}").on(Method::POST).once();
    if after {
        fault = fault.after_effect();
    }
    stage.okta.traffic().inject(fault);
    assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
    import_and_rest(&stage).await;
    let (count, id) = {
        let world = stage.okta.world();
        let user = world.find_user("ann@acme.example").unwrap();
        (world.users.len(), user.id.clone())
    };
    assert_eq!(count, 1, "never duplicated");
    assert_eq!(stage.link(&id).await.unwrap().origin, Origin::Imported);
}

#[tokio::test]
async fn a_lost_answer_creates_no_second_user() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    stage.okta.traffic().inject(
        Fault::new("/api/v1/users", FaultKind::DropConnection)
            .on(Method::POST)
            .once()
            .after_effect(),
    );
    import_and_rest(&stage).await;
    assert_eq!(stage.okta.world().users.len(), 1);
}

#[tokio::test]
async fn one_refused_person_stops_nobody_but_a_missing_right_stops_the_run() {
    let refused = |code: u16| {
        Fault::status("/api/v1/users", code, r#"{"errorCode":"E0000001"}"#).on(Method::POST)
    };
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    stage.native("ben");
    stage.okta.traffic().inject(refused(400).once());
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        ["refused", "created", "linked"].map(|name| summary.count(name)),
        [1, 1, 1]
    );
    import_and_rest(&stage).await;

    let stage = stage_of(ImportMode::Create).await;
    (0..9).for_each(|n| drop(stage.native(&format!("user{n}"))));
    stage.okta.traffic().inject(refused(403));
    let failure = stage.try_run(Task::Import, None).await.unwrap_err();
    assert!(failure.is_retryable() && failure.cause == Cause::RefusedRights);
    assert_eq!(
        stage.okta.traffic().count(&Method::POST, "/api/v1/users"),
        16,
        "eight are refused, each asked twice, and no more are begun"
    );
}

/// Okta refuses the first four people and answers a call about nobody in particular.
#[tokio::test]
async fn four_refused_people_stop_nobody_else() {
    let stage = stage_of(ImportMode::Create).await;
    (0..9).for_each(|n| drop(stage.native(&format!("user{n}"))));
    let refused = Fault::status("/api/v1/users", 403, r#"{"errorCode":"E0000006"}"#);
    // Each is asked twice.
    let refused = refused.on(Method::POST).times(8);
    stage.okta.traffic().inject(refused);
    let summary = stage.run(Task::Import).await;
    let counts = ["refused", "created", "linked"].map(|name| summary.count(name));
    assert_eq!(counts, [4, 5, 5]);
    import_and_rest(&stage).await;
}

/// The role may not see eight people. Their accounts are first in every run.
#[tokio::test]
async fn people_whom_the_role_may_not_see_stop_nobody_else() {
    let stage = stage_of(ImportMode::Link).await;
    let people: Vec<String> = (0..9).map(|n| format!("user{n}")).collect();
    people.iter().for_each(|name| drop(stage.native(name)));
    let users: Vec<String> = people.iter().map(|name| stage.assigned(name)).collect();
    let (last, unseen) = users.split_last().unwrap();
    for user in unseen {
        let path = format!("/api/v1/users/{user}");
        let refused = Fault::status(&path, 403, r#"{"errorCode":"E0000006"}"#);
        stage.okta.traffic().inject(refused);
    }
    let summary = stage.run(Task::Import).await;
    assert_eq!((summary.count("refused"), summary.count("linked")), (8, 1));
    assert!(stage.link(last).await.is_some());
}

/// The app and its users are readable, and no person is.
#[tokio::test]
async fn a_right_to_read_that_is_missing_for_everybody_stops_the_run() {
    let stage = stage_of(ImportMode::Link).await;
    for n in 0..24 {
        let name = format!("user{n}");
        stage.native(&name);
        let user = stage.assigned(&name);
        let path = format!("/api/v1/users/{user}");
        let refused = Fault::status(&path, 403, r#"{"errorCode":"E0000006"}"#);
        stage.okta.traffic().inject(refused);
    }
    let failure = stage.try_run(Task::Import, None).await.unwrap_err();
    assert_eq!(failure.cause, Cause::RefusedRights);
}

/// Okta accepts a change of names and new users, and no assignment.
#[tokio::test]
async fn accepted_writes_before_do_not_hide_that_the_right_to_assign_is_missing() {
    let stage = stage_of(ImportMode::Create).await;
    let first = stage.native("first");
    import_and_rest(&stage).await;
    {
        let mut world = stage.anypoint.world();
        let renamed = world.edit_user(&first, |user| user.first_name = "New".to_owned());
        renamed.unwrap();
    }
    (0..20).for_each(|n| drop(stage.native(&format!("user{n}"))));
    let assign = format!("/api/v1/apps/{APP}/users");
    let refused = Fault::status(&assign, 403, r#"{"errorCode":"E0000006"}"#);
    stage.okta.traffic().inject(refused.on(Method::POST));
    let failure = stage.try_run(Task::Import, None).await.unwrap_err();
    assert_eq!(failure.cause, Cause::RefusedRights);
    let created = stage.okta.world().users.len() - 1;
    assert!((8..=12).contains(&created), "{created}");
}

/// A side fails for one person and answers for the others.
#[tokio::test]
async fn a_person_for_whom_a_side_fails_stops_nobody_else() {
    for at_okta in [true, false] {
        let stage = stage_of(ImportMode::Link).await;
        let odd = stage.assigned("ann");
        let account = stage.native("ann");
        stage.assigned("ben");
        stage.native("ben");
        let path = match at_okta {
            true => format!("/api/v1/users/{odd}"),
            false => format!("/accounts/api/organizations/*/users/{account}"),
        };
        let traffic = match at_okta {
            true => stage.okta.traffic(),
            false => stage.anypoint.traffic(),
        };
        traffic.inject(Fault::status(&path, 501, "{}").on(Method::GET));
        let summary = stage.run(Task::Import).await;
        let counts = ["refused", "linked"].map(|name| summary.count(name));
        assert_eq!(counts, [1, 1], "{path}");
        assert_eq!(stage.link(&odd).await, None);
        traffic.remove_all_faults();
        import_and_rest(&stage).await;
        assert!(stage.link(&odd).await.is_some());
    }
}

/// Okta answers 405 for an address, or the role may not see a person. That is a problem of that account alone.
#[tokio::test]
async fn an_unanswered_address_is_the_problem_of_its_account() {
    for status in [405, 400, 403] {
        let stage = stage_of(ImportMode::Create).await;
        let odd = stage.native("odd");
        stage.native("ann");
        stage.okta.traffic().inject(Fault::status(
            "/api/v1/users/odd%40acme.example",
            status,
            r#"{"errorCode":"E0000022"}"#,
        ));
        let summary = stage.run(Task::Import).await;
        assert_eq!(
            ["unpaired", "created", "linked"].map(|name| summary.count(name)),
            [1, 1, 1],
            "{status}"
        );
        let problem = &summary.problems[0];
        assert_eq!(problem.account.as_ref().unwrap().as_str(), odd);
        assert!(
            problem.text.contains(&status.to_string()),
            "{}",
            problem.text
        );
        stage.okta.traffic().remove_all_faults();
        import_and_rest(&stage).await;
    }
}

#[rstest]
#[case::app_users(true, "/apps/0oaAPP1/users", Method::GET)]
#[case::by_login(true, "/api/v1/users/", Method::GET)]
#[case::by_address(true, "/api/v1/users", Method::GET)]
#[case::accounts(false, "0000000000aa/users", Method::GET)]
#[tokio::test]
async fn a_source_that_fails_stops_the_import(
    #[case] at_okta: bool,
    #[case] path: &str,
    #[case] method: Method,
) {
    for kind in [
        FaultKind::Status {
            code: 403,
            headers: Vec::new(),
            body: "{}".to_owned(),
        },
        FaultKind::WrongJson,
    ] {
        let stage = stage_of(ImportMode::Create).await;
        stage.native("ann");
        stage.assigned("ben");
        stage.native("ben");
        let traffic = if at_okta {
            stage.okta.traffic()
        } else {
            stage.anypoint.traffic()
        };
        let set = traffic.inject(Fault::new(path, kind).on(method.clone()));
        let run = stage.try_run(Task::Import, None).await;
        assert!(traffic.fired(set) > 0);
        if path.starts_with("/api/v1/users") {
            // The app is readable, so the failure is about this person.
            assert_eq!(run.unwrap().count("unpaired"), 1);
            continue;
        }
        assert!(run.is_err(), "{path}");
        assert_eq!(stage.writes(), Vec::<String>::new());
        assert!(stage.table.store.all_user_links().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_empty_app_is_not_believed_while_people_are_linked() {
    let stage = stage_of(ImportMode::Create).await;
    stage.assigned("ann");
    stage.run(Task::Reconcile).await;
    stage.native("ben");
    stage.forget_traffic();
    let fault = Fault::status(&format!("/apps/{APP}/users"), 200, "[]").once();
    stage.okta.traffic().inject(fault);
    assert!(stage.try_run(Task::Import, None).await.is_err());
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_mapping_that_overrides_the_username_prevents_the_link() {
    let stage = stage_of(ImportMode::Create).await;
    let ann = stage.user("ann");
    stage.native("ann");
    let overruled = serde_json::json!({"id": ann, "status": "ACTIVE",
        "credentials": {"userName": "ann@acme.example"}});
    stage.okta.traffic().inject(
        Fault::status(&format!("/apps/{APP}/users"), 200, &overruled.to_string())
            .on(Method::POST)
            .once(),
    );
    let summary = stage.run(Task::Import).await;
    assert_eq!((summary.count("refused"), summary.count("linked")), (1, 0));
    assert!(stage.link(&ann).await.is_none());
    assert_eq!(stage.writes().len(), 1);
}
