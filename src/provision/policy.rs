//! The rules that settings choose: who is pushed, under which name, and what happens at the end.
//!
//! Pure: no I/O, no clock. Each type is one setting of the README's table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::exclusion::Exclusions;
use crate::failure::{Cause, Failure, Side};
use crate::ids::OktaGroupId;
use crate::okta::{Group, GroupKind};

/// `USERNAME_POLICY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsernamePolicy {
    /// The app username must be valid in Anypoint as it is.
    #[default]
    Strict,
    /// Invalid characters become `_`.
    Sanitize,
}

/// `ADOPT`: when an account with the wanted username exists and is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adopt {
    /// Adopt it if the e-mail address agrees, ignoring case.
    #[default]
    UsernameAndEmail,
    /// Adopt it always.
    Username,
    /// Never adopt.
    Never,
}

/// `SUSPENDED_USERS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SuspendedUsers {
    /// Disable the account while the Okta user is suspended.
    #[default]
    Deactivate,
    /// Leave the account as it is for an active user.
    Keep,
}

/// `TEAM_NAME_POLICY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TeamNamePolicy {
    /// Characters that Anypoint refuses become `-`.
    #[default]
    Sanitize,
    /// The group's name must be valid as it is.
    Strict,
}

/// `TEAM_REMOVAL`: when a pushed group is deleted or leaves the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TeamRemoval {
    /// Take the pushed members out, keep the team.
    #[default]
    Empty,
    /// Leave the team and its members.
    Keep,
    /// Delete the team.
    Delete,
}

/// `RESET_EMAIL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetEmail {
    /// Ask for a reset mail after creating an account.
    #[default]
    Send,
    /// Do not.
    Skip,
}

/// Who decides about the names of imported accounts (`IMPORT_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportedNames {
    /// Okta does, as for every other link.
    #[default]
    OktaDecides,
    /// `IMPORT_MODE=create`: the side that changed them since both sides agreed last.
    LastChangeDecides,
}

/// `PUSH_GROUPS`: which Okta groups become teams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GroupSelection {
    /// Those assigned to the app.
    #[default]
    Assigned,
    /// None.
    None,
    /// All but those that Okta itself manages ("Everyone").
    All,
    /// Exactly these.
    Ids(Vec<OktaGroupId>),
    /// Those whose name matches the pattern; `*` stands for any run of characters.
    Named(String),
}

/// Whether a group is selected, or what is still to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// It becomes a team.
    Yes,
    /// It does not.
    No,
    /// It does if it is assigned to the app.
    IfAssigned,
}

impl GroupSelection {
    /// Whether `group` is selected.
    pub fn selects(&self, group: &Group) -> Selected {
        let yes_if = |condition| {
            if condition {
                Selected::Yes
            } else {
                Selected::No
            }
        };
        match self {
            Self::Assigned => Selected::IfAssigned,
            Self::None => Selected::No,
            Self::All => yes_if(group.kind == GroupKind::Managed),
            Self::Ids(ids) => yes_if(ids.contains(&group.id)),
            Self::Named(pattern) => {
                yes_if(group.kind == GroupKind::Managed && matches(pattern, group.name()))
            }
        }
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters. What stands between
/// two `*` is taken where it comes first: that leaves most for what follows.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// `CONFIRM_SECONDS`: how long after a first look the second one follows, where one look is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmAfter(pub Duration);

impl Default for ConfirmAfter {
    fn default() -> Self {
        Self(Duration::from_secs(15))
    }
}

/// `CHANGES`: what becomes of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Changes {
    /// They are applied.
    #[default]
    Apply,
    /// They are looked at and planned. Nothing is written at Okta or Anypoint.
    Report,
    /// Nothing is worked on, and nothing is lost.
    Pause,
}

impl Changes {
    /// The word of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Report => "report",
            Self::Pause => "pause",
        }
    }
}

/// `MAX_REMOVALS_PER_HOUR`: how many people may lose access by events within an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RemovalLimit {
    /// That many.
    Count(usize),
    /// That share of the linked users, 0 to 100, and ten at the least.
    Percent(f64),
    /// As many as there are.
    Off,
}

/// What a share comes to at the least.
const MIN_SHARE: usize = 10;

impl Default for RemovalLimit {
    fn default() -> Self {
        Self::Percent(20.0)
    }
}

impl RemovalLimit {
    /// How many people that is when `linked` users are linked; `None`: there is no limit.
    pub fn allowed(self, linked: usize) -> Option<usize> {
        match self {
            Self::Off => None,
            Self::Count(count) => Some(count),
            Self::Percent(percent) => Some(share_of(percent, linked).max(MIN_SHARE)),
        }
    }
}

/// A share of a number of users, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "10,000 users at the most, and a share between 0 and 100"
)]
pub fn share_of(percent: f64, users: usize) -> usize {
    (users as f64 * percent / 100.0).floor() as usize
}

/// All rules together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// `USERNAME_POLICY`.
    pub usernames: UsernamePolicy,
    /// `ADOPT`.
    pub adopt: Adopt,
    /// `SUSPENDED_USERS`.
    pub suspended: SuspendedUsers,
    /// `PUSH_GROUPS`.
    pub groups: GroupSelection,
    /// `TEAM_NAME_POLICY`.
    pub team_names: TeamNamePolicy,
    /// `TEAM_REMOVAL`.
    pub team_removal: TeamRemoval,
    /// `RESET_EMAIL`.
    pub reset_email: ResetEmail,
    /// `ATTRIBUTES`.
    pub attributes: Attributes,
    /// `DEFAULT_PHONE`: sent on create when Okta has none.
    pub default_phone: Option<String>,
    /// What `IMPORT_MODE` means for push.
    pub imported_names: ImportedNames,
    /// `CONFIRM_SECONDS`.
    pub confirm: ConfirmAfter,
    /// `CHANGES`.
    pub changes: Changes,
    /// `MAX_REMOVALS_PER_HOUR`.
    pub removals: RemovalLimit,
    /// `EXCLUDE_USERS` and `EXCLUDE_GROUPS`.
    pub excluded: Exclusions,
}

/// The shortest username that Anypoint takes ("Managing your account": at least three characters;
/// letters, digits, dash, underscore).
const SHORTEST_USERNAME: usize = 3;
/// So much of a group's id tells teams apart.
const ID_CHARS: usize = 6;
/// The longest team name (Access Management API, `team_name`).
const LONGEST_TEAM_NAME: usize = 255;

impl UsernamePolicy {
    /// The Anypoint username for an app username.
    ///
    /// # Errors
    /// Permanent, when the policy cannot make a valid name of it. The name itself is not repeated.
    pub fn apply(self, app_username: &str) -> Result<String, Failure> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name: String = match self {
            Self::Sanitize => app_username
                .chars()
                .map(|c| if is_valid(c) { c } else { '_' })
                .collect(),
            Self::Strict if app_username.chars().all(is_valid) => app_username.to_owned(),
            Self::Strict => {
                return Err(Failure::permanent(
                    Side::Okta,
                    "the app username has characters that Anypoint does not take in a username.",
                    "In the Okta app, map the username to letters, digits, dashes and underscores \
                     (for example the part before the @), or set USERNAME_POLICY=sanitize.",
                )
                .because(Cause::UsernameInvalid));
            }
        };
        if name.len() < SHORTEST_USERNAME {
            return Err(Failure::permanent(
                Side::Okta,
                "the app username is shorter than the three characters that Anypoint asks for.",
                "Give the user a longer username in the Okta app.",
            )
            .because(Cause::UsernameInvalid));
        }
        Ok(name)
    }
}

impl TeamNamePolicy {
    /// The name of the team of `group`. Names without a Latin letter or digit would all become dashes, so
    /// the end of the group's id tells them apart; a team that is linked as `present` keeps that name.
    ///
    /// # Errors
    /// As [`TeamNamePolicy::apply`].
    pub fn team_name(
        self,
        group: &OktaGroupId,
        group_name: &str,
        present: Option<&str>,
    ) -> Result<String, Failure> {
        let name = self.apply(group_name)?;
        let is_told_apart =
            name == group_name || name.contains(|c: char| c.is_ascii_alphanumeric());
        if is_told_apart || present == Some(&name) {
            return Ok(name);
        }
        let id = group.as_str();
        let end = id.get(id.len().saturating_sub(ID_CHARS)..).unwrap_or(id);
        let kept: String = name
            .chars()
            .take(LONGEST_TEAM_NAME - ID_CHARS - 1)
            .collect();
        Ok(format!("{kept} {end}"))
    }

    /// The team name for a group's display name.
    ///
    /// # Errors
    /// Permanent, when the policy cannot make a valid name of it.
    pub fn apply(self, group_name: &str) -> Result<String, Failure> {
        let is_valid =
            |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c.is_ascii_whitespace();
        let refused = |message: &str| {
            Failure::permanent(
                Side::Okta,
                message,
                "Rename the group in Okta, or set TEAM_NAME_POLICY=sanitize.",
            )
            .because(Cause::TeamNameInvalid)
        };
        let valid = group_name.chars().all(is_valid) && group_name.len() <= LONGEST_TEAM_NAME;
        let name: String = match self {
            Self::Strict if valid => group_name.to_owned(),
            Self::Strict => {
                return Err(refused(
                    "the group's name is too long, or has characters that Anypoint does not take in a \
                     team name.",
                ));
            }
            Self::Sanitize => group_name
                .chars()
                .map(|c| if is_valid(c) { c } else { '-' })
                .take(LONGEST_TEAM_NAME)
                .collect(),
        };
        if name.trim().is_empty() {
            return Err(refused("the group's name is empty."));
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_follow_the_policy() {
        let strict = UsernamePolicy::Strict;
        for good in ["ada_lovelace", "ann-lee", "abc", "A1_"] {
            assert_eq!(strict.apply(good).unwrap(), good);
        }
        for bad in ["ann@acme.example", "ann.lee", "ab", "", "änn", "a b c"] {
            let failure = strict.apply(bad).unwrap_err();
            assert!(!failure.is_retryable());
            assert!(bad.is_empty() || bad.len() < 4 || !failure.to_string().contains(bad));
        }
        let sanitize = UsernamePolicy::Sanitize;
        assert_eq!(
            sanitize.apply("ann.lee@acme.example").unwrap(),
            "ann_lee_acme_example"
        );
        assert_eq!(sanitize.apply("ann-lee").unwrap(), "ann-lee");
        assert_eq!(sanitize.apply("änn").unwrap(), "_nn");
        assert!(sanitize.apply("ab").is_err());
    }

    #[test]
    fn team_names_follow_the_policy() {
        assert_eq!(
            TeamNamePolicy::Sanitize.apply("R&D (EU), all").unwrap(),
            "R-D -EU-- all"
        );
        assert_eq!(
            TeamNamePolicy::Sanitize
                .apply(&"x".repeat(300))
                .unwrap()
                .len(),
            255
        );
        assert_eq!(
            TeamNamePolicy::Strict.apply("Ops_1 - a").unwrap(),
            "Ops_1 - a"
        );
        assert!(TeamNamePolicy::Strict.apply("R&D").is_err());
        assert!(TeamNamePolicy::Sanitize.apply(" ").is_err());
    }

    #[test]
    fn team_names_without_a_latin_letter_are_told_apart() {
        let name = |policy: TeamNamePolicy, id: &str, name: &str, present| {
            policy.team_name(&OktaGroupId::parse(id).unwrap(), name, present)
        };
        let sanitize = TeamNamePolicy::Sanitize;
        let one = name(sanitize, "00gaaaaa000001", "日本", None).unwrap();
        let other = name(sanitize, "00gaaaaa000002", "中国", None).unwrap();
        assert_eq!((one.as_str(), other.as_str()), ("-- 000001", "-- 000002"));
        // An existing link keeps its name, and names that say something stay as they were.
        assert_eq!(name(sanitize, "00g1", "日本", Some("--")).unwrap(), "--");
        assert_eq!(
            name(sanitize, "00g1", "日本", Some("Devs")).unwrap(),
            "-- 00g1"
        );
        assert_eq!(name(sanitize, "00g1", "R&D", None).unwrap(), "R-D");
        assert_eq!(name(sanitize, "00g1", "--", None).unwrap(), "--");
        let long = name(sanitize, "00g1", &"日".repeat(300), None).unwrap();
        assert!(long.len() <= 255 && long.ends_with(" 00g1"));
        assert!(name(TeamNamePolicy::Strict, "00g1", "日本", None).is_err());
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("Anypoint*", "Anypoint Devs", true),
            ("Anypoint*", "My Anypoint", false),
            ("*Devs", "Anypoint Devs", true),
            ("*", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYcZ", false),
            ("a*b*b", "aXb", false),
            ("a*a", "a", false),
            ("*bc*c", "abbcdc", true),
            ("*a*ab", "aab", true),
            ("**", "any", true),
            ("a**b", "a*b", true),
            ("Ä*ö", "Äößö", true),
            ("abc", "abc", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
