//! `USERNAME_POLICY` and `TEAM_NAME_POLICY`: the names of accounts and teams. Pure.

use crate::failure::{Cause, Failure, Side};
use crate::ids::OktaGroupId;

words! {
    /// `USERNAME_POLICY`.
    #[derive(Default)]
    pub enum UsernamePolicy {
        /// The app username must be valid in Anypoint as it is.
        #[default]
        Strict = "strict",
        /// Invalid characters become `_`.
        Sanitize = "sanitize",
    }
}

words! {
    /// `TEAM_NAME_POLICY`.
    #[derive(Default)]
    pub enum TeamNamePolicy {
        /// Characters that Anypoint refuses become `-`.
        #[default]
        Sanitize = "sanitize",
        /// The group's name must be valid as it is.
        Strict = "strict",
    }
}

/// The shortest username that Anypoint accepts ("Managing your account": at least three characters;
/// letters, digits, dash, underscore).
const MIN_USERNAME_CHARS: usize = 3;
/// How many characters of a group's id tell teams apart.
const ID_CHARS: usize = 6;
/// The longest team name (Access Management API, `team_name`).
const MAX_TEAM_NAME_CHARS: usize = 255;

impl UsernamePolicy {
    /// The Anypoint username for an app username.
    ///
    /// # Errors
    /// Permanent, when the policy cannot make a valid name of it. The name itself is not repeated.
    pub fn apply(self, app_username: &str) -> Result<String, Failure> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let refused = |what, advice| {
            Failure::permanent(Side::Okta, what, advice).because(Cause::UsernameInvalid)
        };
        let name: String = match self {
            Self::Sanitize => app_username
                .chars()
                .map(|c| if is_valid(c) { c } else { '_' })
                .collect(),
            Self::Strict if app_username.chars().all(is_valid) => app_username.to_owned(),
            Self::Strict => {
                return Err(refused(
                    "the app username has characters that Anypoint does not take in a username.",
                    "In the Okta app, map the username to letters, digits, dashes and underscores \
                     (for example the part before the @), or set USERNAME_POLICY=sanitize.",
                ));
            }
        };
        if name.len() < MIN_USERNAME_CHARS {
            return Err(refused(
                "the app username is shorter than the three characters that Anypoint asks for.",
                "Give the user a longer username in the Okta app.",
            ));
        }
        Ok(name)
    }
}

impl TeamNamePolicy {
    /// The name of the team of `group`. Names without a Latin letter or digit would all become dashes, so the end of
    /// the group's id tells them apart. A team that is linked as `present` keeps that name, even if
    /// [`TeamNamePolicy::apart`] made it.
    ///
    /// # Errors
    /// As [`TeamNamePolicy::apply`].
    pub(crate) fn team_name(
        self,
        group: &OktaGroupId,
        group_name: &str,
        present: Option<&str>,
    ) -> Result<String, Failure> {
        let name = self.apply(group_name)?;
        let apart = with_id(&name, group);
        let is_told_apart =
            name == group_name || name.contains(|c: char| c.is_ascii_alphanumeric());
        let keeps_apart = present == Some(&apart);
        if (is_told_apart && !keeps_apart) || present == Some(&name) {
            return Ok(name);
        }
        Ok(apart)
    }

    /// The name of the team of `group` when the team of another group, named `other`, keeps `name`. `None` when both
    /// groups have that name: only an administrator can tell them apart.
    pub(crate) fn apart(
        self,
        group: &OktaGroupId,
        group_name: &str,
        other: &str,
        name: &str,
    ) -> Option<String> {
        let apart = with_id(&self.apply(group_name).ok()?, group);
        let is_made_of = |called: &str| !called.eq_ignore_ascii_case(name);
        let can_be = (is_made_of(group_name) || is_made_of(other)) && apart != name;
        can_be.then_some(apart)
    }

    /// The team name for a group's display name.
    ///
    /// # Errors
    /// Permanent, when the policy cannot make a valid name of it.
    pub(crate) fn apply(self, group_name: &str) -> Result<String, Failure> {
        // Anypoint's own rule allows other white space, but a line break in a name is never useful.
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let refused = |what| {
            let advice = "Rename the group in Okta, or set TEAM_NAME_POLICY=sanitize.";
            Failure::permanent(Side::Okta, what, advice).because(Cause::TeamNameInvalid)
        };
        let valid = group_name.chars().all(is_valid) && group_name.len() <= MAX_TEAM_NAME_CHARS;
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
                .take(MAX_TEAM_NAME_CHARS)
                .collect(),
        };
        if name.trim().is_empty() {
            return Err(refused("the group's name is empty."));
        }
        Ok(name)
    }
}

/// The name with the end of the group's id.
fn with_id(name: &str, group: &OktaGroupId) -> String {
    let id = group.as_str();
    let end = id.get(id.len().saturating_sub(ID_CHARS)..).unwrap_or(id);
    let kept: String = name
        .chars()
        .take(MAX_TEAM_NAME_CHARS - ID_CHARS - 1)
        .collect();
    format!("{kept} {end}")
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
        assert_eq!(
            TeamNamePolicy::Sanitize
                .apply("A\r\nB\tC\u{c}D E\u{a0}F")
                .unwrap(),
            "A--B-C-D E-F"
        );
        for bad in ["R&D", "A\nB", "A\rB", "A\tB", "A\u{c}B"] {
            assert!(TeamNamePolicy::Strict.apply(bad).is_err(), "{bad:?}");
        }
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
        // An existing link keeps its name. Names with a Latin letter, and valid names, get no id.
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
    fn names_that_sanitize_to_the_same_name_stay_told_apart() {
        let policy = TeamNamePolicy::Sanitize;
        let group = OktaGroupId::parse("00gaaaaa000002").unwrap();
        let apart = |called, other| policy.apart(&group, called, other, "A-B");
        for (called, other) in [
            ("A:B", "A/B"),
            ("A:B", "A-B"),
            ("A-B", "A/B"),
            ("a/b", "A-B"),
        ] {
            let found = apart(called, other).unwrap();
            assert!(
                found.ends_with("-B 000002") || found == "a-b 000002",
                "{found}"
            );
            let kept = policy.team_name(&group, called, Some(&found));
            assert_eq!(kept.unwrap(), found, "{called}");
        }
        // Both groups have the name itself: sanitizing changed nothing.
        for (called, other) in [("A-B", "A-B"), ("a-b", "A-B")] {
            assert_eq!(apart(called, other), None);
        }
        // Another group's team has that name, too.
        let taken = policy.apart(&group, "A:B", "x", "A-B 000002");
        assert_eq!(taken, None);
        // A renamed group gets its plain name again.
        let renamed = policy.team_name(&group, "C/D", Some("A-B 000002"));
        assert_eq!(renamed.unwrap(), "C-D");
    }
}
