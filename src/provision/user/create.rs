//! Creates an account.
//!
//! The run writes the intent first. If it dies, the next run finds the account by the intent and creates no second one.

use std::time::Duration;

use http::StatusCode;
use rand::seq::{IndexedRandom, SliceRandom};
use secrecy::SecretString;

use super::account::NewPerson;
use crate::anypoint::{Account, NewAccount};
use crate::failure::{Cause, Class, Failure, Side};
use crate::http::CallError;
use crate::ids::AccountId;
use crate::provision::run::Run;
use crate::provision::step::{Applied, action};
use crate::store::{Intent, Origin, ResetMail, UserLink};

/// How often the run tries again after an unclear answer.
const MAX_UNSURE: u32 = 3;
/// The pause before that, unless the remote names one.
const UNSURE_PAUSE: Duration = Duration::from_millis(200);

/// An account that is asked for.
struct Asked<'p> {
    person: &'p NewPerson,
    why: &'static str,
    intent: Intent,
    earlier: Earlier,
}

/// What an earlier run may have done.
#[derive(PartialEq, Eq)]
enum Earlier {
    /// It did not ask for this account.
    Nothing,
    /// It asked for it and got no clear answer.
    Asked,
}

/// The result of one attempt.
enum Attempt {
    Created(AccountId),
    /// Anypoint, or a gateway, says that the username is taken.
    NameTaken(CallError),
    /// Anypoint's rate limit refused the call, and no account was created.
    TooMany(Failure),
    /// The answer does not show whether an account was created.
    Unsure(Failure),
}

impl Run<'_> {
    /// Creates the account. Returns the link to write. `None`: another account of that name appeared since the look, so
    /// the run looks again.
    pub(super) async fn create(
        &mut self,
        person: &NewPerson,
        why: &'static str,
    ) -> Result<Option<UserLink>, Failure> {
        let now_ms = self.ports().clock.now_ms();
        let before = self.memory.intent.take();
        let is_open = |before: &Intent| before.may_be_hidden(&person.username, now_ms);
        let asked = Asked {
            person,
            why,
            intent: Intent::to_create(person, before.as_ref(), now_ms),
            earlier: match before.as_ref().is_some_and(is_open) {
                true => Earlier::Asked,
                false => Earlier::Nothing,
            },
        };
        self.intend(asked.intent.clone()).await?;
        let (mut unsure, mut refused, mut conflicts) = (0, 0, 0);
        let account = loop {
            match self.attempt(&asked).await? {
                Attempt::Created(account) => break account,
                Attempt::TooMany(failure) => {
                    refused += 1;
                    self.pause(failure, refused).await?;
                }
                Attempt::NameTaken(conflict) => {
                    let may_exist = unsure > 0 || asked.earlier == Earlier::Asked;
                    match self.account_of(person).await? {
                        // An earlier attempt without an answer created it.
                        Some(account) if may_exist && asked.intent.made(&account) => {
                            break account.id;
                        }
                        Some(_) => {
                            self.drop_intent();
                            return Ok(None);
                        }
                        None if may_exist => {
                            let what = "the username is taken, perhaps by the account whose creation got no \
                                        answer, but Anypoint does not show that account yet";
                            let failure = Failure::retryable(Side::Anypoint, what);
                            return Err(failure.because(Cause::Overtaken));
                        }
                        // A 409 also means that another change of the organization is under way, and a gateway may send
                        // one as well. Two in a row are no accident.
                        None if conflicts == 0 => {
                            conflicts += 1;
                            if self.look.deadline.remaining() > UNSURE_PAUSE * 2 {
                                tokio::time::sleep(UNSURE_PAUSE).await;
                            }
                        }
                        None if conflict.is_unsigned() => {
                            self.drop_intent();
                            return Err(name_refused());
                        }
                        None => {
                            self.drop_intent();
                            let anypoint = &self.ports().anypoint;
                            if !anypoint.shows_accounts(self.look.deadline).await? {
                                return Err(accounts_hidden());
                            }
                            return Err(name_taken());
                        }
                    }
                }
                Attempt::Unsure(failure) => {
                    unsure += 1;
                    self.pause(failure, unsure).await?;
                    match self.account_of(person).await? {
                        Some(account) if asked.intent.made(&account) => break account.id,
                        Some(_) => {
                            self.drop_intent();
                            return Ok(None);
                        }
                        None => {}
                    }
                }
            }
        };
        self.progress.end_made(&account);
        Ok(Some(UserLink {
            anypoint_id: account,
            username: person.username.clone(),
            origin: Origin::Created,
            agreed: None,
            reset_mail: ResetMail::Settled,
        }))
    }

    /// Waits before the next attempt. Fails if there were enough attempts or there is no time for another.
    async fn pause(&self, failure: Failure, attempts: u32) -> Result<(), Failure> {
        let pause = failure.retry_after.unwrap_or(UNSURE_PAUSE);
        if attempts > MAX_UNSURE || self.look.deadline.remaining() < pause * 2 {
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn attempt(&mut self, asked: &Asked<'_>) -> Result<Attempt, Failure> {
        let person = asked.person;
        let new = NewAccount {
            username: person.username.clone(),
            first_name: person.first_name.clone(),
            last_name: person.last_name.clone(),
            email: person.email.clone(),
            phone: person.phone.clone(),
            password: initial_password(),
        };
        self.lease.check()?;
        let anypoint = &self.ports().anypoint;
        // An earlier attempt without an answer may have succeeded.
        let was_tried = self.progress.is_under_way();
        if !was_tried {
            let what = Applied::plain(action::CREATE_ACCOUNT, asked.why);
            self.progress.begin(what.of_account(&person.username));
        }
        let created = anypoint.create_account(&new, self.look.deadline).await;
        let status = created.as_ref().err().and_then(CallError::status);
        let is_refused = status.is_some_and(|status| status.is_client_error());
        if !was_tried && is_refused {
            self.progress.end_refused();
        }
        let made_none = is_refused && !was_tried && asked.earlier == Earlier::Nothing;
        match created {
            Ok(Some(account)) => Ok(Attempt::Created(account)),
            Ok(None) => {
                // Anypoint created the account but sent an empty answer. The username finds the id.
                let found = self.account_of(person).await?;
                let found = found.filter(|account| asked.intent.made(account));
                let created = found.map(|account| Attempt::Created(account.id));
                created.ok_or_else(|| {
                    Failure::retryable(Side::Anypoint, "the new account does not show yet")
                })
            }
            Err(error) if error.is_conflict() => Ok(Attempt::NameTaken(error)),
            // Another attempt would not help. The intent stays if an earlier attempt may have succeeded.
            Err(error)
                if error.is_refusal()
                    || error.class() == Class::Permanent
                    || error.is_about_this_call() =>
            {
                if made_none {
                    self.drop_intent();
                }
                Err(error.into())
            }
            Err(error) if error.status() == Some(StatusCode::TOO_MANY_REQUESTS) => {
                Ok(Attempt::TooMany(error.into()))
            }
            Err(error) => Ok(Attempt::Unsure(error.into())),
        }
    }

    async fn account_of(&self, person: &NewPerson) -> Result<Option<Account>, Failure> {
        let anypoint = &self.ports().anypoint;
        let found = anypoint.account_named(&person.username, self.look.deadline);
        Ok(found.await?.sure()?)
    }
}

pub(super) fn name_taken() -> Failure {
    Failure::permanent(
        Side::Anypoint,
        "the username is taken outside this organization: usernames are unique across all Anypoint \
         customers, and a deleted account keeps its name.",
        "Give the user another app username in Okta.",
    )
    .because(Cause::UsernameTaken)
}

/// The failure after repeated 409s whose body is not JSON: they may come from a gateway.
fn name_refused() -> Failure {
    Failure::retryable(
        Side::Anypoint,
        "Anypoint, or a gateway in its place, answers that the username is taken, but Anypoint shows no account \
         with that username.",
    )
    .because(Cause::UsernameTaken)
    .advising(
        "If it lasts, look for a proxy or gateway on the way, or give the user another app username in Okta.",
    )
}

/// The failure when Anypoint shows no users at all. An organization has at least one, but without the scope Anypoint
/// answers with an empty list.
fn accounts_hidden() -> Failure {
    Failure::retryable(
        Side::Anypoint,
        "the username is taken, and the organization shows no user at all.",
    )
    .because(Cause::RefusedRights)
    .advising(
        "Give the connected app the scope View Users in a particular organization, on the root business \
         group. Changes come back by themselves when it works.",
    )
}

/// A random password by Anypoint's rule ("Managing your account": 8 to 64 ASCII characters, at least one upper-case
/// letter, one lower-case letter and one digit). The program does not keep it.
fn initial_password() -> SecretString {
    const UPPER: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    const LOWER: &[u8] = b"abcdefghijkmnopqrstuvwxyz";
    const DIGIT: &[u8] = b"23456789";
    let mut random = rand::rng();
    let mut password: Vec<u8> = Vec::with_capacity(32);
    for kind in [UPPER, LOWER, DIGIT].into_iter().cycle().take(30) {
        password.extend(kind.choose(&mut random));
    }
    password.shuffle(&mut random);
    SecretString::from(String::from_utf8_lossy(&password).into_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn passwords_meet_the_rule_and_differ() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let password = initial_password();
            let text = password.expose_secret();
            assert!((8..=64).contains(&text.len()) && text.is_ascii());
            assert!(text.bytes().any(|b| b.is_ascii_uppercase()));
            assert!(text.bytes().any(|b| b.is_ascii_lowercase()));
            assert!(text.bytes().any(|b| b.is_ascii_digit()));
            assert!(seen.insert(text.to_owned()), "a password came twice");
        }
    }
}
