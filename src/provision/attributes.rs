//! `ATTRIBUTES`: which Okta profile supplies an account's names and phone number. Pure.

use std::collections::BTreeMap;

use crate::failure::{Cause, Failure, Side};
use crate::okta::{AppUser, Profile, Source, User};

words! {
    /// An attribute of an account that follows Okta.
    pub enum AccountField {
        /// First name.
        FirstName = "first_name",
        /// Last name.
        LastName = "last_name",
        /// Phone number.
        Phone = "phone",
    }
}

impl AccountField {
    /// The attributes of the user's own profile that serve as the default, in this order.
    const fn base(self) -> &'static [&'static str] {
        match self {
            Self::FirstName => &["firstName"],
            Self::LastName => &["lastName"],
            Self::Phone => &["mobilePhone", "primaryPhone"],
        }
    }
}

/// The attribute and profile that supply each field. If the attribute is missing or not text, the user's own profile
/// supplies the value, as it does by default. If that is not text either, the field has no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes(BTreeMap<AccountField, Source>);

/// A value, and where it is in Okta.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldValue<'a> {
    /// The text, without spaces at its ends.
    pub value: &'a str,
    /// Where it is.
    pub place: FieldSource<'a>,
}

/// Where a value was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSource<'a> {
    /// The source that `ATTRIBUTES` names.
    Mapped(&'a Source),
    /// The default attribute of the user's own profile.
    Base(&'static str),
}

impl std::fmt::Display for FieldSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mapped(source) => source.fmt(f),
            Self::Base(name) => write!(f, "user.{name}"),
        }
    }
}

impl Attributes {
    /// Sets the source of a field. `false`: it was set before.
    #[must_use]
    pub fn insert(&mut self, target: AccountField, source: Source) -> bool {
        self.0.insert(target, source).is_none()
    }

    /// Whether the user's own profile supplies every field, as by default.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All sources that are set.
    pub fn sources(&self) -> Vec<&Source> {
        self.0.values().collect()
    }

    /// The source of a field, if one is set.
    pub fn source(&self, target: AccountField) -> Option<&Source> {
        self.0.get(&target)
    }

    /// The value of a field, and its source.
    pub fn take<'a>(
        &'a self,
        target: AccountField,
        user: &'a User,
        app_user: Option<&'a AppUser>,
    ) -> Option<FieldValue<'a>> {
        self.resolve(target, user, app_user).0
    }

    /// The attributes that would supply a value if they were text.
    pub(crate) fn unread(&self, user: &User, app_user: Option<&AppUser>) -> Vec<String> {
        let unread = |target| self.resolve(target, user, app_user).1;
        let places = AccountField::ALL.into_iter().flat_map(unread);
        let mut found: Vec<String> = places.map(|place| place.to_string()).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Whether a field has no value because Okta's is not text.
    pub(crate) fn is_unread(
        &self,
        target: AccountField,
        user: &User,
        app_user: Option<&AppUser>,
    ) -> bool {
        let (taken, unread) = self.resolve(target, user, app_user);
        let is_base = |place: &FieldSource<'_>| matches!(place, FieldSource::Base(_));
        taken.is_none() && unread.iter().any(is_base)
    }

    /// The value of a field, and the attributes before it that are not text.
    fn resolve<'a>(
        &'a self,
        target: AccountField,
        user: &'a User,
        app_user: Option<&'a AppUser>,
    ) -> (Option<FieldValue<'a>>, Vec<FieldSource<'a>>) {
        let (profile, mut unread) = (&user.profile, Vec::new());
        if let Some(source) = self.source(target) {
            if let Some(taken) = self.mapped(target, profile, app_user) {
                return (Some(taken), unread);
            }
            let is_unread = match source {
                Source::App(name) => app_user.is_some_and(|app_user| app_user.is_unread(name)),
                Source::User(name) => profile.is_unread(name.as_str()),
            };
            unread.extend(is_unread.then_some(FieldSource::Mapped(source)));
        }
        for name in target.base() {
            let place = FieldSource::Base(name);
            if let Some(value) = profile.text(name) {
                return (Some(FieldValue { value, place }), unread);
            }
            // An unreadable value is not replaced by the next attribute.
            if profile.is_unread(name) {
                unread.push(place);
                break;
            }
        }
        (None, unread)
    }

    fn mapped<'a>(
        &'a self,
        target: AccountField,
        profile: &'a Profile,
        app_user: Option<&'a AppUser>,
    ) -> Option<FieldValue<'a>> {
        let source = self.source(target)?;
        let (value, place) = match source {
            Source::App(name) => (app_user?.text(name)?, FieldSource::Mapped(source)),
            Source::User(name) => {
                let mut base = target.base().iter();
                let same = base.find(|base| **base == name.as_str());
                let place =
                    same.map_or(FieldSource::Mapped(source), |base| FieldSource::Base(base));
                (profile.text(name.as_str())?, place)
            }
        };
        Some(FieldValue { value, place })
    }
}

/// The failure of a user whose `attributes` are not text. `None`: there are none.
pub(crate) fn unread_attributes(attributes: &[String]) -> Option<Failure> {
    if attributes.is_empty() {
        return None;
    }
    let named = attributes.join(", ");
    let what = format!("the profile has values that are not text: {named}; they are left out");
    let failure = Failure::retryable(Side::Okta, what).because(Cause::Unreadable);
    Some(failure.advising("Change them to text in Okta."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user() -> User {
        serde_json::from_value(json!({"id": "00u1", "status": "ACTIVE", "profile": {"login": "base",
            "firstName": "Base", "lastName": "Family", "nickName": "Nick", "primaryPhone": "555-2"}}))
        .unwrap()
    }

    fn app_user() -> AppUser {
        serde_json::from_value(json!({"id": "00u1", "status": "ACTIVE", "profile": {
            "givenName": " App ", "familyName": " ", "mobile": 5550}}))
        .unwrap()
    }

    fn taken(
        target: AccountField,
        source: &str,
        app_user: Option<&AppUser>,
    ) -> Option<(String, String)> {
        let mut attributes = Attributes::default();
        assert!(attributes.insert(target, source.parse().unwrap()));
        let user = user();
        let taken = attributes.take(target, &user, app_user)?;
        Some((taken.value.to_owned(), taken.place.to_string()))
    }

    #[test]
    fn the_mapped_source_comes_first_and_the_base_profile_is_the_fallback() {
        let app_user = app_user();
        for (target, source, expected) in [
            (
                AccountField::FirstName,
                "app.givenName",
                Some(("App", "app.givenName")),
            ),
            (
                AccountField::FirstName,
                "app.none",
                Some(("Base", "user.firstName")),
            ),
            (
                AccountField::FirstName,
                "user.nickName",
                Some(("Nick", "user.nickName")),
            ),
            (
                AccountField::FirstName,
                "user.none",
                Some(("Base", "user.firstName")),
            ),
            (
                AccountField::LastName,
                "app.familyName",
                Some(("Family", "user.lastName")),
            ),
            (
                AccountField::Phone,
                "app.mobile",
                Some(("555-2", "user.primaryPhone")),
            ),
        ] {
            let expected = expected.map(|(value, place)| (value.to_owned(), place.to_owned()));
            assert_eq!(taken(target, source, Some(&app_user)), expected, "{source}");
        }
        let unassigned = taken(AccountField::FirstName, "app.givenName", None).unwrap();
        assert_eq!(unassigned.0, "Base");
    }

    #[test]
    fn attributes_that_are_not_text_are_reported_if_they_would_be_used() {
        let app_user = app_user();
        let user = |profile| -> User {
            let user = json!({"id": "00u1", "status": "ACTIVE", "profile": profile});
            serde_json::from_value(user).unwrap()
        };
        let mut attributes = Attributes::default();
        let odd = user(
            json!({"login": "lin", "firstName": 5, "lastName": null, "mobilePhone": ["1"],
            "primaryPhone": "555-2", "nickName": {}}),
        );
        let named = ["user.firstName", "user.mobilePhone"];
        assert_eq!(attributes.unread(&odd, Some(&app_user)), named);
        for target in AccountField::ALL {
            assert!(attributes.take(target, &odd, Some(&app_user)).is_none());
            let is_unread = attributes.is_unread(target, &odd, Some(&app_user));
            assert_eq!(is_unread, target != AccountField::LastName);
        }
        // An attribute that no field uses does not matter.
        let fine =
            user(json!({"login": "lin", "mobilePhone": "555-1", "primaryPhone": 7, "email": 7}));
        assert!(attributes.unread(&fine, None).is_empty());
        // A mapped attribute comes first. If it is not text, the user's own profile supplies the value.
        for (target, source) in [
            (AccountField::FirstName, "app.givenName"),
            (AccountField::LastName, "user.nickName"),
            (AccountField::Phone, "app.mobile"),
        ] {
            assert!(attributes.insert(target, source.parse().unwrap()));
        }
        let named = ["app.mobile", "user.mobilePhone", "user.nickName"];
        assert_eq!(attributes.unread(&odd, Some(&app_user)), named);
        assert_eq!(attributes.unread(&fine, Some(&app_user)), ["app.mobile"]);
        let taken = attributes.take(AccountField::Phone, &fine, Some(&app_user));
        assert_eq!(taken.unwrap().value, "555-1");
    }

    #[test]
    fn mapping_a_base_attribute_equals_the_default() {
        let mut attributes = Attributes::default();
        let first = AccountField::FirstName;
        assert!(attributes.insert(first, "user.firstName".parse().unwrap()));
        let user = user();
        let taken = attributes.take(first, &user, None).unwrap();
        assert_eq!(taken.place, FieldSource::Base("firstName"));
    }
}
