//! Rows as values. A row that cannot be read is an error, never "absent".

use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use crate::ids::{OktaGroupId, OktaUserId};
use crate::store::{AgreedProfile, Origin, ResetMail, TeamLink, UserLink};

pub(super) fn owner<Id: TryFrom<String>>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> rusqlite::Result<Option<Id>> {
    connection
        .query_row(sql, parameters, |row| parsed(row, 0))
        .optional()
}

pub(super) fn user_link(row: &Row<'_>) -> rusqlite::Result<(OktaUserId, UserLink)> {
    let agreed: Option<AgreedProfile> = match row.get_ref(4)? {
        ValueRef::Null => None,
        value => Some(serde_json::from_str(value.as_str()?).map_err(|_| unreadable())?),
    };
    let link = UserLink {
        anypoint_id: parsed(row, 1)?,
        username: row.get(2)?,
        origin: origin(row, 3)?,
        agreed,
        reset_mail: match row.get_ref(5)?.as_str()? {
            "settled" => ResetMail::Settled,
            "owed" => ResetMail::Owed,
            _ => return Err(unreadable()),
        },
    };
    Ok((parsed(row, 0)?, link))
}

pub(super) fn team_link(row: &Row<'_>) -> rusqlite::Result<(OktaGroupId, TeamLink)> {
    let link = TeamLink {
        team_id: parsed(row, 1)?,
        team_name: row.get(2)?,
        origin: origin(row, 3)?,
    };
    Ok((parsed(row, 0)?, link))
}

fn origin(row: &Row<'_>, column: usize) -> rusqlite::Result<Origin> {
    match row.get_ref(column)?.as_str()? {
        "created" => Ok(Origin::Created),
        "adopted" => Ok(Origin::Adopted),
        "imported" => Ok(Origin::Imported),
        _ => Err(unreadable()),
    }
}

pub(super) fn parsed<Id: TryFrom<String>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Id> {
    Id::try_from(row.get(column)?).map_err(|_| unreadable())
}

fn unreadable() -> rusqlite::Error {
    FromSqlError::InvalidType.into()
}
