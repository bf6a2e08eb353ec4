//! Writes and removes links and their reverse entries together, in the caller's transaction.

use rusqlite::{Connection, OptionalExtension as _};
use serde::de::DeserializeOwned;

use crate::ids::{OktaGroupId, OktaUserId};
use crate::sqlite::rows::word;
use crate::store::{Linked, TeamLink, UserLink};

/// The other owner of an object, as `sql` finds it.
fn owner<Id: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    ids: (&str, &str),
) -> rusqlite::Result<Option<Id>> {
    connection
        .query_row(sql, ids, |row| word(row, 0))
        .optional()
}

pub(super) fn link_user(
    connection: &Connection,
    user: &OktaUserId,
    link: &UserLink,
) -> rusqlite::Result<Linked<OktaUserId>> {
    let taken = owner(
        connection,
        "SELECT okta_user FROM accounts \
         WHERE anypoint_id = ?1 AND okta_user <> ?2 AND tenure = 'current'",
        (link.anypoint_id.as_str(), user.as_str()),
    )?;
    if let Some(taken) = taken {
        return Ok(Linked::TakenBy(taken));
    }
    // The account that was linked before, unless another user has it by now.
    connection.execute(
        "INSERT INTO accounts (anypoint_id, okta_user, tenure) \
         SELECT anypoint_id, okta_user, 'former' FROM user_links \
         WHERE okta_user = ?1 AND anypoint_id <> ?2 \
         ON CONFLICT (anypoint_id) DO UPDATE SET tenure = 'former' \
         WHERE okta_user = excluded.okta_user",
        (user.as_str(), link.anypoint_id.as_str()),
    )?;
    let agreed = link
        .agreed
        .as_ref()
        .and_then(|a| serde_json::to_string(a).ok());
    connection.execute(
        "INSERT INTO user_links \
         (okta_user, anypoint_id, username, origin, agreed, reset_mail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (okta_user) DO UPDATE SET \
         origin = excluded.origin, anypoint_id = excluded.anypoint_id, username = excluded.username, \
         agreed = excluded.agreed, reset_mail = excluded.reset_mail",
        (
            user.as_str(),
            link.anypoint_id.as_str(),
            &link.username,
            link.origin.as_str(),
            agreed,
            link.reset_mail.as_str(),
        ),
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO accounts (anypoint_id, okta_user, tenure) \
         VALUES (?1, ?2, 'current')",
        (link.anypoint_id.as_str(), user.as_str()),
    )?;
    Ok(Linked::Written)
}

pub(super) fn unlink_user(connection: &Connection, user: &OktaUserId) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM accounts WHERE okta_user = ?1 AND anypoint_id = \
         (SELECT anypoint_id FROM user_links WHERE okta_user = ?1)",
        [user.as_str()],
    )?;
    connection.execute(
        "DELETE FROM user_links WHERE okta_user = ?1",
        [user.as_str()],
    )?;
    Ok(())
}

pub(super) fn link_team(
    connection: &Connection,
    group: &OktaGroupId,
    link: &TeamLink,
) -> rusqlite::Result<Linked<OktaGroupId>> {
    let taken = owner(
        connection,
        "SELECT okta_group FROM teams WHERE team_id = ?1 AND okta_group <> ?2",
        (link.team_id.as_str(), group.as_str()),
    )?;
    if let Some(taken) = taken {
        return Ok(Linked::TakenBy(taken));
    }
    connection.execute(DELETE_TEAM, [group.as_str()])?;
    connection.execute(
        "INSERT INTO team_links (okta_group, team_id, team_name, origin) \
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT (okta_group) DO UPDATE SET \
         origin = excluded.origin, team_id = excluded.team_id, team_name = excluded.team_name",
        (
            group.as_str(),
            link.team_id.as_str(),
            &link.team_name,
            link.origin.as_str(),
        ),
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO teams (team_id, okta_group) VALUES (?1, ?2)",
        (link.team_id.as_str(), group.as_str()),
    )?;
    Ok(Linked::Written)
}

pub(super) fn unlink_team(connection: &Connection, group: &OktaGroupId) -> rusqlite::Result<()> {
    connection.execute(DELETE_TEAM, [group.as_str()])?;
    connection.execute(
        "DELETE FROM team_links WHERE okta_group = ?1",
        [group.as_str()],
    )?;
    Ok(())
}

const DELETE_TEAM: &str = "DELETE FROM teams WHERE okta_group = ?1 AND team_id = \
                           (SELECT team_id FROM team_links WHERE okta_group = ?1)";

/// Writes the reverse entries that are missing: account and user, team and group.
pub(super) fn repair(
    connection: &Connection,
    users: Vec<(String, String)>,
    teams: Vec<(String, String)>,
) -> rusqlite::Result<()> {
    let mut account = connection.prepare(
        "INSERT OR IGNORE INTO accounts (anypoint_id, okta_user, tenure) \
         VALUES (?1, ?2, 'current')",
    )?;
    for row in users {
        account.execute(row)?;
    }
    let mut team =
        connection.prepare("INSERT OR IGNORE INTO teams (team_id, okta_group) VALUES (?1, ?2)")?;
    for row in teams {
        team.execute(row)?;
    }
    Ok(())
}
