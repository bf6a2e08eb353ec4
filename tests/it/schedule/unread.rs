//! An unreadable entry is its own problem. The run reports its id, leaves it unchanged, and continues with the rest. An
//! entry without an id makes its list incomplete: the run then adds members, and removes nobody.

use okta_anypoint::provision::{GroupSelection, TeamRemoval};
use okta_anypoint::schedule::{Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::Fault;
use rstest::rstest;
use serde_json::{Value, json};

use super::{APP, Stage};

/// The list with the odd entry.
#[derive(Clone, Copy, PartialEq)]
enum List {
    AppUsers,
    Groups,
    Members,
    Accounts,
    Teams,
    TeamMembers,
}

struct Scene {
    stage: Stage,
    ben: String,
    cat: String,
    devs: String,
}

impl Scene {
    /// Four people in two teams, in sync with Okta. Then changes.
    async fn new() -> Self {
        let mut stage = Stage::new().await;
        stage.policy.groups = GroupSelection::All;
        let [_, ben, cat, dan] = ["ann", "ben", "cat", "dan"].map(|name| stage.assigned(name));
        let devs = stage.pushed_group("Devs", &[&ben, &cat]);
        stage.pushed_group("Ops", &[&ben, &dan]);
        stage.settle().await;
        stage.assigned("eve");
        {
            let mut okta = stage.okta.world();
            okta.suspend(&dan).unwrap();
            okta.remove_member(&devs, &cat).unwrap();
        }
        Self {
            stage,
            ben,
            cat,
            devs,
        }
    }

    /// The id of the odd entry.
    fn id(&self, list: List) -> String {
        match list {
            List::AppUsers | List::Members => self.ben.clone(),
            List::Groups => self.devs.clone(),
            List::Accounts | List::TeamMembers => self.stage.account_id("ben"),
            List::Teams => self.stage.team_id("Devs"),
        }
    }

    fn path(&self, list: List) -> String {
        match list {
            List::AppUsers => format!("/api/v1/apps/{APP}/users"),
            List::Groups => "/api/v1/groups".to_owned(),
            List::Members => "/api/v1/groups/*/users".to_owned(),
            List::Accounts => "/accounts/api/organizations/*/users".to_owned(),
            List::Teams => "/accounts/api/organizations/*/teams".to_owned(),
            List::TeamMembers => "/accounts/api/organizations/*/teams/*/members".to_owned(),
        }
    }

    fn inject(&self, list: List, fault: Fault) {
        let traffic = match list {
            List::AppUsers | List::Groups | List::Members => self.stage.okta.traffic(),
            List::Accounts | List::Teams | List::TeamMembers => self.stage.anypoint.traffic(),
        };
        traffic.inject(fault);
    }

    fn odd(&self, list: List) {
        let pointer = match list {
            List::AppUsers | List::Members => "/status",
            List::Groups => "/profile",
            List::Accounts => "/username",
            List::Teams => "/team_name",
            List::TeamMembers => "/identity_type",
        };
        let id = self.id(list);
        let fault = Fault::changed(&self.path(list), Some(&id), pointer, json!(7));
        self.inject(list, fault);
    }

    /// Makes the user's first name `odd`, in the list and in single reads.
    fn odd_name(&self, user: &str, odd: &Value) {
        for (path, pointer) in [
            (
                self.path(List::AppUsers),
                "/_embedded/user/profile/firstName",
            ),
            ("/api/v1/users/*".to_owned(), "/profile/firstName"),
        ] {
            let fault = Fault::changed(&path, Some(user), pointer, odd.clone());
            self.stage.okta.traffic().inject(fault);
        }
    }

    fn without_id(&self, list: List) {
        let pointer = if list == List::Teams {
            "/team_id"
        } else {
            "/id"
        };
        let fault = Fault::removed(&self.path(list), Some(&self.id(list)), pointer);
        self.inject(list, fault);
    }

    fn fix(&self) {
        self.stage.okta.traffic().remove_all_faults();
        self.stage.anypoint.traffic().remove_all_faults();
    }

    /// Returns what a reconcile reports, then applies it.
    async fn reconcile(&mut self) -> Summary {
        self.stage.record();
        let told = self.stage.run(Task::Reconcile).await;
        self.stage.recorder = None;
        // Changes that the odd entry prevents are failures of its subject.
        let _ = self.stage.try_run(Task::Reconcile, None).await;
        told
    }

    /// Checks that everything is in sync with Okta afterwards.
    async fn settles(self) {
        self.fix();
        self.stage.run(Task::Reconcile).await;
        self.stage.finds_nothing().await;
        assert_eq!(self.stage.members("Devs"), ["ben"]);
        assert_eq!(self.stage.members("Ops"), ["ben"]);
        assert!(!self.stage.is_enabled("dan") && self.stage.is_enabled("eve"));
    }
}

fn names(summary: &Summary, id: &str) -> bool {
    let text = serde_json::to_string(&summary.problems).unwrap();
    text.contains(id)
}

#[rstest]
#[case(List::AppUsers)]
#[case(List::Groups)]
#[case(List::Members)]
#[case(List::Accounts)]
#[case(List::Teams)]
#[case(List::TeamMembers)]
#[tokio::test]
async fn an_unreadable_entry_is_reported_and_everything_else_continues(#[case] list: List) {
    let mut scene = Scene::new().await;
    scene.odd(list);
    let summary = scene.reconcile().await;
    let id = scene.id(list);
    assert!(names(&summary, &id), "{:?}", summary.problems);
    let stage = &scene.stage;
    assert!(stage.is_enabled("eve"), "the rest goes on");
    assert!(!stage.is_enabled("dan"), "a reported status counts at once");
    assert!(stage.is_enabled("ben"), "an unread object is not changed");
    assert!(stage.members("Devs").contains(&"ben".to_owned()));
    assert!(stage.members("Ops").contains(&"ben".to_owned()));
    if !matches!(list, List::Groups | List::Teams) {
        assert_eq!(stage.members("Devs"), ["ben"], "cat leaves");
    }
    scene.settles().await;
}

/// Cat left the group, and the kind of her membership is not one that Anypoint describes.
#[tokio::test]
async fn a_leaver_whose_membership_cannot_be_read_is_reported_for_the_group_and_stays() {
    let mut scene = Scene::new().await;
    let cat = scene.stage.account_id("cat");
    let (path, pointer) = (scene.path(List::TeamMembers), "/membership_type");
    let fault = Fault::changed(&path, Some(&cat), pointer, json!("observer"));
    scene.inject(List::TeamMembers, fault);
    let summary = scene.reconcile().await;
    let of_group = summary.problems.iter().find(|problem| {
        let subject = problem.subject.as_ref().map(ToString::to_string);
        subject == Some(format!("group#{}", scene.devs))
    });
    assert!(
        of_group.unwrap().text.contains(&cat),
        "{:?}",
        summary.problems
    );
    let stage = &scene.stage;
    assert_eq!(stage.members("Devs"), ["ben", "cat"]);
    assert!(
        stage.is_enabled("eve") && !stage.is_enabled("dan"),
        "the rest goes on"
    );
    scene.settles().await;
}

#[rstest]
#[case(List::AppUsers)]
#[case(List::Groups)]
#[case(List::Members)]
#[case(List::Accounts)]
#[case(List::Teams)]
#[case(List::TeamMembers)]
#[tokio::test]
async fn a_list_with_an_entry_without_an_id_removes_nobody(#[case] list: List) {
    let mut scene = Scene::new().await;
    scene.without_id(list);
    let summary = scene.reconcile().await;
    assert!(names(&summary, "no readable id"), "{:?}", summary.problems);
    let stage = &scene.stage;
    assert!(stage.is_enabled("eve"), "it adds");
    assert!(stage.is_enabled("ben"));
    assert!(stage.members("Devs").contains(&"ben".to_owned()));
    assert!(stage.members("Ops").contains(&"ben".to_owned()));
    let is_of_people = matches!(list, List::AppUsers | List::Accounts);
    assert_eq!(stage.is_enabled("dan"), is_of_people);
    scene.settles().await;
}

/// A run does not delete or empty the team of an unread group. Nor a team with an unread child team.
#[rstest]
#[case(List::Groups)]
#[case(List::Teams)]
#[tokio::test]
async fn an_unread_group_or_team_causes_no_deletion(#[case] list: List) {
    let mut scene = Scene::new().await;
    scene.stage.policy.team_removal = TeamRemoval::Delete;
    scene.odd(list);
    scene.reconcile().await;
    scene.fix();
    scene.without_id(list);
    scene.reconcile().await;
    assert!(scene.stage.anypoint.world().team_by_name("Devs").is_some());
    // The opposite: a group that is certainly gone.
    scene.fix();
    let devs = scene.devs.clone();
    scene.stage.okta.world().delete_group(&devs).unwrap();
    scene.stage.run(Task::Reconcile).await;
    assert!(scene.stage.anypoint.world().team_by_name("Devs").is_none());
}

#[rstest]
#[case(List::AppUsers)]
#[case(List::Accounts)]
#[case(List::TeamMembers)]
#[case(List::Members)]
#[tokio::test]
async fn an_import_continues_despite_an_unreadable_entry(#[case] list: List) {
    let mut scene = Scene::new().await;
    scene.stage.import_mode(ImportMode::Link);
    scene.stage.run(Task::Reconcile).await;
    scene.stage.assigned("fay");
    let account = scene.stage.native("fay");
    scene.odd(list);
    let summary = scene.stage.run(Task::Import).await;
    assert_eq!(
        summary.count("linked"),
        1,
        "{account} {:?}",
        summary.problems
    );
    if matches!(list, List::AppUsers | List::Accounts) {
        assert!(names(&summary, &scene.id(list)), "{:?}", summary.problems);
    }
    scene.fix();
}

/// A run reports a value of the wrong type by the user's id, and never shows it. The account keeps its value.
#[rstest]
#[case(json!(5))]
#[case(json!(["Odd"]))]
#[case(json!({"a": "Odd"}))]
#[case(json!(true))]
#[tokio::test]
async fn a_profile_value_of_the_wrong_type_is_reported_and_not_copied(#[case] odd: Value) {
    let mut scene = Scene::new().await;
    let ben = scene.ben.clone();
    {
        let mut okta = scene.stage.okta.world();
        let changes = [("lastName", json!("Murray"))];
        okta.update_profile(&ben, &changes).unwrap();
    }
    scene.odd_name(&ben, &odd);
    let summary = scene.reconcile().await;
    let about_ben = format!("user#{ben}").parse().ok();
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems);
    };
    assert_eq!(problem.subject, about_ben);
    assert!(problem.text.contains("user.firstName"), "{}", problem.text);
    assert!(!problem.text.contains("Odd"), "{}", problem.text);
    let names = |scene: &Scene| {
        let id = scene.stage.account_id("ben");
        let account = scene.stage.anypoint.world().users[&id].clone();
        (account.first_name, account.last_name)
    };
    let murray = || "Murray".to_owned();
    assert_eq!(names(&scene), ("ben".to_owned(), murray()));

    scene.fix();

    // A missing value is no problem.
    {
        let mut okta = scene.stage.okta.world();
        okta.update_profile(&ben, &[("mobilePhone", json!(null))])
            .unwrap();
    }
    scene.settles().await;
}

/// An import writes a name to Okta only if it can read Okta's current value.
#[tokio::test]
async fn an_import_overwrites_no_unreadable_value() {
    let mut scene = Scene::new().await;
    scene.stage.run(Task::Reconcile).await;
    scene.stage.import_mode(ImportMode::Create);
    let fay = scene.stage.assigned("fay");
    let account = scene.stage.native("fay");
    scene.stage.run(Task::Import).await;
    scene.stage.forget_traffic();
    let rename = |name: &str| {
        let mut world = scene.stage.anypoint.world();
        world.users.get_mut(&account).unwrap().first_name = name.to_owned();
    };
    rename("There");
    scene.odd_name(&fay, &json!(5));
    let summary = scene.stage.run(Task::Import).await;
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems);
    };
    assert_eq!(problem.subject, format!("user#{fay}").parse().ok());
    assert_eq!(scene.stage.writes(), Vec::<String>::new());
    scene.fix();
    // The opposite: now it can read the value, and writes the name.
    scene.stage.run(Task::Import).await;
    assert_eq!(scene.stage.writes().len(), 1);
}

/// A run reports a System Log entry without a subject by its id.
#[tokio::test]
async fn a_log_entry_without_a_subject_is_reported() {
    let scene = Scene::new().await;
    let odd = {
        let mut okta = scene.stage.okta.world();
        okta.suspend(&scene.cat).unwrap().remove(0).uuid
    };
    let fault = Fault::changed("/api/v1/logs", Some(&odd), "/target", json!("nobody"));
    scene.stage.okta.traffic().inject(fault);
    let summary = scene.stage.run(Task::CatchUp).await;
    assert!(names(&summary, &odd), "{:?}", summary.problems);
    assert!(!scene.stage.is_enabled("dan"), "the rest goes on");
    scene.fix();
    scene.stage.run(Task::Reconcile).await;
    assert!(!scene.stage.is_enabled("cat"));
}
