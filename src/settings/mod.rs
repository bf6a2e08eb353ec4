//! Every setting, read once from the environment into types.
//!
//! A missing or malformed setting stops the program before it takes work, with one message that
//! names every variable at fault and what is expected. Values are never repeated: some are secrets.
//! An empty variable counts as unset, because deployment templates cannot leave one out.
//!
//! ```
//! use okta_anypoint::settings::{HookSettings, Reader};
//!
//! let mut reader = Reader::new(|name| match name {
//!     "HOOK_SECRET" => Some("a long random value".to_owned()),
//!     "OKTA_APP_ID" => Some("not/an/id".to_owned()),
//!     _ => None,
//! });
//! let hook = HookSettings::read(&mut reader);
//! let error = reader.finish(hook).unwrap_err();
//! assert!(error.to_string().contains("OKTA_APP_ID"));
//! ```

mod credentials;
mod parse;
mod policy;
mod reader;
mod secret;

use std::collections::BTreeMap;

use http::HeaderName;
use secrecy::SecretString;
use url::Url;

use crate::anypoint::{Anypoint, ConnectedApp};
use crate::http::HttpClient;
use crate::ids::{OktaAppId, OrganizationId};
use crate::okta::{Credentials, Okta, Scopes};
use crate::provision::{Changes, Policy, share_of};
use crate::secrets::Renewable;

pub use credentials::Needs;
use credentials::{anypoint_app, okta_credentials};
pub use parse::is_loopback;
pub(crate) use reader::variable;
pub use reader::{Problem, Reader, SettingsError};

/// What the receiver needs.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// The values by which Okta proves itself: the current secret first, then the previous one.
    pub secrets: Renewable<Vec<SecretString>>,
    /// The header that carries the secret.
    pub header: HeaderName,
    /// The app instance whose events act.
    pub app: OktaAppId,
}

/// An Okta org, and who we are there.
#[derive(Debug, Clone)]
pub struct OktaSettings {
    /// `OKTA_ORG_URL`.
    pub org_url: Url,
    /// `OKTA_API_TOKEN`, or `OKTA_CLIENT_ID`, `OKTA_PRIVATE_KEY` and `OKTA_KEY_ID`; the token wins.
    pub credentials: Renewable<Credentials>,
}

/// Whom we talk to.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// The Okta org.
    pub okta: OktaSettings,
    /// `OKTA_APP_ID`.
    pub app: OktaAppId,
    /// `ANYPOINT_BASE_URL`.
    pub anypoint_base_url: Url,
    /// `ANYPOINT_ORG_ID`.
    pub organization: OrganizationId,
    /// `ANYPOINT_CLIENT_ID` and `ANYPOINT_CLIENT_SECRET`.
    pub connected_app: Renewable<ConnectedApp>,
}

words! {
    /// What an import may do (`IMPORT_MODE`).
    #[derive(Default)]
    pub enum ImportMode {
        /// Only say what it would do.
        #[default]
        Report = "report",
        /// Nothing.
        Off = "off",
        /// Pair users that exist on both sides.
        Link = "link",
        /// Also create missing Okta users, and bring profile changes back.
        Create = "create",
    }
}

words! {
    /// Whether a scheduled task may change anything (`RECONCILE_MODE`, of a reconcile).
    #[derive(Default)]
    pub enum Mode {
        /// Do it.
        #[default]
        Apply = "apply",
        /// Only say what would be done.
        Report = "report",
    }
}

/// How many users a reconcile may deactivate or take out of teams (`MAX_DEACTIVATIONS`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DeactivationLimit {
    /// That many.
    Count(usize),
    /// That share of the linked users, 0 to 100.
    Percent(f64),
}

impl DeactivationLimit {
    /// The number of users that may be affected when `linked` users are linked.
    pub fn allowed(self, linked: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share_of(percent, linked),
        }
    }
}

/// What the scheduled tasks may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleSettings {
    /// `IMPORT_MODE`.
    pub import: ImportMode,
    /// `RECONCILE_MODE`.
    pub reconcile: Mode,
    /// `MAX_DEACTIVATIONS`.
    pub limit: DeactivationLimit,
}

/// What applying events needs: both remotes and the rules.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Whom we talk to.
    pub remotes: RemoteSettings,
    /// The rules.
    pub policy: Policy,
    /// `EVENT_TTL_DAYS` and `AUDIT_DAYS`.
    pub retention: Retention,
}

/// How long the table keeps what it says of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records of events (`EVENT_TTL_DAYS`), in days.
    pub event_days: u32,
    /// Audit entries (`AUDIT_DAYS`), in days.
    pub audit_days: u32,
}

/// The settings that decide what is changed, and for whom. `serve` notes those that are set, so that the commands beside
/// it on its file can follow them. `DEFAULT_PHONE` is a person's or an office's: it is not noted.
pub(crate) const DECIDING: [&str; 18] = [
    "ADOPT",
    "ATTRIBUTES",
    "AUDIT_DAYS",
    "CHANGES",
    "CONFIRM_SECONDS",
    "EVENT_TTL_DAYS",
    "EXCLUDE_GROUPS",
    "EXCLUDE_USERS",
    "IMPORT_MODE",
    "MAX_DEACTIVATIONS",
    "MAX_REMOVALS_PER_HOUR",
    "PUSH_GROUPS",
    "RECONCILE_MODE",
    "RESET_EMAIL",
    "SUSPENDED_USERS",
    "TEAM_NAME_POLICY",
    "TEAM_REMOVAL",
    "USERNAME_POLICY",
];

/// Those of the settings in `DECIDING` that are set, with their values.
pub fn deciding(reader: &Reader<'_>) -> BTreeMap<String, String> {
    let set = DECIDING.map(|name| Some((name.to_owned(), reader.optional(name)?)));
    set.into_iter().flatten().collect()
}

/// Reads what becomes of changes (`CHANGES`).
pub fn changes(reader: &mut Reader<'_>) -> Option<Changes> {
    reader.choice("CHANGES", &Changes::WORDS)
}

/// Reads the queue's address (`QUEUE_URL`); `Some(None)`: there is none.
pub fn queue_url(reader: &mut Reader<'_>) -> Option<Option<String>> {
    match reader.optional("QUEUE_URL") {
        None => Some(None),
        Some(_) => reader
            .with("QUEUE_URL", parse::QUEUE_URL, parse::queue_url)
            .map(Some),
    }
}

/// Reads the name of the DynamoDB table (`TABLE_NAME`).
pub fn table_name(reader: &mut Reader<'_>, expected: &str) -> Option<String> {
    reader.required("TABLE_NAME", expected)
}

/// Reads the app whose assignments and events count (`OKTA_APP_ID`).
pub fn app_id(reader: &mut Reader<'_>) -> Option<OktaAppId> {
    reader.required("OKTA_APP_ID", parse::APP_ID)
}

impl HookSettings {
    /// Reads the receiver's settings. `HOOK_SECRET` wins over a secret that the reader brought along
    /// ([`Reader::with_secrets`]).
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let secrets = match reader.sources.hook.clone() {
            Some(secrets) => Some(secrets),
            None => hook_secrets(reader),
        };
        let header = reader.with_default(
            "HOOK_AUTH_HEADER",
            parse::AUTH_HEADER,
            "authorization",
            parse::auth_header,
        );
        let app = app_id(reader);
        Some(Self {
            secrets: secrets?,
            header: header?,
            app: app?,
        })
    }
}

fn hook_secrets(reader: &mut Reader<'_>) -> Option<Renewable<Vec<SecretString>>> {
    let mut secrets = vec![parse::hook_secret(reader, "HOOK_SECRET")];
    if reader.optional("HOOK_SECRET_PREVIOUS").is_some() {
        secrets.push(parse::hook_secret(reader, "HOOK_SECRET_PREVIOUS"));
    }
    let secrets: Option<Vec<_>> = secrets.into_iter().collect();
    secrets.map(Renewable::from)
}

impl OktaSettings {
    /// Reads which org, and who we are there.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let given = reader.optional("OKTA_ORG_URL");
        let org_url = match given.as_deref().and_then(parse::org_of_console) {
            None => reader.with("OKTA_ORG_URL", parse::ORG_URL, parse::base_url),
            Some(own) => {
                let fault = "is the address of the admin console";
                let expected = format!("the org's own address, `{own}`");
                reader.report("OKTA_ORG_URL", fault, &expected);
                None
            }
        };
        let credentials = okta_credentials(reader);
        let credentials = match &reader.sources.credentials {
            Some(secret) => credentials.map(|first| secret.okta(first)),
            None => credentials.map(Renewable::from),
        };
        Some(Self {
            org_url: org_url?,
            credentials: credentials?,
        })
    }

    /// A client of the org that asks for `scopes`.
    pub fn client(&self, http: HttpClient, scopes: Scopes) -> Okta {
        Okta::new(http, self.org_url.clone(), self.credentials.clone()).with_scopes(scopes)
    }
}

impl RemoteSettings {
    /// Reads whom we talk to.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let okta = OktaSettings::read(reader);
        let app = app_id(reader);
        let anypoint_base_url = reader.with_default(
            "ANYPOINT_BASE_URL",
            parse::CONTROL_PLANE,
            "https://anypoint.mulesoft.com",
            parse::base_url,
        );
        let organization = reader.required("ANYPOINT_ORG_ID", "the id of the root organization");
        let connected_app = anypoint_app(reader);
        let connected_app = match &reader.sources.credentials {
            Some(secret) => connected_app.map(|first| secret.anypoint(first)),
            None => connected_app.map(Renewable::from),
        };
        Some(Self {
            okta: okta?,
            app: app?,
            anypoint_base_url: anypoint_base_url?,
            organization: organization?,
            connected_app: connected_app?,
        })
    }

    /// A client of the Anypoint organization.
    pub fn anypoint(&self, http: HttpClient) -> Anypoint {
        Anypoint::with_app(
            http,
            self.anypoint_base_url.clone(),
            self.organization.clone(),
            self.connected_app.clone(),
        )
    }
}

impl EngineSettings {
    /// Reads what applying events needs.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let remotes = RemoteSettings::read(reader);
        let policy = policy::policy(reader);
        let retention = Retention::read(reader);
        Some(Self {
            remotes: remotes?,
            policy: policy?,
            retention: retention?,
        })
    }
}

impl Retention {
    /// Reads how long the table keeps what it says of the past.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let event_days = reader.with_default("EVENT_TTL_DAYS", parse::DAYS, "30", parse::days);
        let audit_days = reader.with_default("AUDIT_DAYS", parse::DAYS, "400", parse::days);
        Some(Self {
            event_days: event_days?,
            audit_days: audit_days?,
        })
    }
}

impl ScheduleSettings {
    /// Reads what the scheduled tasks may do.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let import = parse::import_mode(reader);
        let reconcile = reader.choice("RECONCILE_MODE", &Mode::WORDS);
        let limit = reader.with_default("MAX_DEACTIVATIONS", parse::LIMIT, "20%", parse::limit);
        Some(Self {
            import: import?,
            reconcile: reconcile?,
            limit: limit?,
        })
    }
}

#[cfg(test)]
mod tests;
