use okta_anypoint::simulator::traffic::Fault;
use serde_json::json;

use super::Desk;

#[tokio::test]
async fn plan_changes_nothing_and_reconcile_does_what_it_says() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.pushed_group("Engineers", &user);
    let plan = desk.on_file(&["plan", "--json"]).await.expect(0).json();
    assert_eq!(
        (&plan["mode"], &plan["outcome"]),
        (&json!("report"), &json!("completed"))
    );
    assert!(!plan["differences"].as_array().unwrap().is_empty());
    desk.on_file(&["plan"])
        .await
        .expect(0)
        .says("create account")
        .says("nothing was changed");
    assert!(!desk.wrote(), "plan wrote something");

    // Without a terminal the command does not ask.
    let done = desk
        .on_file(&["reconcile", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        (&done["mode"], &done["outcome"]),
        (&json!("apply"), &json!("completed"))
    );
    assert!(desk.has_account("lin_example"));
    desk.wrote();
    desk.on_file(&["plan"])
        .await
        .expect(0)
        .says("nothing to do");
    desk.on_file(&["reconcile", "--yes"]).await.expect(0);
    assert!(!desk.wrote());
}

#[tokio::test]
async fn a_reconcile_over_the_limit_stops_and_fails() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    // One person stays assigned, because an app without users counts as unreadable.
    let other = desk.assigned("kim", "kim_example");
    desk.on_file(&["push", &user, &other]).await.expect(0);
    desk.okta.world().unassign(super::APP, &user).unwrap();
    desk.wrote();
    let data = desk.data.to_str().unwrap().to_owned();
    let limit = [("MAX_DEACTIVATIONS", "0")];
    let plan = desk
        .run_with(&limit, &["plan", "--json", "--data", &data])
        .await
        .expect(1)
        .json();
    assert_eq!(plan["outcome"], "stopped");
    desk.run_with(&limit, &["reconcile", "--yes", "--data", &data])
        .await
        .expect(1)
        .says("MAX_DEACTIVATIONS");
    assert!(!desk.wrote());
    let limit = [("MAX_DEACTIVATIONS", "1")];
    desk.run_with(&limit, &["reconcile", "--yes", "--data", &data])
        .await
        .expect(0);
    assert!(!desk.is_enabled("lin_example"));
}

#[tokio::test]
async fn catch_up_applies_undelivered_events() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let kim = desk.user("kim");
    let done = desk.on_file(&["catch-up", "--json"]).await.expect(0).json();
    assert_eq!(done["task"], "catch_up");
    assert!(desk.has_account("lin_example"));
    desk.okta
        .world()
        .assign_with_username(super::APP, &kim, "kim_example")
        .unwrap();
    let done = desk.on_file(&["catch-up"]).await.expect(0);
    assert!(!done.out.contains("nothing to do"), "{}", done.out);
    // An unreadable source fails the run.
    let fault = okta_anypoint::simulator::traffic::Fault::status("/api/v1/logs", 403, "{}");
    desk.okta.traffic().inject(fault);
    desk.on_file(&["catch-up"])
        .await
        .expect(1)
        .says("System Log");
}

#[tokio::test]
async fn a_change_that_cannot_be_applied_is_a_problem() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    desk.assigned("kim", "kim_example");
    // Only the attempt shows that another customer has the name.
    let mut world = desk.anypoint.world();
    world.foreign_usernames.insert("lin_example".to_owned());
    // An organization without users would point to a missing scope.
    world
        .add_user("root", "Root", "Example", "root@acme.example")
        .unwrap();
    drop(world);
    desk.on_file(&["plan"]).await.expect(0);
    let done = desk
        .on_file(&["reconcile", "--json"])
        .await
        .expect(1)
        .json();
    let failed = done["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    let uuid = failed[0].as_str().unwrap();
    desk.on_file(&["events", "--failed"])
        .await
        .expect(0)
        .says(uuid)
        .says("taken outside this organization");
    assert!(desk.has_account("kim_example"));
}

/// The first command of a new operator. There is no file yet, and the plan makes none.
#[tokio::test]
async fn a_plan_needs_no_data_file() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    std::fs::remove_file(&desk.data).unwrap();
    let folder = desk.data.parent().unwrap();
    let is_empty = || std::fs::read_dir(folder).unwrap().next().is_none();
    assert!(is_empty());
    let planned = desk.on_file(&["plan", "--json"]).await.expect(0);
    let planned = planned.says("there is no file").json();
    assert_eq!(planned["differences"][0]["subject"], format!("user#{user}"));
    let said = desk.on_file(&["plan"]).await.expect(0);
    let notes = said.err.lines().filter(|line| line.contains("no file"));
    assert_eq!(notes.count(), 1, "{}", said.err);
    // A misspelt path is refused in all other commands.
    desk.on_file(&["reconcile"]).await.expect(2);
    let nowhere = ["plan", "--data", folder.to_str().unwrap()];
    desk.run(&nowhere).await.expect(2);
    assert!(is_empty() && !desk.wrote());
}

#[tokio::test]
async fn a_catch_up_that_left_work_says_so_and_fails() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let kim = desk.assigned("kim", "kim_example");
    let fault = Fault::status(&format!("/users/{kim}"), 500, "{}");
    let fault = desk.okta.traffic().inject(fault);
    let left = desk.on_file(&["catch-up"]).await.expect(1);
    assert!(!left.out.contains("nothing to do"), "{}", left.out);
    left.says("not done; run it again");
    assert!(desk.has_account("lin_example"));
    desk.okta.traffic().remove_fault(fault);
    desk.on_file(&["catch-up"]).await.expect(0);
    assert!(desk.has_account("kim_example"));
}

#[tokio::test]
async fn a_reconcile_beside_another_run_says_that_the_user_is_busy() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &lin]).await.expect(0);
    desk.anypoint
        .world()
        .users
        .values_mut()
        .for_each(|user| user.first_name = "Else".to_owned());
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let sql = "UPDATE leases SET owner = 'another', lease_until_ms = ?2 WHERE subject = ?1";
    let in_a_minute = jiff::Timestamp::now().as_millisecond() + 60_000;
    let leased = file.execute(sql, (format!("user#{lin}"), in_a_minute));
    assert_eq!(leased, Ok(1));
    let told = desk.on_file(&["reconcile", "--yes"]).await.expect(1);
    assert!(!told.out.contains("events --failed"), "{}", told.out);
    told.says("another run works on it");
}

/// After a restore, a leaver's account may have no link. Somebody has to find it.
#[tokio::test]
async fn a_plan_names_the_accounts_without_a_link() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let ids: Vec<String> = (0..21)
        .map(|n| {
            let name = format!("left{n}");
            let email = format!("{name}@acme.example");
            desk.anypoint
                .world()
                .add_user(&name, "L", "Eft", &email)
                .unwrap()
        })
        .collect();
    let plan = desk.on_file(&["plan"]).await.expect(0).says("and 1 more");
    let named = ids.iter().filter(|id| plan.out.contains(*id)).count();
    assert_eq!(named, 20, "{}", plan.out);
}
