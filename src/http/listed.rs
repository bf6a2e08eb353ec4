//! A list with entries that could not be read: none of them affects the others.

use std::collections::HashSet;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::call::Call;
use super::error::{CallError, CallErrorKind};
use crate::failure::{Cause, Failure, Side};

/// An object of a list.
pub(crate) trait Entry: DeserializeOwned {
    /// The name of the attribute with its id.
    const ID: &'static str = "id";

    /// Its id, which tells it from the others of the list.
    fn id(&self) -> &str;
}

/// Makes entries of lists of types with a field `id`, each with the name of its attribute.
macro_rules! entries {
    ($($entry:ty: $attribute:literal),+) => {
        $(impl $crate::http::Entry for $entry {
            const ID: &'static str = $attribute;

            fn id(&self) -> &str {
                self.id.as_str()
            }
        })+
    };
}

pub(crate) use entries;

/// An entry that is there and could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its id.
    pub id: String,
    /// What is wrong with it, without any value of it.
    pub what: String,
}

/// Whether a list holds everybody, even if some only by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every entry was read or is known by its id.
    Complete,
    /// An entry without a readable id is missing. Such a list may add people, but not remove them.
    Incomplete,
}

impl Extent {
    /// Whose list it is, if it does not hold everybody.
    #[must_use]
    pub(crate) fn fault_of(self, side: Side) -> Option<Side> {
        (self == Self::Incomplete).then_some(side)
    }

    /// Whether both lists hold everybody.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::Complete => other,
            Self::Incomplete => Self::Incomplete,
        }
    }
}

/// A list that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entries that could be read.
    pub items: Vec<T>,
    /// The others, by id. They are on the list: what was not read is not changed.
    pub unread: Vec<Unread>,
    /// Whether there are more than these.
    pub extent: Extent,
    side: Side,
    operation: &'static str,
}

impl<T> Listed<T> {
    /// The items, when nothing else was on the list.
    ///
    /// # Errors
    /// When an entry could not be read; the error names the ids.
    pub fn whole(self) -> Result<Vec<T>, CallError> {
        match self.fault() {
            Some(error) => Err(error),
            None => Ok(self.items),
        }
    }

    /// The same list; a warning in the log names the entries that could not be read.
    #[must_use]
    pub(crate) fn telling(self) -> Self {
        if let Some(fault) = self.fault() {
            tracing::warn!(error = %fault, "an entry of a list cannot be read; the others count");
        }
        self
    }

    /// What keeps the list from being whole.
    pub fn fault(&self) -> Option<CallError> {
        const MAX_NAMED: usize = 5;
        let mut faults: Vec<String> = self
            .unread
            .iter()
            .take(MAX_NAMED)
            .map(Unread::to_string)
            .collect();
        if self.unread.len() > MAX_NAMED {
            faults.push(format!("{} more", self.unread.len() - MAX_NAMED));
        }
        if self.extent == Extent::Incomplete {
            faults.push("an entry without a readable id".to_owned());
        }
        (!faults.is_empty()).then(|| CallError {
            side: self.side,
            operation: self.operation,
            kind: CallErrorKind::Unreadable(faults.join("; ")),
            retry_after: None,
        })
    }

    /// The ids of the entries that could not be read.
    pub(crate) fn ids_unread<Id: FromStr>(&self) -> impl Iterator<Item = Id> {
        self.unread
            .iter()
            .filter_map(|unread| unread.id.parse().ok())
    }

    /// The items, and one more for each id that could not be read.
    pub(crate) fn with_unread<Id: FromStr>(self, by_id: impl Fn(Id) -> T) -> Vec<T> {
        let unread: Vec<T> = self.ids_unread().map(by_id).collect();
        self.items.into_iter().chain(unread).collect()
    }

    /// What is wrong with one of the entries that could not be read.
    pub fn failure_of(&self, unread: &Unread) -> Failure {
        self.failure(&unread.to_string())
    }

    /// What is wrong with the list, when an entry without a readable id is on it.
    pub fn incomplete(&self) -> Option<Failure> {
        let what = "an entry has no readable id, so this list disables and removes nobody";
        (!self.is_complete()).then(|| self.failure(what))
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::retryable(self.side, format!("{}: {what}", self.operation))
            .because(Cause::Unreadable)
    }

    /// Whether every entry was read or is known by its id.
    pub fn is_complete(&self) -> bool {
        self.extent == Extent::Complete
    }

    /// The same list of other items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Listed<U> {
        Listed {
            items: self.items.into_iter().map(change).collect(),
            unread: self.unread,
            extent: self.extent,
            side: self.side,
            operation: self.operation,
        }
    }

    /// The same list without items that do not count.
    #[must_use]
    pub(crate) fn retaining(mut self, keep: impl FnMut(&T) -> bool) -> Self {
        self.items.retain(keep);
        self
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}", self.id, self.what)
    }
}

/// A list that is being read, page by page. Entries are told apart by id.
pub(crate) struct Gathering<T> {
    seen: HashSet<String>,
    listed: Listed<T>,
}

impl<T: Entry> Gathering<T> {
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            seen: HashSet::new(),
            listed: Listed {
                items: Vec::new(),
                unread: Vec::new(),
                extent: Extent::Complete,
                side: call.side,
                operation: call.operation,
            },
        }
    }

    /// How many entries have an id.
    pub(crate) fn known(&self) -> usize {
        self.seen.len()
    }

    /// Adds a page. `false` when it has entries, and all of them were on an earlier page.
    pub(crate) fn add(&mut self, page: Page<T>) -> bool {
        let had_entries = !page.is_empty();
        let mut added = false;
        for entry in page.0 {
            let id = match &entry {
                Ok(item) => Some(item.id()),
                Err(unread) => unread.as_ref().map(|unread| &*unread.id),
            };
            if id.is_some_and(|id| !self.seen.insert(id.to_owned())) {
                continue;
            }
            added = true;
            match entry {
                Ok(item) => self.listed.items.push(item),
                Err(Some(unread)) => self.listed.unread.push(unread),
                Err(None) => self.listed.extent = Extent::Incomplete,
            }
        }
        added || !had_entries
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.listed.is_complete()
    }

    pub(crate) fn end(self) -> Listed<T> {
        self.listed
    }
}

/// The entries of one page: read, known by id, or not even that.
pub(crate) struct Page<T>(Vec<Result<T, Option<Unread>>>);

impl<T: Entry> Page<T> {
    /// Reads a JSON array.
    pub(crate) fn read(array: &[u8]) -> Result<Self, serde_json::Error> {
        // Nearly always every entry is as described, and one pass reads them all.
        match serde_json::from_slice::<Vec<T>>(array) {
            Ok(items) => Ok(Self(items.into_iter().map(Ok).collect())),
            Err(error) if error.is_data() => {
                let entries: Vec<&RawValue> = serde_json::from_slice(array)?;
                Ok(Self(entries.into_iter().map(read_entry).collect()))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one JSON object, as a page of its own.
    pub(crate) fn of_one(object: &[u8]) -> Result<Self, serde_json::Error> {
        match serde_json::from_slice(object) {
            Ok(item) => Ok(Self(vec![Ok(item)])),
            Err(error) => match read_entry::<T>(serde_json::from_slice(object)?) {
                Err(Some(unread)) => Ok(Self(vec![Err(Some(unread))])),
                _ => Err(error),
            },
        }
    }

    /// Changes the entries that were read.
    pub(crate) fn for_each(&mut self, change: impl Fn(&mut T)) {
        self.0.iter_mut().flatten().for_each(change);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read_entry<T: Entry>(entry: &RawValue) -> Result<T, Option<Unread>> {
    serde_json::from_str(entry.get()).map_err(|_| {
        let attributes: Map<String, Value> = serde_json::from_str(entry.get()).ok()?;
        let id = attributes.get(T::ID)?.as_str().filter(|id| is_id(id))?;
        Some(Unread {
            id: id.to_owned(),
            what: "not as the API describes it".to_owned(),
        })
    })
}

/// Ids of both services are such words; anything else is not repeated in a report.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Thing {
        id: String,
        name: String,
    }

    impl Entry for Thing {
        fn id(&self) -> &str {
            &self.id
        }
    }

    fn listed(pages: &[&str]) -> (Vec<bool>, Listed<Thing>) {
        let url = "https://acme.okta.com/".parse().unwrap();
        let call = Call::new(Side::Okta, "list the things", Method::GET, url);
        let mut gathering = Gathering::new(&call);
        let pages = pages
            .iter()
            .map(|page| Page::read(page.as_bytes()).unwrap());
        let added = pages.map(|page| gathering.add(page)).collect();
        (added, gathering.end())
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_known_by_its_id() {
        let (_, listed) = listed(&[
            r#"[{"id":"a","name":"A"},{"id":"b","name":["B"]}]"#,
            r#"[{"id":"c","name":"C"}]"#,
        ]);
        assert_eq!(listed.items.len(), 2);
        assert_eq!(listed.unread[0].id, "b");
        assert!(listed.is_complete());
        let error = listed.whole().unwrap_err().to_string();
        assert!(
            error.contains("list the things") && error.contains("b is not"),
            "{error}"
        );
    }

    #[test]
    fn an_entry_without_an_id_makes_the_list_incomplete() {
        for entry in [
            r#"{"name":"B"}"#,
            r#"{"id":7}"#,
            "7",
            "null",
            r#"{"id":"ann@acme.example"}"#,
        ] {
            let (_, listed) = listed(&[&format!(r#"[{{"id":"a","name":"A"}},{entry}]"#)]);
            assert_eq!((listed.items.len(), listed.unread.len()), (1, 0), "{entry}");
            assert!(!listed.is_complete(), "{entry}");
            let error = listed.whole().unwrap_err().to_string();
            assert!(
                error.contains("without a readable id") && !error.contains("ann@"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_repeated_page_adds_nothing() {
        let page = r#"[{"id":"a","name":"A"},{"id":"b","name":"B"}]"#;
        let overlap = r#"[{"id":"b","name":"B"},{"id":"c","name":"C"}]"#;
        let (added, listed) = listed(&[page, overlap, page, "[]"]);
        assert_eq!(added, [true, true, false, true]);
        assert_eq!(listed.whole().unwrap().len(), 3);
    }

    #[test]
    fn an_answer_that_is_not_a_list_is_an_error() {
        for page in ["{}", "[", "null", "<html>"] {
            assert!(Page::<Thing>::read(page.as_bytes()).is_err(), "{page}");
        }
    }
}
