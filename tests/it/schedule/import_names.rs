//! Names of imported people: the last change wins, and names do not flip back and forth.

use std::ops::Deref;

use okta_anypoint::schedule::{Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use serde_json::json;

use super::Stage;

/// Ann, created in Okta by an import and at rest, with the ids of both sides.
struct Imported {
    stage: Stage,
    user: String,
    account: String,
}

impl Imported {
    async fn new() -> Self {
        let mut stage = Stage::new().await;
        stage.import_mode(ImportMode::Create);
        let account = stage.native("ann");
        stage.run(Task::Import).await;
        stage.run(Task::CatchUp).await;
        stage.finds_nothing().await;
        stage.forget_traffic();
        let user = {
            let world = stage.okta.world();
            world.find_user("ann@acme.example").unwrap().id.clone()
        };
        Self {
            stage,
            user,
            account,
        }
    }

    /// Changes the first name in Anypoint.
    fn in_anypoint(&self, first: &str) {
        let mut world = self.anypoint.world();
        world
            .edit_user(&self.account, |user| user.first_name = first.to_owned())
            .unwrap();
    }

    /// Changes the first name in Okta.
    fn in_okta(&self, first: &str) {
        let mut world = self.okta.world();
        world
            .update_profile(&self.user, &[("firstName", json!(first))])
            .unwrap();
    }

    /// First names in Okta, in Anypoint, and last in sync.
    async fn names(&self) -> [String; 3] {
        let agreed = self.link(&self.user).await.unwrap().agreed.unwrap();
        let okta = self.okta.world().users[&self.user]
            .attribute("firstName")
            .to_owned();
        let anypoint = self.anypoint.world().users[&self.account]
            .first_name
            .clone();
        [okta, anypoint, agreed.first_name]
    }

    /// Import, push, import: afterwards no run writes anything.
    async fn rests(&self) -> Summary {
        let first = self.run(Task::Import).await;
        self.run(Task::CatchUp).await;
        self.run(Task::Reconcile).await;
        self.forget_traffic();
        let last = self.run(Task::Import).await;
        self.run(Task::CatchUp).await;
        self.finds_nothing().await;
        assert_eq!(last.differences, []);
        assert_eq!(self.writes(), Vec::<String>::new());
        first
    }
}

impl Deref for Imported {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// Okta accepts the call but keeps the old name. That is a problem of this person alone.
#[tokio::test]
async fn a_name_that_okta_ignores_stops_nobody_else() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    stage.native("ben");
    let kept = json!({"id": stage.user, "profile": {"firstName": "ann"}}).to_string();
    let path = format!("/api/v1/users/{}", stage.user);
    let kept = Fault::status(&path, 200, &kept).on(http::Method::POST);
    let fault = stage.okta.traffic().inject(kept);
    let summary = stage.run(Task::Import).await;
    assert_eq!(stage.okta.traffic().fired(fault), 1);
    assert_eq!((summary.count("refused"), summary.count("linked")), (1, 1));
    assert!(summary.problems[0].text.contains("firstName"));
    assert_eq!(stage.names().await, ["ann", "Anna", "ann"]);
    stage.okta.traffic().remove_fault(fault);
    stage.rests().await;
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

#[tokio::test]
async fn a_name_changed_in_anypoint_survives_push_and_reaches_okta_by_import() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    stage.finds_nothing().await;
    assert_eq!(stage.names().await, ["ann", "Anna", "ann"]);
    let summary = stage.rests().await;
    assert_eq!(summary.count("names_updated"), 1);
    assert_eq!(summary.count("conflicts"), 0);
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

#[tokio::test]
async fn a_name_changed_in_okta_survives_import_and_is_pushed() {
    let stage = Imported::new().await;
    stage.in_okta("Annie");
    let import = stage.run(Task::Import).await;
    assert_eq!(import.differences, []);
    assert_eq!(stage.writes(), Vec::<String>::new());
    stage.rests().await;
    assert_eq!(stage.names().await, ["Annie", "Annie", "Annie"]);
}

#[tokio::test]
async fn anypoint_wins_a_conflict_and_the_report_says_so() {
    let stage = Imported::new().await;
    stage.in_okta("Annie");
    stage.in_anypoint("Anna");
    let summary = stage.rests().await;
    assert_eq!(summary.count("conflicts"), 1);
    let text = serde_json::to_string(&summary).unwrap();
    assert!(text.contains("changed on both sides") && !text.contains("Anna"));
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

/// The list of app users is older than Okta's change.
#[tokio::test]
async fn a_conflict_that_began_after_the_list_was_read_is_reported() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    let old = Fault::new("/api/v1/apps/*/users", FaultKind::Frozen);
    stage.okta.traffic().inject(old.on(http::Method::GET));
    stage.in_okta("Annie");
    let summary = stage.run(Task::Import).await;
    let counts = ["names_updated", "conflicts"].map(|name| summary.count(name));
    assert_eq!(counts, [1, 1]);
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

/// The list of accounts still has a name that Anypoint no longer has.
#[tokio::test]
async fn an_old_list_of_accounts_brings_no_name_to_okta() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    let list = "/accounts/api/organizations/*/users";
    let old = Fault::new(list, FaultKind::Frozen).on(http::Method::GET);
    stage.anypoint.traffic().inject(old);
    stage.in_anypoint("ann");
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.problems, []);
    assert_eq!(stage.writes(), Vec::<String>::new());
    assert_eq!(stage.names().await, ["ann", "ann", "ann"]);
}

#[tokio::test]
async fn the_same_change_on_both_sides_needs_no_write_to_okta() {
    let stage = Imported::new().await;
    stage.in_okta("Anna");
    stage.in_anypoint("Anna");
    stage.forget_traffic();
    let summary = stage.run(Task::Import).await;
    assert_eq!(
        (summary.count("agreed"), summary.count("names_updated")),
        (1, 0)
    );
    assert!(stage.okta.traffic().writes().is_empty());
    stage.rests().await;
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

#[tokio::test]
async fn a_write_whose_record_was_cut_off_converges() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    let lost = Fault::status(&format!("/users/{}", stage.user), 501, "{}")
        .on(http::Method::POST)
        .once()
        .after_effect();
    stage.okta.traffic().inject(lost);
    assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
    assert_eq!(stage.names().await, ["Anna", "Anna", "ann"]);
    stage.rests().await;
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
}

#[tokio::test]
async fn a_name_that_okta_cannot_change_is_the_problem_of_its_person() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    stage.okta.traffic().inject(
        Fault::status(
            &format!("/users/{}", stage.user),
            403,
            r#"{"errorCode":"E0000075"}"#,
        )
        .on(http::Method::POST),
    );
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("refused"), 1);
    assert_eq!(stage.names().await[2], "ann");
}

#[tokio::test]
async fn okta_owns_imported_names_unless_the_import_mode_is_create() {
    let mut stage = Imported::new().await;
    for mode in [ImportMode::Link, ImportMode::Report] {
        stage.stage.import_mode(mode);
        stage.in_anypoint("Anna");
        stage.run(Task::Import).await;
        assert!(stage.okta.traffic().writes().is_empty());
        stage.run(Task::Reconcile).await;
        assert_eq!(stage.names().await[..2], ["ann", "ann"]);
    }
    // Back in mode create, the names last in sync still count.
    stage.stage.import_mode(ImportMode::Create);
    stage.rests().await;
}

#[tokio::test]
async fn names_of_created_and_adopted_people_are_never_imported() {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    let ann = stage.assigned("ann");
    stage.native("ben");
    let ben = stage.assigned("ben");
    stage.run(Task::Reconcile).await;
    for name in ["ann", "ben"] {
        let account = stage.account_id(name);
        let mut world = stage.anypoint.world();
        let edited = world.edit_user(&account, |user| user.first_name = "Changed".to_owned());
        edited.unwrap();
    }
    stage.forget_traffic();
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.differences, []);
    assert_eq!(stage.writes(), Vec::<String>::new());
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
    assert!(stage.link(&ann).await.is_some() && stage.link(&ben).await.is_some());
}

#[tokio::test]
async fn names_that_were_never_in_sync_are_pushed_from_okta() {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    let ann = Imported {
        user: stage.user("ann"),
        account: stage.native("ann"),
        stage,
    };
    ann.in_anypoint("Other");
    let summary = ann.run(Task::Import).await;
    assert_eq!(summary.count("names_updated"), 0);
    ann.rests().await;
    assert_eq!(ann.names().await, ["ann", "ann", "ann"]);
}

/// What was pushed under one mode is agreed on under the next.
#[tokio::test]
async fn a_name_pushed_in_mode_link_is_no_change_of_anypoint_in_mode_create() {
    let mut stage = Imported::new().await;
    stage.stage.import_mode(ImportMode::Link);
    stage.in_okta("Linda");
    stage.run(Task::CatchUp).await;
    assert_eq!(stage.names().await, ["Linda", "Linda", "Linda"]);
    stage.stage.import_mode(ImportMode::Create);
    stage.in_okta("Lindsay");
    let summary = stage.rests().await;
    assert_eq!(summary.count("names_updated"), 0);
    assert_eq!(stage.names().await, ["Lindsay", "Lindsay", "Lindsay"]);
}

/// The event's look finds both sides the same.
#[tokio::test]
async fn a_name_that_a_look_finds_on_both_sides_is_agreed_on() {
    let stage = Imported::new().await;
    stage.in_anypoint("Anna");
    stage.in_okta("Anna");
    stage.run(Task::CatchUp).await;
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
    stage.in_okta("Hanna");
    stage.run(Task::CatchUp).await;
    assert_eq!(stage.names().await, ["Hanna", "Hanna", "Hanna"]);
    stage.rests().await;
}

/// Both sides were changed to the same, and no event said so.
#[tokio::test]
async fn an_import_in_mode_link_remembers_names_that_both_sides_have() {
    let mut stage = Imported::new().await;
    stage.stage.import_mode(ImportMode::Link);
    stage.in_anypoint("Anna");
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.differences, []);
    stage.in_okta("Anna");
    stage.forget_traffic();
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("agreed"), 1);
    assert_eq!(stage.writes(), Vec::<String>::new());
    assert_eq!(stage.names().await, ["Anna", "Anna", "Anna"]);
    assert_eq!(stage.run(Task::Import).await.differences, []);
}
