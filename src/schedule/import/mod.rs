//! Brings people from Anypoint to Okta.
//!
//! It reads active native accounts only, and five attributes of each: id, username, first name, last name, e-mail
//! address.
//!
//! | `IMPORT_MODE` | links | Okta |
//! |---|---|---|
//! | `off` | – | – |
//! | `report` | – | – (says what `create` would do) |
//! | `link` | for assigned users whose app username fits | – |
//! | `create` | as `link`, and for those below | creates staged users, assigns the app, updates names |
//!
//! After each step the next run can continue. It finds a user without assignment by the login and assigns the app. It
//! finds an assigned user without link by the username and links the account. The link comes last, because the next look
//! disables the account of a linked user who is not assigned. [`linkable`] decides about it under the user's lease. The report says beforehand who leaves a team
//! because of a link; see [`teams`].
//!
//! Okta scopes: `okta.users.read`, `okta.apps.read` and, where groups are pushed, `okta.groups.read` in
//! every mode; `okta.users.manage` and `okta.apps.manage` in mode `create` only.

mod apply;
mod begun;
mod create;
mod done;
mod job;
mod linkable;
mod names;
mod pair;
mod teams;

use futures_util::future::{try_join, try_join_all, try_join3};

use super::Scheduler;
use super::people::People;
use super::reconcile::{reader::SideReader, unread::Unread};
use super::summary::{Problem, Summary};
use crate::anypoint::Account;
use crate::counted::counted;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::{CallError, Listed};
use crate::ids::{OktaUserId, Subject};
use crate::ledger::Lease;
use crate::okta::{AppUser, User};
use crate::provision::{Step, standing, unread_attributes};
use crate::settings::{ImportMode, Mode};
use crate::store::{Origin, UserLink};

use begun::Begun;
use job::{Job, Kind};
use names::Names;
use pair::{By, Index, Match, Refused};

/// What Okta answered about an address.
type Asked = (Listed<User>, Listed<User>);

impl Scheduler {
    pub(super) async fn import(
        &self,
        asked: Option<Mode>,
        lease: &Lease,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        match (self.settings.import, asked) {
            (ImportMode::Off, None) => {
                summary.message = Some("IMPORT_MODE=off: nothing was read".to_owned());
                return Ok(());
            }
            (ImportMode::Off | ImportMode::Report, Some(Mode::Apply)) => {
                summary.message = Some(
                    "this is only a report: set IMPORT_MODE to link or create to write".to_owned(),
                );
            }
            _ => {}
        }
        let reader = SideReader::new(self, deadline);
        let (links, (app_users, late_users), accounts) = try_join3(
            self.store().all_user_links(),
            reader.app_users(),
            reader.accounts(),
        )
        .await?;
        let mut people = People {
            links,
            app_users,
            late_users,
            accounts,
        };
        reader.add_unlisted(&mut people).await?;
        let unread = reader.take_unread();
        people.check(&unread, &self.ports.policy)?;
        summary.problems.extend(unread.problems());
        let jobs = self.plan_import(&people, &unread, &reader, summary).await?;
        if summary.mode == Mode::Report {
            return Ok(());
        }
        let mut begun = Begun::left_over(lease);
        self.settle_begun(&mut begun, &people.accounts, deadline)
            .await?;
        drop(people);
        let end = self.carry_out(jobs, &mut begun, deadline, summary).await;
        end.and(begun.write(&*self.ports.ledger).await)
    }

    async fn plan_import(
        &self,
        people: &People,
        unread: &Unread,
        reader: &SideReader<'_>,
        summary: &mut Summary,
    ) -> Result<Vec<Job>, Failure> {
        let index = Index::new(people, unread, &self.ports.policy);
        let accounts = people.accounts.values();
        let mut active: Vec<&Account> = accounts
            .filter(|account| pair::may_be_active(account))
            .collect();
        active.sort_by_key(|account| &account.id);
        let enabled = active.iter().filter(|account| account.is_surely_enabled());
        summary.set("accounts", people.accounts.len());
        summary.set("active_native_accounts", enabled.count());
        summary.set("user_links", people.links.len());
        summary.set("app_users", people.app_users.len());

        let mut finds = Vec::with_capacity(active.len());
        for account in &active {
            finds.push(self.find(&index, account, reader));
        }
        let mut plan: Vec<(&Account, Result<Option<Kind>, Refused>)> = Vec::new();
        for (account, found) in active.into_iter().zip(try_join_all(finds).await?) {
            let kind = match found {
                Err(refused) => Err(refused),
                Ok(Match::Excluded(user)) => {
                    summary.add("excluded", 1);
                    summary.excluded.extend(user.map(Subject::User));
                    continue;
                }
                Ok(Match::Linked(user)) => {
                    let problems = &mut summary.problems;
                    Ok(self.agree(people, account, user, problems))
                }
                Ok(_) if !account.is_surely_enabled() => Err(Refused::for_now(UNCLEAR)),
                Ok(Match::Assigned(user, by)) => Ok(Some(Kind::Link { user, by })),
                Ok(Match::Unassigned(user, by)) => self.assigned(user, by).map(Some),
                Ok(Match::Nobody { email }) => self.created(account, email).map(Some),
            };
            plan.push((account, kind));
        }
        let claims = plan.iter().filter_map(|(_, kind)| match kind {
            Ok(Some(Kind::Link { user, .. } | Kind::Assign { user, .. })) => Some(user),
            _ => None,
        });
        let twice = pair::claimed_twice(claims);
        let mut jobs = Vec::new();
        for (account, kind) in plan {
            match kind {
                Ok(None) => summary.add("in_agreement", 1),
                Ok(Some(Kind::Link { user, .. } | Kind::Assign { user, .. }))
                    if twice.contains(&user) =>
                {
                    let why =
                        "several accounts belong to that Okta user by username, login or e-mail";
                    refuse(summary, account, Refused::new(why, Some(&user)));
                }
                Ok(Some(kind)) => jobs.push(Job {
                    account: account.clone(),
                    kind,
                }),
                Err(refused) => refuse(summary, account, refused),
            }
        }
        let teams_left = self.teams_left(&jobs, reader).await?;
        summary.problems.extend(reader.take_unread().problems());
        for job in &jobs {
            summary.add(job.count_name(), 1);
            let mut difference = job.describe();
            if let Some(teams) = teams_left.get(&job.account.id) {
                summary.add("leaving_teams", 1);
                let why = "once it is linked: the Okta user is not in the team's group";
                difference
                    .actions
                    .push(Step::new("leave_teams", why).about(*teams));
            }
            summary.differences.push(difference);
        }
        if !teams_left.is_empty() {
            summary
                .message
                .get_or_insert(members_leave(teams_left.len()));
        }
        Ok(jobs)
    }

    /// The Okta user that an account belongs to. Asks Okta if neither list shows one.
    async fn find(
        &self,
        index: &Index<'_>,
        account: &Account,
        reader: &SideReader<'_>,
    ) -> Result<Result<Match, Refused>, Failure> {
        let found = index.find(account);
        let Ok(Match::Nobody { email }) = found else {
            return Ok(found);
        };
        // Boxed, because few accounts get here.
        let asked = Box::pin(self.ask(reader, &email)).await?;
        Ok(asked
            .map_err(Refused::from)
            .and_then(|(by_login, by_email)| index.find_asked(email, by_login, by_email)))
    }

    /// Asks Okta who has an address as login or as e-mail address. A failure about one address is the problem of its
    /// account alone.
    async fn ask(
        &self,
        reader: &SideReader<'_>,
        email: &str,
    ) -> Result<Result<Asked, Failure>, Failure> {
        let okta = &self.ports.okta;
        let deadline = reader.deadline;
        let asked = async {
            let asked = try_join(
                okta.users_with_login(email, deadline),
                okta.users_with_email(email, deadline),
            );
            match asked.await {
                Ok(asked) => Ok(Ok(asked)),
                Err(error) => self.of_one_address(error, deadline).await.map(Err),
            }
        };
        reader.run(2, asked).await
    }

    /// The failure of a search for one address.
    ///
    /// # Errors
    /// When it is the fault of Okta itself. An answer without any user in it is.
    async fn of_one_address(
        &self,
        error: CallError,
        deadline: Deadline,
    ) -> Result<Failure, Failure> {
        if !error.is_refusal() && !error.may_be_about_one() {
            return Err(error.into());
        }
        self.check_okta(&self.ports.okta, deadline).await?;
        Ok(error.into())
    }

    fn assigned(&self, user: OktaUserId, by: By) -> Result<Kind, Refused> {
        if self.settings.import == ImportMode::Link {
            let why = "the Okta user of that address is not assigned to the app";
            return Err(Refused::new(why, Some(&user)));
        }
        Ok(Kind::Assign { user, by })
    }

    fn created(&self, account: &Account, email: String) -> Result<Kind, Refused> {
        if self.settings.import == ImportMode::Link {
            let why = "no Okta user has that username or address";
            return Err(Refused::new(why, None));
        }
        let has = |name: &Option<String>| name.as_deref().is_some_and(|n| !n.trim().is_empty());
        if !has(&account.first_name) || !has(&account.last_name) {
            let why = "the account has no first or no last name, and Okta asks for both";
            return Err(Refused::new(why, None));
        }
        Ok(Kind::Create { email })
    }

    /// What the names of an imported link require. In mode `link` the import writes no names, and only remembers those
    /// that both sides have.
    fn names(
        &self,
        account: &Account,
        person: (&User, &AppUser),
        link: &UserLink,
    ) -> Option<Names> {
        let attributes = &self.ports.policy.attributes;
        let names = Names::compare(account, person, attributes, link.agreed.as_ref());
        if self.settings.import == ImportMode::Link {
            return Some(names.without_changes(link.agreed.as_ref()?));
        }
        Some(names)
    }

    /// What a linked account requires. Compares only the names of imported links.
    fn agree(
        &self,
        people: &People,
        account: &Account,
        user: OktaUserId,
        problems: &mut Vec<Problem>,
    ) -> Option<Kind> {
        let link = people.links.get(&user)?;
        if link.origin != Origin::Imported {
            return None;
        }
        let app_user = people.app_users.get(&user)?;
        let found = people.user_of(app_user)?;
        let suspended = self.ports.policy.suspended;
        standing(Some(found), Some(app_user), suspended).ok()?;
        let attributes = &self.ports.policy.attributes;
        let names = self.names(account, (found, app_user), link)?;
        if self.settings.import != ImportMode::Link {
            let unread = unread_attributes(&attributes.unread(found, Some(app_user)));
            let problem = |failure| Problem::of(Subject::User(user.clone()), &failure);
            problems.extend(unread.map(problem));
        }
        let is_settled = names.is_agreed(link) && names.left.is_empty();
        (!is_settled).then(|| Kind::Agree {
            link: Box::new(link.clone()),
            names,
            user,
        })
    }
}

const UNCLEAR: &str =
    "the answer does not say whether the account is enabled, so it is not imported";

fn refuse(summary: &mut Summary, account: &Account, refused: Refused) {
    summary.add("unpaired", 1);
    summary.problems.push(Problem {
        subject: refused.user.map(Subject::User),
        account: Some(account.id.clone()),
        class: refused.class,
        text: refused.why.into_owned(),
    });
}

/// Warns the operator that people lose memberships once they are linked.
fn members_leave(people: usize) -> String {
    let who = counted(people, "person to be linked is", "people to be linked are");
    format!(
        "{who} in teams of pushed groups without being in those groups in Okta, and the next look takes them \
         out of these teams; put the people who should stay into the groups first"
    )
}
