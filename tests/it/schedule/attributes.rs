//! `ATTRIBUTES` in the scheduled tasks: lists give the same values as a look, and an import leaves the app profile alone.

use okta_anypoint::schedule::Task;
use okta_anypoint::settings::ImportMode;
use serde_json::{Value, json};

use super::{APP, Stage};
use crate::conversation::attributes::mapped;

fn set_app_profile(stage: &Stage, user: &str, profile: Value) {
    let profile = serde_json::from_value(profile).unwrap();
    let mut world = stage.okta.world();
    world.update_app_profile(APP, user, profile).unwrap();
}

async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.policy.attributes = mapped().attributes;
    stage
}

fn first_name(stage: &Stage, account: &str) -> String {
    stage.anypoint.world().users[account].first_name.clone()
}

#[tokio::test]
async fn a_reconcile_and_a_look_use_the_same_attributes() {
    let stage = stage().await;
    let ann = stage.assigned("ann");
    stage.assigned("ben");
    set_app_profile(&stage, &ann, json!({"firstName": "Mapped", "lastName": 7}));
    // The first run creates the accounts by looks. The second finds no drift, and reports the odd value again.
    let mut again = Vec::new();
    for _ in 0..2 {
        let summary = stage.run(Task::Reconcile).await;
        let [problem] = &summary.problems[..] else {
            panic!("{:?}", summary.problems);
        };
        assert_eq!(problem.subject, format!("user#{ann}").parse().ok());
        assert!(problem.text.contains("app.lastName"), "{}", problem.text);
        again = summary.differences;
    }
    assert_eq!(again, []);
    let link = stage.link(&ann).await.unwrap();
    let account = link.anypoint_id.as_str().to_owned();
    assert_eq!(first_name(&stage, &account), "Mapped");

    // No event reports it, but the list shows it.
    set_app_profile(
        &stage,
        &ann,
        json!({"firstName": "Again", "lastName": null}),
    );
    let found = stage.run(Task::Reconcile).await;
    assert_eq!(found.differences.len(), 1, "{:?}", found.differences);
    assert_eq!(first_name(&stage, &account), "Again");
    stage.finds_nothing().await;
}

#[tokio::test]
async fn an_import_reports_and_keeps_app_profile_attributes() {
    let mut stage = stage().await;
    stage.import_mode(ImportMode::Create);
    let account = stage.native("ann");
    stage.run(Task::Import).await;
    let user = {
        let world = stage.okta.world();
        world.find_user("ann@acme.example").unwrap().id.clone()
    };
    set_app_profile(&stage, &user, json!({"firstName": "Mapped"}));
    stage.run(Task::CatchUp).await;
    stage.run(Task::Import).await;
    assert_eq!(first_name(&stage, &account), "Mapped");
    stage.finds_nothing().await;
    stage.forget_traffic();

    let mut world = stage.anypoint.world();
    world
        .edit_user(&account, |user| {
            user.first_name = "Changed".to_owned();
            user.last_name = "Changed".to_owned();
        })
        .unwrap();
    drop(world);
    let first = stage.run(Task::Import).await;
    // The last name comes from the base profile, so the import writes it there.
    assert_eq!(
        ["names_left", "names_updated"].map(|count| first.count(count)),
        [1, 1]
    );
    stage.forget_traffic();
    let again = stage.run(Task::Import).await;
    let left: Vec<&str> = again.differences[0]
        .actions
        .iter()
        .map(|step| &*step.action)
        .collect();
    assert_eq!(left, ["leave_names"]);
    assert_eq!(again.differences[0].actions[0].fields, ["first name"]);
    let text = serde_json::to_string(&again).unwrap();
    assert!(
        !text.contains("Changed") && !text.contains("Mapped"),
        "{text}"
    );
    stage.run(Task::CatchUp).await;
    stage.finds_nothing().await;
    assert_eq!(stage.writes(), Vec::<String>::new());
    {
        let okta = stage.okta.world();
        let found = &okta.users[&user];
        assert_eq!(found.attribute("firstName"), "ann");
        assert_eq!(found.attribute("lastName"), "Changed");
        let app_profile = &okta.apps[APP].users[&user].profile;
        assert_eq!(app_profile["firstName"], "Mapped");
    }
    assert_eq!(first_name(&stage, &account), "Changed");

    // With the same value in Okta, both sides are in sync.
    set_app_profile(&stage, &user, json!({"firstName": "Changed"}));
    stage.run(Task::Import).await;
    assert_eq!(stage.run(Task::Import).await.differences, []);
}
