//! The faults and lies that a history plays at Okta and Anypoint, and how often each kind occurred.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::Method;
use okta_anypoint::simulator::traffic::{Fault, FaultId, FaultKind, Moment, Traffic};

use super::counts::{Remote, Tally};
use super::history::{FaultChoice, FaultStep, Lasts, LieStep};
use super::lies::{Hint, Someone, Times, every_lie, told};
use crate::world::World;

/// How long a late answer takes, and the pause within a slow body.
const PAUSE: Duration = Duration::from_millis(40);

pub const OKTA_PATHS: [&str; 6] = [
    "/api/v1",
    "/users",
    "/groups",
    "/apps",
    "/api",
    "/users/00u1",
];
const ANYPOINT_PATHS: [&str; 6] = [
    "/organizations",
    "/users",
    "/members",
    "/teams",
    "/oauth2/token",
    "/recover",
];

/// The faults of one history.
pub struct Faults {
    times: Times,
    played: Vec<Played>,
    /// The current lie, and its end. Two at a time could confirm each other.
    lie: Option<(Remote, FaultId, Instant)>,
    /// The subjects of earlier lies. A second lie could confirm the first.
    lied_about: BTreeSet<String>,
    /// Whether Okta once showed old data as current. That can affect everybody.
    pub was_stale: bool,
    /// The remotes whose tokens were revoked since a run last ended.
    revoked: BTreeSet<Remote>,
}

struct Played {
    remote: Remote,
    kind: String,
    id: FaultId,
    is_lie: IsLie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsLie {
    Yes,
    No,
}

impl Faults {
    pub fn new(times: Times) -> Self {
        Self {
            times,
            played: Vec::new(),
            lie: None,
            lied_about: BTreeSet::new(),
            was_stale: false,
            revoked: BTreeSet::new(),
        }
    }

    /// Starts a lie and returns where to look. `None`: it could confirm an earlier lie.
    pub fn lie(&mut self, step: &LieStep, someone: &Someone, world: &World) -> Option<Hint> {
        let (remote, fault) = told(step, someone);
        let hint = someone.hint(step.kind);
        let misleads = !step.kind.is_honest();
        if misleads {
            self.end_lie(world);
        }
        if misleads && remote == Remote::Okta {
            let about: Vec<&String> = match &hint {
                Hint::User(user) => vec![user],
                Hint::Group(group) => someone.members.iter().chain([group]).collect(),
            };
            if self.was_stale || about.iter().any(|id| self.lied_about.contains(*id)) {
                return None;
            }
            self.lied_about.extend(about.into_iter().cloned());
        }
        let lasts = match step.kind.lasts() {
            Lasts::Short => self.times.short,
            Lasts::Long => self.times.long,
        };
        let id = traffic(world, remote).inject(fault.lasting(lasts));
        if misleads {
            self.lie = Some((remote, id, Instant::now() + lasts));
        }
        self.played.push(Played {
            remote,
            kind: step.kind.name().to_owned(),
            id,
            is_lie: IsLie::Yes,
        });
        Some(hint)
    }

    /// Ends the lie.
    pub fn end_lie(&mut self, world: &World) {
        if let Some((remote, id, _)) = self.lie.take() {
            traffic(world, remote).remove_fault(id);
        }
    }

    fn lies_now(&self) -> bool {
        self.lie.is_some_and(|(.., until)| Instant::now() < until)
    }

    /// `now_ms` is the time of the program's clock.
    pub fn play(&mut self, step: &FaultStep, world: &World, now_ms: i64) {
        // Okta's lists name no total, so the program could not notice.
        let lost_item = matches!(step.kind, FaultChoice::LostItem);
        let (remote, paths) = if step.at_okta && !lost_item {
            (Remote::Okta, OKTA_PATHS)
        } else {
            (Remote::Anypoint, ANYPOINT_PATHS)
        };
        if matches!(step.kind, FaultChoice::TokenRevoked) {
            // During runs: the next call of each is refused. A new token that is refused at once would mean a missing scope
            // instead.
            if !self.may_revoke(remote) {
                return;
            }
            match remote {
                Remote::Okta => world.okta.world().revoke_tokens(),
                _ => world.anypoint().revoke_tokens(),
            }
            return;
        }
        let is_stale = matches!(step.kind, FaultChoice::Stale);
        if is_stale && remote == Remote::Okta {
            // Old data can confirm a lie, or other old data.
            if self.was_stale || !self.lied_about.is_empty() || self.lies_now() {
                return;
            }
            self.was_stale = true;
        }
        let kind = kind(step.kind, now_ms / 1000);
        // No fault shows an old list of teams: under TEAM_REMOVAL=delete the program cannot spare a child team that it does
        // not see.
        let path = match (&kind, paths[step.path % paths.len()]) {
            (FaultKind::StaleRead, "/organizations" | "/teams") => "/users",
            (FaultKind::LostItem, "/oauth2/token" | "/recover") => "/members",
            (_, path) => path,
        };
        // "200" to a write that did not happen, and "too many requests" to one that did, are lies, not faults.
        let moment = match &kind {
            FaultKind::WrongJson => Moment::AfterEffect,
            FaultKind::Status { code: 429, .. } => Moment::BeforeEffect,
            _ if step.after_effect => Moment::AfterEffect,
            _ => Moment::BeforeEffect,
        };
        let mut fault = Fault::new(path, kind).skipping(step.skip).times(step.times);
        fault.moment = moment;
        if is_stale && remote == Remote::Okta {
            fault = fault.lasting(self.times.short);
        }
        if lost_item {
            fault = fault.on(Method::GET);
        }
        self.played.push(Played {
            remote,
            kind: name(step.kind, moment),
            id: traffic(world, remote).inject(fault),
            is_lie: IsLie::No,
        });
    }

    /// Whether the tokens of this remote may be revoked. Marks them as revoked.
    pub fn may_revoke(&mut self, remote: Remote) -> bool {
        self.revoked.insert(remote)
    }

    /// All runs are over.
    pub fn landed(&mut self) {
        self.revoked.clear();
    }

    /// Ends all faults. Returns how often each kind of fault and lie occurred.
    pub fn end(&mut self, world: &World) -> (Tally, Tally) {
        let (mut tally, mut lies) = (every_kind(), every_lie());
        for played in self.played.drain(..) {
            let fired = traffic(world, played.remote).fired(played.id) as usize;
            match played.is_lie {
                IsLie::Yes => lies.add(played.kind, played.remote, fired),
                IsLie::No => tally.add(played.kind, played.remote, fired),
            }
        }
        for remote in [Remote::Okta, Remote::Anypoint] {
            let traffic = traffic(world, remote);
            traffic.remove_all_faults();
            // All credentials are right, so the service itself refuses only revoked tokens.
            let refused = traffic
                .log()
                .iter()
                .filter(|call| call.handled == Some(401))
                .count();
            tally.add(FaultChoice::TokenRevoked.name(), remote, refused);
        }
        (tally, lies)
    }
}

fn traffic(world: &World, remote: Remote) -> &Traffic {
    match remote {
        Remote::Okta => world.okta.traffic(),
        _ => world.anypoint.traffic(),
    }
}

fn kind(choice: FaultChoice, now_s: i64) -> FaultKind {
    let status = |code, headers: &[(&str, String)], body: &str| FaultKind::Status {
        code,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        body: body.to_owned(),
    };
    match choice {
        FaultChoice::Status500 => status(500, &[], "{\"message\":\"boom\"}"),
        FaultChoice::Status503 => status(503, &[], ""),
        FaultChoice::Status503RetryAfter => status(503, &[("retry-after", "1".to_owned())], "busy"),
        FaultChoice::Status429 => status(429, &[], "{\"errorCode\":\"E0000047\"}"),
        FaultChoice::Status429Reset => status(
            429,
            &[
                ("x-rate-limit-reset", now_s.to_string()),
                ("x-ratelimit-reset", now_s.to_string()),
            ],
            "{}",
        ),
        FaultChoice::Html502 => status(502, &[("content-type", "text/html".to_owned())], "<html>"),
        FaultChoice::Drop => FaultKind::DropConnection,
        FaultChoice::Truncated => FaultKind::TruncatedBody,
        FaultChoice::WrongJson => FaultKind::WrongJson,
        FaultChoice::Delay => FaultKind::Delay(PAUSE),
        FaultChoice::SlowBody => FaultKind::SlowBody(PAUSE),
        FaultChoice::Stale => FaultKind::StaleRead,
        FaultChoice::ShortPage => FaultKind::ShortPage(1),
        FaultChoice::LostItem => FaultKind::LostItem,
        FaultChoice::TokenRevoked => unreachable!("not a fault of one call"),
    }
}

/// The name of a fault in the figures.
fn name(choice: FaultChoice, moment: Moment) -> String {
    match moment {
        Moment::AfterEffect if choice.has_two_moments() => {
            format!("{}, after the effect", choice.name())
        }
        _ => choice.name().to_owned(),
    }
}

/// Every kind with a count of zero, so that a kind that never occurs shows.
fn every_kind() -> Tally {
    let mut tally = Tally::default();
    for choice in FaultChoice::ALL {
        for moment in [Moment::BeforeEffect, Moment::AfterEffect] {
            for remote in [Remote::Okta, Remote::Anypoint] {
                tally.add(name(choice, moment), remote, 0);
            }
        }
    }
    tally
}
