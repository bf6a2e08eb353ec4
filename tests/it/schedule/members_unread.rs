//! An unreadable member list is a problem of its group: the team stays unchanged, and the rest continues.

use okta_anypoint::failure::Class;
use okta_anypoint::schedule::{Mode, RunOutcome, Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use rstest::rstest;

use super::sources::{Remote, busy};
use super::{APP, Stage, actions};

/// The ways in which Okta or a gateway can fail to give a list.
#[derive(Clone, Copy)]
enum Answer {
    Refused,
    SignedOut,
    Rejected,
    Broken,
    Html,
    NoList,
    Gateway,
}

impl Answer {
    fn kind(self) -> FaultKind {
        let (code, body, content_type) = match self {
            Self::Refused => (403, r#"{"errorCode":"E0000006"}"#, "application/json"),
            Self::SignedOut => (401, r#"{"errorCode":"E0000011"}"#, "application/json"),
            Self::Rejected => (400, r#"{"errorCode":"E0000001"}"#, "application/json"),
            Self::Broken => (500, r#"{"errorCode":"E0000009"}"#, "application/json"),
            Self::Html => (200, "<html>", "text/html"),
            Self::NoList => (200, "{}", "application/json"),
            Self::Gateway => (404, "404 page not found", "text/plain"),
        };
        FaultKind::Status {
            code,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.to_owned(),
        }
    }
}

/// Two teams in sync with Okta. Then people in both change, one of them only by name.
struct Scene {
    stage: Stage,
    ops: String,
    grace: String,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let [ann, ben, cat, grace] =
            ["ann", "ben", "cat", "grace"].map(|name| stage.assigned(name));
        let devs = stage.pushed_group("Devs", &[&ben, &cat, &grace]);
        let ops = stage.pushed_group("Ops", &[&ben, &cat, &grace]);
        stage.settle().await;
        {
            let mut okta = stage.okta.world();
            for group in [&devs, &ops] {
                okta.remove_member(group, &cat).unwrap();
                okta.add_member(group, &ann).unwrap();
            }
            okta.update_profile(&grace, &[("lastName", serde_json::json!("Murray"))])
                .unwrap();
        }
        Self { stage, ops, grace }
    }

    fn path(&self, remote: Remote) -> String {
        match remote {
            Remote::Okta => format!("/api/v1/groups/{}/users", self.ops),
            Remote::Anypoint => format!("/teams/{}/members", self.stage.team_id("Ops")),
        }
    }

    fn last_name(&self) -> String {
        let world = self.stage.anypoint.world();
        let mut users = world.users.values();
        let grace = users.find(|user| user.username == "grace").unwrap();
        grace.last_name.clone()
    }
}

/// The problems' subjects.
fn about(summary: &Summary) -> Vec<String> {
    let subjects = summary.problems.iter().filter_map(|p| p.subject.as_ref());
    subjects.map(ToString::to_string).collect()
}

#[rstest]
#[tokio::test]
async fn an_unreadable_member_list_stops_no_other_group(
    #[values(Remote::Okta, Remote::Anypoint)] remote: Remote,
    #[values(
        Answer::Refused,
        Answer::SignedOut,
        Answer::Rejected,
        Answer::Broken,
        Answer::Html,
        Answer::NoList,
        Answer::Gateway
    )]
    answer: Answer,
) {
    let scene = Scene::new().await;
    let stage = &scene.stage;
    let fault = Fault::new(&scene.path(remote), answer.kind());
    remote.traffic(stage).inject(fault);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert_eq!(about(&summary), [format!("group#{}", scene.ops)]);
    let problem = &summary.problems[0];
    assert_eq!(problem.class, Class::Retryable);
    assert!(problem.text.contains("stays as it is"), "{}", problem.text);
    // Cat leaves Devs, which counts once. The report has no joins or leaves for Ops.
    assert_eq!(summary.count("deactivations"), 1);
    let ops = format!("group#{}", scene.ops);
    assert!(actions(&summary, &ops).is_empty());
    let grace = actions(&summary, &format!("user#{}", scene.grace));
    assert_eq!(grace, ["update_account"]);

    assert_eq!(stage.members("Ops"), ["ben", "cat", "grace"]);
    assert_eq!(stage.members("Devs"), ["ann", "ben", "grace"]);
    assert_eq!(scene.last_name(), "Murray");

    remote.traffic(stage).remove_all_faults();
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
    assert_eq!(stage.members("Ops"), ["ann", "ben", "grace"]);
}

/// The report does not say that a new account joins an unread team.
#[tokio::test]
async fn the_report_names_no_joins_for_an_unread_team() {
    let mut scene = Scene::new().await;
    let eve = scene.stage.assigned("eve");
    let ops = scene.ops.clone();
    scene.stage.okta.world().add_member(&ops, &eve).unwrap();
    scene.stage.record();
    // A second group, which would adopt a team by its name.
    let adopted = scene.stage.anypoint.world().add_team("QA", None).unwrap();
    let qa = scene.stage.pushed_group("QA", &[&eve]);
    for (group, team) in [(ops, scene.stage.team_id("Ops")), (qa, adopted)] {
        let path = format!("/teams/{team}/members");
        let fault = Fault::new(&path, Answer::Broken.kind());
        let fault = scene.stage.anypoint.traffic().inject(fault);
        let summary = scene.stage.run(Task::Reconcile).await;
        let steps = actions(&summary, &format!("user#{eve}"));
        assert!(steps.contains(&"create_account".to_owned()), "{steps:?}");
        assert_eq!(steps.iter().filter(|step| *step == "join_team").count(), 1);
        assert_eq!(about(&summary), [format!("group#{group}")]);
        assert!(actions(&summary, &format!("group#{group}")).is_empty());
        scene.stage.anypoint.traffic().remove_fault(fault);
    }
}

/// Even if the only list of its kind fails, it is a problem of its group.
#[rstest]
#[case(Remote::Okta)]
#[case(Remote::Anypoint)]
#[tokio::test]
async fn the_only_member_list_is_the_problem_of_its_group(#[case] remote: Remote) {
    let stage = Stage::new().await;
    let ben = stage.assigned("ben");
    let group = stage.pushed_group("Devs", &[&ben]);
    stage.settle().await;
    stage.assigned("eve");
    let path = match remote {
        Remote::Okta => "/api/v1/groups/",
        Remote::Anypoint => "/members",
    };
    let fault = Fault::new(path, Answer::Refused.kind());
    remote.traffic(&stage).inject(fault);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(about(&summary), [format!("group#{group}")]);
    assert!(stage.is_enabled("eve"));
    assert_eq!(stage.members("Devs"), ["ben"]);
}

/// If all lists of one kind fail, the cause is not a group.
#[rstest]
#[case(Remote::Okta, "/api/v1/groups/")]
#[case(Remote::Anypoint, "/members")]
#[tokio::test]
async fn a_run_stops_when_every_member_list_fails(
    #[case] remote: Remote,
    #[case] path: &str,
    #[values(Answer::Refused, Answer::NoList, Answer::Gateway)] answer: Answer,
) {
    let stage = busy().await;
    let fault = Fault::new(path, answer.kind());
    remote.traffic(&stage).inject(fault);
    let failure = stage.try_run(Task::Reconcile, None).await.unwrap_err();
    assert!(failure.to_string().contains("members"), "{failure}");
    assert_eq!(stage.writes(), Vec::<String>::new());
}

/// If a general call fails, too, the side is at fault, and not the group.
#[rstest]
#[case(Remote::Okta)]
#[case(Remote::Anypoint)]
#[tokio::test]
async fn a_run_stops_when_the_side_is_at_fault(#[case] remote: Remote) {
    let scene = Scene::new().await;
    let stage = &scene.stage;
    let traffic = remote.traffic(stage);
    let list = Fault::new(&scene.path(remote), Answer::Refused.kind());
    let nobody = match remote {
        Remote::Okta => {
            let path = format!("/api/v1/apps/{APP}/users");
            // The first request is the list of the app's users.
            Fault::new(&path, Answer::Refused.kind()).skipping(1)
        }
        Remote::Anypoint => {
            let path = "/accounts/api/organizations/*";
            Fault::new(path, Answer::Refused.kind())
        }
    };
    traffic.inject(list);
    traffic.inject(nobody);
    let report = stage.try_run(Task::Reconcile, Some(Mode::Report)).await;
    report.unwrap_err();
    assert_eq!(stage.writes(), Vec::<String>::new());
}

/// A run does not plan a group from its first page if a later page fails.
#[rstest]
#[case(Remote::Okta, "/api/v1/groups/")]
#[case(Remote::Anypoint, "/members")]
#[tokio::test]
async fn no_group_is_planned_from_a_part_of_its_members(
    #[case] remote: Remote,
    #[case] path: &str,
) {
    let stage = busy().await;
    for answer in [Answer::Refused, Answer::NoList] {
        for skip in 0..=8 {
            let fault = Fault::new(path, answer.kind()).skipping(skip);
            let set = remote.traffic(&stage).inject(fault);
            let result = stage.try_run(Task::Reconcile, Some(Mode::Report)).await;
            assert!(remote.traffic(&stage).fired(set) > 0, "page {skip}");
            remote.traffic(&stage).remove_all_faults();
            let Ok(summary) = result else { continue };
            let unread = about(&summary);
            assert!(!unread.is_empty(), "page {skip} went unnoticed");
            for group in unread {
                assert!(actions(&summary, &group).is_empty(), "{group}");
            }
        }
    }
    stage.run(Task::Reconcile).await;
    assert!(!stage.is_enabled("ann") && stage.is_enabled("ben"));
    stage.finds_nothing().await;
}

#[tokio::test]
async fn a_team_deleted_during_the_read_does_not_count_as_empty() {
    let stage = busy().await;
    let gone = r#"{"errorCode":"E0000007"}"#;
    stage
        .anypoint
        .traffic()
        .inject(Fault::status("/members", 404, gone).once());
    let report = stage.try_run(Task::Reconcile, Some(Mode::Report)).await;
    let summary = report.unwrap();
    let [group] = &about(&summary)[..] else {
        panic!("{:?}", summary.problems);
    };
    assert!(actions(&summary, group).is_empty());
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
}

/// An import reports one team less, and links the same people.
#[rstest]
#[case(Remote::Okta)]
#[case(Remote::Anypoint)]
#[tokio::test]
async fn an_import_continues_despite_an_unreadable_member_list(#[case] remote: Remote) {
    let mut scene = Scene::new().await;
    scene.stage.run(Task::Reconcile).await;
    scene.stage.import_mode(ImportMode::Link);
    let stage = &scene.stage;
    stage.assigned("fay");
    let account = stage.native("fay");
    for team in ["Devs", "Ops"] {
        let team = stage.team_id(team);
        let mut world = stage.anypoint.world();
        world.add_member(&team, &account, "member").unwrap();
    }
    let fault = Fault::new(&scene.path(remote), Answer::Refused.kind());
    remote.traffic(stage).inject(fault);
    let summary = stage.run(Task::Import).await;
    assert_eq!(about(&summary), [format!("group#{}", scene.ops)]);
    assert_eq!(summary.count("linked"), 1, "{:?}", summary.problems);
    assert_eq!(summary.count("leaving_teams"), 1);
    // If all lists fail, the import stops before it links anybody.
    let account = stage.native("gil");
    for team in ["Devs", "Ops"] {
        let team = stage.team_id(team);
        let mut world = stage.anypoint.world();
        world.add_member(&team, &account, "member").unwrap();
    }
    stage.assigned("gil");
    let path = match remote {
        Remote::Okta => "/api/v1/groups/",
        Remote::Anypoint => "/members",
    };
    remote
        .traffic(stage)
        .inject(Fault::new(path, Answer::Refused.kind()));
    stage.try_run(Task::Import, None).await.unwrap_err();
}
