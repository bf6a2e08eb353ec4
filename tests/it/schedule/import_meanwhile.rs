//! An import links nobody by an answer that is old or strange, and does not overwrite what a look at the user wrote
//! meanwhile.

use http::Method;
use okta_anypoint::ids::{AccountId, OktaUserId};
use okta_anypoint::schedule::{Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::anypoint::AnypointUser;
use okta_anypoint::simulator::okta::NewUser;
use okta_anypoint::simulator::traffic::{Absence, Fault, FaultKind};
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use rstest::rstest;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{APP, Stage};

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
    let entries = super::import_audit::history(&stage, &ann).await;
    assert_eq!(super::import_audit::actions(&entries), [""; 0]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_a_look_wrote_meanwhile_stays_as_it_is(
    #[values(Origin::Created, Origin::Adopted)] origin: Origin,
) {
    let (stage, ann, account) = stage().await;
    let link = link_to(&account, origin);
    let summary = import_while_linking(&stage, &ann, link.clone()).await;
    assert_eq!(summary.problems, []);
    assert_eq!(summary.count("linked"), 0);
    assert_eq!(stage.link(&ann).await, Some(link));
}

/// Okta says twice that a user does not exist. The import tries to create the user, and Okta refuses, because the login
/// is taken.
#[rstest]
#[case::suspended("suspended")]
#[case::excluded("excluded")]
#[tokio::test]
async fn a_user_found_after_a_refused_creation_is_checked_like_any_other(#[case] situation: &str) {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    let new = NewUser::active(
        "ann@acme.example",
        "Ann",
        "Lee",
        "ann@private.example",
        None,
    );
    let ann = stage.okta.world().create_user_from(new).unwrap().id;
    stage.native("ann");
    match situation {
        "suspended" => drop(stage.okta.world().suspend(&ann).unwrap()),
        _ => {
            let ids = &mut stage.policy.excluded.users.ids;
            ids.insert(OktaUserId::parse(&*ann).unwrap());
        }
    }
    let lie = Fault::not_found("/api/v1/users/ann%40acme.example", Absence::Service);
    let lie = stage.okta.traffic().inject(lie.on(Method::GET).times(2));
    let summary = stage.run(Task::Import).await;
    let traffic = stage.okta.traffic();
    assert_eq!(traffic.fired(lie), 2);
    assert!(traffic.count(&Method::POST, "/api/v1/users") > 0);
    assert_eq!((summary.count("assigned"), summary.count("linked")), (0, 0));
    assert_eq!(summary.problems.len(), 1);
    assert_eq!(stage.link(&ann).await, None);
    assert!(stage.okta.world().apps[APP].users.is_empty());
}

#[tokio::test]
async fn an_old_list_of_app_users_links_nobody_who_is_unassigned() {
    for mode in [ImportMode::Link, ImportMode::Create] {
        let mut stage = Stage::new().await;
        stage.import_mode(mode);
        let ann = stage.assigned("ann");
        stage.native("ann");
        let old = Fault::new("/api/v1/apps/*/users", FaultKind::Frozen).on(Method::GET);
        stage.okta.traffic().inject(old);
        stage.okta.world().unassign(APP, &ann).unwrap();
        let summary = stage.run(Task::Import).await;
        assert_eq!((summary.count("to_link"), summary.count("linked")), (1, 0));
        assert!(summary.problems[0].text.contains("not assigned"));
        assert_eq!(stage.link(&ann).await, None);
    }
}

/// The list of accounts is older than the account's end.
#[rstest]
#[tokio::test]
async fn an_old_list_of_accounts_links_and_creates_nobody(
    #[values("disabled", "deleted")] end: &str,
    #[values(true, false)] has_user: bool,
) {
    let stage = super::import::stage(ImportMode::Create).await;
    let ann = has_user.then(|| stage.assigned("ann"));
    let account = stage.native("ann");
    let list = "/accounts/api/organizations/*/users";
    let old = Fault::new(list, FaultKind::Frozen).on(Method::GET);
    stage.anypoint.traffic().inject(old);
    let ended = |stage: &Stage| {
        let mut world = stage.anypoint.world();
        match end {
            "disabled" => world.disable(&account),
            _ => world.delete_user(&account),
        }
    };
    ended(&stage).unwrap();
    let summary = stage.run(Task::Import).await;
    let counts = ["refused", "created", "linked"].map(|name| summary.count(name));
    assert_eq!(counts, [1, 0, 0]);
    let problem = &summary.problems[0];
    assert_eq!(problem.account.as_ref().unwrap().as_str(), account);
    assert_eq!(stage.okta.world().users.len(), usize::from(has_user));
    if let Some(ann) = ann {
        assert_eq!(stage.link(&ann).await, None);
    }
}

/// Okta once finds nobody of that address.
#[tokio::test]
async fn an_absence_that_a_second_search_contradicts_creates_nobody() {
    let stage = super::import::stage(ImportMode::Create).await;
    let new = NewUser::active("a@acme.example", "ann", "Example", "ann@acme.example", None);
    let ann = stage.okta.world().create_user_from(new).unwrap().id;
    let account = stage.native("ann");
    let lie = Fault::empty_list("/api/v1/users").on(Method::GET).once();
    let lie = stage.okta.traffic().inject(lie);
    let summary = stage.run(Task::Import).await;
    assert_eq!(stage.okta.traffic().fired(lie), 1);
    assert_eq!((summary.count("created"), summary.count("refused")), (0, 1));
    let problem = &summary.problems[0];
    assert_eq!(problem.account.as_ref().unwrap().as_str(), account);
    assert_eq!(stage.okta.world().users.len(), 1);
    super::import::import_and_rest(&stage).await;
    assert!(stage.link(&ann).await.is_some());
}

/// A native account of ann's. The list of accounts is older than a change of it.
fn native_changed_since_the_list(stage: &Stage, change: impl FnOnce(&mut AnypointUser)) {
    let account = stage.native("ann");
    let list = "/accounts/api/organizations/*/users";
    let old = Fault::new(list, FaultKind::Frozen).on(Method::GET);
    stage.anypoint.traffic().inject(old);
    let mut world = stage.anypoint.world();
    world.edit_user(&account, change).unwrap();
}

/// The list of accounts is older than a change of the account, which the next import of names would bring to Okta.
#[tokio::test]
async fn a_user_is_created_with_the_names_that_the_account_has_now() {
    let stage = super::import::stage(ImportMode::Create).await;
    native_changed_since_the_list(&stage, |user| user.last_name = "Lee".to_owned());
    let summary = stage.run(Task::Import).await;
    assert_eq!(summary.count("linked"), 1);
    {
        let world = stage.okta.world();
        let ann = world.find_user("ann@acme.example").unwrap();
        assert_eq!(ann.attribute("lastName"), "Lee");
    }
    stage.anypoint.traffic().remove_all_faults();
    super::import::import_and_rest(&stage).await;
}

/// Nobody may be created under an address that the account no longer has.
#[tokio::test]
async fn an_account_with_another_address_by_now_waits_for_the_next_run() {
    let stage = super::import::stage(ImportMode::Create).await;
    native_changed_since_the_list(&stage, |user| user.email = "lee@acme.example".to_owned());
    let summary = stage.run(Task::Import).await;
    assert_eq!((summary.count("created"), summary.count("refused")), (0, 1));
    assert!(summary.problems[0].text.contains("e-mail address"));
    stage.anypoint.traffic().remove_all_faults();
    super::import::import_and_rest(&stage).await;
    let world = stage.okta.world();
    assert_eq!(world.users.len(), 1);
    assert!(world.find_user("lee@acme.example").is_some());
}
