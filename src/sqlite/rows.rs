//! Reads columns as values. An unreadable column is an error, never "absent".

use rusqlite::Row;
use rusqlite::types::FromSqlError;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};

/// A text that stands for a `T`: an id, or a word of an enum.
pub(crate) fn word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?)
}

/// The same; `None` if the column is null.
pub(crate) fn optional_word<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?
        .as_str_or_null()?
        .map(parse)
        .transpose()
}

/// A column of JSON; `None` if it is null.
pub(crate) fn json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|_| FromSqlError::InvalidType.into())
}

fn parse<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    let word: StrDeserializer<'_, Error> = text.into_deserializer();
    T::deserialize(word).map_err(|_| FromSqlError::InvalidType.into())
}
