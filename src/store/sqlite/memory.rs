//! What is remembered of one user.

use rusqlite::{Connection, OptionalExtension as _};

use super::USER;
use super::rows::{parsed, user_link};
use crate::ids::OktaUserId;
use crate::store::{AccountIntent, FreshTeams, INTENT_DAYS, Intended, LastWrite, UserMemory};

pub(super) fn read(
    connection: &Connection,
    user: &OktaUserId,
    now_ms: i64,
) -> rusqlite::Result<UserMemory> {
    let sql = format!("SELECT {USER} FROM user_links WHERE okta_user = ?1");
    let link = connection
        .query_row(&sql, [user.as_str()], user_link)
        .optional()?;
    let mut statement = connection.prepare(
        "SELECT team_id, written FROM fresh_teams WHERE okta_user = ?1 AND until_ms > ?2",
    )?;
    let fresh = statement.query_map((user.as_str(), now_ms), |row| {
        let written = match row.get_ref(1)?.as_str()? {
            "joined" => LastWrite::Joined,
            _ => LastWrite::Left,
        };
        Ok((parsed(row, 0)?, written))
    })?;
    Ok(UserMemory {
        link: link.map(|(_, link)| link),
        intent: intent(connection, user, now_ms)?,
        fresh_teams: fresh.collect::<rusqlite::Result<_>>()?,
    })
}

pub(super) fn intend(
    connection: &Connection,
    user: &OktaUserId,
    intent: &AccountIntent,
    now_ms: i64,
) -> rusqlite::Result<Intended> {
    if let Some(held) = self::intent(connection, user, now_ms)?
        && held.until_ms > now_ms
        && held.holder != intent.holder
    {
        return Ok(Intended::Held {
            until_ms: held.until_ms,
        });
    }
    connection.execute(
        "DELETE FROM intents WHERE expires_at <= ?1",
        [now_ms / 1000],
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO intents (okta_user, username, holder, until_ms, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            user.as_str(),
            &intent.username,
            &intent.holder,
            intent.until_ms,
            now_ms / 1000 + INTENT_DAYS * 86_400,
        ),
    )?;
    Ok(Intended::Noted)
}

pub(super) fn note(
    connection: &Connection,
    user: &OktaUserId,
    teams: &FreshTeams,
    until_ms: i64,
) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM fresh_teams WHERE okta_user = ?1",
        [user.as_str()],
    )?;
    for (team, written) in teams {
        connection.execute(
            "INSERT OR REPLACE INTO fresh_teams (okta_user, team_id, written, until_ms) \
             VALUES (?1, ?2, ?3, ?4)",
            (user.as_str(), team.as_str(), written.as_str(), until_ms),
        )?;
    }
    Ok(())
}

fn intent(
    connection: &Connection,
    user: &OktaUserId,
    now_ms: i64,
) -> rusqlite::Result<Option<AccountIntent>> {
    connection
        .query_row(
            "SELECT username, holder, until_ms FROM intents \
             WHERE okta_user = ?1 AND expires_at > ?2",
            (user.as_str(), now_ms / 1000),
            |row| {
                Ok(AccountIntent {
                    username: row.get(0)?,
                    holder: row.get(1)?,
                    until_ms: row.get(2)?,
                })
            },
        )
        .optional()
}
