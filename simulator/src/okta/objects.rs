//! The things in an Okta org.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Attribute names and values of a user, a group or an app user.
pub type Profile = Map<String, Value>;

/// The names of the attributes that differ, separated by commas; a missing one is null.
pub(super) fn changed_attributes(old: &Profile, new: &Profile) -> String {
    let value = |profile: &Profile, name: &str| profile.get(name).cloned().unwrap_or_default();
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let differs = |name: &&String| value(old, name) != value(new, name);
    let names: Vec<&str> = (new.keys().chain(gone).filter(differs))
        .map(String::as_str)
        .collect();
    names.join(",")
}

/// Where a user is in the life cycle (Okta API, Users).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Okta's own words")]
pub enum UserStatus {
    Staged,
    Provisioned,
    Active,
    Recovery,
    LockedOut,
    PasswordExpired,
    Suspended,
    Deprovisioned,
}

impl UserStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "STAGED",
            Self::Provisioned => "PROVISIONED",
            Self::Active => "ACTIVE",
            Self::Recovery => "RECOVERY",
            Self::LockedOut => "LOCKED_OUT",
            Self::PasswordExpired => "PASSWORD_EXPIRED",
            Self::Suspended => "SUSPENDED",
            Self::Deprovisioned => "DEPROVISIONED",
        }
    }
}

/// A user (Okta API, Users). Times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OktaUser {
    /// `00u…`
    pub id: String,
    /// Life cycle.
    pub status: UserStatus,
    /// Creation.
    pub created: i64,
    /// Last activation.
    pub activated: Option<i64>,
    /// Last change of `status`.
    pub status_changed: Option<i64>,
    /// Last change of anything.
    pub last_updated: i64,
    /// Whether a password is set; decides between ACTIVE and PROVISIONED on activation.
    pub has_password: bool,
    /// `login`, `email`, `firstName`, `lastName`, `primaryPhone`, `mobilePhone` and more.
    pub profile: Profile,
}

impl OktaUser {
    /// A profile attribute, empty if unset.
    pub fn attribute(&self, name: &str) -> &str {
        self.profile
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The login.
    pub fn login(&self) -> &str {
        self.attribute("login")
    }

    /// What stands before the `@` of the login.
    pub(super) fn login_prefix(&self) -> &str {
        self.login().split('@').next().unwrap_or_default()
    }

    /// First and last name.
    pub fn full_name(&self) -> String {
        format!(
            "{} {}",
            self.attribute("firstName"),
            self.attribute("lastName")
        )
    }
}

/// A group (Okta API, Groups). Times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OktaGroup {
    /// `00g…`
    pub id: String,
    /// `OKTA_GROUP`, `APP_GROUP` or `BUILT_IN`.
    pub kind: String,
    /// `name`, `description` and more.
    pub profile: Profile,
    /// Creation.
    pub created: i64,
    /// Last change of the profile.
    pub last_updated: i64,
    /// Last change of the members.
    pub last_membership_updated: i64,
    /// User ids, whatever the status of the user.
    pub members: BTreeSet<String>,
    /// When members joined, epoch milliseconds, as far as that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) joined: BTreeMap<String, i64>,
}

impl OktaGroup {
    /// The display name.
    pub fn name(&self) -> &str {
        self.profile
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// How the app username of a new assignment is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsernameTemplate {
    /// What stands before the `@` of the login.
    #[default]
    LoginPrefix,
    /// The login.
    Login,
    /// The e-mail address.
    Email,
}

impl UsernameTemplate {
    pub(super) fn apply(self, user: &OktaUser) -> &str {
        match self {
            Self::LoginPrefix => user.login_prefix(),
            Self::Login => user.login(),
            Self::Email => user.attribute("email"),
        }
    }
}

/// An assignment of a user to an app (Okta API, App Users). Times are epoch milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppUser {
    /// `0ua…`, seen in events only.
    pub assignment_id: String,
    /// The username in the app.
    pub user_name: String,
    /// The app profile.
    pub profile: Profile,
    /// Whether somebody assigned this user by name (scope USER); else a group did (scope GROUP).
    pub individual: bool,
    /// Creation.
    pub created: i64,
    /// Last change.
    pub last_updated: i64,
}

/// An assignment of a group to an app (Okta API, App Groups).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppGroup {
    /// `0ga…`, seen in events only.
    pub assignment_id: String,
    /// Order among the groups of the app.
    pub priority: u32,
    /// The app profile members get.
    pub profile: Profile,
    /// Last change, epoch milliseconds.
    pub last_updated: i64,
}

/// An app instance (Okta API, Apps).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OktaApp {
    /// `0oa…`
    pub id: String,
    /// The technical name of the app type.
    pub name: String,
    /// The label given by the administrator.
    pub label: String,
    /// ACTIVE or INACTIVE. An inactive app keeps its users when they are deactivated.
    pub active: bool,
    /// Makes the app username of new assignments.
    pub username_template: UsernameTemplate,
    /// Whether Okta stores a credential for the app. Then a deactivated user's assignment is kept aside and comes back on
    /// activation as an individual one, with the event `application.user_membership.restore`.
    pub stored_credentials: bool,
    /// Creation, epoch milliseconds.
    pub created: i64,
    /// Last change, epoch milliseconds.
    pub last_updated: i64,
    /// Assignments by user id.
    pub users: BTreeMap<String, AppUser>,
    /// Group assignments by group id.
    pub groups: BTreeMap<String, AppGroup>,
    /// Assignments kept aside for deactivated users, by user id.
    pub set_aside: BTreeMap<String, AppUser>,
}

/// An API token as an administrator sees it, without its value (Okta API, API Tokens).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiToken {
    /// `00T…`
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// Whose it is.
    pub user_id: String,
    /// `Okta API`, or the agent that it was made for.
    pub client_name: String,
    /// When it was last used, epoch milliseconds; `None` for just now. It ends 30 days later.
    pub last_used: Option<i64>,
}

/// What an org does with the filter of an event hook, a feature that not every org has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFilters {
    /// It has the feature.
    #[default]
    Kept,
    /// It refuses the hook with 400.
    Refused,
    /// It takes the hook without its filter.
    Dropped,
}

/// An event hook (Okta API, Event Hooks).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventHook {
    /// `who…`
    pub id: String,
    /// Display name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// ACTIVE or INACTIVE.
    pub active: bool,
    /// VERIFIED or UNVERIFIED. Only an active and verified hook gets deliveries.
    pub verified: bool,
    /// Subscribed event types.
    pub events: Vec<String>,
    /// Expressions by event type: only events that fit are sent. All events of a type that is not here are sent.
    #[serde(default)]
    pub filter: BTreeMap<String, String>,
    /// Where deliveries go.
    pub uri: String,
    /// Additional headers, names and values.
    pub headers: Vec<(String, String)>,
    /// Name of the header that carries the secret.
    pub auth_key: String,
    /// The secret, in full; never returned by the API.
    pub auth_value: String,
    /// Creation, epoch milliseconds.
    pub created: i64,
    /// Last change, epoch milliseconds.
    pub last_updated: i64,
}
