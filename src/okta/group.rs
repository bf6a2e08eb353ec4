//! Groups. Source of shapes: Okta API, "Groups".

use serde::Deserialize;

use super::client::Okta;
use super::user::User;
use crate::deadline::Deadline;
use crate::http::{CallError, Listed, entries, if_found, some_text};
use crate::ids::{OktaGroupId, OktaUserId};

entries!(Group: "id");

/// An Okta group, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// The group's id.
    pub id: OktaGroupId,
    /// `BUILT_IN` for a group that Okta itself manages, such as "Everyone".
    #[serde(rename = "type")]
    kind: Option<String>,
    profile: GroupProfile,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct GroupProfile {
    #[serde(deserialize_with = "some_text")]
    name: String,
}

impl Group {
    /// The display name.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// Whether Okta itself manages it. Others are managed by people, rules, apps or directories.
    pub(crate) fn is_built_in(&self) -> bool {
        self.kind.as_deref() == Some("BUILT_IN")
    }
}

/// The groups of one user.
impl Listed<Group> {
    /// Whether this group is on the list, even if only by its id.
    pub fn names(&self, group: &OktaGroupId) -> bool {
        self.items.iter().any(|found| found.id == *group)
            || self.ids_unread().any(|found: OktaGroupId| found == *group)
    }

    /// Whether the list can be believed to hold all groups of the user: every user is in a built-in one.
    pub(crate) fn is_complete_for_user(&self) -> bool {
        self.is_complete() && self.items.iter().any(Group::is_built_in)
    }
}

impl Okta {
    /// Reads a group; `None` when there is none.
    pub async fn group(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<Option<Group>, CallError> {
        let call = self.get("read the group", &["groups", group.as_str()]);
        self.read_object(&call, group.as_str(), deadline).await
    }

    /// All groups of the org, 200 a page.
    pub async fn list_groups(&self, deadline: Deadline) -> Result<Listed<Group>, CallError> {
        let call = self.get("list the groups", &["groups"]);
        let call = call.query(&[("limit", "200")]);
        self.read_list(call, deadline).await
    }

    /// The groups whose name starts with `name`; for people who name a group.
    pub async fn groups_named(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Vec<Group>, CallError> {
        let call = self.get("find the group", &["groups"]);
        let call = call.query(&[("q", name)]);
        self.read_list(call, deadline).await?.whole()
    }

    /// The members of a group, 200 a page, each with names, addresses and phone numbers only; `None` when the
    /// group does not exist.
    pub async fn list_group_members(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<Option<Listed<User>>, CallError> {
        let path = ["groups", group.as_str(), "users"];
        let call = self.get("list the group's members", &path);
        let call = call.query(&[("limit", "200")]);
        let keep = |user: &mut User| user.keep(&[]);
        if_found(self.read_list_changing(call, keep, deadline).await)
    }

    /// The groups a user is in; `None` when the user does not exist.
    pub async fn list_groups_of_user(
        &self,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<Option<Listed<Group>>, CallError> {
        let path = ["users", user.as_str(), "groups"];
        let call = self.get("read the user's groups", &path);
        if_found(self.read_list(call, deadline).await)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_without_a_name_cannot_be_read() {
        for (name, is_read) in [("Devs", true), ("", false), ("  ", true)] {
            let group = json!({"id": "00g1", "profile": {"name": name}});
            let read = serde_json::from_value::<Group>(group);
            assert_eq!(read.is_ok(), is_read, "{name:?}");
        }
    }
}
