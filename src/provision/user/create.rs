//! Creates an account, so that a run that is cut off leaves a note of it and no second one comes to be.

use http::StatusCode;
use rand::seq::{IndexedRandom, SliceRandom};
use secrecy::SecretString;

use super::run::{End, Intent, Run};
use crate::anypoint::NewAccount;
use crate::deadline::Deadline;
use crate::failure::{Class, Failure, Side};
use crate::ledger::Claim;
use crate::provision::provisioner::Provisioner;
use crate::provision::wanted::Person;
use crate::store::Intended;

impl Run<'_> {
    pub(super) async fn create(
        &mut self,
        person: &Person,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<End, Failure> {
        let Provisioner {
            anypoint,
            store,
            policy,
            ..
        } = self.provisioner;
        let user = &self.view.user;
        let missing = |what: &str| {
            Failure::permanent(
                Side::Okta,
                format!("the Okta user has no {what}, which Anypoint asks for."),
                "Fill it in in Okta, then replay the event.",
            )
        };
        let new = NewAccount {
            username: person.username.clone(),
            first_name: person
                .first_name
                .clone()
                .ok_or_else(|| missing("first name"))?,
            last_name: person
                .last_name
                .clone()
                .ok_or_else(|| missing("last name"))?,
            email: person
                .email
                .clone()
                .ok_or_else(|| missing("e-mail address"))?,
            phone: person
                .phone
                .clone()
                .or_else(|| policy.default_phone.clone()),
            password: initial_password(),
        };
        let tried_before = self
            .view
            .intended
            .as_deref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&new.username));
        let lease = deadline.lease();
        match store
            .intend_account(user, &new.username, claim.id(), lease)
            .await?
        {
            Intended::Noted => self.course.intent = Intent::Open,
            Intended::Held { .. } => return Ok(End::Held),
        }
        match anypoint.create_account(&new, deadline).await {
            Ok(Some(account)) => {
                self.created = Some(account);
                Ok(End::DONE)
            }
            Ok(None) => {
                // Created, with an empty answer: its id is found by its name.
                let found = anypoint.account_named(&new.username, deadline).await?;
                let account = found.ok_or_else(|| {
                    Failure::retryable(Side::Anypoint, "the new account does not show yet")
                })?;
                self.created = Some(account.id);
                Ok(End::DONE)
            }
            // Whether an account exists is only sure after a clear refusal, and only if no attempt
            // before this one ended without a clear answer: the note stays until then.
            Err(error) if error.is_conflict() => {
                if tried_before {
                    store.release_intent(user, claim.id()).await?;
                } else {
                    self.forget_intent().await?;
                }
                Ok(End::NameTaken)
            }
            Err(error) if error.class() == Class::Permanent => {
                self.forget_intent().await?;
                Err(error.into())
            }
            Err(error) => {
                let refused = error.status() == Some(StatusCode::TOO_MANY_REQUESTS);
                if refused && !tried_before {
                    self.forget_intent().await?;
                } else {
                    store.release_intent(user, claim.id()).await?;
                }
                Ok(End::Unsure(error.into()))
            }
        }
    }
}

pub(super) fn name_taken() -> Failure {
    Failure::permanent(
        Side::Anypoint,
        "the username is taken outside this organization: usernames are unique across all Anypoint \
         customers, and a deleted account keeps its name.",
        "Give the user another app username in Okta, then replay the event.",
    )
}
/// A random password by Anypoint's rule (8 to 64 ASCII characters, at least one upper-case letter,
/// one lower-case letter and one digit; "Managing your account"). It is forgotten at once.
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
