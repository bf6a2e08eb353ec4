//! What can happen to assignments.

use serde_json::Map;

use super::log::{By, LogEvent, Target};
use super::objects::{AppGroup, AppUser, Profile, UserStatus};
use super::refusal::Refusal;
use super::world::OktaWorld;

impl OktaWorld {
    /// Assigns a user by name, with the username the app's template makes.
    ///
    /// # Errors
    /// If app or user do not exist or the user is deprovisioned.
    pub fn assign(&mut self, app_id: &str, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        self.assign_as(app_id, user_id, None, None)
    }

    /// Assigns a user by name with a username of your choice.
    ///
    /// # Errors
    /// If app or user do not exist or the user is deprovisioned.
    pub fn assign_with_username(
        &mut self,
        app_id: &str,
        user_id: &str,
        username: &str,
    ) -> Result<Vec<LogEvent>, Refusal> {
        self.assign_as(app_id, user_id, Some(username), None)
    }

    /// Assigns a user by name. One who is assigned through a group becomes individually assigned, without a second event.
    pub(super) fn assign_as(
        &mut self,
        app_id: &str,
        user_id: &str,
        username: Option<&str>,
        profile: Option<Profile>,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let status = self.user(user_id)?.status;
        self.app(app_id)?;
        if status == UserStatus::Deprovisioned {
            return Err(Refusal::status_forbids());
        }
        let mut events = self.grant(app_id, user_id, By::Request, username)?;
        if let Some(profile) = profile
            && let Some(assignment) = self.app_mut(app_id)?.users.get_mut(user_id)
        {
            assignment.profile = profile;
        }
        if let Some(username) = username
            && events.is_empty()
        {
            events = self.set_app_username(app_id, user_id, username)?;
        }
        Ok(events)
    }

    /// A request assigns a user by name, a job assigns one for a group.
    fn grant(
        &mut self,
        app_id: &str,
        user_id: &str,
        by: By,
        username: Option<&str>,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let individual = by == By::Request;
        let now = self.clock.tick();
        if let Some(assignment) = self.app_mut(app_id)?.users.get_mut(user_id) {
            if individual && !assignment.individual {
                assignment.individual = true;
                assignment.last_updated = now;
            }
            return Ok(Vec::new());
        }
        let template = self.app(app_id)?.username_template;
        let user_name = match username {
            Some(username) => username.to_owned(),
            None => template.apply(self.user(user_id)?).to_owned(),
        };
        let assignment = AppUser {
            assignment_id: self.new_id("0ua"),
            user_name,
            profile: Map::new(),
            individual,
            created: now,
            last_updated: now,
        };
        self.app_mut(app_id)?
            .users
            .insert(user_id.to_owned(), assignment);
        Ok(vec![self.assignment_event(
            "application.user_membership.add",
            app_id,
            user_id,
            &[],
            by,
        )?])
    }

    fn assignment_event(
        &mut self,
        event: &str,
        app_id: &str,
        user_id: &str,
        debug: &[(&str, &str)],
        by: By,
    ) -> Result<LogEvent, Refusal> {
        let (app, user) = (self.app(app_id)?, self.user(user_id)?);
        let assignment = Refusal::unless_found(app.users.get(user_id), "AppUser", user_id)?;
        let targets = vec![
            Target::app_user(assignment, user),
            Target::app(app),
            Target::user(user),
        ];
        Ok(self.write(event, targets, debug, by))
    }

    fn app_user_mut(&mut self, app_id: &str, user_id: &str) -> Result<&mut AppUser, Refusal> {
        let found = self.app_mut(app_id)?.users.get_mut(user_id);
        Refusal::unless_found(found, "AppUser", user_id)
    }

    fn revoke(&mut self, app_id: &str, user_id: &str, by: By) -> Result<LogEvent, Refusal> {
        let event = self.assignment_event(
            "application.user_membership.remove",
            app_id,
            user_id,
            &[],
            by,
        )?;
        self.app_mut(app_id)?.users.remove(user_id);
        Ok(event)
    }

    /// Takes an individual assignment back. If a group still assigns the user, the assignment stays as the group's and
    /// nothing is written. An assignment that only a group made is refused with 403 (Okta's answer is not documented).
    ///
    /// # Errors
    /// If there is no such assignment, or only a group made it.
    pub fn unassign(&mut self, app_id: &str, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let through_group = self.group_grants(app_id, user_id)?;
        let assignment = self.app_user_mut(app_id, user_id)?;
        if !assignment.individual && through_group {
            let text = "You cannot unassign a user that a group assigns";
            return Err(Refusal::new(403, "E0000006", text));
        }
        assignment.individual = false;
        match through_group {
            true => Ok(Vec::new()),
            false => Ok(vec![self.revoke(app_id, user_id, By::Request)?]),
        }
    }

    /// Changes the username in the app. Writes `application.user_membership.change_username`.
    ///
    /// # Errors
    /// If there is no such assignment.
    pub fn set_app_username(
        &mut self,
        app_id: &str,
        user_id: &str,
        username: &str,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let now = self.clock.tick();
        let assignment = self.app_user_mut(app_id, user_id)?;
        if assignment.user_name == username {
            return Ok(Vec::new());
        }
        assignment.user_name = username.to_owned();
        assignment.last_updated = now;
        let event = "application.user_membership.change_username";
        Ok(vec![self.assignment_event(
            event,
            app_id,
            user_id,
            &[],
            By::Request,
        )?])
    }

    /// Changes attributes of the app profile. Writes `application.user_membership.update`.
    ///
    /// # Errors
    /// If there is no such assignment.
    pub fn update_app_profile(
        &mut self,
        app_id: &str,
        user_id: &str,
        changes: Profile,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let now = self.clock.tick();
        let assignment = self.app_user_mut(app_id, user_id)?;
        let names: Vec<&str> = changes.keys().map(String::as_str).collect();
        let names = names.join(",");
        assignment.profile.extend(changes);
        assignment.last_updated = now;
        let event = "application.user_membership.update";
        Ok(vec![self.assignment_event(
            event,
            app_id,
            user_id,
            &[("changed_attributes", &names)],
            By::Request,
        )?])
    }

    /// Assigns a group: its members become app users (scope GROUP).
    ///
    /// # Errors
    /// If app or group do not exist.
    pub fn assign_group(&mut self, app_id: &str, group_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        self.assign_group_as(app_id, group_id, None, None)
    }

    pub(super) fn assign_group_as(
        &mut self,
        app_id: &str,
        group_id: &str,
        priority: Option<u32>,
        profile: Option<Profile>,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let group_target = Target::group(self.group(group_id)?);
        let fresh = self.new_id("0ga");
        let now = self.clock.tick();
        let app = self.app_mut(app_id)?;
        let next = u32::try_from(app.groups.len()).unwrap_or(u32::MAX);
        let known = app.groups.contains_key(group_id);
        let assignment = app.groups.entry(group_id.to_owned()).or_insert(AppGroup {
            assignment_id: fresh,
            priority: next,
            profile: Map::new(),
            last_updated: now,
        });
        if known && priority.is_none_or(|p| p == assignment.priority) && profile.is_none() {
            return Ok(Vec::new());
        }
        assignment.priority = priority.unwrap_or(assignment.priority);
        assignment.profile = profile.unwrap_or_default();
        assignment.last_updated = now;
        let id = assignment.assignment_id.clone();
        let targets = vec![group_target, Target::app(app)];
        let event = if known {
            "group.application_assignment.update"
        } else {
            "group.application_assignment.add"
        };
        let mut events =
            vec![self.write(event, targets, &[("groupAppAssignmentId", &id)], By::Job)];
        events.extend(self.settle_members(group_id)?);
        Ok(events)
    }

    /// Takes a group's assignment back; members assigned through it alone lose theirs.
    ///
    /// # Errors
    /// If there is no such assignment.
    pub fn unassign_group(
        &mut self,
        app_id: &str,
        group_id: &str,
    ) -> Result<Vec<LogEvent>, Refusal> {
        let group_target = Target::group(self.group(group_id)?);
        let app = self.app_mut(app_id)?;
        let kind = "ApplicationGroupAssignment";
        let gone = Refusal::unless_found(app.groups.remove(group_id), kind, group_id)?;
        let targets = vec![group_target, Target::app(app)];
        let debug = [("groupAppAssignmentId", gone.assignment_id.as_str())];
        let mut events = vec![self.write(
            "group.application_assignment.remove",
            targets,
            &debug,
            By::Job,
        )];
        events.extend(self.settle_members(group_id)?);
        Ok(events)
    }

    fn settle_members(&mut self, group_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let mut events = Vec::new();
        for member in self.group(group_id)?.members.clone() {
            events.extend(self.settle_assignments(&member)?);
        }
        Ok(events)
    }

    fn group_grants(&self, app_id: &str, user_id: &str) -> Result<bool, Refusal> {
        let holds = |group: &String| {
            self.groups
                .get(group)
                .is_some_and(|group| group.members.contains(user_id))
        };
        Ok(self.app(app_id)?.groups.keys().any(holds))
    }

    /// Makes the group-made assignments of a user agree with the groups.
    pub(super) fn settle_assignments(&mut self, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let may_have = self.user(user_id)?.status != UserStatus::Deprovisioned;
        let mut events = Vec::new();
        for app in self.apps_with(|_| true) {
            let granted = may_have && self.group_grants(&app, user_id)?;
            let assignment = self.app(&app)?.users.get(user_id);
            match assignment.map(|assignment| assignment.individual) {
                None if granted => events.extend(self.grant(&app, user_id, By::Job, None)?),
                Some(false) if !granted => events.push(self.revoke(&app, user_id, By::Job)?),
                _ => {}
            }
        }
        Ok(events)
    }

    /// Ends all assignments to active apps, as a deactivation does.
    pub(super) fn drop_assignments(&mut self, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let mut events = Vec::new();
        for app_id in self.apps_with(|app| app.active && app.users.contains_key(user_id)) {
            let app = self.app_mut(&app_id)?;
            if app.stored_credentials
                && let Some(assignment) = app.users.get(user_id).cloned()
            {
                app.set_aside.insert(user_id.to_owned(), assignment);
            }
            events.push(self.revoke(&app_id, user_id, By::Job)?);
        }
        Ok(events)
    }

    /// Brings back, as individual ones, the assignments that apps with stored credentials kept.
    pub(super) fn restore_set_aside(&mut self, user_id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let mut events = Vec::new();
        for app_id in self.apps_with(|app| app.set_aside.contains_key(user_id)) {
            let app = self.app_mut(&app_id)?;
            if let Some(mut assignment) = app.set_aside.remove(user_id) {
                assignment.individual = true;
                app.users.insert(user_id.to_owned(), assignment);
                events.push(self.assignment_event(
                    "application.user_membership.restore",
                    &app_id,
                    user_id,
                    &[],
                    By::Job,
                )?);
            }
        }
        Ok(events)
    }
}
