//! Tasks do not read, count or report users and groups that `EXCLUDE_USERS` and `EXCLUDE_GROUPS` name.

use http::Method;
use okta_anypoint::ids::{OktaGroupId, OktaUserId};
use okta_anypoint::schedule::{RunOutcome, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::Fault;
use rstest::rstest;
use serde_json::json;

use super::{APP, Stage};

/// How a user is excluded.
#[derive(Clone, Copy)]
enum By {
    Id,
    Login,
}

impl Stage {
    fn exclude(&mut self, by: By, name: &str, id: &str) {
        let users = &mut self.policy.excluded.users;
        match by {
            By::Id => drop(users.ids.insert(OktaUserId::parse(id).unwrap())),
            By::Login => users.logins.push(format!("{name}@*")),
        }
    }
}

#[tokio::test]
async fn an_excluded_id_is_not_read() {
    let mut stage = Stage::new().await;
    let [ann, ben] = ["ann", "ben"].map(|name| stage.assigned(name));
    let glass = stage.pushed_group("Glass", &[&ann]);
    stage.settle().await;
    stage.exclude(By::Id, "ann", &ann);
    let id = OktaGroupId::parse(&*glass).unwrap();
    stage.policy.excluded.groups.ids.insert(id);
    // Okta may leave `_embedded` out.
    let app_users = format!("/api/v1/apps/{APP}/users");
    let app_groups = format!("/api/v1/apps/{APP}/groups");
    for path in [&app_users, &app_groups] {
        let fault = Fault::removed(path, None, "/_embedded");
        stage.okta.traffic().inject(fault);
    }
    stage.run(Task::Reconcile).await;
    let reads = |path: &str| stage.okta.traffic().count(&Method::GET, path);
    assert_eq!(reads(&format!("/api/v1/users/{ann}")), 0);
    assert_eq!(reads(&format!("/api/v1/groups/{glass}")), 0);
    assert_eq!(reads(&format!("/api/v1/users/{ben}")), 1);
    stage.okta.traffic().remove_all_faults();

    // An unreadable entry of an excluded user is no problem.
    for (path, id, pointer) in [
        (&app_users, &ann, "/status"),
        (&app_groups, &glass, "/_embedded"),
    ] {
        let fault = Fault::changed(path, Some(id), pointer, json!(7));
        stage.okta.traffic().inject(fault);
    }
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems, []);
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[rstest]
#[case(By::Id)]
#[case(By::Login)]
#[tokio::test]
async fn excluded_users_do_not_count_for_the_empty_list_check(#[case] by: By) {
    let mut stage = Stage::new().await;
    let [ann, ben] = ["ann", "ben"].map(|name| stage.assigned(name));
    stage.settle().await;
    stage.exclude(by, "ann", &ann);

    // The list holds only the excluded user, so everybody else would be disabled.
    let path = format!("/api/v1/apps/{APP}/users");
    let fault = Fault::lacking(&path, &[&ben]);
    stage.okta.traffic().inject(fault);
    let failure = stage.try_run(Task::Reconcile, None).await.unwrap_err();
    assert!(
        failure
            .message
            .contains("while 1 linked accounts are enabled"),
        "{failure}"
    );
    stage.okta.traffic().remove_all_faults();
    assert!(stage.is_enabled("ben"));

    // Only the excluded user still has an account, and that is fine.
    stage.okta.world().suspend(&ben).unwrap();
    stage.run(Task::Reconcile).await;
    assert!(!stage.is_enabled("ben"));
    stage.okta.world().deactivate(&ben).unwrap();
    stage.okta.world().unassign(APP, &ann).unwrap();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert_eq!(summary.count("excluded"), 1);
    assert!(stage.is_enabled("ann"));
}

/// Before: a user whose login an answer lacked counted as not excluded.
#[tokio::test]
async fn a_user_without_a_login_is_not_planned() {
    let mut stage = Stage::new().await;
    let [ann, ben] = ["ann", "ben"].map(|name| stage.assigned(name));
    stage.settle().await;
    stage.exclude(By::Login, "ann", &ann);
    for user in [&ann, &ben] {
        stage.okta.world().suspend(user).unwrap();
    }
    let app_users = format!("/api/v1/apps/{APP}/users");
    for (path, pointer) in [
        (&*app_users, "/_embedded/user/profile/login"),
        ("/api/v1/users/*", "/profile/login"),
    ] {
        let fault = Fault::removed(path, Some(&ann), pointer);
        stage.okta.traffic().inject(fault);
    }
    stage.run(Task::Reconcile).await;
    assert!(stage.is_enabled("ann") && !stage.is_enabled("ben"));
}

#[tokio::test]
async fn a_missing_account_of_an_excluded_user_is_no_problem() {
    let mut stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage.settle().await;
    stage.exclude(By::Id, "ann", &ann);
    let account = stage.account_id("ann");
    stage.anypoint.world().delete_user(&account).unwrap();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
}

#[rstest]
#[case(By::Id)]
#[case(By::Login)]
#[tokio::test]
async fn an_import_leaves_an_unassigned_excluded_user_alone(#[case] by: By) {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    let [ann, _] = ["ann", "ben"].map(|name| stage.assigned(name));
    stage.native("ann");
    stage.native("ben");
    assert_eq!(stage.run(Task::Import).await.count("linked"), 2);
    stage.okta.world().unassign(APP, &ann).unwrap();
    stage.exclude(by, "ann", &ann);
    stage.forget_traffic();
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        ["excluded", "in_agreement"].map(|name| summary.count(name)),
        [1, 1]
    );
    assert_eq!(summary.excluded[0].to_string(), format!("user#{ann}"));
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_excluded_user_with_the_same_address_is_no_problem() {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    stage.native("deploy");
    let service = {
        let mut okta = stage.okta.world();
        let login = "svc-deploy@acme.example";
        let user = okta.create_user(login, "S", "V", "deploy@acme.example", None);
        user.unwrap().id
    };
    stage.exclude(By::Login, "svc-*", "");
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("excluded"), 1);
    assert_eq!(summary.problems, []);
    assert_eq!(summary.excluded[0].to_string(), format!("user#{service}"));
    assert_eq!(stage.writes(), Vec::<String>::new());
}
