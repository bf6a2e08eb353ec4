//! A dead letter of `serve`'s file goes with its record.

use okta_anypoint::simulator::fault::Fault;
use rusqlite::Connection;

use super::Desk;

/// A user whose push failed in a way that a retry may fix, and the dead letter of it.
struct Failed {
    desk: Desk,
    user: String,
    uuid: String,
    file: Connection,
}

async fn failed() -> Failed {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let fault = desk
        .anypoint
        .traffic()
        .inject(Fault::status("/users", 500, "{}"));
    let pushed = desk.on_file(&["push", &user, "--json"]).await.expect(1);
    desk.anypoint.traffic().remove_fault(fault);
    let uuid = pushed.json()["results"][0]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = Connection::open(&desk.data).unwrap();
    let letters = Failed {
        desk,
        user,
        uuid,
        file,
    };
    letters.add(&letters.uuid, &letters.user);
    letters.add("of-another", "00uANOTHER");
    letters
}

impl Failed {
    fn add(&self, uuid: &str, user: &str) {
        let sql = "INSERT INTO messages (uuid, subject, body, sent_at_ms, visible_at_ms, dead) \
                   VALUES (?1, ?2, '{}', 1, 1, 1)";
        let subject = format!("user#{user}");
        self.file.execute(sql, (uuid, subject)).unwrap();
    }

    fn left(&self) -> Vec<String> {
        let sql = "SELECT uuid FROM messages WHERE dead = 1 ORDER BY seq";
        let mut rows = self.file.prepare(sql).unwrap();
        let uuids = rows.query_map([], |row| row.get(0)).unwrap();
        uuids.map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn a_dismissal_removes_the_dead_letter() {
    let letters = failed().await;
    let Failed { desk, uuid, .. } = &letters;
    desk.on_file(&["dismiss", uuid]).await.expect(0);
    assert_eq!(letters.left(), ["of-another"]);
}

#[tokio::test]
async fn a_replay_removes_the_dead_letter() {
    let letters = failed().await;
    letters
        .desk
        .on_file(&["replay", &letters.uuid])
        .await
        .expect(0);
    assert_eq!(letters.left(), ["of-another"]);
}

#[tokio::test]
async fn a_later_look_removes_the_dead_letter_of_what_it_settles() {
    let letters = failed().await;
    let Failed {
        desk, user, uuid, ..
    } = &letters;
    desk.on_file(&["push", user]).await.expect(0);
    let listed = desk
        .on_file(&["events", "--status", "resolved", "--json"])
        .await;
    assert_eq!(listed.expect(0).json()["events"][0]["id"], **uuid);
    assert_eq!(letters.left(), ["of-another"]);
    // Earlier builds kept the dead letter of a settled record.
    letters.add(uuid, user);
    desk.on_file(&["dismiss", uuid]).await.expect(0);
    assert_eq!(letters.left(), ["of-another"]);
    desk.on_file(&["dismiss", uuid])
        .await
        .expect(1)
        .says("has not failed");
}

#[tokio::test]
async fn a_dead_letter_without_a_record_can_be_dismissed() {
    let letters = failed().await;
    let Failed { desk, uuid, .. } = &letters;
    desk.on_file(&["replay", "of-another"])
        .await
        .expect(2)
        .says("Its record has expired")
        .says("okta-anypoint push 00uANOTHER")
        .says("okta-anypoint dismiss of-another");
    let dismissed = desk.on_file(&["dismiss", "of-another", "--json"]).await;
    assert_eq!(dismissed.expect(0).json()["dismissed"][0], "of-another");
    assert_eq!(letters.left(), [uuid.as_str()]);
}

/// `events --failed` lists records that say `failed`, and not every dead letter has one.
#[tokio::test]
async fn the_status_names_dead_letters_that_no_list_has() {
    let letters = failed().await;
    let Failed { desk, uuid, .. } = &letters;
    let status = desk.on_file(&["status"]).await.expect(0);
    assert!(!status.out.contains(uuid), "{}", status.out);
    status
        .says("2 dead letters")
        .says("user#00uANOTHER  of-another")
        .says("okta-anypoint dismiss UUID --data");
    desk.on_file(&["dismiss", "of-another"]).await.expect(0);
    let status = desk.on_file(&["status"]).await.expect(0);
    assert!(!status.out.contains("dismiss"), "{}", status.out);
    status.says("1 dead letter:");

    // A replay was killed.
    let sql = "UPDATE events SET status = 'in_progress' WHERE id = ?1";
    assert_eq!(letters.file.execute(sql, [uuid]).unwrap(), 1);
    let status = desk.on_file(&["status"]).await.expect(0);
    status.says(uuid).says("okta-anypoint dismiss UUID --data");
}
