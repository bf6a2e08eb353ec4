//! The state of an Anypoint organization.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::WorldClock;
use crate::index::NameIndex;

/// The value of `idprovider_id` for native accounts.
pub const NATIVE: &str = "mulesoft";

/// The scopes Okta's own integration asks for.
const USUAL_SCOPES: [&str; 5] = [
    "admin:access_controls",
    "view:access_controls",
    "edit:orgusers",
    "read:organization",
    "read:orgusers",
];

/// A user. Times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnypointUser {
    /// UUID.
    pub id: String,
    /// Unique among native accounts of the whole control plane, ignoring case.
    pub username: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address; not unique.
    pub email: String,
    /// Phone number; not part of lists.
    pub phone_number: Option<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// `mulesoft` for native accounts, else the identity provider's id.
    pub idprovider_id: String,
    /// `host`, or `proxy` for outsiders.
    pub kind: String,
    /// Creation.
    pub created_at: i64,
    /// Last change.
    pub updated_at: i64,
    /// Last sign-in.
    pub last_login: Option<i64>,
    /// When the address was verified.
    pub email_verified_at: Option<i64>,
    /// Multi-factor exemption.
    pub mfa_excluded: bool,
}

/// The membership of a user in a team. Times are epoch milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `member` or `maintainer`.
    pub membership_type: String,
    /// Whether it comes from an external group mapping.
    pub external: bool,
    /// Creation.
    pub created_at: i64,
    /// Last change.
    pub updated_at: i64,
}

impl Member {
    /// A membership that began at `at`, by hand or by a program.
    pub(super) fn new(membership_type: &str, at: i64) -> Self {
        Self {
            membership_type: membership_type.to_owned(),
            external: false,
            created_at: at,
            updated_at: at,
        }
    }
}

/// A team. Times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Team {
    /// UUID.
    pub id: String,
    /// Unique in the organization.
    pub name: String,
    /// `internal`, `private`, `shared`.
    pub team_type: String,
    /// Root first, direct parent last; empty for the root team.
    pub ancestors: Vec<String>,
    /// Creation.
    pub created_at: i64,
    /// Last change.
    pub updated_at: i64,
    /// Users by id. The root team's members are all users, whatever this field holds.
    pub members: BTreeMap<String, Member>,
    #[serde(skip)]
    pub(super) lag: Option<Lag>,
}

impl Team {
    pub(super) fn new(
        id: &str,
        name: &str,
        team_type: &str,
        ancestors: Vec<String>,
        at: i64,
    ) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            team_type: team_type.to_owned(),
            ancestors,
            created_at: at,
            updated_at: at,
            members: BTreeMap::new(),
            lag: None,
        }
    }
}

/// Old members still shown for some reads.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    pub members: BTreeMap<String, Member>,
    pub reads: u32,
}

/// A recovery mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Username it is about.
    pub username: String,
    /// Where it went.
    pub email: String,
    /// When, epoch milliseconds.
    pub at_ms: i64,
}

/// One Anypoint organization: plain data, changed by verbs, by the API, or directly.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AnypointWorld {
    /// Root organization id.
    pub org_id: String,
    /// Organization name.
    pub org_name: String,
    /// The connected app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Its scopes. Without `admin:access_controls` team writes are 401, the rest without its scope is 403.
    pub scopes: BTreeSet<String>,
    /// Users by id, in order of creation.
    pub users: BTreeMap<String, AnypointUser>,
    /// Users that were deleted, by id; their usernames stay taken.
    pub deleted_users: BTreeMap<String, AnypointUser>,
    /// Teams by id, in order of creation.
    pub teams: BTreeMap<String, Team>,
    /// The root team.
    pub root_team_id: String,
    /// Names taken by other customers: 409 although nobody here has them. Compared ignoring case.
    pub foreign_usernames: BTreeSet<String>,
    /// Recovery mails sent.
    pub mails: Vec<Mail>,
    /// Whether native accounts may be created (`allow_new_non_sso_users`). Otherwise creation is refused with 403; the real
    /// code is not known.
    pub native_accounts: bool,
    /// The identity provider that the organization signs in with (`idprovider_id`); `None`: people sign in natively.
    pub identity_provider: Option<String>,
    /// Whether creation insists on a phone number (sources disagree).
    pub phone_required: bool,
    /// Phone numbers that are refused with 400; `*` for any.
    pub refused_phones: BTreeSet<String>,
    /// Whether updates and deletions are answered with 204 and no body (sources disagree), and a creation without a body.
    pub terse: bool,
    /// How many reads of a team's members still show the old list after a change.
    pub member_read_lag: u32,
    /// How long a token is good, seconds; also `expires_in`.
    pub token_lifetime_s: u64,
    /// The organization's clock.
    pub clock: WorldClock,
    /// The number in the last id given out.
    pub last_id: u64,
    /// Tokens given out and when they end, epoch milliseconds.
    #[serde(skip)]
    pub(super) tokens: BTreeMap<String, i64>,
    #[serde(skip)]
    pub(super) usernames: NameIndex,
}

impl Default for AnypointWorld {
    fn default() -> Self {
        let mut world = Self {
            org_id: "0a0e51b0-0000-4000-8000-0000000000aa".to_owned(),
            org_name: "Acme".to_owned(),
            client_id: "simulated-client".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            scopes: USUAL_SCOPES.map(str::to_owned).into(),
            users: BTreeMap::new(),
            deleted_users: BTreeMap::new(),
            teams: BTreeMap::new(),
            root_team_id: String::new(),
            foreign_usernames: BTreeSet::new(),
            mails: Vec::new(),
            native_accounts: true,
            identity_provider: None,
            phone_required: false,
            refused_phones: BTreeSet::new(),
            terse: false,
            member_read_lag: 0,
            token_lifetime_s: 3600,
            clock: WorldClock::default(),
            last_id: 0,
            tokens: BTreeMap::new(),
            usernames: NameIndex::default(),
        };
        world.root_team_id = world.new_id();
        let now = world.clock.tick();
        let name = format!("Everyone at {}", world.org_name);
        let root = Team::new(&world.root_team_id, &name, "internal", Vec::new(), now);
        world.teams.insert(root.id.clone(), root);
        world
    }
}

impl AnypointWorld {
    pub(super) fn new_id(&mut self) -> String {
        self.last_id += 1;
        format!("0b0e51b0-0000-4000-8000-{:012x}", self.last_id)
    }

    /// The whole state as JSON; tokens are left out.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// A state written by [`AnypointWorld::to_json`].
    ///
    /// # Errors
    /// If the text is not such a state.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The native user with this username, ignoring case.
    pub fn user_by_username(&self, username: &str) -> Option<&AnypointUser> {
        let fits = |user: &&AnypointUser| {
            user.idprovider_id == NATIVE && user.username.eq_ignore_ascii_case(username)
        };
        self.users.values().find(fits)
    }

    /// The team with this name.
    pub fn team_by_name(&self, name: &str) -> Option<&Team> {
        self.teams.values().find(|team| team.name == name)
    }

    /// The usernames in a team, sorted; empty if there is no such team. The root team holds everybody.
    pub fn members_of(&self, team_id: &str) -> Vec<String> {
        let team = self.teams.get(team_id);
        let is_root = team_id == self.root_team_id;
        let is_in = |id: &String| team.is_some_and(|team| is_root || team.members.contains_key(id));
        let members = self.users.values().filter(|user| is_in(&user.id));
        let mut names: Vec<String> = members.map(|user| user.username.clone()).collect();
        names.sort();
        names
    }

    /// The names of the teams a user was put into, sorted; the root team left out.
    pub fn teams_of(&self, user_id: &str) -> Vec<String> {
        let holds = |team: &&Team| team.members.contains_key(user_id);
        let teams = self.teams.values().filter(holds);
        let mut names: Vec<String> = teams.map(|team| team.name.clone()).collect();
        names.sort();
        names
    }

    /// Ends every token given out so far.
    pub fn revoke_tokens(&mut self) {
        self.tokens.values_mut().for_each(|ends| *ends = 0);
    }

    /// Every token given out so far, expired ones included. A test checks that none of them shows anywhere.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.keys().map(String::as_str)
    }
}
