//! Carries out a user's plan. Each action is safe to do twice.

use std::time::Duration;

use rand::seq::{IndexedRandom, SliceRandom};
use secrecy::SecretString;

use super::look::defect;
use super::plan::{AccountRef, UserAction, UserStep, UserView, WantedTeam, plan_user};
use crate::anypoint::NewAccount;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaUserId};
use crate::ledger::Claim;
use crate::provision::provisioner::{Applied, Provisioner};
use crate::provision::wanted::Person;
use crate::store::{AgreedProfile, FreshTeams, Intended, LastWrite, Linked, Origin, UserLink};

/// How often one look is repeated because the world moved underneath it.
const MOST_LOOKS: usize = 20;
/// How long to wait while another run creates the same account.
const HELD_PAUSE: Duration = Duration::from_millis(150);

/// How the work on a plan ended.
enum End {
    Done,
    /// Another run is creating the account right now.
    Held,
    /// The username is taken: by an account that appeared since the look, or by another customer.
    NameTaken,
}

impl Provisioner {
    pub(crate) async fn provision_user(
        &self,
        user: &OktaUserId,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<Applied, Failure> {
        let mut applied = Applied::default();
        let mut name_was_taken = false;
        for _ in 0..MOST_LOOKS {
            let view = self.look_at_user(user, deadline).await?;
            let plan = plan_user(&view, &self.policy)?;
            let creates = plan
                .iter()
                .any(|step| matches!(step.action, UserAction::Create(_)));
            if creates && name_was_taken {
                self.store.forget_intent(user).await?;
                return Err(name_taken());
            }
            match self
                .apply_user(&view, plan, claim, deadline, &mut applied)
                .await?
            {
                End::Done => return Ok(applied),
                End::NameTaken => name_was_taken = true,
                End::Held => tokio::time::sleep(HELD_PAUSE.min(deadline.remaining())).await,
            }
        }
        Err(Failure::retryable(
            Side::Program,
            "another run is still working on this user",
        ))
    }

    async fn apply_user(
        &self,
        view: &UserView,
        plan: Vec<UserStep>,
        claim: &Claim,
        deadline: Deadline,
        applied: &mut Applied,
    ) -> Result<End, Failure> {
        let mut run = Run {
            provisioner: self,
            view,
            created: None,
            written: FreshTeams::new(),
        };
        let mut end = Ok(End::Done);
        for step in plan {
            let name = step.action.name();
            end = run.act(step.action, claim, deadline).await;
            if !matches!(end, Ok(End::Done)) {
                break;
            }
            applied.actions.push(name);
        }
        run.remember_memberships().await?;
        end
    }
}

struct Run<'a> {
    provisioner: &'a Provisioner,
    view: &'a UserView,
    created: Option<AccountId>,
    written: FreshTeams,
}

impl Run<'_> {
    async fn act(
        &mut self,
        action: UserAction,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<End, Failure> {
        let anypoint = &self.provisioner.anypoint;
        match action {
            UserAction::Create(person) => return self.create(&person, claim, deadline).await,
            UserAction::MailReset { username } => {
                match anypoint.mail_password_reset(&username, deadline).await {
                    // Without the mail the account is whole, only less convenient; a failure that
                    // stays must not keep the person from their teams.
                    Err(error) if error.class() == crate::failure::Class::Permanent => {
                        tracing::warn!(
                            okta.user = %self.view.user,
                            "the reset mail was refused, `okta-anypoint reset-email` asks again: {error}"
                        );
                    }
                    other => other?,
                }
            }
            UserAction::Update { account, changes } => {
                let account = self.resolve(&account)?;
                anypoint
                    .update_account(&account, &changes, deadline)
                    .await?;
            }
            UserAction::LeaveTeam { account, team } => {
                self.written.insert(team.clone(), LastWrite::Left);
                anypoint.remove_members(&team, &[account], deadline).await?;
            }
            UserAction::Link {
                account,
                username,
                origin,
                agreed,
            } => {
                let account = self.resolve(&account)?;
                self.link(account, username, origin, agreed).await?;
            }
            UserAction::JoinTeam { account, team } => {
                let account = self.resolve(&account)?;
                self.join(account, &team, claim, deadline).await?;
            }
        }
        Ok(End::Done)
    }

    async fn create(
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
        let lease = deadline.remaining() + Duration::from_secs(2);
        match store
            .intend_account(user, &new.username, claim.id(), lease)
            .await?
        {
            Intended::Noted => {}
            Intended::Held { .. } => return Ok(End::Held),
        }
        match anypoint.create_account(&new, deadline).await {
            Ok(Some(account)) => {
                self.created = Some(account);
                Ok(End::Done)
            }
            Ok(None) => {
                // Created, with an empty answer: its id is found by its name.
                let found = anypoint.account_named(&new.username, deadline).await?;
                let account = found.ok_or_else(|| {
                    Failure::retryable(Side::Anypoint, "the new account does not show yet")
                })?;
                self.created = Some(account.id);
                Ok(End::Done)
            }
            Err(error) if error.is_conflict() => {
                store.release_intent(user).await?;
                Ok(End::NameTaken)
            }
            Err(error) => {
                // Whether an account exists is only sure after a clear refusal.
                let refused = error.class() == crate::failure::Class::Permanent;
                if refused {
                    store.forget_intent(user).await?;
                } else {
                    store.release_intent(user).await?;
                }
                Err(error.into())
            }
        }
    }

    async fn link(
        &self,
        account: AccountId,
        username: String,
        origin: Origin,
        agreed: Option<AgreedProfile>,
    ) -> Result<(), Failure> {
        let link = UserLink {
            anypoint_id: account,
            username,
            origin,
            agreed,
        };
        match self
            .provisioner
            .store
            .link_user(&self.view.user, &link)
            .await?
        {
            Linked::Written => Ok(()),
            Linked::TakenBy(other) => Err(Failure::permanent(
                Side::Table,
                format!("the account is linked to Okta user {other}."),
                "Part it from that user with `okta-anypoint unlink`, then replay the event.",
            )),
        }
    }

    async fn join(
        &mut self,
        account: AccountId,
        wanted: &WantedTeam,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let anypoint = &self.provisioner.anypoint;
        let accounts = [account];
        if let Some(team) = &wanted.team {
            self.written.insert(team.clone(), LastWrite::Joined);
            match anypoint.add_members(team, &accounts, deadline).await {
                // The team was deleted by hand: make it again below.
                Err(error) if error.is_not_found() => {}
                other => return other.map_err(Failure::from),
            }
        }
        let link = self
            .provisioner
            .ensure_team(&wanted.group, &wanted.group_name, claim, deadline)
            .await?;
        self.written.insert(link.team_id.clone(), LastWrite::Joined);
        anypoint
            .add_members(&link.team_id, &accounts, deadline)
            .await
            .map_err(Failure::from)
    }

    fn resolve(&self, account: &AccountRef) -> Result<AccountId, Failure> {
        match account {
            AccountRef::Known(id) => Ok(id.clone()),
            AccountRef::Created => self
                .created
                .clone()
                .ok_or_else(|| defect("an action came before its account")),
        }
    }

    /// Reads of memberships lag behind writes for a moment; the next look must not trust them.
    async fn remember_memberships(&self) -> Result<(), Failure> {
        if self.written.is_empty() {
            return Ok(());
        }
        let mut teams = self.view.fresh.clone();
        teams.extend(self.written.clone());
        self.provisioner
            .store
            .note_memberships(&self.view.user, &teams)
            .await
    }
}

fn name_taken() -> Failure {
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
