//! An import reports who leaves which team because of its links.

use okta_anypoint::schedule::{Mode, Summary, Task};
use okta_anypoint::settings::ImportMode;
use rstest::rstest;

use super::{Stage, actions};

/// Ben's team of a pushed group holds four unlinked people. Ann and new are not in the group, and new is not even in
/// Okta. Cat is in the group. Dan is the team's maintainer. Gil is in no team.
async fn crowded_team(mode: ImportMode) -> (Stage, [String; 4]) {
    let mut stage = Stage::new().await;
    stage.import_mode(mode);
    let ben = stage.assigned("ben");
    let group = stage.pushed_group("Devs", &[&ben]);
    stage.settle().await;
    let devs = stage.team_id("Devs");
    let people = ["ann", "cat", "dan", "gil"].map(|name| stage.assigned(name));
    stage.okta.world().add_member(&group, &people[1]).unwrap();
    for (name, role) in [
        ("ann", Some("member")),
        ("new", Some("member")),
        ("cat", Some("member")),
        ("dan", Some("maintainer")),
        ("gil", None),
    ] {
        let account = stage.native(name);
        if let Some(role) = role {
            let mut world = stage.anypoint.world();
            world.add_member(&devs, &account, role).unwrap();
        }
    }
    stage.forget_traffic();
    (stage, people)
}

fn leaves(summary: &Summary, user: &str) -> bool {
    actions(summary, &format!("user#{user}")).contains(&"leave_teams".to_owned())
}

#[rstest]
#[case::link(ImportMode::Link, 1)]
#[case::create(ImportMode::Create, 2)]
#[tokio::test]
async fn the_report_names_people_who_leave_a_team_when_they_are_linked(
    #[case] mode: ImportMode,
    #[case] leaving: usize,
) {
    let (stage, [ann, cat, dan, gil]) = crowded_team(mode).await;
    let report = stage.try_run(Task::Import, Some(Mode::Report)).await;
    let report = report.unwrap();
    assert!(stage.writes().is_empty());
    let summary = stage.run(Task::Import).await;
    assert_eq!(report.differences, summary.differences);
    assert_eq!(summary.count("leaving_teams"), leaving);
    assert!(summary.message.as_ref().unwrap().contains("teams"));
    assert!(leaves(&summary, &ann));
    for user in [&cat, &dan, &gil] {
        assert!(!leaves(&summary, user), "{user}");
    }
    // The result is what the import predicted.
    stage.run(Task::Reconcile).await;
    let members = stage.members("Devs");
    assert!(!members.contains(&"ann".to_owned()), "{members:?}");
    assert_eq!(
        members.contains(&"new".to_owned()),
        mode == ImportMode::Link
    );
    for stays in ["ben", "cat", "dan"] {
        assert!(members.contains(&stays.to_owned()), "{members:?}");
    }
    assert!(stage.is_enabled("ann"));
}

#[tokio::test]
async fn the_report_names_nobody_if_the_team_keeps_its_members() {
    let (mut stage, _) = crowded_team(ImportMode::Link).await;
    stage.policy.team_removal = okta_anypoint::provision::TeamRemoval::Keep;
    stage.policy.groups = okta_anypoint::provision::GroupSelection::None;
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        (summary.count("linked"), summary.count("leaving_teams")),
        (4, 0)
    );
    assert_eq!(summary.message, None);
    let members = stage.members("Devs").len();
    stage.run(Task::Reconcile).await;
    assert_eq!(stage.members("Devs").len(), members);
}
