//! `PUSH_GROUPS`: which groups become teams, and the patterns of this and other settings. Pure.

use crate::ids::OktaGroupId;
use crate::okta::Group;

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

/// Whether a group is selected, or whether the assignment decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selected {
    /// It becomes a team.
    Yes,
    /// It does not.
    No,
    /// It does if it is assigned to the app.
    IfAssigned,
}

impl GroupSelection {
    pub(crate) fn selects(&self, group: &Group) -> Selected {
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
            Self::All => yes_if(!group.is_built_in()),
            Self::Ids(ids) => yes_if(ids.contains(&group.id)),
            Self::Named(pattern) => yes_if(!group.is_built_in() && matches(pattern, group.name())),
        }
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters. The text between two `*` is matched
/// at its first occurrence, which leaves the most for the rest of the pattern.
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

#[cfg(test)]
mod tests {
    use super::*;

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
