//! An import does not overwrite what a look at the user wrote meanwhile.

use okta_anypoint::ids::AccountId;
use okta_anypoint::schedule::{Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::Stage;

/// Imports ann, who is not assigned yet. While the import asks Okta for her, an operator runs `link`.
async fn import_while_linking(stage: &Stage, ann: &str, link: UserLink) -> Summary {
    let (table, user) = (stage.table.clone(), ann.to_owned());
    let path = "/api/v1/users/ann%40acme.example";
    stage.okta.traffic().on_request(move |request| {
        if request.method == http::Method::GET && request.path == path {
            let written = crate::world::link(&table, &user, &link);
            block_in_place(|| Handle::current().block_on(written));
        }
    });
    stage.run(Task::Import).await
}

fn link_to(account: &str, origin: Origin) -> UserLink {
    UserLink {
        anypoint_id: AccountId::parse(account).unwrap(),
        username: "ann".to_owned(),
        origin,
        agreed: None,
        reset_mail: ResetMail::default(),
    }
}

async fn stage() -> (Stage, String, String) {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    let (ann, account) = (stage.user("ann"), stage.native("ann"));
    (stage, ann, account)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_another_account_is_left_and_reported() {
    let (stage, ann, _) = stage().await;
    let other = {
        let mut world = stage.anypoint.world();
        world.add_sso_user("other", "A", "B", "other@acme.example", "saml")
    };
    let link = link_to(&other, Origin::Adopted);
    let summary = import_while_linking(&stage, &ann, link.clone()).await;
    assert_eq!(summary.count("linked"), 0);
    assert_eq!(summary.problems.len(), 1);
    assert!(summary.problems[0].text.contains("meanwhile"));
    assert_eq!(stage.link(&ann).await, Some(link));
    // The audit trail has the steps before that.
    let entries = super::import_audit::history(&stage, &ann).await;
    assert_eq!(super::import_audit::actions(&entries), ["assign_app"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_look_created_meanwhile_stays_created() {
    let (stage, ann, account) = stage().await;
    let link = link_to(&account, Origin::Created);
    let summary = import_while_linking(&stage, &ann, link.clone()).await;
    assert_eq!(summary.problems, []);
    assert_eq!(stage.link(&ann).await, Some(link));
}
