//! What can happen to a group.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::log::{By, LogEvent, Target};
use super::objects::{OktaGroup, Profile, changed_attributes};
use super::refusal::Refusal;
use super::world::{Created, OktaWorld};

impl OktaWorld {
    /// Creates a group.
    ///
    /// # Errors
    /// If the name is empty or taken.
    pub fn create_group(&mut self, name: &str) -> Result<Created, Refusal> {
        let mut profile = Map::new();
        profile.insert("name".to_owned(), Value::from(name));
        profile.insert("description".to_owned(), Value::Null);
        self.create_group_from(None, profile)
    }

    /// Creates a group, with an id of your choice if given.
    ///
    /// # Errors
    /// If the name is empty or taken.
    pub fn create_group_from(
        &mut self,
        id: Option<&str>,
        profile: Profile,
    ) -> Result<Created, Refusal> {
        self.group_name_free(&profile, None)?;
        let id = id.map_or_else(|| self.new_id("00g"), str::to_owned);
        let now = self.clock.tick();
        let group = OktaGroup {
            id: id.clone(),
            kind: "OKTA_GROUP".to_owned(),
            profile,
            created: now,
            last_updated: now,
            last_membership_updated: now,
            members: BTreeSet::new(),
            joined: BTreeMap::new(),
        };
        let target = Target::group(&group);
        self.groups.insert(id.clone(), group);
        let events = vec![self.write("group.lifecycle.create", vec![target], &[], By::Request)];
        Ok(Created { id, events })
    }

    fn group_name_free(&self, profile: &Profile, own_id: Option<&str>) -> Result<(), Refusal> {
        let name = profile.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::blank("name").undocumented());
        }
        let taken = |group: &OktaGroup| group.name() == name && Some(group.id.as_str()) != own_id;
        match self.groups.values().any(taken) {
            false => Ok(()),
            true => Err(Refusal::taken("name")),
        }
    }

    /// Changes the name of a group.
    ///
    /// # Errors
    /// If the group does not exist or the name is empty or taken.
    pub fn rename_group(&mut self, id: &str, name: &str) -> Result<Vec<LogEvent>, Refusal> {
        let mut profile = self.group(id)?.profile.clone();
        profile.insert("name".to_owned(), Value::from(name));
        self.set_group_profile(id, profile)
    }

    /// Replaces the profile of a group. Writes `group.profile.update` unless nothing changed.
    pub(super) fn set_group_profile(
        &mut self,
        id: &str,
        profile: Profile,
    ) -> Result<Vec<LogEvent>, Refusal> {
        self.group_name_free(&profile, Some(id))?;
        let now = self.clock.tick();
        let group = self.group_mut(id)?;
        let changed = changed_attributes(&group.profile, &profile);
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        group.profile = profile;
        group.last_updated = now;
        let target = Target::group(group);
        Ok(vec![self.write(
            "group.profile.update",
            vec![target],
            &[("changed_attributes", &changed)],
            By::Request,
        )])
    }

    /// Deletes a group: its app assignments go with it, and the assignments of its members that rest on them.
    ///
    /// # Errors
    /// If the group does not exist.
    pub fn delete_group(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let target = Target::group(self.group(id)?);
        let mut events = Vec::new();
        for app in self.apps_with(|app| app.groups.contains_key(id)) {
            events.extend(self.unassign_group(&app, id)?);
        }
        self.groups.remove(id);
        events.push(self.write("group.lifecycle.delete", vec![target], &[], By::Request));
        Ok(events)
    }

    /// Puts a user into a group; assigned groups assign the user too.
    ///
    /// # Errors
    /// If group or user do not exist.
    pub fn add_member(&mut self, group_id: &str, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let user_target = Target::user(self.user(user_id)?);
        let now = self.clock.tick();
        let group = self.group_mut(group_id)?;
        if !group.members.insert(user_id.to_owned()) {
            return Ok(Vec::new());
        }
        group.joined.insert(user_id.to_owned(), now);
        self.member_changed(group_id, user_target, now, "group.user_membership.add")
    }

    /// Takes a user out of a group; assignments that rest on it end.
    ///
    /// # Errors
    /// If group or user do not exist.
    pub fn remove_member(
        &mut self,
        group_id: &str,
        user_id: &str,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let user_target = Target::user(self.user(user_id)?);
        let now = self.clock.tick();
        let group = self.group_mut(group_id)?;
        if !group.members.remove(user_id) {
            return Ok(Vec::new());
        }
        group.joined.remove(user_id);
        self.member_changed(group_id, user_target, now, "group.user_membership.remove")
    }

    fn member_changed(
        &mut self,
        group_id: &str,
        user: Target,
        now: i64,
        event: &str,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let user_id = user.id.clone();
        let group = self.group_mut(group_id)?;
        group.last_membership_updated = now;
        let targets = vec![user, Target::group(group)];
        let uri = format!("/api/v1/groups/{group_id}/users/{user_id}");
        let mut events = vec![self.write(event, targets, &[("requestUri", &uri)], By::Request)];
        events.extend(self.settle_assignments(&user_id)?);
        Ok(events)
    }
}
