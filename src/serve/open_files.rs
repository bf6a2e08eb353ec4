//! How many connections fit under the operating system's limit of open files.
//!
//! Systems start a program with a low soft limit, often 256 or 1024, and a much higher hard one. A program out of file
//! descriptors accepts nobody, so there are only as many places for connections as it can open sockets for.

use crate::failure::{Failure, Side};

/// Connections of Okta and of everybody else at once, where the limit allows them.
const MAX_PLACES: usize = 512;
/// With fewer places, a handful of silent clients would take them all.
const MIN_PLACES: usize = 32;
/// For the status page's connections, the database, the log and outgoing calls.
const RESERVED: usize = 96 + super::STATUS_CONNECTIONS;

/// Raises the soft limit to the hard one. Gives how many connections the hook's address may have.
///
/// # Errors
/// When too few fit.
pub fn places() -> Result<usize, Failure> {
    under(raised())
}

/// The limit that holds from now on; `None` where there is none.
#[cfg(unix)]
fn raised() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // macOS takes no more than its own maximum. Then the old limit stays, and counts.
    let _ = setrlimit(Resource::Nofile, all);
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raised() -> Option<u64> {
    None
}

fn under(limit: Option<u64>) -> Result<usize, Failure> {
    let limit = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let places = limit.saturating_sub(RESERVED).min(MAX_PLACES);
    if places < MIN_PLACES {
        return Err(Failure::permanent(
            Side::Settings,
            format!("only {limit} files may be open at once, too few to serve"),
            format!(
                "raise the hard limit to {} or more (`ulimit -Hn`, systemd's LimitNOFILE, Docker's --ulimit nofile)",
                RESERVED + MAX_PLACES
            ),
        ));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_many_as_the_limit_leaves_and_too_few_are_an_error() {
        for (limit, places) in [
            (None, 512),
            (Some(u64::MAX), 512),
            (Some(1024), 512),
            (Some(256), 128),
            (Some(160), 32),
        ] {
            assert_eq!(under(limit), Ok(places), "{limit:?}");
        }
        for limit in [0, 128, 159] {
            let refused = under(Some(limit)).unwrap_err().to_string();
            assert!(refused.contains("LimitNOFILE"), "{refused}");
        }
    }
}
