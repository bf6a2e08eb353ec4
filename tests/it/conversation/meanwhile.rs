//! What other runs, operators and strangers do between two calls of a run. No test here sleeps: a call is answered when
//! the interruption is over.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::AccountId;
use okta_anypoint::ledger::{Leased, Record, Status};
use okta_anypoint::provision::{Adopt, Policy};
use okta_anypoint::simulator::traffic::{Fault, Traffic};
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::conflicts::refusal;
use crate::world::{APP, World, intend};

/// The request for a password reset mail.
pub const MAIL: &str = "/recover/password";
/// The search for an account, and the request for a new one.
pub const USERS: &str = "/users";
/// The length of the lease of a run that still works.
pub const LONG: Duration = Duration::from_secs(1_000);

/// Runs something once, after Anypoint carried out a call with this method and path ending and before it answers. The
/// channel gets the result.
pub fn meanwhile<T: Send + 'static>(
    world: &Arc<World>,
    method: Method,
    path_end: &str,
    happens: impl AsyncFnOnce(Arc<World>) -> T + Send + 'static,
) -> Receiver<T> {
    interrupted(world, world.anypoint.traffic(), method, path_end, happens)
}

/// The same at Okta.
pub fn meanwhile_at_okta<T: Send + 'static>(
    world: &Arc<World>,
    method: Method,
    path_end: &str,
    happens: impl AsyncFnOnce(Arc<World>) -> T + Send + 'static,
) -> Receiver<T> {
    interrupted(world, world.okta.traffic(), method, path_end, happens)
}

fn interrupted<T: Send + 'static>(
    world: &Arc<World>,
    traffic: &Traffic,
    method: Method,
    path_end: &str,
    happens: impl AsyncFnOnce(Arc<World>) -> T + Send + 'static,
) -> Receiver<T> {
    let (tell, told) = channel();
    let once = Mutex::new(Some((happens, Arc::clone(world))));
    let path_end = path_end.to_owned();
    traffic.on_request(move |call| {
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

/// Ends a test. No interruption may be left in its world.
pub fn done(world: Arc<World>) {
    drop(Arc::into_inner(world).expect("nobody else has it"));
}

pub fn policy(adopt: Adopt) -> Policy {
    Policy {
        adopt,
        ..Policy::default()
    }
}

/// An account made by hand.
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
    crate::world::link(&world.table, user, &link).await;
}

/// While a run works on a user, neither a second delivery nor an operator can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_waits_for_the_first_and_goes_back() {
    let world = Arc::new(World::new().await);
    let ann = world.user("ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let renamed = meanwhile(&world, Method::POST, MAIL, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
            let subject = format!("user#{ann}");
            let leased = world.table.ledger.lease(&subject, LONG).await.unwrap();
            assert!(matches!(leased, Leased::Busy { .. }), "an operator");
            let hint = [world.hint(&ann)];
            (world.deliver(&hint).await, hint)
        }
    });
    assert_eq!(world.deliver(&assigned).await, 204);
    let (status, hint) = renamed.try_recv().unwrap();
    assert_eq!(status, 503);
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.deliver(&hint).await, 204);
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.user_link(&ann).await.unwrap().username, "ann_new");
    done(world);
}

/// The account was disabled before its mail, and an administrator enabled it. Two runs see that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_two_runs_requests_the_missing_mail() {
    let world = Arc::new(World::new().await);
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    world.okta_does(|okta| okta.assign(APP, &ann));
    link_by_hand(&world, &ann, &account, ResetMail::Owed).await;
    let faster = meanwhile(&world, Method::GET, &account, {
        let ann = ann.clone();
        async move |world: Arc<World>| world.deliver(&[world.hint(&ann)]).await
    });
    world.look_again(&ann).await;
    assert_eq!(faster.try_recv(), Ok(503));
    assert_eq!(world.anypoint().mails.len(), 1);
    done(world);
}

/// Anypoint refuses a create because of too many requests. Then an account with that name appears. It belongs to
/// somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_appears_after_a_refused_create_belongs_to_somebody_else() {
    for tried_before in [false, true] {
        let world = Arc::new(World::with(policy(Adopt::Never)).await);
        let ann = world.user("ann");
        let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
        if tried_before {
            intend(&world.table, &ann, "ann", None).await;
        }
        let busy = Fault::status(USERS, 429, "{}").on(Method::POST).once();
        world.anypoint.traffic().inject(busy);
        let appears = meanwhile(&world, Method::POST, USERS, async |world: Arc<World>| {
            account_by_hand(&world, "ann");
        });
        assert_eq!(world.deliver(&assigned).await, 204);
        assert_eq!(appears.try_recv(), Ok(()));
        assert_eq!(world.user_link(&ann).await, None);
        let text = refusal(&world, &assigned[0]).await;
        assert!(text.contains("ADOPT=never"), "{text}");
        assert_eq!(world.account("ann"), "By Hand - enabled");
        done(world);
    }
}

/// The account in the intent of a user who left now belongs to somebody else.
#[tokio::test]
async fn an_intent_does_not_disable_the_account_of_another_user() {
    let world = World::new().await;
    world.assigned_user("bob").await;
    let ann = world.user("ann");
    intend(&world.table, &ann, "bob", None).await;
    world.look_again(&ann).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");
    assert!(world.user_link(&ann).await.is_none());
}

/// A user whose team is missing, while another run takes the user for `time` during the look at the group. Returns the
/// answer to the delivery, and the record of the last event.
async fn user_taken_between(time: Duration) -> (u16, Record) {
    let world = Arc::new(World::new().await);
    let group = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &group));
    let user = world.user("ann");
    let events = world.okta_does(|okta| okta.add_member(&group, &user));
    let subject = format!("user#{user}");
    // Only the group's own look lists its members.
    let members = format!("/groups/{group}/users");
    let told = meanwhile_at_okta(&world, Method::GET, &members, async move |world| {
        let leased = world.table.ledger.lease(&subject, time).await.unwrap();
        assert!(matches!(leased, Leased::Ours(_)));
    });
    let answered = world.deliver(&events).await;
    assert_eq!(told.try_recv(), Ok(()));
    assert_eq!(world.team("Devs"), "ann");
    let record = world.record(events.last().unwrap()).await;
    done(world);
    (answered, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_its_subject_after_the_follow_ups() {
    let (answered, record) = user_taken_between(Duration::from_millis(500)).await;
    assert_eq!((answered, record.status), (204, Status::Done));
    assert!(record.applied.unwrap().contains(&"mail_reset".to_owned()));
}

/// No record stays in progress when the run could not come back to its subject.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_come_back_to_its_subject_leaves_a_failed_record() {
    let (answered, record) = user_taken_between(LONG).await;
    assert_eq!((answered, record.status), (503, Status::Failed));
    assert_eq!(record.error_class, Some(Class::Retryable));
}
