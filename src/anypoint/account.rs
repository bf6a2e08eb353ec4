//! Users of the organization. Source of shapes: Anypoint Access Management API, "Users".

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::changes::{AccountChanges, NotStored};
use super::client::Anypoint;
use super::team::TeamOfAccount;
use crate::deadline::Deadline;
use crate::failure::Class;
use crate::http::{CallError, Entry, Listed, another_object, entries, if_found, some_text};
use crate::ids::AccountId;

entries!(Account: "id");

/// The identity provider of native accounts.
pub(super) const NATIVE: &str = "mulesoft";

/// An Anypoint user, as far as it matters here. Its `Debug` form shows no personal data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The user's id.
    pub id: AccountId,
    /// The username: unique among native accounts of all customers. Every account has one, and it never changes.
    #[serde(deserialize_with = "some_text")]
    pub username: String,
    /// First name.
    #[serde(default, deserialize_with = "if_text")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, deserialize_with = "if_text")]
    pub last_name: Option<String>,
    /// E-mail address. Not a key: one address may belong to several accounts.
    #[serde(default, deserialize_with = "if_text")]
    pub email: Option<String>,
    /// Phone number; lists leave it out.
    #[serde(default, deserialize_with = "if_text")]
    pub phone_number: Option<String>,
    #[serde(default, deserialize_with = "if_text")]
    created_at: Option<String>,
    #[serde(default, deserialize_with = "if_bool")]
    enabled: Option<bool>,
    deleted: Option<bool>,
    #[serde(rename = "idprovider_id")]
    identity_provider: Option<String>,
}

/// What a search for a username found.
pub struct NamedAccount {
    /// The account that bears the name, among those that could be read.
    pub account: Option<Account>,
    /// The entries that could not be read, one of which may be the account.
    fault: Option<CallError>,
}

impl NamedAccount {
    /// The account; `None` when there is none for sure.
    ///
    /// # Errors
    /// When nothing that could be read bears the name, and an entry could not be read.
    pub fn sure(self) -> Result<Option<Account>, CallError> {
        match (self.account, self.fault) {
            (None, Some(fault)) => Err(fault),
            (found, _) => Ok(found),
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({}, enabled: {:?})", self.id, self.enabled)
    }
}

impl Account {
    /// Whether the person can sign in; `None` when the answer does not say.
    pub fn enabled(&self) -> Option<bool> {
        self.enabled
    }

    /// Whether the person can sign in, as far as is known: an answer that does not say counts as yes.
    /// Asked where a disabled account is wanted.
    pub fn is_enabled(&self) -> bool {
        self.enabled != Some(false)
    }

    /// Whether the person can surely sign in: an answer that does not say counts as no. Asked where an
    /// enabled account is wanted.
    pub(crate) fn is_surely_enabled(&self) -> bool {
        self.enabled == Some(true)
    }

    /// When it was created, in milliseconds since the epoch. `None` when the answer does not say.
    pub(crate) fn created_ms(&self) -> Option<i64> {
        let at: jiff::Timestamp = self.created_at.as_ref()?.parse().ok()?;
        Some(at.as_millisecond())
    }

    /// Whether the account was deleted (softly: the name stays taken).
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.unwrap_or(false)
    }

    /// Whether it is a native account. A single sign-on user may bear the same username beside it.
    pub fn is_native(&self) -> bool {
        self.identity_provider
            .as_deref()
            .is_none_or(|provider| provider == NATIVE)
    }
}

/// Whether Anypoint does not accept a value of the request.
fn is_refused_value(error: &CallError) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
    )
}

/// Whether a gateway may have refused the call. One such answer is not enough to leave out the phone number.
fn may_be_from_gateway<T>(result: &Result<T, CallError>) -> bool {
    matches!(result, Err(error) if error.is_about_this_call() && error.class() == Class::Retryable)
}

/// A text; anything else counts as missing.
fn if_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// Yes or no; anything else counts as missing.
fn if_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// An account to be created. Its `Debug` form shows nothing.
#[derive(Clone)]
pub struct NewAccount {
    /// Username.
    pub username: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// Phone number; left out when there is none.
    pub phone: Option<String>,
    /// The initial password.
    pub password: SecretString,
}

impl Anypoint {
    /// Reads an account; `None` when it does not exist or was deleted.
    pub async fn account(
        &self,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<Option<Account>, CallError> {
        let call = self.get("read the account", &["users", account.as_str()]);
        let found: Option<Account> = self.read(&call, account.as_str(), deadline).await?;
        Ok(found.filter(|account| !account.is_deleted()))
    }

    /// The native account with that username, compared without regard to case; `None` when the
    /// organization has none. `search` is only a filter on the server, so the answer is compared
    /// here.
    pub async fn account_named(
        &self,
        username: &str,
        deadline: Deadline,
    ) -> Result<NamedAccount, CallError> {
        let call = self
            .get("find the account by username", &["users"])
            .query(&[("search", username)]);
        let found: Listed<Account> = self.read_list(&call, deadline).await?;
        let fault = found.fault();
        let mut matching: Vec<Account> = found
            .items
            .into_iter()
            .filter(|account| {
                account.is_native()
                    && !account.is_deleted()
                    && account.username.eq_ignore_ascii_case(username)
            })
            .collect();
        // Sources disagree on whether case matters; an exact match wins if both exist.
        matching.sort_by_key(|account| account.username != username);
        Ok(NamedAccount {
            account: matching.into_iter().next(),
            fault,
        })
    }

    /// All accounts of the organization (not deleted ones), 500 a page.
    pub async fn list_accounts(&self, deadline: Deadline) -> Result<Listed<Account>, CallError> {
        let call = self.get("list the accounts", &["users"]);
        let accounts: Listed<Account> = self.read_list(&call, deadline).await?;
        Ok(accounts.retaining(|account| !account.is_deleted()))
    }

    /// Creates an account and gives its id; `None` when the answer had no body. A 409 means that the
    /// name is taken by anyone on this control plane. It is sent once, because after an answer that says
    /// nothing, a second attempt could not tell its own account from a stranger's. After a clear refusal
    /// it is sent again without the phone number.
    pub async fn create_account(
        &self,
        new: &NewAccount,
        deadline: Deadline,
    ) -> Result<Option<AccountId>, CallError> {
        let mut created = self.create_account_once(new, deadline).await;
        if new.phone.is_some() && may_be_from_gateway(&created) {
            created = self.create_account_once(new, deadline).await;
        }
        match created {
            Err(error) if is_refused_value(&error) && new.phone.is_some() => {
                let new = NewAccount {
                    phone: None,
                    ..new.clone()
                };
                let created = self.create_account_once(&new, deadline).await?;
                tracing::warn!(
                    anypoint.account = created.as_ref().map(AccountId::as_str),
                    "Anypoint refused the phone number; the account was created without it"
                );
                Ok(created)
            }
            created => created,
        }
    }

    async fn create_account_once(
        &self,
        new: &NewAccount,
        deadline: Deadline,
    ) -> Result<Option<AccountId>, CallError> {
        let mut body = json!({
            "username": new.username,
            "firstName": new.first_name,
            "lastName": new.last_name,
            "email": new.email,
            "password": new.password.expose_secret(),
        });
        if let Some(phone) = &new.phone {
            body["phoneNumber"] = json!(phone);
        }
        let call = self
            .call("create the account", Method::POST, &["users"])
            .json(body)
            .once();
        let echo = self.send(&call, deadline).await?.echo();
        match echo.text("username") {
            Some(other) if !other.eq_ignore_ascii_case(&new.username) => Err(another_object(&call)),
            _ => Ok(echo.text("id").and_then(|id| AccountId::parse(id).ok())),
        }
    }

    /// Changes an account; attributes that `changes` lacks stay. Two values are given up with a warning: a phone number
    /// that Anypoint refuses, and a name or phone number that it still shows otherwise when it was sent twice. It may
    /// keep its own spelling. Gives what it changed: `changes`, without a phone number that was refused.
    pub async fn update_account(
        &self,
        account: &AccountId,
        changes: &AccountChanges,
        deadline: Deadline,
    ) -> Result<AccountChanges, CallError> {
        let mut updated = self.update_account_once(account, changes, deadline).await;
        if changes.phone_number.is_some() && may_be_from_gateway(&updated) {
            updated = self.update_account_once(account, changes, deadline).await;
        }
        match updated {
            Err(error) if is_refused_value(&error) && changes.phone_number.is_some() => {
                let rest = AccountChanges {
                    phone_number: None,
                    ..changes.clone()
                };
                if !rest.is_empty() {
                    self.update_account_once(account, &rest, deadline).await?;
                }
                tracing::warn!(
                    anypoint.account = %account,
                    "Anypoint refused the phone number; it was left out"
                );
                Ok(rest)
            }
            Ok(others) if !others.is_empty() => {
                let others = self.update_account_once(account, changes, deadline).await?;
                if !others.is_empty() {
                    tracing::warn!(
                        anypoint.account = %account,
                        attributes = others.join(", "),
                        "Anypoint did not store the written values"
                    );
                }
                Ok(changes.clone())
            }
            updated => updated.map(|_| changes.clone()),
        }
    }

    async fn update_account_once(
        &self,
        account: &AccountId,
        changes: &AccountChanges,
        deadline: Deadline,
    ) -> Result<NotStored, CallError> {
        let path = ["users", account.as_str()];
        let call = self
            .call("update the account", Method::PUT, &path)
            .json(json!(changes));
        let answer = match changes.has_values() {
            true => self.send(&call, deadline).await,
            false => self.send_without_values(&call, deadline).await,
        };
        // Nothing in it has to be unique: a 409 is another change at work.
        let echo = answer.map_err(CallError::passing_conflict)?.echo();
        echo.check_id(&call, Account::ID, account.as_str())?;
        changes.check(&call, &echo)
    }

    /// Whether the organization shows any user. It has at least one, its owner; without the scope View
    /// Users the list is empty and a success.
    pub async fn shows_accounts(&self, deadline: Deadline) -> Result<bool, CallError> {
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Value>,
        }
        let call = self.get("list the accounts", &["users"]);
        let call = call.query(&[("limit", "1")]);
        let answer = self.send(&call, deadline).await?;
        let page: Page = answer.json(&call)?;
        Ok(!page.data.is_empty())
    }

    /// Asks Anypoint to mail a password reset link. Sent again only if it was refused, perhaps by a gateway:
    /// a second mail would confuse. Needs no sign-in ("Recover password").
    pub async fn mail_password_reset(
        &self,
        username: &str,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["recover", "password"];
        let call = self
            .outer_call("mail a password reset link", Method::POST, &path)
            .json(json!({"username": username}))
            .only_if_refused();
        let mut asked = self.send_anonymously(&call, deadline).await;
        if may_be_from_gateway(&asked) {
            asked = self.send_anonymously(&call, deadline).await;
        }
        asked.map(|_| ())
    }

    /// The teams of an account; `None` when the account does not exist.
    pub async fn list_teams_of_account(
        &self,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<Option<Listed<TeamOfAccount>>, CallError> {
        let path = ["users", account.as_str(), "teams"];
        let call = self.get("list the account's teams", &path);
        if_found(self.read_list(&call, deadline).await)
    }
}
