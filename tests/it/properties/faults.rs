//! The faults that are played on Okta and Anypoint, and how often each kind of them struck.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use okta_anypoint::simulator::traffic::{Fault, FaultId, FaultKind, Moment, Traffic};

use super::counts::{Remote, Tally};
use super::history::{FaultChoice, FaultStep};
use crate::world::World;

/// How long a late answer takes, and the pause within a slow body.
const PAUSE: Duration = Duration::from_millis(40);

const OKTA_PATHS: [&str; 6] = [
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
#[derive(Default)]
pub struct Faults {
    played: Vec<Played>,
    /// The remotes whose tokens were revoked since a run was last at its end.
    revoked: BTreeSet<Remote>,
}

struct Played {
    remote: Remote,
    kind: String,
    id: FaultId,
}

impl Faults {
    /// `now_ms` is the time that the program believes in.
    pub fn play(&mut self, step: &FaultStep, world: &World, now_ms: i64) {
        // Okta's lists name no total: nobody could tell.
        let lost_item = matches!(step.kind, FaultChoice::LostItem);
        let (remote, paths) = if step.at_okta && !lost_item {
            (Remote::Okta, OKTA_PATHS)
        } else {
            (Remote::Anypoint, ANYPOINT_PATHS)
        };
        if matches!(step.kind, FaultChoice::TokenRevoked) {
            // While runs are at it: the next call of each is refused. A token that is refused a moment
            // after it was given means something else: that a scope is missing.
            if !self.may_revoke(remote) {
                return;
            }
            match remote {
                Remote::Okta => world.okta.world().revoke_tokens(),
                _ => world.anypoint().revoke_tokens(),
            }
            return;
        }
        let kind = kind(step.kind, now_ms / 1000);
        // A list of teams that shows the past is not among the faults: under TEAM_REMOVAL=delete a
        // child team that nobody shows cannot be spared.
        let path = match (&kind, paths[step.path % paths.len()]) {
            (FaultKind::StaleRead, "/organizations" | "/teams") => "/users",
            (FaultKind::LostItem, "/oauth2/token" | "/recover") => "/members",
            (_, path) => path,
        };
        // "200" to a write that did not happen, and "too many requests" to one that did, are lies, not
        // faults.
        let moment = match &kind {
            FaultKind::WrongJson => Moment::AfterEffect,
            FaultKind::Status { code: 429, .. } => Moment::BeforeEffect,
            _ if step.after_effect => Moment::AfterEffect,
            _ => Moment::BeforeEffect,
        };
        let mut fault = Fault::new(path, kind).skipping(step.skip).times(step.times);
        fault.moment = moment;
        if lost_item {
            fault = fault.on(Method::GET);
        }
        self.played.push(Played {
            remote,
            kind: name(step.kind, moment),
            id: traffic(world, remote).inject(fault),
        });
    }

    /// Whether the tokens of this remote may be revoked; from now on they are.
    pub fn may_revoke(&mut self, remote: Remote) -> bool {
        self.revoked.insert(remote)
    }

    /// All runs are over.
    pub fn landed(&mut self) {
        self.revoked.clear();
    }

    /// Ends them all; how often each kind struck.
    pub fn end(&mut self, world: &World) -> Tally {
        let mut tally = every_kind();
        for played in self.played.drain(..) {
            let fired = traffic(world, played.remote).fired(played.id);
            tally.add(played.kind, played.remote, fired as usize);
        }
        for remote in [Remote::Okta, Remote::Anypoint] {
            let traffic = traffic(world, remote);
            traffic.remove_all_faults();
            // Nothing else answers so: no fault does, and all credentials are right.
            let refused = traffic
                .log()
                .iter()
                .filter(|call| call.status == 401)
                .count();
            tally.add(FaultChoice::TokenRevoked.name(), remote, refused);
        }
        tally
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

/// What a fault is called in the figures.
fn name(choice: FaultChoice, moment: Moment) -> String {
    match moment {
        Moment::AfterEffect if choice.has_two_moments() => {
            format!("{}, after the effect", choice.name())
        }
        _ => choice.name().to_owned(),
    }
}

/// Every kind with a count of zero: what never strikes shows.
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
