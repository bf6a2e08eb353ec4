//! Other runs, operators and strangers: what they do between two calls of a run, and the notes that they
//! leave. Nothing here waits for a while: a call is answered when what happens meanwhile is over.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use okta_anypoint::ids::{AccountId, OktaUserId};
use okta_anypoint::provision::{Adopt, Policy};
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::store::{Intended, Linked, Origin, ResetMail, UserLink};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::converge::refusal;
use crate::world::{APP, World};

/// The request for a password reset mail.
const MAIL: &str = "/recover/password";
/// The search for an account, and the request for a new one.
pub const USERS: &str = "/users";
/// Of a run that is still at it.
pub const LONG: Duration = Duration::from_secs(1_000);

/// Lets something happen once: when Anypoint has carried out a call of this method whose path ends so, and
/// before it answers. What came of it is there to be received once it did.
pub fn meanwhile<T: Send + 'static>(
    world: &Arc<World>,
    method: Method,
    path_end: &str,
    happens: impl AsyncFnOnce(Arc<World>) -> T + Send + 'static,
) -> Receiver<T> {
    let (tell, told) = channel();
    let once = Mutex::new(Some((happens, Arc::clone(world))));
    let path_end = path_end.to_owned();
    world.anypoint.traffic().on_request(move |call| {
        if call.method != method || !call.path.ends_with(&path_end) {
            return;
        }
        let Some((happens, world)) = once.lock().unwrap().take() else {
            return;
        };
        let came_of_it = block_in_place(|| Handle::current().block_on(happens(world)));
        tell.send(came_of_it).unwrap();
    });
    told
}

/// Ends a test; nothing may be left that was to happen in its world.
pub fn done(world: Arc<World>) {
    Arc::into_inner(world).unwrap().done();
}

pub fn policy(adopt: Adopt) -> Policy {
    Policy {
        adopt,
        ..Policy::default()
    }
}

/// Notes that `holder` is about to create an account for a user.
pub async fn note(world: &World, user: &str, username: &str, holder: &str, lease: Duration) {
    let user = OktaUserId::parse(user).unwrap();
    let store = &world.table.store;
    let noted = store.intend_account(&user, username, holder, lease).await;
    assert_eq!(noted.unwrap(), Intended::Noted);
}

pub async fn take_note_back(world: &World, user: &str) {
    let user = OktaUserId::parse(user).unwrap();
    world.table.store.forget_intent(&user).await.unwrap();
}

/// Somebody's account, made by hand.
pub fn account_by_hand(world: &World, username: &str) -> String {
    let mut anypoint = world.anypoint();
    let made = anypoint.add_user(username, "By", "Hand", "ann@acme.example");
    made.unwrap()
}

/// Links a user as `okta-anypoint link` does.
pub async fn link_by_hand(world: &World, user: &str, account: &str, reset_mail: ResetMail) {
    let link = UserLink {
        anypoint_id: AccountId::parse(account).unwrap(),
        username: "by_hand".to_owned(),
        origin: Origin::Adopted,
        agreed: None,
        reset_mail,
    };
    let user = OktaUserId::parse(user).unwrap();
    let linked = world.table.store.link_user(&user, &link).await;
    assert_eq!(linked.unwrap(), Linked::Written);
}

/// The account is made, its mail asked for, and only the link missing, when a faster run gives the user
/// another account under a later name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_an_earlier_username_is_not_linked_over_the_present_one() {
    let world = Arc::new(World::new().await);
    let ann = world.user("ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let renamed = meanwhile(&world, Method::POST, MAIL, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
            world.deliver(&world.hint(&ann)).await
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(renamed.try_recv(), Ok(204));
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.user_link(&ann).await.unwrap().username, "ann_new");
    done(world);
}

/// An operator links another account while the mail is asked for: the run looks again, finds its own
/// account, and has no need of a second mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_to_look_again_asks_for_one_mail() {
    let world = Arc::new(World::new().await);
    let ann = world.user("ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let linked = meanwhile(&world, Method::POST, MAIL, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            let other = account_by_hand(&world, "by_hand");
            link_by_hand(&world, &ann, &other, ResetMail::Settled).await;
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(linked.try_recv(), Ok(()));
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(
        (link.username.as_str(), link.origin),
        ("ann", Origin::Created)
    );
    assert_eq!(world.anypoint().mails.len(), 1);
    done(world);
}

/// The same while an account is adopted: looking again does not make it one that this program made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_run_was_about_to_adopt_is_adopted_after_another_look() {
    let world = Arc::new(World::new().await);
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let linked = meanwhile(&world, Method::PUT, &account, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            let other = account_by_hand(&world, "by_hand");
            link_by_hand(&world, &ann, &other, ResetMail::Settled).await;
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(linked.try_recv(), Ok(()));
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(
        (link.anypoint_id.as_str(), link.origin),
        (account.as_str(), Origin::Adopted)
    );
    assert!(world.anypoint().mails.is_empty(), "it has a password");
    done(world);
}

/// The present account is being enabled when an operator links that of a new username. Nobody looks at the
/// former one later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_was_parted_from_its_user_while_it_was_enabled_is_closed_again() {
    let world = Arc::new(World::new().await);
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.suspend(&ann)).await;
    let linked = meanwhile(&world, Method::PUT, &world.account_id("ann"), {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            world.okta_does(|okta| okta.set_app_username(APP, &ann, "by_hand"));
            let other = account_by_hand(&world, "by_hand");
            link_by_hand(&world, &ann, &other, ResetMail::Settled).await;
        }
    });
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(linked.try_recv(), Ok(()));
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("by_hand"), "ann Example - enabled");
    done(world);
}

/// The account was closed before its mail, and an administrator has opened it. Two runs see that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_owed_is_asked_for_by_one_of_two_runs() {
    let world = Arc::new(World::new().await);
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    world.okta_does(|okta| okta.assign(APP, &ann));
    link_by_hand(&world, &ann, &account, ResetMail::Owed).await;
    let faster = meanwhile(&world, Method::GET, &account, {
        let ann = ann.clone();
        async move |world: Arc<World>| world.deliver(&world.hint(&ann)).await
    });
    world.look_again(&ann).await;
    assert_eq!(faster.try_recv(), Ok(204));
    assert_eq!(world.anypoint().mails.len(), 1);
    done(world);
}

/// A run was about to create an account, and was told that the name is somebody's. Whoever saw its note
/// before that, and the account, must not take the account for what came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_was_taken_back_makes_nobodys_account_ours() {
    let world = Arc::new(World::with(policy(Adopt::Never)).await);
    let ann = world.user("ann");
    account_by_hand(&world, "ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    note(&world, &ann, "ann", "another-run", LONG).await;
    let refused = meanwhile(&world, Method::GET, USERS, {
        let ann = ann.clone();
        async move |world: Arc<World>| take_note_back(&world, &ann).await
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(refused.try_recv(), Ok(()));
    let text = refusal(&world, &assigned[0]).await;
    assert!(text.contains("ADOPT=never"), "{text}");
    assert_eq!(world.account("ann"), "By Hand - enabled");
    assert!(world.user_link(&ann).await.is_none());
    assert!(world.anypoint().mails.is_empty());
    done(world);
}

/// A run that finds another one at work closes what it has opened, and leaves that one's note alone: it
/// may be all that is known of an account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_steps_back_leaves_the_note_of_another() {
    let world = Arc::new(World::new().await);
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    world.anypoint().disable(&account).unwrap();
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let opened = meanwhile(&world, Method::PUT, &account, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            note(&world, &ann, "ann_new", "another-run", LONG).await;
            // The first call of the run's next look.
            meanwhile(
                &world,
                Method::GET,
                USERS,
                async move |world: Arc<World>| {
                    let user = OktaUserId::parse(&ann).unwrap();
                    let memory = world.table.store.user_memory(&user).await.unwrap();
                    let seen = (memory.intent, world.account("ann"));
                    take_note_back(&world, &ann).await;
                    seen
                },
            )
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    let (noted, state) = opened.try_recv().unwrap().try_recv().unwrap();
    assert_eq!(noted.unwrap().holder, "another-run");
    assert_eq!(state, "ann Example - disabled");
    // The other one is over, so the account is adopted after all.
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

/// Anypoint refuses to create an account, because it is asked too much; then an account of that name
/// appears. It is somebody else's, unless an earlier attempt ended without a clear answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_account_appears_after_a_refusal_depends_on_earlier_attempts() {
    for tried_before in [false, true] {
        let world = Arc::new(World::with(policy(Adopt::Never)).await);
        let ann = world.user("ann");
        let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
        if tried_before {
            note(&world, &ann, "ann", "a-dead-run", Duration::ZERO).await;
        }
        let busy = Fault::status(USERS, 429, "{}").on(Method::POST).once();
        world.anypoint.traffic().inject(busy);
        let appears = meanwhile(&world, Method::POST, USERS, async |world: Arc<World>| {
            account_by_hand(&world, "ann");
        });
        assert_eq!(world.deliver(&assigned).await, 204);
        assert_eq!(appears.try_recv(), Ok(()));
        let link = world.user_link(&ann).await;
        if tried_before {
            assert_eq!(link.unwrap().origin, Origin::Created);
        } else {
            assert_eq!(link, None);
            let text = refusal(&world, &assigned[0]).await;
            assert!(text.contains("ADOPT=never"), "{text}");
        }
        done(world);
    }
}

/// The account that is noted for a user who left became somebody else's.
#[tokio::test]
async fn a_note_does_not_close_the_account_of_another_user() {
    let world = World::new().await;
    world.assigned_user("bob").await;
    let ann = world.user("ann");
    note(&world, &ann, "bob", "a-dead-run", Duration::ZERO).await;
    world.look_again(&ann).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");
    assert!(world.user_link(&ann).await.is_none());
    world.done();
}

/// An event is delivered again after its run was cut off. That run's note is not a stranger's, however
/// long its lease still runs.
#[tokio::test]
async fn the_note_of_an_events_own_earlier_run_is_not_waited_for() {
    let world = World::new().await;
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    note(&world, &ann, "ann_old", &assigned[0].uuid, LONG).await;
    assert_eq!(world.deliver(&assigned).await, 204);
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    world.done();
}
