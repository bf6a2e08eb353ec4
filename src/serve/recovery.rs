//! Frees the work of a process that is gone at once, instead of when its leases end.
//!
//! The lock makes that safe: only the process that serves the file carries the mark, so every claim with the
//! mark belongs to a process that is gone. Claims of other programs on the same file (an operator's `push`)
//! carry no mark and stay.

use crate::failure::{Failure, Side};
use crate::sqlite::Database;

/// Ends the leases and claims with `mark`, and makes the messages visible that were out. Their receives still count: a
/// message that ends the process again and again becomes a dead letter.
pub async fn free(database: &Database, mark: &'static str, now_ms: i64) -> Result<(), Failure> {
    let (leases, messages) = database
        .write(Side::Table, move |connection| {
            connection.execute(
                "UPDATE leases SET lease_until_ms = ?1 \
                 WHERE lease_until_ms > ?1 AND substr(owner, 1, length(?2)) = ?2",
                (now_ms, mark),
            )?;
            let leases = connection.execute(
                "UPDATE events SET lease_until_ms = ?1 WHERE status = 'in_progress' \
                 AND lease_until_ms > ?1 AND substr(owner, 1, length(?2)) = ?2",
                (now_ms, mark),
            )?;
            let messages = connection.execute(
                "UPDATE messages SET visible_at_ms = ?1 WHERE dead = 0 AND postponed = 0 \
                 AND receipt IS NOT NULL AND visible_at_ms > ?1",
                [now_ms],
            )?;
            Ok((leases, messages))
        })
        .await?;
    if leases + messages > 0 {
        tracing::info!(leases, messages, "work that was cut off is free again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::event::Change;
    use crate::ids::Subject;
    use crate::ledger::{ClaimOutcome, Lease, Leased, Ledger as _, Reason, SqliteLedger};
    use crate::queue::{Queue as _, Redelivery as _, SqliteQueue};

    const LEASE: Duration = Duration::from_secs(100);

    fn ours(leased: Leased) -> Lease {
        match leased {
            Leased::Ours(lease) => lease,
            Leased::Busy { until_ms } => panic!("busy until {until_ms}"),
        }
    }

    #[tokio::test]
    async fn only_the_work_of_the_dead_process_is_freed() {
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let database = Database::in_memory().unwrap();
        let queue = SqliteQueue::new(database.clone(), clock.clone());
        let operator = SqliteLedger::new(database.clone(), 30, clock.clone());
        let served = operator.clone().marked("serve:");
        let users = ["00u1", "00u2", "00u3"].map(|id| Subject::User(id.parse().unwrap()));
        let changes = users.map(|user| Change::found(user, clock.now_ms()));
        queue.send(&changes).await.unwrap();
        let out = queue.receive_subjects(3, 10, LEASE).await.unwrap().groups;
        queue.postpone(&out[2][0].receipt, LEASE).await.unwrap();
        let mut theirs = None;
        for (ledger, change) in [(&served, &changes[0]), (&operator, &changes[1])] {
            let subject = change.subject.to_string();
            let lease = ours(ledger.lease(&subject, LEASE).await.unwrap());
            let intent = Some("intent".to_owned());
            ledger.write_memo(&lease, intent).await.unwrap();
            let claimed = ledger
                .claim(&change.work(), &lease, Reason::Delivery)
                .await
                .unwrap();
            assert!(matches!(claimed, ClaimOutcome::Claimed(_)));
            theirs = Some(lease);
        }

        free(&database, "serve:", clock.now_ms()).await.unwrap();

        let again = queue.receive_subjects(3, 10, LEASE).await.unwrap().groups;
        assert_eq!(again.len(), 2, "the postponed one waits");
        assert!(again.iter().all(|group| group[0].receive_count == 2));
        let [mine, other, _] = &changes;
        let subject = mine.subject.to_string();
        let lease = ours(served.lease(&subject, LEASE).await.unwrap());
        assert!(
            lease.took_over(),
            "work that was cut off has to be verified"
        );
        assert_eq!(lease.memo(), Some("intent"));
        let (mine, others_work) = (mine.work(), other.work());
        let claim = |work| served.claim(work, &lease, Reason::Delivery);
        let ClaimOutcome::Claimed(claimed) = claim(&mine).await.unwrap() else {
            panic!("not claimed")
        };
        assert!(claimed.deaths > 0);
        assert!(matches!(
            claim(&others_work).await.unwrap(),
            ClaimOutcome::Busy { .. }
        ));
        let busy = served.lease(&other.subject.to_string(), LEASE).await;
        assert!(matches!(busy.unwrap(), Leased::Busy { .. }));
        let memo = served.memo(&other.subject.to_string()).await.unwrap();
        assert_eq!(memo.as_deref(), Some("intent"));
        let theirs = theirs.unwrap();
        theirs.check().unwrap();
    }
}
