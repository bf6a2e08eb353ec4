//! The steps that people take in Okta.

use std::collections::BTreeSet;

use okta_anypoint::simulator::okta::{LogEvent, NewUser, Refusal};
use serde_json::json;

use super::Rig;
use crate::properties::history::*;
use crate::world::APP;

impl Rig {
    pub(super) fn okta(&mut self, step: &Step) -> Option<()> {
        let users = self.users.clone();
        let groups = self.groups.clone();
        let user = |n: &usize| pick(&users, *n);
        let group = |n: &usize| pick(&groups, *n);
        let mut okta = self.world.okta.world();
        let wrote: Result<Vec<LogEvent>, Refusal> = match step {
            Step::CreateUser { person, email } => {
                let login = format!("{}@acme.example", PEOPLE[*person]);
                let mut new =
                    NewUser::active(&login, PEOPLE[*person], "Example", EMAILS[*email], None);
                let id = format!("00u{}", users.len());
                new.id = Some(id.clone());
                okta.create_user_from(new).map(|created| {
                    self.users.push(id.clone());
                    self.emails
                        .entry(id)
                        .or_default()
                        .insert(EMAILS[*email].to_lowercase());
                    created.events
                })
            }
            Step::Assign {
                user: n,
                username: None,
            } => okta.assign(APP, user(n)?),
            Step::Assign {
                user: n,
                username: Some(name),
            } => okta.assign_with_username(APP, user(n)?, USERNAMES[*name]),
            Step::Unassign { user: n } => okta.unassign(APP, user(n)?),
            Step::Username { user: n, name } => {
                okta.set_app_username(APP, user(n)?, USERNAMES[*name])
            }
            Step::SwapUsernames { one, two } => {
                let (one, two) = (user(one)?, user(two)?);
                let name = |user: &str| Some(okta.apps[APP].users.get(user)?.user_name.clone());
                let (name_one, name_two) = (name(one)?, name(two)?);
                okta.set_app_username(APP, one, &name_two)
                    .and_then(|mut events| {
                        events.extend(okta.set_app_username(APP, two, &name_one)?);
                        Ok(events)
                    })
            }
            Step::FirstName { user: n, name } => {
                okta.update_profile(user(n)?, &[("firstName", json!(FIRST_NAMES[*name]))])
            }
            Step::Phone { user: n, phone } => {
                okta.update_profile(user(n)?, &[("mobilePhone", json!(PHONES[*phone]))])
            }
            Step::Email { user: n, email } => {
                let id = user(n)?;
                let done = okta.update_profile(id, &[("email", json!(EMAILS[*email]))]);
                if done.is_ok() {
                    self.emails
                        .entry(id.to_owned())
                        .or_default()
                        .insert(EMAILS[*email].to_lowercase());
                }
                done
            }
            Step::Suspend { user: n } => okta.suspend(user(n)?),
            Step::Unsuspend { user: n } => okta.unsuspend(user(n)?),
            Step::Deactivate { user: n } => okta.deactivate(user(n)?),
            Step::Activate { user: n } => okta.activate(user(n)?).and_then(|events| {
                okta.set_password(user(n).unwrap())?;
                Ok(events)
            }),
            Step::DeleteUser { user: n } => okta.delete_user(user(n)?),
            Step::CreateGroup { name } => {
                let id = format!("00g{}", groups.len());
                let profile = serde_json::from_value(json!({"name": GROUPS[*name]})).unwrap();
                okta.create_group_from(Some(&id), profile).map(|created| {
                    self.groups.push(id);
                    created.events
                })
            }
            Step::RenameGroup { group: n, name } => okta.rename_group(group(n)?, GROUPS[*name]),
            Step::PassNames { groups: numbers } => {
                self.tmp_names += 1;
                let chosen: BTreeSet<&str> = numbers.iter().filter_map(group).collect();
                let names: Option<Vec<String>> = chosen
                    .iter()
                    .map(|id| Some(okta.groups.get(*id)?.name().to_owned()))
                    .collect();
                let (chosen, mut names): (Vec<&str>, _) = (chosen.into_iter().collect(), names?);
                if chosen.len() < 2 {
                    return None;
                }
                names.rotate_left(1);
                let aside = format!("Aside {}", self.tmp_names);
                let mut pass = || {
                    let mut events = Vec::new();
                    for id in &chosen {
                        events.extend(okta.rename_group(id, &format!("{aside} {id}"))?);
                    }
                    for (id, name) in chosen.iter().zip(&names) {
                        events.extend(okta.rename_group(id, name)?);
                    }
                    Ok(events)
                };
                pass()
            }
            Step::DeleteGroup { group: n } => okta.delete_group(group(n)?),
            Step::AssignGroup { group: n } => okta.assign_group(APP, group(n)?),
            Step::UnassignGroup { group: n } => okta.unassign_group(APP, group(n)?),
            Step::AddMember { group: g, user: u } => okta.add_member(group(g)?, user(u)?),
            Step::RemoveMember { group: g, user: u } => okta.remove_member(group(g)?, user(u)?),
            _ => unreachable!("a step of Okta's"),
        };
        let events = wrote.ok()?;
        // An event of the System Log alone stands for catch-up. It is sent as a profile update.
        let events = events.into_iter().map(|mut event| {
            if event.event_type == "application.user_membership.change_username" {
                event.event_type = "application.user_membership.update".to_owned();
            }
            event
        });
        self.pool.extend(events);
        Some(())
    }
}

fn pick(ids: &[String], n: usize) -> Option<&str> {
    (!ids.is_empty()).then(|| ids[n % ids.len()].as_str())
}
