//! DynamoDB with faults: a server between the product and DynamoDB Local that loses answers, leaves
//! keys out, throttles and refuses.

mod between;

use std::sync::Arc;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::failure::{Cause, Side};
use okta_anypoint::ids::{AccountId, OktaUserId};
use okta_anypoint::ledger::{
    ClaimOutcome, Conclusion, DynamoDbLedger, EndState, Ending, Lease, Leased, Ledger, Memo,
    Reason, Recorded,
};
use okta_anypoint::store::{
    Documents, DynamoDbStore, Linked, Origin, ResetMail, Store, Stored, Tenure, UserLink,
};
use serde_json::json;

use crate::ledger::{LEASE, START_MS, TTL_DAYS, busy_remote, refused, work};
use crate::servers;

use between::{Fault, Plan, between, lose_every_second, refuse};

fn user(n: usize) -> OktaUserId {
    OktaUserId::parse(format!("00u{n}")).unwrap()
}

fn link_to(account: &str) -> UserLink {
    UserLink {
        anypoint_id: AccountId::parse(account).unwrap(),
        username: "name".to_owned(),
        origin: Origin::Created,
        agreed: None,
        reset_mail: ResetMail::Settled,
    }
}

fn store(client: aws_sdk_dynamodb::Client, table: &str) -> DynamoDbStore {
    DynamoDbStore::new(client, table, Arc::new(ManualClock::at(START_MS)))
}

/// A lease on the first user, from a ledger without faults.
async fn lease(table: &str) -> Lease {
    let client = aws_sdk_dynamodb::Client::new(&servers::config(servers::dynamodb_url()).await);
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock);
    crate::world::lease(&ledger, "00u1", LEASE).await
}

/// The store requests keys again that a batch left out. No key is lost, and none counts as absent.
#[tokio::test]
async fn unprocessed_keys_are_requested_again() {
    let (client, table, between) = between(|operation, before| match operation {
        "BatchGetItem" if before < 3 => Fault::Partly([0, 1, 60][before]),
        _ => Fault::None,
    })
    .await;
    let (store, lease) = (store(client, &table), lease(&table).await);
    for n in 0..90 {
        store
            .link_user(
                &lease,
                &user(n),
                &link_to(&format!("a{n}")),
                None,
                Memo::Keep,
            )
            .await
            .unwrap();
    }
    let users: Vec<_> = (0..95).map(user).collect();
    assert_eq!(store.user_links(&users).await.unwrap().len(), 90);
    assert_eq!(between.made("BatchGetItem"), 4);
}

#[tokio::test]
async fn keys_that_stay_unprocessed_are_a_failure() {
    let (client, table, _) = between(|operation, _| match operation {
        "BatchGetItem" => Fault::Partly(0),
        _ => Fault::None,
    })
    .await;
    let failure = store(client, &table)
        .user_links(&[user(1)])
        .await
        .unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
}

/// A transaction waits for others that are in its way.
#[tokio::test]
async fn a_transaction_conflict_is_retried() {
    let (client, table, between) = between(|operation, before| {
        if operation == "TransactWriteItems" && before < 2 {
            return cancelled(&["None", "TransactionConflict", "None"]);
        }
        Fault::None
    })
    .await;
    let (store, lease) = (store(client, &table), lease(&table).await);
    let (user, link) = (user(1), link_to("a1"));
    let linked = store.link_user(&lease, &user, &link, None, Memo::Keep);
    let linked = linked.await.unwrap();
    assert_eq!(linked, Linked::Written);
    assert_eq!(between.made("TransactWriteItems"), 3);
}

/// One write, too: another run may be giving back the lease that this one asks for.
#[tokio::test]
async fn a_conflict_with_a_transaction_is_retried() {
    let (client, table, between) = between(|operation, before| {
        if operation == "UpdateItem" && before < 2 {
            return Fault::Answer(400, refuse("TransactionConflictException"));
        }
        Fault::None
    })
    .await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock);
    let leased = ledger.lease("user#00u1", LEASE).await.unwrap();
    assert!(matches!(leased, Leased::Ours(_)));
    assert_eq!(between.made("UpdateItem"), 3);
}

/// The failure of a transaction says that it is retryable when DynamoDB lacks the capacity.
#[tokio::test]
async fn a_throttled_transaction_is_retryable() {
    let (client, table, _) = between(|operation, before| match (operation, before) {
        ("TransactWriteItems", 0) => cancelled(&["None", "ThrottlingError", "None"]),
        ("TransactWriteItems", _) => cancelled(&["ProvisionedThroughputExceeded", "None", "None"]),
        _ => Fault::None,
    })
    .await;
    let (store, lease) = (store(client, &table), lease(&table).await);
    for _ in 0..2 {
        let (user, link) = (user(1), link_to("a1"));
        let linked = store.link_user(&lease, &user, &link, None, Memo::Keep);
        let linked = linked.await;
        let failure = linked.unwrap_err();
        assert!(failure.is_retryable(), "{failure}");
        assert!(failure.message.contains("was throttled"), "{failure}");
    }
}

/// What a transaction's refusal says of each of its items.
fn cancelled(reasons: &[&str]) -> Fault {
    let mut refusal = refuse("TransactionCanceledException");
    let reasons = reasons.iter().map(|code| json!({"Code": code}));
    refusal["CancellationReasons"] = reasons.collect();
    Fault::Answer(400, refusal)
}

/// Another run is in the way while a link moves. The account left behind is still the user's former account.
#[tokio::test]
async fn a_conflict_in_a_move_leaves_the_former_account_known() {
    let (client, table, between) = between(|operation, before| match (operation, before) {
        // The first link; then the second, with the account to leave.
        ("TransactWriteItems", 1 | 2) => {
            cancelled(&["None", "None", "TransactionConflict", "None", "None"])
        }
        _ => Fault::None,
    })
    .await;
    let (store, lease) = (store(client, &table), lease(&table).await);
    let first = link_to("a1");
    for (account, before) in [("a1", None), ("a2", Some(&first))] {
        let link = link_to(account);
        let user = user(1);
        let linked = store.link_user(&lease, &user, &link, before, Memo::Keep);
        assert_eq!(linked.await.unwrap(), Linked::Written);
    }
    assert_eq!(between.made("TransactWriteItems"), 4);
    let left = AccountId::parse("a1").unwrap();
    let owners = store.account_owners(std::slice::from_ref(&left)).await;
    let owner = owners.unwrap().remove(&left).unwrap();
    assert_eq!((owner.okta_user, owner.tenure), (user(1), Tenure::Former));
}

/// A refusal gets its cause and says whether waiting helps. The service's own text is not passed on.
#[tokio::test]
async fn refusals_of_dynamodb_are_distinguished() {
    let throttled: Plan = |operation, _| match operation {
        "CreateTable" => Fault::None,
        _ => Fault::Answer(400, refuse("ProvisionedThroughputExceededException")),
    };
    let forbidden: Plan = |operation, _| match operation {
        "CreateTable" => Fault::None,
        _ => Fault::Answer(400, refuse("AccessDeniedException")),
    };
    let broken: Plan = |_, _| Fault::Answer(503, json!({}));
    for (plan, cause, words) in [
        (
            throttled,
            Cause::Throttled,
            ["was throttled", "ProvisionedThroughputExceededException"],
        ),
        (
            forbidden,
            Cause::RefusedRights,
            ["allow dynamodb:", "AccessDeniedException"],
        ),
        (broken, Cause::Unavailable, ["503", "was refused"]),
    ] {
        let (client, table, _) = between(plan).await;
        let clock = Arc::new(ManualClock::at(START_MS));
        let ledger = DynamoDbLedger::new(client.clone(), &table, TTL_DAYS, clock);
        let (store, lease) = (store(client, &table), lease(&table).await);
        for failure in [
            ledger.lease("user#00u1", LEASE).await.unwrap_err(),
            ledger
                .claim(&work("e1"), &lease, Reason::Delivery)
                .await
                .unwrap_err(),
            store.user_link(&user(1)).await.unwrap_err(),
            store.user_links(&[user(1)]).await.unwrap_err(),
            store.all_team_links().await.unwrap_err(),
            store
                .link_user(&lease, &user(1), &link_to("a1"), None, Memo::Keep)
                .await
                .unwrap_err(),
            store.put_document("cursor", "{}", 0).await.unwrap_err(),
        ] {
            let text = failure.to_string();
            assert!(failure.is_retryable(), "{text}");
            assert_eq!(failure.cause, cause, "{text}");
            assert_eq!(failure.side, Side::Table);
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
            assert!(text.contains(&table), "{text}");
            assert!(!text.contains("Jane"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_ledger_recognizes_its_own_writes() {
    let (client, table, between) = between(lose_every_second).await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock.clone());
    for end in ["complete", "retryable", "permanent"] {
        let lease = crate::world::lease(&ledger, "00u1", LEASE).await;
        let outcome = ledger
            .claim(&work(end), &lease, Reason::Delivery)
            .await
            .unwrap();
        let ClaimOutcome::Claimed(claim) = outcome else {
            panic!("{end}: {outcome:?}");
        };
        assert_eq!((claim.attempts, claim.deaths), (1, 0));
        let other = ledger
            .claim(&work(end), &lease, Reason::Delivery)
            .await
            .unwrap();
        assert!(matches!(other, ClaimOutcome::Busy { .. }));
        let state = match end {
            "complete" => EndState::Done,
            "retryable" => EndState::Failed(busy_remote()),
            _ => EndState::Failed(refused()),
        };
        let ending = Ending {
            applied: vec!["link".to_owned()],
            planned: Vec::new(),
            state,
        };
        let recorded = ledger.conclude(lease, Conclusion::of(vec![(claim, ending)]));
        assert_eq!(recorded.await.unwrap(), [Recorded::Written], "{end}");
        let record = ledger.record(end).await.unwrap().unwrap();
        assert_eq!(record.applied.unwrap(), ["link"], "{end}: once");
    }
    // An owner that took over, and one that was really superseded.
    let lost = crate::world::lease(&ledger, "00u1", LEASE).await;
    let slow = ledger
        .claim(&work("e"), &lost, Reason::Delivery)
        .await
        .unwrap();
    clock.advance(10_000);
    let lease = crate::world::lease(&ledger, "00u1", LEASE).await;
    let next = ledger
        .claim(&work("e"), &lease, Reason::Delivery)
        .await
        .unwrap();
    let (ClaimOutcome::Claimed(slow), ClaimOutcome::Claimed(next)) = (slow, next) else {
        panic!("not claimed");
    };
    assert_eq!((next.attempts, next.deaths), (2, 1));
    let ending = || Ending {
        applied: Vec::new(),
        planned: Vec::new(),
        state: EndState::Done,
    };
    let late = ledger.conclude(lost, Conclusion::of(vec![(slow, ending())]));
    assert_eq!(late.await.unwrap(), [Recorded::Superseded]);
    let done = ledger.conclude(lease, Conclusion::of(vec![(next, ending())]));
    assert_eq!(done.await.unwrap(), [Recorded::Written]);
    assert!(between.made("UpdateItem") >= 2 * 9);
}

#[tokio::test]
async fn the_store_recognizes_its_own_writes() {
    let (client, table, _) = between(lose_every_second).await;
    let store = store(client, &table);
    for version in 0..3 {
        let stored = store.put_document("cursor", "{}", version).await.unwrap();
        assert_eq!(stored, Stored::Written);
        let again = store.put_document("cursor", "{}", version).await.unwrap();
        assert_eq!(again, Stored::Conflict);
    }
    let lease = lease(&table).await;
    let first = link_to("a1");
    for (account, before) in [("a1", None), ("a2", Some(&first))] {
        let link = link_to(account);
        let user = user(1);
        let linked = store.link_user(&lease, &user, &link, before, Memo::Keep);
        assert_eq!(linked.await.unwrap(), Linked::Written);
    }
}
