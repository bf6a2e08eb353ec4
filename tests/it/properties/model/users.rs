//! The expected final state of each user, and the reasons for another one.

use okta_anypoint::provision::Adopt;
use okta_anypoint::simulator::anypoint::AnypointUser;
use okta_anypoint::store::Tenure;

use super::{Model, Place};
use crate::world::APP;

impl<'a> Model<'a> {
    pub(super) fn place(&mut self, user: &str) -> Place {
        if self.wish().user(user).is_none() {
            return Place::Out;
        }
        let end = self.end;
        let linked = end
            .user_links
            .get(user)
            .and_then(|link| end.anypoint.users.get(link.anypoint_id.as_str()));
        let stays = linked.map(|account| account.id.clone());
        let name = match self.wish().username(user) {
            Ok(name) => name,
            Err(words) => return Place::Refused(words, stays),
        };
        if let Some(account) = linked
            && account.username.eq_ignore_ascii_case(&name)
        {
            return Place::In(account.id.clone());
        }
        match self.why_not(user, &name) {
            Ok(words) => Place::Refused(words, stays),
            Err(problem) => {
                self.problem(format!("{user} wants `{name}`: {problem}"));
                Place::Refused(&[""], stays)
            }
        }
    }

    /// Why a user who wants `name` does not have it.
    fn why_not(&self, user: &str, name: &str) -> Result<&'static [&'static str], String> {
        let Some(account) = self.end.anypoint.user_by_username(name) else {
            return match self.end.anypoint.username_taken(name) {
                true => Ok(&["taken outside this organization"]),
                false => Err("the name is free, and there is no account".to_owned()),
            };
        };
        match self.end.owners.get(&account.id) {
            Some((owner, Tenure::Current)) if owner != user => {
                return match self.keeps(owner, name) {
                    true => Ok(&["belongs to Okta user", "is linked to Okta user"]),
                    false => self.may_not_adopt(user, account),
                };
            }
            Some((owner, _)) if owner == user => {
                return Err("it is this user's own account".to_owned());
            }
            _ => {}
        }
        self.may_not_adopt(user, account)
    }

    /// Whether the owner of the account `name` still has that app username, or one that nobody can use.
    fn keeps(&self, owner: &str, name: &str) -> bool {
        let assigned = self.end.okta.apps[APP].users.contains_key(owner);
        assigned
            && match self.wish().username(owner) {
                Ok(theirs) => theirs.eq_ignore_ascii_case(name),
                Err(_) => true,
            }
    }

    fn may_not_adopt(
        &self,
        user: &str,
        account: &AnypointUser,
    ) -> Result<&'static [&'static str], String> {
        let same = account
            .email
            .eq_ignore_ascii_case(self.end.okta.users[user].attribute("email"));
        match self.policy().adopt {
            Adopt::Never => Ok(&["ADOPT=never"]),
            Adopt::UsernameAndEmail if !same => Ok(&["has another e-mail address"]),
            adopt => Err(format!("{adopt:?} allows to adopt the account")),
        }
    }

    pub(super) fn check_user(&mut self, user: &str, place: &Place) {
        let end = self.end;
        let account = end
            .user_links
            .get(user)
            .and_then(|link| end.anypoint.users.get(link.anypoint_id.as_str()));
        match place {
            Place::Out => {
                if let Some(account) = account.filter(|account| account.enabled) {
                    self.problem(format!("{user} is out, and `{}` is open", account.username));
                }
                self.expect_done(&format!("user#{user}"));
            }
            Place::In(_) => {
                let (Some(account), Some(okta)) = (account, self.wish().user(user)) else {
                    return self.problem(format!("{user} has no account"));
                };
                let phone = ["mobilePhone", "primaryPhone"]
                    .map(|field| okta.attribute(field).trim())
                    .into_iter()
                    .find(|phone| !phone.is_empty());
                let agrees = account.enabled
                    && account.first_name == okta.attribute("firstName").trim()
                    && account.last_name == okta.attribute("lastName").trim()
                    && phone.is_none_or(|phone| account.phone_number.as_deref() == Some(phone));
                if !agrees {
                    self.problem(format!("{user} and {account:?} do not agree"));
                }
                // A refused team is a failure of its group alone.
                self.expect_done(&format!("user#{user}"));
            }
            Place::Refused(words, _) => {
                self.refusals += 1;
                self.expect_failed(&format!("user#{user}"), words);
            }
        }
    }
}
