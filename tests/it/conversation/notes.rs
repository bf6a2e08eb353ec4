//! What the note of an account that is being created or opened holds back, and what it leads to.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::ids::OktaUserId;
use okta_anypoint::provision::Adopt;
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::store::{Origin, ResetMail};

use super::converge::refusal;
use super::meanwhile::{
    LONG, USERS, account_by_hand, done, link_by_hand, meanwhile, note, policy, take_note_back,
};
use crate::world::{APP, World};

/// The username that is noted for a user.
async fn noted(world: &World, user: &str) -> Option<String> {
    let user = OktaUserId::parse(user).unwrap();
    let memory = world.table.store.user_memory(&user).await.unwrap();
    memory.intent.map(|intent| intent.username)
}

/// The wanted username is refused. What a dead run was about to open under an earlier one is closed; the
/// account that the user has is not, whatever the note says.
#[tokio::test]
async fn a_note_closes_the_former_account_and_never_the_present_one() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.rename(&ann, "ann_new").await;
    for (name, stays) in [("ann", "disabled"), ("ann_new", "enabled")] {
        let account = world.account_id(name);
        world.anypoint().enable(&account).unwrap();
        note(&world, &ann, name, "a-dead-run", Duration::ZERO).await;
        world.rename(&ann, "no spaces").await;
        assert_eq!(world.account(name), format!("ann Example - {stays}"));
        world.rename(&ann, "ann_new").await;
    }
    world.done();
}

/// A closed account of an earlier username is noted before it is opened: a run that is killed then leaves
/// it to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_account_is_noted_before_it_is_opened() {
    let world = Arc::new(World::new().await);
    let ann = world.assigned_user("ann").await;
    world.rename(&ann, "ann_new").await;
    let opened = meanwhile(&world, Method::PUT, &world.account_id("ann"), {
        let ann = ann.clone();
        async move |world: Arc<World>| noted(&world, &ann).await
    });
    world.rename(&ann, "ann").await;
    assert_eq!(opened.try_recv(), Ok(Some("ann".to_owned())));
    assert_eq!(noted(&world, &ann).await, None);
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

/// A run has opened an account that it may not link any more, and closes it again. That is noted, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_noted_before_it_is_closed_again() {
    let world = Arc::new(World::new().await);
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    world.anypoint().disable(&account).unwrap();
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let linked = meanwhile(&world, Method::PUT, &account.clone(), {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            let other = account_by_hand(&world, "by_hand");
            link_by_hand(&world, &ann, &other, ResetMail::Settled).await;
            meanwhile(&world, Method::PUT, &account, {
                async move |world: Arc<World>| (noted(&world, &ann).await, world.account("ann"))
            })
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    let closed = linked.try_recv().unwrap().try_recv().unwrap();
    assert_eq!(
        closed,
        (Some("ann".to_owned()), "ann Example - disabled".to_owned())
    );
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

/// The same, and the account is somebody else's by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_became_somebodys_is_not_closed_again() {
    let world = Arc::new(World::new().await);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let account = account_by_hand(&world, "ann");
    world.anypoint().disable(&account).unwrap();
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let linked = meanwhile(&world, Method::PUT, &account.clone(), {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            link_by_hand(&world, &bob, &account, ResetMail::Settled).await;
            let other = account_by_hand(&world, "by_hand");
            link_by_hand(&world, &ann, &other, ResetMail::Settled).await;
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(linked.try_recv(), Ok(()));
    let text = refusal(&world, &assigned[0]).await;
    assert!(text.contains("belongs to Okta user"), "{text}");
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

/// Another run is creating an account. A link that is written now would take away its note.
#[tokio::test]
async fn nothing_is_linked_while_another_run_creates_an_account() {
    let world = World::new().await;
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    note(&world, &ann, "ann_new", "another-run", LONG).await;
    assert_eq!(world.deliver(&assigned).await, 503);
    assert_eq!(noted(&world, &ann).await.as_deref(), Some("ann_new"));
    assert_eq!(world.user_link(&ann).await, None);
    take_note_back(&world, &ann).await;
    assert_eq!(world.deliver(&assigned).await, 204);
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    world.done();
}

/// The note of one name says nothing of an account of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_of_another_name_makes_nobodys_account_ours() {
    let world = Arc::new(World::with(policy(Adopt::Never)).await);
    let ann = world.user("ann");
    account_by_hand(&world, "ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    note(&world, &ann, "ann", "a-dead-run", Duration::ZERO).await;
    let replaced = meanwhile(&world, Method::GET, USERS, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            note(&world, &ann, "ann_new", "another-dead-run", Duration::ZERO).await;
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(replaced.try_recv(), Ok(()));
    let text = refusal(&world, &assigned[0]).await;
    assert!(text.contains("ADOPT=never"), "{text}");
    assert_eq!(world.user_link(&ann).await, None);
    done(world);
}

/// The account of the earlier username was closed when a run looked, and opened before that run had linked
/// the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_account_that_was_opened_meanwhile_is_closed() {
    let world = Arc::new(World::new().await);
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.suspend(&ann)).await;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    let back = world.okta_does(|okta| okta.unsuspend(&ann));
    let former = world.account_id("ann");
    let opened = meanwhile(&world, Method::POST, USERS, {
        async move |world: Arc<World>| world.anypoint().enable(&former).unwrap()
    });
    assert_eq!(world.deliver(&back).await, 204);
    assert_eq!(opened.try_recv(), Ok(()));
    assert_eq!(world.account("ann"), "ann Example - disabled");
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(
        (link.username.as_str(), link.origin),
        ("ann_new", Origin::Created)
    );
    done(world);
}

/// The team is gone, and gone again as soon as it is made.
#[tokio::test]
async fn a_team_that_goes_away_twice_is_looked_for_again() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let joined = world.okta_does(|okta| okta.add_member(&devs, &ann));
    let gone = Fault::status("/members", 404, "{}").on(Method::PATCH);
    let gone = world.anypoint.traffic().inject(gone.times(2));
    assert_eq!(world.deliver(&joined).await, 503);
    assert_eq!(world.anypoint.traffic().fired(gone), 2);
    assert_eq!(world.deliver(&joined).await, 204);
    assert_eq!(world.team("Devs"), "ann");
    world.done();
}
