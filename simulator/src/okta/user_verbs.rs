//! What can happen to a user.

use serde_json::{Map, Value};

use super::log::{By, LogEvent, Target};
use super::objects::{OktaUser, Profile, UserStatus, changed_attributes};
use super::refusal::Refusal;
use super::world::{Created, OktaWorld};

/// A user to create; see [`OktaWorld::create_user_from`].
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// An id of your choice; `None` for the next free one.
    pub id: Option<String>,
    /// `login`, `email`, `firstName`, `lastName` are required.
    pub profile: Profile,
    /// Whether a password is set.
    pub has_password: bool,
    /// Whether to activate at once; otherwise STAGED.
    pub activate: bool,
    /// Groups to join.
    pub group_ids: Vec<String>,
}

impl NewUser {
    /// An active user with a password.
    pub fn active(login: &str, first: &str, last: &str, email: &str, phone: Option<&str>) -> Self {
        let mut profile = Map::new();
        for (name, value) in [
            ("login", login),
            ("email", email),
            ("firstName", first),
            ("lastName", last),
        ] {
            profile.insert(name.to_owned(), Value::from(value));
        }
        if let Some(phone) = phone {
            profile.insert("primaryPhone".to_owned(), Value::from(phone));
        }
        Self {
            id: None,
            profile,
            has_password: true,
            activate: true,
            group_ids: Vec::new(),
        }
    }
}

/// The attributes that every user has.
const REQUIRED: [&str; 4] = ["login", "email", "firstName", "lastName"];

fn check_required(profile: &Profile) -> Result<(), Refusal> {
    let text = |field: &str| profile.get(field).and_then(Value::as_str);
    let is_blank = |field: &&str| text(field).is_none_or(str::is_empty);
    match REQUIRED.into_iter().find(is_blank) {
        None => Ok(()),
        Some(field) => Err(Refusal::blank(field)),
    }
}

impl OktaWorld {
    /// Creates an active user with a password. `phone` becomes `primaryPhone`.
    ///
    /// # Errors
    /// If the login is taken or a field is empty.
    pub fn create_user(
        &mut self,
        login: &str,
        first: &str,
        last: &str,
        email: &str,
        phone: Option<&str>,
    ) -> Result<Created, Refusal> {
        self.create_user_from(NewUser::active(login, first, last, email, phone))
    }

    /// Creates a user. Writes `user.lifecycle.create`, and `user.lifecycle.activate` if activated.
    ///
    /// # Errors
    /// If the login is taken, a required attribute is missing, or a group does not exist.
    pub fn create_user_from(&mut self, new: NewUser) -> Result<Created, Refusal> {
        check_required(&new.profile).map_err(Refusal::undocumented)?;
        self.login_free(new.profile.get("login"), None)?;
        for group in &new.group_ids {
            self.group(group)?;
        }
        let id = new.id.unwrap_or_else(|| self.new_id("00u"));
        if self.users.contains_key(&id) {
            return Err(Refusal::invalid("id", "id: already in use").undocumented());
        }
        let now = self.clock.tick();
        let mut profile = new.profile;
        for optional in ["secondEmail", "mobilePhone"] {
            profile.entry(optional).or_insert(Value::Null);
        }
        let user = OktaUser {
            id: id.clone(),
            status: UserStatus::Staged,
            created: now,
            activated: None,
            status_changed: None,
            last_updated: now,
            has_password: new.has_password,
            profile,
        };
        let target = Target::user(&user);
        self.logins.added(Some(user.login()), &id);
        self.users.insert(id.clone(), user);
        let debug = [("requestUri", "/api/v1/users")];
        let mut events =
            vec![self.write("user.lifecycle.create", vec![target], &debug, By::Request)];
        if new.activate {
            events.extend(self.activate(&id)?);
        }
        for group in new.group_ids {
            events.extend(self.add_member(&group, &id)?);
        }
        Ok(Created { id, events })
    }

    fn login_free(&mut self, login: Option<&Value>, own_id: Option<&str>) -> Result<(), Refusal> {
        let Some(login) = login.and_then(Value::as_str) else {
            return Ok(());
        };
        let owner = self
            .logins
            .owner(login, &self.users, |user| Some(user.login()));
        match owner {
            Some(id) if Some(id) != own_id => Err(Refusal::taken("login")),
            _ => Ok(()),
        }
    }

    fn set_status(
        &mut self,
        id: &str,
        status: UserStatus,
        event: &str,
    ) -> Result<LogEvent, Refusal> {
        let now = self.clock.tick();
        let user = self.user_mut(id)?;
        user.status = status;
        user.status_changed = Some(now);
        user.last_updated = now;
        if event == "user.lifecycle.activate" {
            user.activated = Some(now);
        }
        let target = Target::user(user);
        let uri = format!(
            "/api/v1/users/{id}/lifecycle/{}",
            event.rsplit('.').next().unwrap_or_default()
        );
        Ok(self.write(event, vec![target], &[("requestUri", &uri)], By::Request))
    }

    /// Activates a STAGED or DEPROVISIONED user: ACTIVE with a password, PROVISIONED without. Assignments through groups
    /// come back, individual ones do not (unless the app stores credentials).
    ///
    /// # Errors
    /// If the user does not exist or has another status.
    pub fn activate(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let user = self.user(id)?;
        if !matches!(user.status, UserStatus::Staged | UserStatus::Deprovisioned) {
            let text = "Activation failed because the user is already active";
            return Err(Refusal::new(403, "E0000016", text));
        }
        let status = if user.has_password {
            UserStatus::Active
        } else {
            UserStatus::Provisioned
        };
        let mut events = vec![self.set_status(id, status, "user.lifecycle.activate")?];
        events.extend(self.restore_set_aside(id)?);
        events.extend(self.settle_assignments(id)?);
        Ok(events)
    }

    /// Starts the activation of a PROVISIONED or RECOVERY user again. The status stays.
    ///
    /// # Errors
    /// If the user does not exist or has another status.
    pub fn reactivate(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let status = self.user(id)?.status;
        if !matches!(status, UserStatus::Provisioned | UserStatus::Recovery) {
            return Err(Refusal::status_forbids());
        }
        let event = self.set_status(id, UserStatus::Provisioned, "user.lifecycle.reactivate")?;
        Ok(vec![event])
    }

    /// Lets a PROVISIONED user set a password and become ACTIVE. Writes no event of interest here.
    ///
    /// # Errors
    /// If the user does not exist or is deprovisioned or staged.
    pub fn set_password(&mut self, id: &str) -> Result<(), Refusal> {
        let now = self.clock.tick();
        let user = self.user_mut(id)?;
        match user.status {
            UserStatus::Deprovisioned | UserStatus::Staged => Err(Refusal::status_forbids()),
            _ => {
                user.has_password = true;
                user.last_updated = now;
                if user.status == UserStatus::Provisioned {
                    user.status = UserStatus::Active;
                    user.status_changed = Some(now);
                }
                Ok(())
            }
        }
    }

    /// Suspends an ACTIVE user. Groups and assignments stay.
    ///
    /// # Errors
    /// If the user does not exist or is not ACTIVE.
    pub fn suspend(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        if self.user(id)?.status != UserStatus::Active {
            let cause = "Cannot suspend a user that is not active";
            return Err(Refusal::invalid("suspendUser", cause));
        }
        let event = self.set_status(id, UserStatus::Suspended, "user.lifecycle.suspend")?;
        Ok(vec![event])
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// If the user does not exist or is not SUSPENDED.
    pub fn unsuspend(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        if self.user(id)?.status != UserStatus::Suspended {
            let cause = "Cannot unsuspend a user that is not suspended";
            return Err(Refusal::invalid("unsuspendUser", cause));
        }
        let event = self.set_status(id, UserStatus::Active, "user.lifecycle.unsuspend")?;
        Ok(vec![event])
    }

    /// Deactivates: every assignment to an active app goes (their events come first), the password goes, the groups stay.
    ///
    /// # Errors
    /// If the user does not exist or is deactivated already.
    pub fn deactivate(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        if self.user(id)?.status == UserStatus::Deprovisioned {
            return Err(Refusal::status_forbids());
        }
        let mut events = self.drop_assignments(id)?;
        events.push(self.set_status(id, UserStatus::Deprovisioned, "user.lifecycle.deactivate")?);
        self.user_mut(id)?.has_password = false;
        Ok(events)
    }

    /// Deletes for good: deactivates first if needed, then writes `user.lifecycle.delete.initiated` and forgets the user.
    ///
    /// # Errors
    /// If the user does not exist.
    pub fn delete_user(&mut self, id: &str) -> Result<Vec<LogEvent>, Refusal> {
        let mut events = Vec::new();
        if self.user(id)?.status != UserStatus::Deprovisioned {
            events.extend(self.deactivate(id)?);
        }
        let target = Target::user(self.user(id)?);
        self.users.remove(id);
        for group in self.groups.values_mut() {
            group.members.remove(id);
        }
        for app in self.apps.values_mut() {
            app.users.remove(id);
            app.set_aside.remove(id);
        }
        events.push(self.write(
            "user.lifecycle.delete.initiated",
            vec![target],
            &[],
            By::Request,
        ));
        Ok(events)
    }

    /// Changes attributes; a null removes one. Writes `user.account.update_profile` unless nothing changed.
    ///
    /// # Errors
    /// If the user does not exist or is deprovisioned, the login is taken, or a required attribute would be empty.
    pub fn update_profile(
        &mut self,
        id: &str,
        changes: &[(&str, Value)],
    ) -> Result<Vec<LogEvent>, Refusal> {
        let mut profile = self.user(id)?.profile.clone();
        for (name, value) in changes {
            profile.insert((*name).to_owned(), value.clone());
        }
        self.set_profile(id, profile)
    }

    /// Replaces the whole profile.
    pub(super) fn set_profile(
        &mut self,
        id: &str,
        profile: Profile,
    ) -> Result<Vec<LogEvent>, Refusal> {
        if self.user(id)?.status == UserStatus::Deprovisioned {
            return Err(Refusal::status_forbids());
        }
        check_required(&profile)?;
        self.login_free(profile.get("login"), Some(id))?;
        let changed = changed_attributes(&self.user(id)?.profile, &profile);
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.tick();
        self.logins
            .named(profile.get("login").and_then(Value::as_str), id);
        let user = self.user_mut(id)?;
        user.profile = profile;
        user.last_updated = now;
        let target = Target::user(user);
        let uri = format!("/api/v1/users/{id}");
        let debug = [
            ("changedAttributes", changed.as_str()),
            ("requestUri", uri.as_str()),
        ];
        Ok(vec![self.write(
            "user.account.update_profile",
            vec![target],
            &debug,
            By::Request,
        )])
    }
}
