//! Which Okta user an account belongs to. Pure.
//!
//! An account is paired by its link, else by username as `ADOPT` allows, else by an e-mail address that is unique on both
//! sides. An ambiguous pair is refused. So is a pair that the next look would undo, because the app username or the
//! state of the Okta user does not fit.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::anypoint::Account;
use crate::failure::{Class, Failure};
use crate::http::{Extent, Listed};
use crate::ids::{AccountId, OktaUserId};
use crate::okta::{AppUser, User};
use crate::provision::{Adopt, Policy, standing};
use crate::schedule::people::People;
use crate::schedule::reconcile::unread::{List, Unread};

/// What an account was paired by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Username,
    UsernameAlone,
    Login,
    Email,
}

impl By {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Username => "the app username is the account's username",
            Self::UsernameAlone => {
                "the app username is the account's username; the e-mail addresses differ"
            }
            Self::Login => "the Okta login is the account's e-mail address",
            Self::Email => "the e-mail address is unique on both sides",
        }
    }

    /// Whether the user's own attributes pair them with the account.
    pub(super) fn holds(self, user: &User, account: &Account) -> bool {
        let address = email_of(account).map(str::to_lowercase);
        let is_address = |text: &str| Some(text.to_lowercase()) == address;
        match self {
            Self::Username | Self::Email => user.email().is_some_and(is_address),
            Self::Login => is_address(user.login()),
            Self::UsernameAlone => true,
        }
    }
}

/// Why an account is not paired, and which Okta user is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Cow<'static, str>,
    pub(super) user: Option<OktaUserId>,
    pub(super) class: Class,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            why: Cow::Owned(failure.to_string()),
            user: None,
            class: failure.class,
        }
    }
}

impl Refused {
    /// The next run may find it otherwise.
    pub(super) fn for_now(why: &'static str) -> Self {
        Self {
            class: Class::Retryable,
            ..Self::new(why, None)
        }
    }

    pub(super) fn new(why: &'static str, user: Option<&OktaUserId>) -> Self {
        Self {
            why: Cow::Borrowed(why),
            user: user.cloned(),
            class: Class::Permanent,
        }
    }
}

/// The Okta user that an account belongs to.
pub(super) enum Match {
    /// The user that it is already linked to.
    Linked(OktaUserId),
    /// An assigned user whose app username fits.
    Assigned(OktaUserId, By),
    /// A user who is not assigned.
    Unassigned(OktaUserId, By),
    /// A user that `EXCLUDE_USERS` names, or would name.
    Excluded(Option<OktaUserId>),
    /// No user that is known so far.
    Nobody { email: String },
}

pub(super) const OTHER_USERNAME: &str = "the Okta user of that e-mail address is assigned under another app username, so a link would end \
     in a second account; give it the account's username in the Okta app";
const NAME_ALONE: &str = "an Okta user is assigned under the account's username, and ADOPT does not let them have the account; if it is the \
     same person, pair them with `okta-anypoint link`";
const MAY_BE_UNREAD: &str = "no Okta user was found, but the list of app users has an entry without a readable id, which may have the \
     account's username, so no Okta user is created";
const HAS_ANOTHER: &str = "the Okta user is linked to another account";

/// Finds people by link, username and e-mail address.
pub(super) struct Index<'a> {
    people: &'a People,
    /// Users that could not be read, and so are not paired.
    unread: &'a Unread,
    policy: &'a Policy,
    owners: HashMap<&'a AccountId, &'a OktaUserId>,
    by_username: HashMap<String, Vec<&'a AppUser>>,
    by_email: HashMap<String, Vec<&'a AppUser>>,
    usernames: HashMap<String, usize>,
    emails: HashMap<String, usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(people: &'a People, unread: &'a Unread, policy: &'a Policy) -> Self {
        let mut index = Self {
            people,
            unread,
            policy,
            owners: people
                .links
                .iter()
                .map(|(user, link)| (&link.anypoint_id, user))
                .collect(),
            by_username: HashMap::new(),
            by_email: HashMap::new(),
            usernames: HashMap::new(),
            emails: HashMap::new(),
        };
        let assigned = people
            .app_users
            .values()
            .filter(|app_user| app_user.is_assigned());
        for app_user in assigned {
            let name = app_user.username().map(|name| policy.usernames.apply(name));
            if let Some(Ok(name)) = name {
                let of_name = index.by_username.entry(name.to_ascii_lowercase());
                of_name.or_default().push(app_user);
            }
            if let Some(email) = people.user_of(app_user).and_then(User::email) {
                let of_email = index.by_email.entry(email.to_lowercase());
                of_email.or_default().push(app_user);
            }
        }
        for account in people
            .accounts
            .values()
            .filter(|account| may_be_active(account))
        {
            let name = account.username.to_ascii_lowercase();
            *index.usernames.entry(name).or_default() += 1;
            if let Some(email) = email_of(account) {
                *index.emails.entry(email.to_lowercase()).or_default() += 1;
            }
        }
        index
    }

    /// The user that an active native account belongs to. After [`Match::Nobody`], Okta has to be asked about the address.
    pub(super) fn find(&self, account: &Account) -> Result<Match, Refused> {
        if let Some(user) = self.owners.get(&account.id) {
            return Ok(if self.excludes(user) {
                Match::Excluded(Some((*user).clone()))
            } else {
                Match::Linked((*user).clone())
            });
        }
        let keeps_its_name = self
            .policy
            .usernames
            .apply(&account.username)
            .is_ok_and(|name| name.eq_ignore_ascii_case(&account.username));
        if !keeps_its_name {
            let why = "USERNAME_POLICY does not let the account's username pass as it is";
            return Err(Refused::new(why, None));
        }
        let name = account.username.to_ascii_lowercase();
        if self.usernames.get(&name).is_some_and(|count| *count > 1) {
            let why = "two accounts have usernames that differ in upper and lower case only";
            return Err(Refused::new(why, None));
        }
        let of_email = self.by_own_email(account);
        match self.by_username.get(&name).map_or(&[][..], Vec::as_slice) {
            [app_user] => {
                if let Ok(Some(other)) = &of_email
                    && other.id != app_user.id
                {
                    let why =
                        "its username points to one Okta user and its e-mail address to another";
                    return Err(Refused::new(why, Some(&app_user.id)));
                }
                if self.excludes(&app_user.id) {
                    return Ok(Match::Excluded(Some(app_user.id.clone())));
                }
                self.check_free(&app_user.id)?;
                let user = self.people.user_of(app_user);
                standing(user, Some(app_user), self.policy.suspended)
                    .map_err(|reason| Refused::new(reason.as_str(), Some(&app_user.id)))?;
                match self.adopts(user, account) {
                    Some(by) => Ok(Match::Assigned(app_user.id.clone(), by)),
                    None => Err(Refused::new(NAME_ALONE, Some(&app_user.id))),
                }
            }
            [] => {
                // A new Okta user would have the address as its login.
                if email_of(account).is_some_and(|email| self.policy.excluded.login(email)) {
                    return Ok(Match::Excluded(None));
                }
                if let Some(app_user) = of_email? {
                    if self.excludes(&app_user.id) {
                        return Ok(Match::Excluded(Some(app_user.id.clone())));
                    }
                    return Err(Refused::new(OTHER_USERNAME, Some(&app_user.id)));
                }
                match email_of(account) {
                    Some(email) => Ok(Match::Nobody {
                        email: email.to_owned(),
                    }),
                    None => Err(Refused::new("the account has no e-mail address", None)),
                }
            }
            _ => {
                let why = "several assigned Okta users have that app username";
                Err(Refused::new(why, None))
            }
        }
    }

    /// Whether `ADOPT` lets the user have the account of their app username, and why. A user whose login is the
    /// account's address may always have it, because an import would find them by it even without the assignment.
    fn adopts(&self, user: Option<&User>, account: &Account) -> Option<By> {
        let holds = |by: By| user.is_some_and(|user| by.holds(user, account));
        let (same_email, same_login) = (holds(By::Email), holds(By::Login));
        match self.policy.adopt {
            Adopt::Username | Adopt::UsernameAndEmail if same_email => Some(By::Username),
            _ if same_login => Some(By::Login),
            Adopt::Username => Some(By::UsernameAlone),
            Adopt::UsernameAndEmail | Adopt::Never => None,
        }
    }

    /// The one assigned user with the account's e-mail address, if it is unique on both sides.
    fn by_own_email(&self, account: &Account) -> Result<Option<&'a AppUser>, Refused> {
        let Some(email) = email_of(account).map(str::to_lowercase) else {
            return Ok(None);
        };
        if self.emails.get(&email).is_some_and(|count| *count > 1) {
            let why = "several active accounts have that e-mail address";
            return Err(Refused::new(why, None));
        }
        match self.by_email.get(&email).map_or(&[][..], Vec::as_slice) {
            [] => Ok(None),
            [app_user] => Ok(Some(app_user)),
            _ => {
                let why = "several assigned Okta users have that e-mail address";
                Err(Refused::new(why, None))
            }
        }
    }

    /// The user that an account with this address belongs to, from what Okta answered about the address.
    pub(super) fn find_asked(
        &self,
        email: String,
        by_login: Listed<User>,
        by_email: Listed<User>,
    ) -> Result<Match, Refused> {
        // Okta also finds users by a short form of the login, but only the whole login counts.
        let is_login = |login: &str| login.to_lowercase() == email.to_lowercase();
        let mut by_login = readable(by_login)?.into_iter();
        let (user, by) = match by_login.find(|user| is_login(user.login())) {
            Some(user) => (user, By::Login),
            None => {
                let mut by_email = readable(by_email)?.into_iter();
                match (by_email.next(), by_email.next()) {
                    (None, _) => return self.nobody(email),
                    (Some(user), None) => (user, By::Email),
                    _ => {
                        let why = "several Okta users have that e-mail address";
                        return Err(Refused::new(why, None));
                    }
                }
            }
        };
        let user = &user;
        if self.policy.excluded.user(user) {
            return Ok(Match::Excluded(Some(user.id.clone())));
        }
        self.check_free(&user.id)?;
        let app_user = self.people.app_users.get(&user.id);
        if app_user.is_some_and(AppUser::is_assigned) {
            return Err(Refused::new(OTHER_USERNAME, Some(&user.id)));
        }
        match standing(Some(user), app_user, self.policy.suspended) {
            Err(reason) if !reason.is_unassigned() => {
                Err(Refused::new(reason.as_str(), Some(&user.id)))
            }
            // Okta may still list an assignment that ended. Assigning the user again renews it.
            _ => Ok(Match::Unassigned(user.id.clone(), by)),
        }
    }

    /// Okta shows nobody. An entry without an id in the list of app users may still have the account's username.
    fn nobody(&self, email: String) -> Result<Match, Refused> {
        match self.unread.extent(&[List::AppUsers]) {
            Extent::Complete => Ok(Match::Nobody { email }),
            Extent::Incomplete => Err(Refused::for_now(MAY_BE_UNREAD)),
        }
    }

    fn excludes(&self, user: &OktaUserId) -> bool {
        self.people.is_excluded(user, self.policy)
    }

    fn check_free(&self, user: &OktaUserId) -> Result<(), Refused> {
        if self.unread.users.contains_key(user) {
            return Err(Refused::new("the Okta user could not be read", Some(user)));
        }
        if self.people.links.contains_key(user) {
            return Err(Refused::new(HAS_ANOTHER, Some(user)));
        }
        Ok(())
    }
}

/// The Okta users that more than one account claims.
pub(super) fn claimed_twice<'a>(
    claims: impl Iterator<Item = &'a OktaUserId>,
) -> HashSet<OktaUserId> {
    let mut seen = HashSet::new();
    claims.filter(|user| !seen.insert(*user)).cloned().collect()
}

/// The users that a search found.
///
/// # Errors
/// When one of them cannot be read.
fn readable(found: Listed<User>) -> Result<Vec<User>, Refused> {
    let user = found.ids_unread().next();
    found.whole().map_err(|error| Refused {
        user,
        ..Refused::from(Failure::from(error))
    })
}

/// Whether an account is imported at all.
pub(super) fn is_active(account: &Account) -> bool {
    may_be_active(account) && account.is_surely_enabled()
}

/// Whether an account is native and not known to be disabled.
pub(super) fn may_be_active(account: &Account) -> bool {
    account.is_native() && account.is_enabled() && !account.is_deleted()
}

pub(super) fn email_of(account: &Account) -> Option<&str> {
    account
        .email
        .as_deref()
        .map(str::trim)
        .filter(|email| !email.is_empty())
}
