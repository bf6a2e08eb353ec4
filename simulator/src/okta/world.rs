//! The state of an Okta org.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::{ACTOR, LogEvent};
use super::oauth::OAuth;
use super::objects::{
    ApiToken, EventHook, HookFilters, OktaApp, OktaGroup, OktaUser, Profile, UsernameTemplate,
};
use super::refusal::Refusal;
use crate::clock::WorldClock;
use crate::index::NameIndex;

/// The id of the built-in group "Everyone".
pub const EVERYONE: &str = "00gsimeveryone000001";

/// An Okta org: plain data. Set it up with the verbs (they write the System Log as Okta does) or through the fields
/// (nothing is written).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct OktaWorld {
    /// Where the simulator serves this org; set by the simulator.
    pub base_url: String,
    /// `00o…`
    pub org_id: String,
    /// Users by id, in order of creation.
    pub users: BTreeMap<String, OktaUser>,
    /// Groups by id, in order of creation.
    pub groups: BTreeMap<String, OktaGroup>,
    /// Apps by id, in order of creation.
    pub apps: BTreeMap<String, OktaApp>,
    /// API tokens by id. At first there is one, of the administrator whom every SSWS token stands for.
    pub api_tokens: BTreeMap<String, ApiToken>,
    /// Event hooks by id.
    pub hooks: BTreeMap<String, EventHook>,
    /// Whether this org has event hook filters.
    pub hook_filters: HookFilters,
    /// The System Log in the order of persistence.
    pub log: Vec<LogEvent>,
    /// Entries that are not readable yet, see [`OktaWorld::hold_log`].
    pub held: Vec<LogEvent>,
    /// Service apps and their tokens.
    pub oauth: OAuth,
    /// The org's clock.
    pub clock: WorldClock,
    /// The number in the last id given out.
    pub last_id: u64,
    pub(super) hold_log: bool,
    #[serde(skip)]
    pub(super) logins: NameIndex,
    #[serde(skip)]
    pub(super) collect: bool,
    #[serde(skip)]
    pub(super) outbox: Vec<LogEvent>,
}

impl Default for OktaWorld {
    fn default() -> Self {
        let token = ApiToken {
            id: "00Tsim00000000000001".to_owned(),
            name: "simulated".to_owned(),
            user_id: ACTOR.to_owned(),
            client_name: "Okta API".to_owned(),
            last_used: None,
        };
        Self {
            base_url: "https://acme.okta.example".to_owned(),
            org_id: "00osim00000000000001".to_owned(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            apps: BTreeMap::new(),
            api_tokens: BTreeMap::from([(token.id.clone(), token)]),
            hooks: BTreeMap::new(),
            hook_filters: HookFilters::default(),
            log: Vec::new(),
            held: Vec::new(),
            oauth: OAuth::default(),
            clock: WorldClock::default(),
            last_id: 0,
            hold_log: false,
            logins: NameIndex::default(),
            collect: false,
            outbox: Vec::new(),
        }
    }
}

/// What a verb made: the id of the new object and the events written.
#[derive(Clone, Debug)]
pub struct Created {
    /// Id of the new object.
    pub id: String,
    /// Events written, in order.
    pub events: Vec<LogEvent>,
}

impl OktaWorld {
    /// A new id: a prefix of three letters and a number, 20 characters in all.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.last_id += 1;
        format!("{prefix}sim{:014}", self.last_id)
    }

    /// The whole state as JSON.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// A state written by [`OktaWorld::to_json`].
    ///
    /// # Errors
    /// If the text is not such a state.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Adds an app with an id of your choice.
    pub fn add_app(&mut self, id: &str, label: &str) {
        let now = self.clock.tick();
        let app = OktaApp {
            id: id.to_owned(),
            name: "saml_anypoint".to_owned(),
            label: label.to_owned(),
            active: true,
            username_template: UsernameTemplate::default(),
            stored_credentials: false,
            created: now,
            last_updated: now,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            set_aside: BTreeMap::new(),
        };
        self.apps.insert(id.to_owned(), app);
    }

    /// A user by id, login, or the part of the login before `@` if only one user has it.
    pub fn find_user(&self, key: &str) -> Option<&OktaUser> {
        if let Some(user) = self.users.get(key) {
            return Some(user);
        }
        let is_login = |user: &&OktaUser| user.login().eq_ignore_ascii_case(key);
        if let Some(user) = self.users.values().find(is_login) {
            return Some(user);
        }
        let short = |user: &&OktaUser| user.login_prefix().eq_ignore_ascii_case(key);
        let mut found = self.users.values().filter(short);
        match (found.next(), found.next()) {
            (Some(user), None) => Some(user),
            _ => None,
        }
    }

    /// A group by its exact name.
    pub fn group_by_name(&self, name: &str) -> Option<&OktaGroup> {
        self.groups.values().find(|group| group.name() == name)
    }

    pub(super) fn user(&self, id: &str) -> Result<&OktaUser, Refusal> {
        Refusal::unless_found(self.users.get(id), "User", id)
    }

    pub(super) fn user_mut(&mut self, id: &str) -> Result<&mut OktaUser, Refusal> {
        Refusal::unless_found(self.users.get_mut(id), "User", id)
    }

    /// The built-in group that every user is in. It is no part of `groups`, and nobody can be put into it or taken out.
    pub(super) fn everyone(&self) -> OktaGroup {
        let mut profile = Profile::new();
        profile.insert("name".to_owned(), Value::from("Everyone"));
        profile.insert(
            "description".to_owned(),
            Value::from("All users in your organization"),
        );
        OktaGroup {
            id: EVERYONE.to_owned(),
            kind: "BUILT_IN".to_owned(),
            profile,
            created: 0,
            last_updated: 0,
            last_membership_updated: 0,
            members: BTreeSet::new(),
            joined: BTreeMap::new(),
        }
    }

    pub(super) fn group(&self, id: &str) -> Result<&OktaGroup, Refusal> {
        Refusal::unless_found(self.groups.get(id), "UserGroup", id)
    }

    pub(super) fn group_mut(&mut self, id: &str) -> Result<&mut OktaGroup, Refusal> {
        Refusal::unless_found(self.groups.get_mut(id), "UserGroup", id)
    }

    pub(super) fn app(&self, id: &str) -> Result<&OktaApp, Refusal> {
        Refusal::unless_found(self.apps.get(id), "AppInstance", id)
    }

    /// The ids of the apps that fit.
    pub(super) fn apps_with(&self, fits: impl Fn(&OktaApp) -> bool) -> Vec<String> {
        let fitting = self.apps.values().filter(|app| fits(app));
        fitting.map(|app| app.id.clone()).collect()
    }

    pub(super) fn app_mut(&mut self, id: &str) -> Result<&mut OktaApp, Refusal> {
        Refusal::unless_found(self.apps.get_mut(id), "AppInstance", id)
    }
}
