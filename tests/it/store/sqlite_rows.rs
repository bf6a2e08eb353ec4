//! What stays in the file.

use super::{LEASE, Raw, user};
use crate::ledger::DAY_MS;

/// A note that nobody takes away goes with the next one that is written after its time: it holds a username.
#[tokio::test]
async fn notes_whose_time_is_over_are_swept() {
    let world = super::sqlite().await;
    let Raw::Sqlite(folder) = &world.raw else {
        panic!("another store");
    };
    let file = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let noted = async |n: usize| {
        let user = user(n);
        let intended = world.store.intend_account(&user, "name", "event", LEASE);
        intended.await.unwrap();
        let mut select = file
            .prepare("SELECT okta_user FROM intents ORDER BY okta_user")
            .unwrap();
        let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(noted(1).await, ["00u1"]);
    world.clock.advance(6 * DAY_MS);
    assert_eq!(noted(2).await, ["00u1", "00u2"]);
    world.clock.advance(DAY_MS);
    assert_eq!(noted(3).await, ["00u2", "00u3"]);
}
