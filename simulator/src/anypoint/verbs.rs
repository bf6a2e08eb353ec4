//! What can happen in an organization, by API call or by an administrator in the user interface.

use super::refusal::Refusal;
use super::world::{AnypointUser, AnypointWorld, Lag, Member, NATIVE, Team};

/// Levels of teams, the root team included.
const MAX_TEAM_LEVELS: usize = 10;

/// The username of a native user; others do not use names up.
fn native_name(user: &AnypointUser) -> Option<&str> {
    (user.idprovider_id == NATIVE).then_some(user.username.as_str())
}

impl AnypointWorld {
    /// Adds an enabled native user.
    ///
    /// # Errors
    /// If the username is taken, here or elsewhere.
    pub fn add_user(
        &mut self,
        username: &str,
        first: &str,
        last: &str,
        email: &str,
    ) -> Result<String, Refusal> {
        let owner = self.usernames.owner(username, &self.users, native_name);
        if owner.is_some() || self.taken_elsewhere(username) {
            return Err(Refusal::conflict("User with that username already exists"));
        }
        Ok(self.insert_user(username, first, last, email, NATIVE))
    }

    /// Adds a user that came by single sign-on; the username may be that of a native user too.
    pub fn add_sso_user(
        &mut self,
        username: &str,
        first: &str,
        last: &str,
        email: &str,
        provider: &str,
    ) -> String {
        self.insert_user(username, first, last, email, provider)
    }

    fn insert_user(
        &mut self,
        username: &str,
        first: &str,
        last: &str,
        email: &str,
        provider: &str,
    ) -> String {
        let id = self.new_id();
        let now = self.clock.tick();
        let user = AnypointUser {
            id: id.clone(),
            username: username.to_owned(),
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            email: email.to_owned(),
            phone_number: None,
            enabled: true,
            idprovider_id: provider.to_owned(),
            kind: "host".to_owned(),
            created_at: now,
            updated_at: now,
            last_login: None,
            email_verified_at: None,
            mfa_excluded: false,
        };
        self.usernames.added(native_name(&user), &id);
        self.users.insert(id.clone(), user);
        id
    }

    /// Whether a native username is taken on the control plane: here, by a deleted user, or by another customer.
    pub fn username_taken(&self, username: &str) -> bool {
        self.user_by_username(username).is_some() || self.taken_elsewhere(username)
    }

    /// Taken by a deleted user or by another customer.
    fn taken_elsewhere(&self, username: &str) -> bool {
        let same = |name: &str| name.eq_ignore_ascii_case(username);
        self.deleted_users
            .values()
            .filter_map(native_name)
            .any(same)
            || self.foreign_usernames.iter().any(|name| same(name))
    }

    pub(super) fn user(&self, id: &str) -> Result<&AnypointUser, Refusal> {
        self.users.get(id).ok_or_else(|| Refusal::missing("User"))
    }

    /// Changes a user in any way and notes the time.
    ///
    /// # Errors
    /// If the user does not exist.
    pub fn edit_user(
        &mut self,
        id: &str,
        edit: impl FnOnce(&mut AnypointUser),
    ) -> Result<(), Refusal> {
        let now = self.clock.tick();
        let user = self.users.get_mut(id);
        let user = user.ok_or_else(|| Refusal::missing("User"))?;
        edit(user);
        user.updated_at = now;
        Ok(())
    }

    /// Disables a user.
    ///
    /// # Errors
    /// If the user does not exist.
    pub fn disable(&mut self, id: &str) -> Result<(), Refusal> {
        self.edit_user(id, |user| user.enabled = false)
    }

    /// Enables a user.
    ///
    /// # Errors
    /// If the user does not exist.
    pub fn enable(&mut self, id: &str) -> Result<(), Refusal> {
        self.edit_user(id, |user| user.enabled = true)
    }

    /// Deletes a user softly: out of the organization and all teams, the username stays taken.
    ///
    /// # Errors
    /// If the user does not exist.
    pub fn delete_user(&mut self, id: &str) -> Result<(), Refusal> {
        let user = self.users.remove(id);
        let mut user = user.ok_or_else(|| Refusal::missing("User"))?;
        user.enabled = false;
        user.updated_at = self.clock.tick();
        for team in self.teams.values_mut() {
            team.members.remove(id);
        }
        self.deleted_users.insert(id.to_owned(), user);
        Ok(())
    }

    pub(super) fn team(&self, id: &str) -> Result<&Team, Refusal> {
        self.teams.get(id).ok_or_else(|| Refusal::missing("Team"))
    }

    fn team_mut(&mut self, id: &str) -> Result<&mut Team, Refusal> {
        let team = self.teams.get_mut(id);
        team.ok_or_else(|| Refusal::missing("Team"))
    }

    fn team_name_free(&self, name: &str, own_id: Option<&str>) -> Result<(), Refusal> {
        let taken = |team: &Team| team.name == name && Some(team.id.as_str()) != own_id;
        if self.teams.values().any(taken) {
            let message = format!("A team named '{name}' already exists");
            return Err(Refusal::conflict(message));
        }
        Ok(())
    }

    /// Adds an internal team under a parent; `None` means under the root team.
    ///
    /// # Errors
    /// If the name is taken, the parent does not exist, or it is nested too deeply.
    pub fn add_team(&mut self, name: &str, parent: Option<&str>) -> Result<String, Refusal> {
        let parent = parent.unwrap_or(&self.root_team_id).to_owned();
        self.add_team_of_type(name, &parent, "internal")
    }

    pub(super) fn add_team_of_type(
        &mut self,
        name: &str,
        parent: &str,
        team_type: &str,
    ) -> Result<String, Refusal> {
        let ancestors = self.below(parent)?;
        self.team_name_free(name, None)?;
        let id = self.new_id();
        let now = self.clock.tick();
        let team = Team::new(&id, name, team_type, ancestors, now);
        self.teams.insert(id.clone(), team);
        Ok(id)
    }

    /// The ancestors of a team under this parent.
    fn below(&self, parent: &str) -> Result<Vec<String>, Refusal> {
        let parent = self.teams.get(parent);
        let parent = parent.ok_or_else(|| Refusal::conflict("No team for the parent_team_id"))?;
        let mut ancestors = parent.ancestors.clone();
        ancestors.push(parent.id.clone());
        match ancestors.len() < MAX_TEAM_LEVELS {
            true => Ok(ancestors),
            false => Err(Refusal::conflict("Teams are nested too deeply")),
        }
    }

    /// Renames a team.
    ///
    /// # Errors
    /// If the team does not exist or the name is taken.
    pub fn rename_team(&mut self, id: &str, name: &str) -> Result<(), Refusal> {
        self.team(id)?;
        self.team_name_free(name, Some(id))?;
        let now = self.clock.tick();
        let team = self.team_mut(id)?;
        team.name = name.to_owned();
        team.updated_at = now;
        Ok(())
    }

    /// Moves a team, and the teams below it, under another parent.
    ///
    /// # Errors
    /// If team or parent do not exist, or the parent is the team itself, below it, or too deep.
    pub fn move_team(&mut self, id: &str, parent: &str) -> Result<(), Refusal> {
        let old = self.team(id)?.ancestors.len();
        let ancestors = self.below(parent)?;
        if id == self.root_team_id || ancestors.iter().any(|ancestor| ancestor == id) {
            return Err(Refusal::conflict("A team cannot be moved below itself"));
        }
        let now = self.clock.tick();
        for team in self.teams.values_mut() {
            if team.id == id {
                team.ancestors.clone_from(&ancestors);
                team.updated_at = now;
            } else if team.ancestors.iter().any(|ancestor| ancestor == id) {
                team.ancestors.splice(..old, ancestors.iter().cloned());
            }
        }
        Ok(())
    }

    /// Deletes a team with all teams below it.
    ///
    /// # Errors
    /// If the team does not exist or is the root team.
    pub fn delete_team(&mut self, id: &str) -> Result<(), Refusal> {
        self.team(id)?;
        if id == self.root_team_id {
            return Err(Refusal::rule("The root team cannot be deleted").undocumented());
        }
        self.teams.retain(|_, team| {
            team.id != id && !team.ancestors.iter().any(|ancestor| ancestor == id)
        });
        Ok(())
    }

    /// Puts a user into a team or changes the kind of membership (`member`, `maintainer`).
    ///
    /// # Errors
    /// If team or user do not exist.
    pub fn add_member(
        &mut self,
        team_id: &str,
        user_id: &str,
        membership_type: &str,
    ) -> Result<(), Refusal> {
        self.user(user_id)?;
        let members = &self.team(team_id)?.members;
        if members
            .get(user_id)
            .is_some_and(|member| member.membership_type == membership_type)
        {
            // Nothing changes, so no read has anything to lag behind.
            return Ok(());
        }
        let now = self.clock.tick();
        self.keep_old_members(team_id);
        let members = &mut self.team_mut(team_id)?.members;
        let member = members.entry(user_id.to_owned());
        let member = member.or_insert_with(|| Member::new(membership_type, now));
        member.membership_type = membership_type.to_owned();
        member.updated_at = now;
        Ok(())
    }

    /// Takes a user out of a team.
    ///
    /// # Errors
    /// If the team does not exist or the user is not in it.
    pub fn remove_member(&mut self, team_id: &str, user_id: &str) -> Result<(), Refusal> {
        if !self.team(team_id)?.members.contains_key(user_id) {
            return Err(Refusal::missing("Member"));
        }
        self.keep_old_members(team_id);
        self.team_mut(team_id)?.members.remove(user_id);
        Ok(())
    }

    /// Marks a membership as coming from an external group mapping, or adds such a membership.
    ///
    /// # Errors
    /// If team or user do not exist.
    pub fn mark_external(&mut self, team_id: &str, user_id: &str) -> Result<(), Refusal> {
        if !self.team(team_id)?.members.contains_key(user_id) {
            self.add_member(team_id, user_id, "member")?;
        }
        if let Some(member) = self.team_mut(team_id)?.members.get_mut(user_id) {
            member.external = true;
        }
        Ok(())
    }

    /// Ends every read lag under way: reads show the present.
    pub fn let_reads_catch_up(&mut self) {
        for team in self.teams.values_mut() {
            team.lag = None;
        }
    }

    /// With a read lag: remembers what the next reads still show.
    fn keep_old_members(&mut self, team_id: &str) {
        let reads = self.member_read_lag;
        if reads == 0 {
            return;
        }
        if let Some(team) = self.teams.get_mut(team_id) {
            let members = match team.lag.take() {
                Some(lag) => lag.members,
                None => team.members.clone(),
            };
            team.lag = Some(Lag { members, reads });
        }
    }
}
