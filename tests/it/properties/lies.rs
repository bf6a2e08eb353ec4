//! What a lie says, where, and for how long.

use std::time::Duration;

use okta_anypoint::simulator::okta::EVERYONE;
use okta_anypoint::simulator::traffic::{Absence, Fault, Refused};

use super::counts::{Remote, Tally};
use super::faults::OKTA_PATHS;
use super::history::{LieChoice, LieStep};

const FOREIGN: [Absence; 4] = [
    Absence::Empty,
    Absence::Object,
    Absence::NoRoute,
    Absence::Text,
];
/// How long it takes until new members of an Okta group show.
const LATE: Duration = Duration::from_secs(10);

/// How long lies last. A short lie ends before the second look.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub short: Duration,
    pub long: Duration,
}

impl Times {
    /// Without a queue the second read comes after half a second.
    pub const INLINE: Self = Self {
        short: Duration::from_millis(350),
        long: Duration::from_millis(1_200),
    };
    /// With the `CONFIRM_SECONDS` of the binaries.
    pub const QUEUED: Self = Self {
        short: Duration::from_millis(CONFIRM_SECONDS * 1_000 - 300),
        long: Duration::from_millis(CONFIRM_SECONDS * 1_500),
    };
}

/// How long the binaries wait until the second look.
pub const CONFIRM_SECONDS: u64 = 2;

/// Which subject gets a look.
#[derive(Debug, Clone)]
pub enum Hint {
    User(String),
    Group(String),
}

/// The possible subjects of a lie.
pub struct Someone {
    pub user: String,
    pub group: String,
    /// The members of the group.
    pub members: Vec<String>,
    /// The group's team.
    pub team: Option<String>,
}

impl Someone {
    /// The paths on which a lie of this kind shows.
    pub fn hint(&self, kind: LieChoice) -> Hint {
        match kind {
            LieChoice::GroupGone
            | LieChoice::AppGroupGone
            | LieChoice::MembersGone
            | LieChoice::MembersEmpty
            | LieChoice::MembersLackOne
            | LieChoice::MembersLate
            | LieChoice::TeamMembersEmpty
            | LieChoice::TeamsLackOne => Hint::Group(self.group.clone()),
            _ => Hint::User(self.user.clone()),
        }
    }
}

/// The lie of a step, and its paths.
pub fn told(step: &LieStep, someone: &Someone) -> (Remote, Fault) {
    const USER: &str = "/api/v1/users/*";
    const APP_USER: &str = "/api/v1/apps/*/users/*";
    const GROUPS_OF_USER: &str = "/api/v1/users/*/groups";
    const GROUP: &str = "/api/v1/groups/*";
    const MEMBERS: &str = "/api/v1/groups/*/users";
    const APP_GROUP: &str = "/api/v1/apps/*/groups/*";
    const APP_GROUPS: &str = "/api/v1/apps/*/groups";
    const APP_USERS: &str = "/api/v1/apps/*/users";
    const TEAMS: &str = "/accounts/api/organizations/*/teams";
    const TEAM_MEMBERS: &str = "/accounts/api/organizations/*/teams/*/members";
    const TEAMS_OF_ACCOUNT: &str = "/accounts/api/organizations/*/users/*/teams";
    let (user, group) = (someone.user.as_str(), someone.group.as_str());
    let denied = |path: &str, id: &str| Fault::not_found(path, Absence::Service).about(id);
    let somewhere = || match step.at % 2 {
        0 => (Remote::Okta, OKTA_PATHS[step.group % OKTA_PATHS.len()]),
        _ => (
            Remote::Anypoint,
            ["/organizations", "/members", "/teams", "/users"][step.group % 4],
        ),
    };
    let refused = |refused| {
        let (remote, path) = somewhere();
        (remote, Fault::refused(path, refused))
    };
    let at_okta = |fault| (Remote::Okta, fault);
    match step.kind {
        LieChoice::UserGone => at_okta(denied(USER, user)),
        LieChoice::AppUserGone => at_okta(denied(APP_USER, user)),
        LieChoice::AllOfUserGone => at_okta(Fault::gone(user)),
        LieChoice::GroupsOfUserGone => at_okta(denied(GROUPS_OF_USER, user)),
        LieChoice::GroupsOfUserEmpty => at_okta(Fault::empty_list(GROUPS_OF_USER).about(user)),
        LieChoice::GroupsOfUserLackOne => {
            at_okta(Fault::lacking(GROUPS_OF_USER, &[group]).about(user))
        }
        LieChoice::GroupsOfUserLackBuiltIn => {
            at_okta(Fault::lacking(GROUPS_OF_USER, &[EVERYONE]).about(user))
        }
        LieChoice::GroupGone => at_okta(denied(GROUP, group)),
        LieChoice::AppGroupGone => at_okta(denied(APP_GROUP, group)),
        LieChoice::MembersGone => at_okta(denied(MEMBERS, group)),
        LieChoice::MembersEmpty => at_okta(Fault::empty_list(MEMBERS).about(group)),
        LieChoice::MembersLackOne => {
            let at = step.user % someone.members.len().max(1);
            let lacking: Vec<&str> = someone.members.iter().map(String::as_str).collect();
            let lacking: Vec<&str> = lacking.into_iter().skip(at).take(1).collect();
            at_okta(Fault::lacking(MEMBERS, &lacking).about(group))
        }
        LieChoice::MembersLate => {
            let mut late = Fault::member_lag(LATE);
            late.about = Some(group.to_owned());
            at_okta(late)
        }
        LieChoice::AppGroupsEmpty => at_okta(Fault::empty_list(APP_GROUPS)),
        LieChoice::ForeignAbsence => {
            let (remote, path) = somewhere();
            (
                remote,
                Fault::not_found(path, FOREIGN[step.user % FOREIGN.len()]),
            )
        }
        LieChoice::RefusedCredentials => refused(Refused::Credentials),
        LieChoice::RefusedSession => refused(Refused::Session),
        LieChoice::RefusedRight => refused(Refused::Right),
        LieChoice::TeamMembersEmpty => (Remote::Anypoint, Fault::empty_list(TEAM_MEMBERS)),
        LieChoice::AppUsersLackOne => at_okta(Fault::lacking(APP_USERS, &[user])),
        LieChoice::TeamsLackOne => {
            let team = someone.team.as_deref();
            let lacking: Vec<&str> = team.into_iter().collect();
            (Remote::Anypoint, Fault::lacking(TEAMS, &lacking))
        }
        LieChoice::RefusedSignIn => (Remote::Anypoint, Fault::sign_in_refused()),
        LieChoice::TeamsOfAccountEmpty => (Remote::Anypoint, Fault::empty_list(TEAMS_OF_ACCOUNT)),
    }
}

/// Every kind of lie with a count of zero.
pub fn every_lie() -> Tally {
    let mut tally = Tally::default();
    for choice in LieChoice::ALL {
        for remote in [Remote::Okta, Remote::Anypoint] {
            tally.add(choice.name(), remote, 0);
        }
    }
    tally
}
