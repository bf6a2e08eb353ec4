//! A general source that is incomplete, or suddenly empty, stops a reconcile before any change. The list of one group or
//! team does not stop others: see `members_unread.rs`.

use std::time::Duration;

use okta_anypoint::schedule::Task;
use okta_anypoint::simulator::traffic::{Fault, FaultKind, Traffic};
use rstest::rstest;

use super::{APP, Stage};

#[derive(Clone, Copy, PartialEq)]
pub enum Remote {
    Okta,
    Anypoint,
}

impl Remote {
    pub fn traffic(self, stage: &Stage) -> &Traffic {
        match self {
            Self::Okta => stage.okta.traffic(),
            Self::Anypoint => stage.anypoint.traffic(),
        }
    }
}

/// Two items per page, and much to do. If a partial read counted, everything would change.
pub async fn busy() -> Stage {
    let stage = Stage::with_pages(Some(2)).await;
    let people: Vec<String> = ["ann", "ben", "cat", "dan", "eve"]
        .iter()
        .map(|name| stage.assigned(name))
        .collect();
    let all: Vec<&str> = people.iter().map(String::as_str).collect();
    for name in ["Devs", "Ops", "QA"] {
        stage.pushed_group(name, &all);
    }
    stage.settle().await;
    stage.okta.world().deactivate(&people[0]).unwrap();
    let ben = stage.account_id("ben");
    stage.anypoint.world().disable(&ben).unwrap();
    stage
}

#[rstest]
#[case::app_users(Remote::Okta, "/apps/0oaAPP1/users", 1)]
#[case::app_groups(Remote::Okta, "/apps/0oaAPP1/groups", 1)]
#[case::accounts(Remote::Anypoint, "0000000000aa/users", 2)]
#[case::teams(Remote::Anypoint, "0000000000aa/teams", 1)]
#[case::token(Remote::Anypoint, "/oauth2/token", 0)]
#[tokio::test]
async fn any_failed_page_stops_the_run(
    #[case] remote: Remote,
    #[case] path: &str,
    #[case] last_page: u32,
) {
    let stage = busy().await;
    let kinds = [
        FaultKind::Status {
            code: 403,
            headers: Vec::new(),
            body: r#"{"errorCode":"E0000006"}"#.to_owned(),
        },
        FaultKind::WrongJson,
    ];
    for kind in kinds {
        for skip in 0..=last_page {
            let fault = Fault::new(path, kind.clone()).skipping(skip);
            let set = remote.traffic(&stage).inject(fault);
            let result = stage.try_run(Task::Reconcile, None).await;
            assert!(
                remote.traffic(&stage).fired(set) > 0,
                "page {skip} was never asked for"
            );
            remote.traffic(&stage).remove_all_faults();
            assert!(result.is_err(), "{kind:?} on page {skip} went unnoticed");
            assert_eq!(stage.writes(), Vec::<String>::new());
        }
    }
    // Only without a failure the run applies the changes.
    stage.run(Task::Reconcile).await;
    assert!(!stage.is_enabled("ann") && stage.is_enabled("ben"));
    stage.finds_nothing().await;
}

/// A group that is listed but not found is its own problem. Its team stays unchanged.
#[tokio::test]
async fn a_group_that_is_listed_but_not_found_stops_no_other_group() {
    let stage = busy().await;
    let members = stage.team_id("Devs");
    let members = stage.anypoint.world().members_of(&members).len();
    let gone = r#"{"errorCode":"E0000007"}"#;
    let fault = Fault::status("/api/v1/groups/", 404, gone);
    let fault = stage.okta.traffic().inject(fault);
    for _ in 0..2 {
        let summary = stage.run(Task::Reconcile).await;
        assert!(!summary.problems.is_empty());
        assert!(summary.problems[0].subject.is_some(), "by id");
    }
    stage.okta.traffic().remove_fault(fault);
    let team = stage.team_id("Devs");
    assert!(
        stage.anypoint.world().members_of(&team).len() + 1 >= members,
        "ann has left"
    );
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
}

#[rstest]
#[case::app_users(Remote::Okta, "/apps/0oaAPP1/users", "[]", "OKTA_APP_ID")]
#[case::accounts(
    Remote::Anypoint,
    "0000000000aa/users",
    r#"{"data":[],"total":0}"#,
    "ANYPOINT_ORG_ID"
)]
#[case::teams(
    Remote::Anypoint,
    "0000000000aa/teams",
    r#"{"data":[],"total":0}"#,
    "root team"
)]
#[tokio::test]
async fn a_list_that_is_suddenly_empty_stops_the_run(
    #[case] remote: Remote,
    #[case] path: &str,
    #[case] empty: &str,
    #[case] advice: &str,
) {
    let stage = busy().await;
    remote
        .traffic(&stage)
        .inject(Fault::status(path, 200, empty).once());
    let failure = stage.try_run(Task::Reconcile, None).await.unwrap_err();
    assert!(failure.to_string().contains(advice), "{failure}");
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_incomplete_list_of_accounts_stops_the_run() {
    let stage = busy().await;
    // `total` says 5, but there is only one page, also on the second read.
    let short = {
        let world = stage.anypoint.world();
        let one = world.users.values().next().unwrap();
        serde_json::json!({"data": [{"id": one.id, "username": one.username}], "total": 5})
    };
    let fault = Fault::status("0000000000aa/users", 200, &short.to_string());
    stage.anypoint.traffic().inject(fault);
    assert!(stage.try_run(Task::Reconcile, None).await.is_err());
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_app_id_stops_the_run_and_disables_nobody() {
    let stage = busy().await;
    stage.okta.world().apps.remove(APP);
    assert!(stage.try_run(Task::Reconcile, None).await.is_err());
    assert_eq!(stage.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_app_without_assignments_is_fine_without_links() {
    let stage = Stage::new().await;
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
}

#[tokio::test]
async fn throttling_slows_a_run_but_does_not_stop_it() {
    let stage = busy().await;
    let now_s = jiff::Timestamp::now().as_second();
    let limited = FaultKind::Status {
        code: 429,
        headers: vec![("x-rate-limit-reset".to_owned(), now_s.to_string())],
        body: r#"{"errorCode":"E0000047"}"#.to_owned(),
    };
    stage
        .okta
        .traffic()
        .inject(Fault::new("/api/v1/groups/", limited).times(2));
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
}

/// One of many concurrent reads gets a pause of one second. The others wait, too, before they are throttled.
#[rstest]
#[case::okta(Remote::Okta, "/api/v1/groups/", 429)]
#[case::anypoint(Remote::Anypoint, "/members", 503)]
#[tokio::test]
async fn all_reads_wait_for_the_pause_of_one(
    #[case] remote: Remote,
    #[case] path: &str,
    #[case] code: u16,
) {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    for n in 0..60 {
        stage.pushed_group(&format!("Team {n}"), &[&ann]);
    }
    stage.settle().await;
    let traffic = remote.traffic(&stage);
    traffic.set_latency(Duration::from_millis(20));
    let limited = FaultKind::Status {
        code,
        headers: vec![("retry-after".to_owned(), "1".to_owned())],
        body: String::new(),
    };
    traffic.inject(Fault::new(path, limited).skipping(8).once());
    stage.run(Task::Reconcile).await;

    let log = traffic.log();
    let refused = log.iter().find(|request| request.status == code).unwrap();
    let from_ms = refused.at_ms + refused.took_ms;
    let in_pause = |at_ms: u64| (from_ms..from_ms + 1000).contains(&at_ms);
    let meanwhile = log.iter().filter(|request| in_pause(request.at_ms)).count();
    let after = log.iter().filter(|r| r.at_ms >= from_ms + 1000).count();
    // Up to eight requests were already on their way.
    assert!(meanwhile <= 8, "{meanwhile} requests during the pause");
    assert!(after >= 40, "{after} requests after the pause");
    stage.finds_nothing().await;
}
