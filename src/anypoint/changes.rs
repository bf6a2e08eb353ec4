//! What changes on an account, and whether the answer to the change shows it.

use serde::Serialize;

use crate::http::{Call, CallError, Echo, not_as_written};

/// What changes on an existing account; absent fields stay. There is no e-mail address here, on
/// purpose: it is never updated.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountChanges {
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// Whether the person can sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl AccountChanges {
    /// Nothing but "cannot sign in".
    pub fn disabled() -> Self {
        Self {
            enabled: Some(false),
            ..Self::default()
        }
    }

    /// The change of `enabled` alone, without the values that Anypoint may refuse.
    pub(crate) fn only_enabled(&self) -> Self {
        Self {
            enabled: self.enabled,
            ..Self::default()
        }
    }

    /// Whether a value changes, beside the flag `enabled`.
    pub(crate) fn has_values(&self) -> bool {
        *self != self.only_enabled()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of the fields that change, for plans and logs.
    pub fn fields(&self) -> Vec<&'static str> {
        [
            (self.first_name.is_some(), "first name"),
            (self.last_name.is_some(), "last name"),
            (self.phone_number.is_some(), "phone"),
            (self.enabled == Some(true), "enabled"),
            (self.enabled == Some(false), "disabled"),
        ]
        .into_iter()
        .filter_map(|(changes, name)| changes.then_some(name))
        .collect()
    }
}

/// The attributes of a change that the answer shows otherwise.
pub(super) type NotStored = Vec<&'static str>;

impl AccountChanges {
    /// Compares the change with what the answer shows of the account.
    pub(super) fn check(&self, call: &Call, echo: &Echo) -> Result<NotStored, CallError> {
        let is_switched = self
            .enabled
            .is_none_or(|written| echo.confirms("enabled", written));
        if !is_switched {
            return Err(not_as_written(call, &["enabled"]));
        }
        let written = self.phone_number.as_deref().map(digits);
        let phone = echo.text("phoneNumber").map(digits);
        let has_phone = written.is_none() || phone.is_none() || phone == written;
        let names = |name, written: &Option<String>| (name, echo.agrees(name, written.as_deref()));
        let compared = [
            names("firstName", &self.first_name),
            names("lastName", &self.last_name),
            ("phoneNumber", has_phone),
        ];
        let others = compared.into_iter().filter(|(_, agrees)| !agrees);
        Ok(others.map(|(attribute, _)| attribute).collect())
    }
}

/// The digits of a phone number: it may be shown in another notation.
fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

impl std::fmt::Debug for AccountChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.fields()).finish()
    }
}
