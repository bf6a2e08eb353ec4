//! `link` and `unlink`: a user, and an account.

use serde_json::json;

use super::Desk;
use super::explain::actions;

#[tokio::test]
async fn accounts_are_linked_and_unlinked_by_hand() {
    let desk = Desk::new().await;
    let lin = desk.assigned("lin", "lin_example");
    let kim = desk.assigned("kim", "kim_example");
    let account = desk
        .anypoint
        .world()
        .add_user("lin_example", "Lin", "Elsewhere", "other@acme.example")
        .unwrap();
    desk.on_file(&["push", &lin])
        .await
        .expect(1)
        .says("okta-anypoint link");
    desk.on_file(&["link", "kim@acme.example", "nobody_there"])
        .await
        .expect(1)
        .says("no native user");
    let linked = desk
        .on_file(&["link", "lin@acme.example", "lin_example", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(linked["anypoint_id"], account);
    assert_eq!(actions(&linked), ["update_account"]);
    desk.on_file(&["push", &lin]).await.expect(0);
    let world = desk.anypoint.world();
    assert_eq!(world.users[&account].last_name, "Family");
    drop(world);

    desk.on_file(&["link", &kim, &account])
        .await
        .expect(1)
        .says(&format!("okta-anypoint unlink {lin}"));
    let parted = desk
        .on_file(&["unlink", "lin_example", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(parted["unlinked"]["anypoint_id"], account);
    desk.on_file(&["unlink", &lin])
        .await
        .expect(0)
        .says("was not linked");
    // By the account's id, against the app username: the command shows the consequence.
    desk.on_file(&["link", &kim, &account])
        .await
        .expect(0)
        .says("create account \"kim_example\"")
        .says("  disable account ");
    desk.on_file(&["link", &kim, "lin_example"]).await.expect(0);
    let other = desk
        .anypoint
        .world()
        .add_user("kim_example", "Kim", "Family", "kim@acme.example");
    desk.on_file(&["link", &kim, &other.unwrap()])
        .await
        .expect(0)
        .says("was linked before. The user's next event disables it");
}

/// Okta does not show the assignment, so the next looks will end the access. `link` and `explain` both say so.
#[tokio::test]
async fn linking_an_unassigned_user_warns_that_access_will_end() {
    let desk = Desk::new().await;
    let lin = desk.user("lin");
    let named = |name: &str| {
        let mut world = desk.anypoint.world();
        world
            .add_user(name, "Lin", "Family", "lin@acme.example")
            .unwrap()
    };
    named("lin_example");
    let link = ["link", lin.as_str(), "lin_example"];
    let told = desk.on_file(&link).await.expect(0);
    assert!(!told.out.contains("in sync."), "{}", told.out);
    let explained = desk.on_file(&["explain", &lin]).await.expect(0);
    let words = "seen once at";
    assert!(explained.out.contains(words), "{}", explained.out);
    told.says(words).says("counts after");
    let told = desk.on_file(&[&link[..], &["--json"]].concat()).await;
    let told = told.expect(0).json();
    assert_eq!(told["actions"], json!([]));
    assert_eq!(told["doubts"].as_array().unwrap().len(), 1, "{told}");

    let kim = desk.assigned("kim", "kim_example");
    desk.on_file(&["push", &kim]).await.expect(0);
    let told = desk.on_file(&["link", &kim, "kim_example"]).await;
    told.expect(0).says("Both sides are in sync.");
}
