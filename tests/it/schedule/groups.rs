//! Groups and their teams in a reconcile.

use okta_anypoint::insight::Explanation;
use okta_anypoint::provision::{GroupSelection, TeamNamePolicy, TeamRemoval};
use okta_anypoint::schedule::{Mode, Task};
use okta_anypoint::simulator::anypoint::Member;

use super::{APP, Stage, actions, long};

#[tokio::test]
async fn maintainers_and_members_from_external_groups_stay() {
    let stage = Stage::new().await;
    let (ann, _ben, _cat) = (
        stage.assigned("ann"),
        stage.assigned("ben"),
        stage.assigned("cat"),
    );
    stage.pushed_group("Devs", &[&ann]);
    stage.settle().await;
    {
        let devs = stage.team_id("Devs");
        let (ben, cat) = (stage.account_id("ben"), stage.account_id("cat"));
        let mut world = stage.anypoint.world();
        world.add_member(&devs, &ben, "maintainer").unwrap();
        world.mark_external(&devs, &cat).unwrap();
    }
    stage.finds_nothing().await;
    assert_eq!(stage.members("Devs"), ["ann", "ben", "cat"]);
    let kinds: Vec<Member> = {
        let world = stage.anypoint.world();
        world.teams[&world.team_by_name("Devs").unwrap().id]
            .members
            .values()
            .cloned()
            .collect()
    };
    assert_eq!(kinds.len(), 3);
}

#[tokio::test]
async fn a_group_that_leaves_the_selection_follows_the_setting() {
    for removal in [TeamRemoval::Empty, TeamRemoval::Keep, TeamRemoval::Delete] {
        let mut stage = Stage::new().await;
        stage.policy.team_removal = removal;
        let ann = stage.assigned("ann");
        let devs = stage.pushed_group("Devs", &[&ann]);
        stage.settle().await;
        stage.okta.world().unassign_group(APP, &devs).unwrap();
        let summary = stage.run(Task::Reconcile).await;
        let team = stage.anypoint.world().team_by_name("Devs").cloned();
        let (members, lost) = match removal {
            TeamRemoval::Empty => (Some(0), 1),
            TeamRemoval::Keep => (Some(1), 0),
            TeamRemoval::Delete => (None, 1),
        };
        assert_eq!(team.map(|team| team.members.len()), members, "{removal:?}");
        assert_eq!(summary.count("deactivations"), lost, "{removal:?}");
        stage.finds_nothing().await;
    }
}

#[tokio::test]
async fn a_team_with_child_teams_is_not_deleted() {
    let mut stage = Stage::new().await;
    stage.policy.team_removal = TeamRemoval::Delete;
    let ann = stage.assigned("ann");
    let devs = stage.pushed_group("Devs", &[&ann]);
    stage.settle().await;
    let team = stage.team_id("Devs");
    stage
        .anypoint
        .world()
        .add_team("Below", Some(&team))
        .unwrap();
    stage.okta.world().delete_group(&devs).unwrap();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems.len(), 1);
    // Nobody keeps access because of it.
    assert_eq!(summary.differences.len(), 1);
    let again = stage.run(Task::Reconcile).await;
    assert_eq!((again.differences.len(), again.problems.len()), (0, 1));
    assert!(stage.anypoint.world().teams.contains_key(&team));
}

#[tokio::test]
async fn every_selection_of_groups_is_read() {
    for selection in ["all", "ids", "named", "none"] {
        let mut stage = Stage::new().await;
        let ann = stage.assigned("ann");
        let devs = {
            let mut world = stage.okta.world();
            let devs = world.create_group("Devs").unwrap().id;
            world.create_group("Other").unwrap();
            world.add_member(&devs, &ann).unwrap();
            devs
        };
        stage.policy.groups = match selection {
            "all" => GroupSelection::All,
            "ids" => GroupSelection::Ids(vec![devs.parse().unwrap(), "00gGONE".parse().unwrap()]),
            "named" => GroupSelection::Named("De*".to_owned()),
            _ => GroupSelection::None,
        };
        let summary = stage.run(Task::Reconcile).await;
        let expected = match selection {
            "all" => 2,
            "none" => 0,
            _ => 1,
        };
        assert_eq!(summary.count("differing_groups"), expected, "{selection}");
        if expected > 0 {
            assert_eq!(stage.members("Devs"), ["ann"], "{selection}");
        }
        stage.finds_nothing().await;
    }
}

#[tokio::test]
async fn an_existing_team_is_adopted_with_its_members_compared() {
    let mut stage = Stage::new().await;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    stage.settle().await;
    {
        let (ben, mut world) = (stage.account_id("ben"), stage.anypoint.world());
        let team = world.add_team("devs", None).unwrap();
        world.add_member(&team, &ben, "member").unwrap();
    }
    let devs = stage.pushed_group("Devs", &[&ann]);
    stage.record();
    let plan = stage.run(Task::Reconcile).await;
    assert_eq!(
        actions(&plan, &format!("group#{devs}")),
        ["adopt_team", "remove_members", "add_members"]
    );
    assert_eq!(plan.count("deactivations"), 1, "adopting takes ben out");
    stage.recorder = None;
    stage.run(Task::Reconcile).await;
    assert_eq!(stage.members("Devs"), ["ann"]);
    stage.finds_nothing().await;
    let _ = ben;
}

#[tokio::test]
async fn two_groups_with_one_team_name_are_a_problem() {
    let stage = Stage::new().await;
    stage.pushed_group("R-D", &[]);
    stage.settle().await;
    stage.pushed_group("r-d", &[]);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems.len(), 1);
    assert_eq!(summary.differences, []);
}

/// Anypoint refuses the team's new name. The members still follow the group, as in a look by an event.
#[tokio::test]
async fn a_refused_team_name_does_not_affect_memberships() {
    for (policy, name) in [
        (TeamNamePolicy::Sanitize, "Taken"),
        (TeamNamePolicy::Strict, "R&D"),
    ] {
        let mut stage = Stage::new().await;
        stage.policy.team_names = policy;
        let [ann, ben, cat] = ["ann", "ben", "cat"].map(|name| stage.assigned(name));
        let devs = stage.pushed_group("Devs", &[&ann, &ben]);
        stage.pushed_group("R-D", &[]);
        stage.settle().await;
        {
            let mut world = stage.anypoint.world();
            let others = world.add_team("Others", None).unwrap();
            world.add_team("Taken", Some(&others)).unwrap();
        }
        {
            let mut world = stage.okta.world();
            world.rename_group(&devs, name).unwrap();
            world.remove_member(&devs, &ann).unwrap();
            world.add_member(&devs, &cat).unwrap();
        }
        let plan = stage
            .try_run(Task::Reconcile, Some(Mode::Report))
            .await
            .unwrap();
        assert_eq!(plan.problems.len(), 1, "{name}");
        let planned = actions(&plan, &format!("group#{devs}"));
        assert_eq!(planned, ["remove_members", "add_members"], "{name}");
        stage.run(Task::Reconcile).await;
        assert_eq!(stage.members("Devs"), ["ben", "cat"], "{name}");
        // Only the name is still different.
        let again = stage.run(Task::Reconcile).await;
        assert_eq!(again.problems.len(), 1, "{name}");
        assert_eq!(again.differences, [], "{name}");
    }
}

/// Somebody moved the team below another one. It stays there with the right members, and is reported.
#[tokio::test]
async fn a_team_below_another_team_is_reported_and_stays_with_its_groups_members() {
    let stage = Stage::new().await;
    let [ann, ben] = ["ann", "ben"].map(|name| stage.assigned(name));
    let devs = stage.pushed_group("Devs", &[&ann]);
    stage.settle().await;
    let (team, up) = {
        let team = stage.team_id("Devs");
        let mut world = stage.anypoint.world();
        let up = world.add_team("Up", None).unwrap();
        world.move_team(&team, &up).unwrap();
        (team, up)
    };
    {
        let mut world = stage.okta.world();
        world.remove_member(&devs, &ann).unwrap();
        world.add_member(&devs, &ben).unwrap();
    }
    for differences in [1, 0] {
        let summary = stage.run(Task::Reconcile).await;
        assert_eq!(summary.differences.len(), differences);
        let [problem] = &summary.problems[..] else {
            panic!("{:?}", summary.problems)
        };
        let subject = problem.subject.as_ref().map(ToString::to_string);
        assert_eq!(subject, Some(format!("group#{devs}")));
        for part in [team.as_str(), &up, "Move the team"] {
            assert!(problem.text.contains(part), "{}", problem.text);
        }
        assert_eq!(stage.members("Devs"), ["ben"]);
        let ancestors = stage.anypoint.world().teams[&team].ancestors.clone();
        assert_eq!(ancestors.last(), Some(&up), "it is not moved");
    }
    let subject = format!("group#{devs}").parse().unwrap();
    let explained = Explanation::of(&stage.ports(), subject, long())
        .await
        .unwrap();
    let place = explained.anypoint.iter().find(|(fact, _)| *fact == "place");
    assert!(place.unwrap().1.as_str().unwrap().contains(&up));
    let root = stage.anypoint.world().root_team_id.clone();
    stage.anypoint.world().move_team(&team, &root).unwrap();
    stage.finds_nothing().await;
}

/// An administrator deleted a group and made a new one of the same name, and no event came.
#[tokio::test]
async fn a_new_group_takes_over_the_team_of_a_group_that_is_gone() {
    let mut stage = Stage::new().await;
    let [ann, ben] = ["ann", "ben"].map(|name| stage.assigned(name));
    let old = stage.pushed_group("Devs", &[&ann]);
    stage.settle().await;
    let team = stage.team_id("Devs");
    stage.okta.world().delete_group(&old).unwrap();
    let new = stage.pushed_group("Devs", &[&ben]);
    let recorder = stage.record();
    let plan = stage.run(Task::Reconcile).await;
    assert_eq!(plan.problems, []);
    let planned = actions(&plan, &format!("group#{new}"));
    assert_eq!(planned, ["adopt_team", "remove_members", "add_members"]);
    let sent = recorder.take();
    let of_new = sent
        .iter()
        .find(|change| change.subject.to_string() == format!("group#{new}"));
    let finding = format!("name_owner_not_pushed:{old}");
    assert!(of_new.unwrap().planned.contains(&finding), "{sent:?}");
    stage.recorder = None;
    stage.settle().await;
    assert_eq!(
        (stage.team_id("Devs"), stage.members("Devs")),
        (team, vec!["ben".to_owned()])
    );
}

/// When sanitized names collide, a reconcile adds the group id to the later ones. Afterwards it finds nothing.
#[tokio::test]
async fn a_reconcile_tells_colliding_team_names_apart() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    let first = stage.pushed_group("R&D", &[]);
    stage.settle().await;
    let later = ["R-D", "R/D"].map(|name| stage.pushed_group(name, &[&ann]));
    let plan = stage
        .try_run(Task::Reconcile, Some(Mode::Report))
        .await
        .unwrap();
    assert_eq!(plan.problems, []);
    for group in &later {
        let group = actions(&plan, &format!("group#{group}"));
        assert_eq!(group, ["create_team", "add_members"]);
    }
    stage.settle().await;
    for group in &later {
        let name = format!("R-D {}", &group[group.len() - 6..]);
        assert_eq!(stage.members(&name), ["ann"]);
    }
    // The first team keeps its name, and the others keep theirs even when it is free.
    assert_eq!(stage.members("R-D"), [""; 0]);
    stage.okta.world().rename_group(&first, "Research").unwrap();
    stage.settle().await;
    for group in &later {
        let name = format!("R-D {}", &group[group.len() - 6..]);
        assert_eq!(stage.members(&name), ["ann"]);
    }
}
