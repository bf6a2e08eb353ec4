//! A person, an account or an entry that an import cannot read is its own problem, and is never taken for nobody.

use http::Method;
use okta_anypoint::schedule::{Problem, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::NewUser;
use rstest::rstest;

use super::import::{import_and_rest, stage as stage_of};
use super::{APP, Stage};

/// An Okta user with this login and the address odd@acme.example.
fn odd_user(stage: &Stage, login: &str) -> String {
    let new = NewUser::active(login, "odd", "Example", "odd@acme.example", None);
    let mut world = stage.okta.world();
    world.create_user_from(new).unwrap().id
}

/// Runs an import that links one account and reports another. Returns the first problem of the report.
async fn one_unpaired(stage: &Stage) -> Problem {
    let mut summary = stage.run(Task::Import).await;
    assert_eq!((summary.count("linked"), summary.count("unpaired")), (1, 1));
    summary.problems.remove(0)
}

fn is_about(problem: &Problem, account: &str) -> bool {
    let named = problem.account.as_ref();
    named.is_some_and(|id| id.as_str() == account)
}

#[rstest]
#[case::by_login("odd@acme.example", "/profile/login", true)]
#[case::by_address("other@acme.example", "/profile/login", true)]
#[case::by_address_without_id("other@acme.example", "/id", false)]
#[tokio::test]
async fn an_unreadable_user_behind_an_address_is_the_problem_of_its_account(
    #[case] login: &str,
    #[case] missing: &str,
    #[case] is_named: bool,
) {
    let stage = stage_of(ImportMode::Create).await;
    let odd = odd_user(&stage, login);
    let account = stage.native("odd");
    stage.native("ann");
    let fault = Fault::removed("/api/v1/users", Some(&odd), missing).on(Method::GET);
    stage.okta.traffic().inject(fault);
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        ["unpaired", "created", "linked"].map(|name| summary.count(name)),
        [1, 1, 1]
    );
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems);
    };
    assert!(is_about(problem, &account), "{problem:?}");
    let subject = is_named.then(|| format!("user#{odd}").parse().unwrap());
    assert_eq!(problem.subject, subject);
    assert_eq!(stage.okta.world().users.len(), 2);
    stage.okta.traffic().remove_all_faults();
    import_and_rest(&stage).await;
    assert!(stage.link(&odd).await.is_some());
}

/// The server, or something before it, fails for one address. It answers for the others.
#[rstest]
#[case::server_fault(501, r#"{"errorCode":"E0000009"}"#)]
#[case::page(200, "<html>blocked</html>")]
#[case::empty(200, "")]
#[case::null(200, "null")]
#[case::gateways_404(404, "<html>not found</html>")]
#[tokio::test]
async fn an_address_that_okta_fails_to_answer_stops_nobody_else(
    #[case] status: u16,
    #[case] body: &str,
) {
    let stage = stage_of(ImportMode::Create).await;
    let account = stage.native("odd");
    stage.native("ann");
    let path = "/api/v1/users/odd%40acme.example";
    let traffic = stage.okta.traffic();
    traffic.inject(Fault::status(path, status, body));
    let problem = one_unpaired(&stage).await;
    assert!(is_about(&problem, &account), "{problem:?}");
}

/// A gateway answers 404 for one user, or for their app user.
#[tokio::test]
async fn a_404_of_a_gateway_for_one_user_stops_nobody_else() {
    for path in ["/api/v1/users/", "/api/v1/apps/*/users/"] {
        let stage = stage_of(ImportMode::Create).await;
        let ann = stage.assigned("ann");
        let ben = stage.assigned("ben");
        stage.native("ann");
        stage.native("ben");
        let lost = Fault::status(&format!("{path}{ann}"), 404, "<html>not found</html>");
        let lost = stage.okta.traffic().inject(lost.on(Method::GET));
        let ran = stage.try_run(Task::Import, None).await;
        assert!(ran.is_ok(), "{path} {ran:?}");
        assert!(stage.link(&ben).await.is_some(), "{path}");
        stage.okta.traffic().remove_fault(lost);
        import_and_rest(&stage).await;
        assert!(stage.link(&ann).await.is_some(), "{path}");
    }
}

/// An import was cut off at the creation of a user who cannot be read now.
#[tokio::test]
async fn an_unreadable_user_of_a_cut_off_import_stops_nobody_else() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("odd");
    let create = Fault::status("/api/v1/users", 501, "{}").on(Method::POST);
    let traffic = stage.okta.traffic();
    traffic.inject(create.once().after_effect());
    assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
    let odd = {
        let world = stage.okta.world();
        world.find_user("odd@acme.example").unwrap().id.clone()
    };
    stage.native("ann");
    let fault = Fault::removed("/api/v1/users", Some(&odd), "/profile/login");
    traffic.inject(fault.on(Method::GET));
    one_unpaired(&stage).await;
    let entries = super::import_audit::history(&stage, &odd).await;
    assert_eq!(super::import_audit::actions(&entries), ["interrupted"]);
    traffic.remove_all_faults();
    import_and_rest(&stage).await;
    assert!(stage.link(&odd).await.is_some());
}

#[tokio::test]
async fn an_account_that_does_not_say_whether_it_is_enabled_is_reported() {
    let stage = stage_of(ImportMode::Create).await;
    let ann = stage.assigned("ann");
    let account = stage.native("ann");
    stage.native("ben");
    let list = "/accounts/api/organizations/*/users";
    let traffic = stage.anypoint.traffic();
    traffic.inject(Fault::removed(list, Some(&account), "/enabled"));
    let problem = one_unpaired(&stage).await;
    assert!(is_about(&problem, &account), "{problem:?}");
    assert!(problem.text.contains("enabled"), "{}", problem.text);
    assert_eq!(stage.link(&ann).await, None);
    traffic.remove_all_faults();
    import_and_rest(&stage).await;
    assert!(stage.link(&ann).await.is_some());
    traffic.inject(Fault::removed(list, Some(&account), "/enabled"));
    let linked = stage.run(Task::Import).await;
    assert_eq!((linked.problems, linked.differences), (vec![], vec![]));
}

/// Ben has the app username of the account. The list of app users shows his entry without its id.
#[tokio::test]
async fn an_incomplete_list_of_app_users_creates_nobody() {
    let stage = stage_of(ImportMode::Create).await;
    let ben = stage.assigned("ben");
    stage.assigned("ann");
    stage.native("ann");
    let account = {
        let mut world = stage.anypoint.world();
        world
            .add_user("ben", "B", "B", "b@private.example")
            .unwrap()
    };
    let list = format!("/api/v1/apps/{APP}/users");
    let fault = Fault::removed(&list, Some(&ben), "/id").on(Method::GET);
    stage.okta.traffic().inject(fault);
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        ["linked", "created", "unpaired"].map(|name| summary.count(name)),
        [1, 0, 1]
    );
    let mut problems = summary.problems.iter();
    let problem = problems.find(|found| is_about(found, &account)).unwrap();
    assert!(problem.text.contains("app users"), "{}", problem.text);
    assert_eq!(stage.okta.world().users.len(), 2);
}
