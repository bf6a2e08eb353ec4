//! Lists by `limit` and `offset`, read whole or not at all.
//!
//! No order is documented for users, so an item can move between two pages while others come and
//! go. Items are therefore counted by id: a list ends when as many distinct ids were read as `total`
//! says, or at an empty page. Fewer than `total` is an incomplete read, tried once more and then an
//! error.

use std::collections::HashSet;
use std::hash::Hash;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Anypoint;
use crate::deadline::Deadline;
use crate::http::{Call, CallError, CallErrorKind};

/// The largest page that the service takes.
const PAGE: usize = 500;
/// Pages of one list that are read at once.
const AT_ONCE: usize = 4;

/// An item that can be told from others of its list.
pub(super) trait Identified {
    type Id: Eq + Hash + Clone;
    fn id(&self) -> Self::Id;
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    total: Option<usize>,
}

struct Gathered<T: Identified> {
    seen: HashSet<T::Id>,
    items: Vec<T>,
}

impl<T: Identified> Gathered<T> {
    fn add(&mut self, page: Vec<T>) {
        for item in page {
            if self.seen.insert(item.id()) {
                self.items.push(item);
            }
        }
    }
}

impl Anypoint {
    /// Reads the list that `first` (without `limit` and `offset`) asks for.
    pub(super) async fn read_list<T: Identified + DeserializeOwned>(
        &self,
        first: &Call,
        deadline: Deadline,
    ) -> Result<Vec<T>, CallError> {
        match self.read_list_once(first, deadline).await? {
            Some(items) => Ok(items),
            None => match self.read_list_once(first, deadline).await? {
                Some(items) => Ok(items),
                None => {
                    let what = "fewer items than the total that the service names".to_owned();
                    Err(first.error(CallErrorKind::Unreadable(what)))
                }
            },
        }
    }

    /// `None` when fewer items came than the service says there are.
    async fn read_list_once<T: Identified + DeserializeOwned>(
        &self,
        first: &Call,
        deadline: Deadline,
    ) -> Result<Option<Vec<T>>, CallError> {
        let mut gathered = Gathered {
            seen: HashSet::new(),
            items: Vec::new(),
        };
        let page = self.read_page::<T>(first, 0, deadline).await?;
        let (length, mut total) = (page.data.len(), page.total);
        gathered.add(page.data);
        // A total equal to a full page is not trusted: some answers name the page's size instead.
        if let Some(total) = total.filter(|total| *total > length && length > 0) {
            let offsets = (length..total).step_by(length);
            let mut pages = stream::iter(offsets)
                .map(|offset| self.read_page::<T>(first, offset, deadline))
                .buffered(AT_ONCE);
            while let Some(page) = pages.try_next().await? {
                gathered.add(page.data);
            }
        } else if length >= PAGE {
            let mut offset = length;
            loop {
                let page = self.read_page::<T>(first, offset, deadline).await?;
                if page.data.is_empty() {
                    break;
                }
                offset += page.data.len();
                total = None;
                gathered.add(page.data);
            }
        }
        let complete = total.is_none_or(|total| gathered.items.len() >= total);
        Ok(complete.then_some(gathered.items))
    }

    async fn read_page<T: DeserializeOwned>(
        &self,
        first: &Call,
        offset: usize,
        deadline: Deadline,
    ) -> Result<Page<T>, CallError> {
        let mut call = first.clone();
        call.url
            .query_pairs_mut()
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &offset.to_string());
        self.send(&call, deadline).await?.json(&call)
    }
}
