//! Lists by `limit` and `offset`, read whole or not at all.
//!
//! No order is documented for users, so an item can move between two pages while others come and
//! go. Items are therefore counted by id: a list ends when as many distinct ids were read as `total`
//! says, or at a page with nothing new. Fewer than `total` is an incomplete read, tried once more and then an
//! error.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Anypoint;
use crate::deadline::Deadline;
use crate::http::{Call, CallError, CallErrorKind, Entry, Gathering, Listed, Page};

/// The largest page that the service takes.
const MAX_PAGE: usize = 500;
/// A page is not asked for with a smaller `limit` than this.
const MIN_PAGE: usize = 25;
/// Pages of one list that are read at once.
const MAX_PAGES_AT_ONCE: usize = 4;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    total: Option<usize>,
}

/// How the reading of a list ended.
enum End<T> {
    Whole(Listed<T>),
    /// Fewer entries came than the service says there are.
    Short,
}

impl Anypoint {
    /// Reads the list that `first` (without `limit` and `offset`) asks for. Where pages are answered 5xx
    /// again and again, all of it is asked for in pages half as long.
    pub(super) async fn read_list<T: Entry + Send>(
        &self,
        first: &Call,
        deadline: Deadline,
    ) -> Result<Listed<T>, CallError> {
        let mut limit = MAX_PAGE;
        let mut was_short = false;
        loop {
            let smaller = Some(limit / 2).filter(|limit| *limit >= MIN_PAGE);
            let asked = match smaller {
                Some(_) => first.clone().twice(),
                None => first.clone(),
            };
            match (self.read_list_once(&asked, limit, deadline).await, smaller) {
                (Ok(End::Whole(list)), _) => return Ok(list),
                (Ok(End::Short), _) if was_short => {
                    let what = "fewer items than the total that the service names".to_owned();
                    return Err(first.error(CallErrorKind::Unreadable(what)));
                }
                (Ok(End::Short), _) => was_short = true,
                (Err(error), Some(smaller)) if error.is_server_fault() => limit = smaller,
                (Err(error), _) => return Err(error),
            }
        }
    }

    async fn read_list_once<T: Entry + Send>(
        &self,
        first: &Call,
        limit: usize,
        deadline: Deadline,
    ) -> Result<End<T>, CallError> {
        let mut list = Gathering::new(first);
        let (page, total) = self.read_page::<T>(first, limit, 0, deadline).await?;
        let (length, mut total) = (page.len(), total);
        list.add(page);
        // A total equal to a full page is not trusted: some answers name the page's size instead.
        if let Some(total) = total.filter(|total| *total > length && length > 0) {
            let offsets = (length..total).step_by(length);
            let mut pages = stream::iter(offsets)
                .map(|offset| self.read_page::<T>(first, limit, offset, deadline))
                .buffered(MAX_PAGES_AT_ONCE);
            while let Some((page, _)) = pages.try_next().await? {
                // The list ends here, whatever its total says.
                if page.is_empty() || !list.add(page) {
                    break;
                }
            }
        } else if length >= limit || (total.is_none() && length > 0) {
            // Without a total, even a page that is shorter than what was asked for may not be the last one.
            let mut offset = length;
            loop {
                let (page, _) = self.read_page::<T>(first, limit, offset, deadline).await?;
                if page.is_empty() {
                    break;
                }
                offset += page.len();
                total = None;
                let known = list.known();
                list.add(page);
                if list.known() == known {
                    if length < limit || !list.is_complete() {
                        break;
                    }
                    let what = "a page that was there before".to_owned();
                    return Err(first.error(CallErrorKind::Unreadable(what)));
                }
            }
        }
        // Entries without an id cannot be counted; such a list says itself that it is not complete.
        let is_whole = total.is_none_or(|total| list.known() >= total) || !list.is_complete();
        Ok(if is_whole {
            End::Whole(list.end())
        } else {
            End::Short
        })
    }

    async fn read_page<T: Entry>(
        &self,
        first: &Call,
        limit: usize,
        offset: usize,
        deadline: Deadline,
    ) -> Result<(Page<T>, Option<usize>), CallError> {
        let mut call = first.clone();
        call.url
            .query_pairs_mut()
            .append_pair("limit", &limit.to_string())
            .append_pair("offset", &offset.to_string());
        let answer = self.send(&call, deadline).await?;
        let body: Body<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| call.unreadable(&error))?;
        let page =
            Page::read(body.data.get().as_bytes()).map_err(|error| call.unreadable(&error))?;
        Ok((page, body.total))
    }
}
