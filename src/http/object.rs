//! One object in an answer: whether it is the one that was asked for, and whether it shows what was written.

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::call::{Call, RemoteAnswer};
use super::error::{CallError, CallErrorKind};
use super::listed::Entry;

impl RemoteAnswer {
    /// Reads the object with this id.
    ///
    /// # Errors
    /// When the body cannot be read, or holds another object.
    pub(crate) fn object<T: Entry>(&self, call: &Call, id: &str) -> Result<T, CallError> {
        let object: T = self.json(call)?;
        if object.id() == id {
            return Ok(object);
        }
        Err(another_object(call))
    }

    /// Makes sure that the answer to a write can be the service's: it is empty, or JSON. A sign-in page is
    /// neither.
    ///
    /// # Errors
    /// When the body is something else: the write may not have been made.
    pub(crate) fn check_written(&self, call: &Call) -> Result<(), CallError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(());
        }
        self.json::<IgnoredAny>(call).map(|_| ())
    }

    /// Makes sure that the answer to a write is empty, where the API describes no body (204).
    ///
    /// # Errors
    /// When there is a body: somebody else may have answered.
    pub(crate) fn check_empty(&self, call: &Call) -> Result<(), CallError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(());
        }
        let what = "a body where the API describes none".to_owned();
        Err(call.error(CallErrorKind::Unreadable(what)))
    }

    /// What the answer to a write shows of the object.
    pub(crate) fn echo(&self) -> Echo {
        let is_empty = self.body.trim_ascii().is_empty();
        Echo((!is_empty).then(|| serde_json::from_slice(&self.body).unwrap_or_default()))
    }
}

/// What the answer to a write shows of the object; nothing, if the answer is empty. Every other answer shows the id. A
/// missing text agrees with every value.
pub(crate) struct Echo(Option<Map<String, Value>>);

impl Echo {
    /// An attribute, when the answer has it as a text.
    pub(crate) fn text(&self, attribute: &str) -> Option<&str> {
        self.0.as_ref()?.get(attribute)?.as_str()
    }

    /// Whether a yes or no is the one that was written. An answer that has a body has to show it.
    pub(crate) fn confirms(&self, attribute: &str, written: bool) -> bool {
        let shows = |shown: &Map<String, Value>| shown.get(attribute) == Some(&written.into());
        self.0.as_ref().is_none_or(shows)
    }

    /// The object in an attribute.
    pub(crate) fn inner(&self, attribute: &str) -> Echo {
        let inner = self.0.as_ref().and_then(|shown| shown.get(attribute));
        Echo(inner.and_then(Value::as_object).cloned())
    }

    /// Whether a text is the one that was written. White space does not count.
    pub(crate) fn agrees(&self, attribute: &str, written: Option<&str>) -> bool {
        let (Some(echo), Some(written)) = (self.text(attribute), written) else {
            return true;
        };
        echo.split_whitespace().eq(written.split_whitespace())
    }

    /// Makes sure that the answer is about the object with this id.
    ///
    /// # Errors
    /// When it shows another id, or has a body and shows none.
    pub(crate) fn check_id(&self, call: &Call, attribute: &str, id: &str) -> Result<(), CallError> {
        match self.text(attribute) {
            Some(echo) if echo != id => Err(another_object(call)),
            None if self.0.is_some() => Err(not_as_written(call, &[attribute])),
            _ => Ok(()),
        }
    }
}

/// The error of an answer about another object than the one asked for.
pub(crate) fn another_object(call: &Call) -> CallError {
    let what = "another object than the one asked for".to_owned();
    call.error(CallErrorKind::Unreadable(what))
}

/// A text that is not empty. An answer without it cannot be read.
pub(crate) fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.is_empty() {
        true => Err(D::Error::custom("an empty text")),
        false => Ok(text),
    }
}

/// The error of an answer to a write that shows other values than the written ones.
pub(crate) fn not_as_written(call: &Call, attributes: &[&str]) -> CallError {
    let what = format!(
        "it does not show what was written: {}",
        attributes.join(", ")
    );
    call.error(CallErrorKind::Unreadable(what))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use serde::Deserialize;

    use super::*;
    use crate::failure::{Cause, Class, Side};

    #[derive(Debug, Deserialize)]
    struct Thing {
        id: String,
    }

    impl Entry for Thing {
        fn id(&self) -> &str {
            &self.id
        }
    }

    fn call() -> Call {
        let url = "https://acme.okta.com/".parse().unwrap();
        Call::new(Side::Okta, "test", Method::GET, url)
    }

    fn answer(body: &str) -> RemoteAnswer {
        RemoteAnswer {
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_the_object_that_was_asked_for_is_read() {
        let read = |body: &str| answer(body).object::<Thing>(&call(), "00u1");
        assert_eq!(read(r#"{"id":"00u1"}"#).unwrap().id, "00u1");
        for body in [
            r#"{"id":"00u2"}"#,
            r#"{"id":"00U1"}"#,
            r#"{"id":"00u1 "}"#,
            "{}",
            "[]",
            "null",
            "",
        ] {
            let error = read(body).unwrap_err();
            let found = (error.class(), error.cause());
            assert_eq!(found, (Class::Retryable, Cause::Unreadable), "{body}");
            assert!(!error.to_string().contains("00u2"), "{error}");
        }
    }

    #[test]
    fn an_answer_to_a_write_is_empty_or_json() {
        for body in ["", " \n", "{}", "null", "[]", r#""x""#] {
            answer(body).check_written(&call()).unwrap();
        }
        for body in ["<html>Sign in</html>", "OK", "{", r#"{"a":1} x"#] {
            let error = answer(body).check_written(&call()).unwrap_err();
            assert!(error.is_unreadable(), "{body}");
        }
    }

    #[test]
    fn an_answer_that_has_a_body_shows_the_object_and_its_flags() {
        for body in ["", " \n"] {
            let echo = answer(body).echo();
            echo.check_id(&call(), "id", "00u1").unwrap();
            assert!(echo.confirms("enabled", false) && echo.confirms("enabled", true));
            answer(body).check_empty(&call()).unwrap();
        }
        for body in ["[]", "null", "{}", "5", r#"{"id":null,"enabled":null}"#] {
            let echo = answer(body).echo();
            let error = echo.check_id(&call(), "id", "00u1").unwrap_err();
            assert!(error.is_unreadable(), "{body}");
            assert!(!echo.confirms("enabled", false), "{body}");
            let error = answer(body).check_empty(&call()).unwrap_err();
            assert!(error.is_unreadable(), "{body}");
        }
        let echo = answer(r#"{"id":"00u1","enabled":false}"#).echo();
        echo.check_id(&call(), "id", "00u1").unwrap();
        assert!(echo.confirms("enabled", false) && !echo.confirms("enabled", true));
        let echo = answer(r#"{"id":"00u2"}"#).echo();
        assert!(echo.check_id(&call(), "id", "00u1").is_err());
    }

    #[test]
    fn a_missing_text_agrees_with_every_value() {
        for body in ["", "[]", "null", "{}", r#"{"name":7}"#] {
            let echo = answer(body).echo();
            assert!(echo.agrees("name", Some("Ann")), "{body}");
        }
        let echo = answer(r#"{"name":"Ann  Lee "}"#).echo();
        assert!(echo.agrees("name", Some("Ann Lee")) && echo.agrees("name", None));
        assert!(!echo.agrees("name", Some("Anna Lee")));
    }
}
