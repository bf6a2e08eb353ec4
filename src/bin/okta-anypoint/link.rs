//! `link`, `unlink` and `reset-email`: what an operator settles by hand.

use anyhow::{Context as _, Result, bail};
use okta_anypoint::anypoint::Account;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::ids::{AccountId, OktaUserId, Subject};
use okta_anypoint::insight::Planned;
use okta_anypoint::ledger::{AuditEntry, Lease, Memo};
use okta_anypoint::okta::AppUser;
use okta_anypoint::provision::{Announced, Provisioner};
use okta_anypoint::store::{Intent, Linked, Memory, Origin, ResetMail, UserLink};
use serde_json::json;

use crate::console::{Console, Exit};
use crate::operator::{LINKED, Operator, UNLINKED, by_hand, link_entry};
use crate::table::{Access, LOOK_TIME};
use crate::{explain, names, table};

/// Pair an Okta user with an Anypoint user where adoption was refused.
///
/// Writes the link only; the next event, or `push`, brings both sides in sync. The command shows what that
/// would do. If the user is linked to another account, and Okta's app username is that of the new one, the link moves:
/// the next event, or `push`, disables the old account. It also moves if the old account is gone. Refuses a user whom
/// EXCLUDE_USERS names.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"okta_user\", \"anypoint_id\", \"username\", \"actions\": [{\"action\", \"what\", \
\"reason\"}], \"doubts\": [{\"finding\", \"first_seen\", \"believed_after\"}], \"failure\"}.

Examples:
  okta-anypoint link ada.lovelace@acme.example ada_lovelace
  okta-anypoint link 00u1ab2cd3EF4gh5ij6 2f1d9a3e-0000-4000-8000-000000000001")]
pub struct LinkArgs {
    /// The Okta user: id, login or username.
    #[arg(value_name = "OKTA_USER")]
    user: String,
    /// The Anypoint user: id or username.
    #[arg(value_name = "ANYPOINT_USER")]
    account: String,
    #[command(flatten)]
    table: table::Args,
}

/// Unlink an Okta user from its Anypoint user. Neither is changed.
///
/// While the user is assigned to the app, the next event finds the account again under its username,
/// and adopts it or not as ADOPT says. Works for a user whom EXCLUDE_USERS names, too: it writes at neither
/// side. Another Okta user with that app username may adopt the account then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"okta_user\", \"unlinked\": the link that was there, or null}.

Examples:
  okta-anypoint unlink ada.lovelace@acme.example")]
pub struct UnlinkArgs {
    /// The Okta user: id, login or username.
    #[arg(value_name = "OKTA_USER")]
    user: String,
    #[command(flatten)]
    table: table::Args,
}

/// Ask Anypoint to mail the password reset link to a user again.
///
/// Refuses a user whom EXCLUDE_USERS names.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With --json: {\"okta_user\", \"anypoint_id\", \"asked\": true}.

Examples:
  okta-anypoint reset-email ada.lovelace@acme.example")]
pub struct ResetArgs {
    /// The Okta user: id, login or username.
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    table: table::Args,
}

pub async fn link(args: &LinkArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let deadline = Deadline::within(LOOK_TIME);
    names::check(&args.account)?;
    let user = names::user(&operator, &args.user).await?;
    let subject = Subject::User(user.clone());
    operator.refuse_excluded(&subject, deadline).await?;
    if operator.ports.okta.user(&user, deadline).await?.is_none() {
        bail!("Okta has no user {user}; nothing was linked");
    }
    let account = account(&operator, &args.account, deadline).await?;
    let link = async |lease: &Lease| {
        let (old, entry) = write_link(&operator, lease, &user, &account, deadline).await?;
        Ok((old, entry))
    };
    let old = operator.under_lease(&subject, link).await?;
    console.say(format!(
        "Okta user {user} and Anypoint user {} (\"{}\") are linked.",
        account.id, account.username
    ))?;
    match old {
        None => {}
        Some(Old::Gone(old)) => {
            console.say(format!(
                "Anypoint user {old} was linked before, and is gone."
            ))?;
        }
        Some(Old::Kept(old)) => {
            console.say(format!(
                "Anypoint user {old} was linked before. The user's next event disables it, and so does this command. If it \
                 is in a team, push the team's group after that."
            ))?;
            console.say_whole(format!("  okta-anypoint push {user}{}", operator.option))?;
        }
    }
    let provisioner = Provisioner::new(operator.ports.clone());
    let preview = provisioner
        .preview_user(&user, Announced::default(), deadline)
        .await?;
    let doubts = preview.doubts;
    let forecast = preview.forecast;
    explain::say_next(console, user.as_str(), &forecast, &doubts)?;
    console.emit(&json!({
        "okta_user": user,
        "anypoint_id": account.id,
        "username": account.username,
        "actions": Planned::from_steps(&forecast.steps),
        "doubts": doubts.iter().map(explain::doubt_json).collect::<Vec<_>>(),
        "failure": forecast.failure.as_ref().map(explain::failure_json),
    }))?;
    Ok(Exit::Done)
}

/// The account to which a user was linked before.
enum Old {
    /// Anypoint has it. The next look at the user disables it.
    Kept(AccountId),
    Gone(AccountId),
}

/// The account that the user loses, and the audit entry of a link that was not there before.
async fn write_link(
    operator: &Operator,
    lease: &Lease,
    user: &OktaUserId,
    account: &Account,
    deadline: Deadline,
) -> Result<(Option<Old>, Option<AuditEntry>)> {
    let store = &operator.ports.store;
    let before = store.user_link(user).await?;
    let is_same = |link: &&UserLink| link.anypoint_id == account.id;
    let same = before.as_ref().filter(is_same);
    let other = before.as_ref().filter(|link| !is_same(link));
    let (old, memo) = match other {
        Some(other) => {
            let (old, memo) = replace(operator, lease, user, other, account, deadline).await?;
            (Some(old), memo)
        }
        None => (None, Memo::Keep),
    };
    let link = same.cloned().unwrap_or_else(|| UserLink {
        anypoint_id: account.id.clone(),
        username: account.username.clone(),
        origin: Origin::Adopted,
        agreed: None,
        reset_mail: ResetMail::default(),
    });
    let linked = store.link_user(lease, user, &link, before.as_ref(), memo);
    if let Linked::TakenBy(other) = linked.await? {
        bail!(
            "Anypoint user {} is linked to Okta user {other}; unlink them first: okta-anypoint unlink \
             {other}",
            account.id
        );
    }
    let [not_linked, linked] = LINKED;
    let was = other.map_or(not_linked.to_owned(), |old| {
        format!("linked to account {}", old.anypoint_id)
    });
    let entry = AuditEntry {
        username: Some(account.username.clone()),
        ..link_entry(lease, "link", &account.id, [&was, linked])
    };
    Ok((old, same.is_none().then_some(entry)))
}

/// What becomes of the `old` account, and the memo with which the link moves from it. With that memo the next look at the
/// user disables an account that is still there.
async fn replace(
    operator: &Operator,
    lease: &Lease,
    user: &OktaUserId,
    old: &UserLink,
    account: &Account,
    deadline: Deadline,
) -> Result<(Old, Memo)> {
    let ports = &operator.ports;
    let id = &old.anypoint_id;
    let mut memory = Memory::of(lease, ports.clock.now_ms());
    if memory.intent.is_some() {
        bail!(
            "a run of Okta user {user} was cut off, and may have left another account; push the user first: \
             okta-anypoint push {user}{}",
            operator.option
        );
    }
    memory.intent = Some(Intent::to_enable(id, &old.username));
    if ports.anypoint.account(id, deadline).await?.is_none() {
        return Ok((Old::Gone(id.clone()), memory.to_memo()));
    }
    let app_user = ports.okta.app_user(&ports.app, user, deadline).await?;
    let app_user = app_user.filter(AppUser::is_assigned);
    let wanted = app_user.as_ref().and_then(AppUser::username);
    let wanted = wanted.and_then(|name| ports.policy.usernames.apply(name).ok());
    let is_wanted = |name: &str| {
        let wanted = wanted.as_ref();
        wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    if !is_wanted(&account.username) || is_wanted(&old.username) {
        bail!(
            "Okta user {user} is linked to Anypoint user {id} already, and Okta's app username is not that of \
             Anypoint user {}. Give the user that app username in Okta, link them, then push the user: that disables {id}. \
             Or unlink them first: okta-anypoint unlink {user}{}. Then {id} stays as it is, enabled and in its teams, and \
             nobody disables it when the user leaves",
            account.id,
            operator.option
        );
    }
    Ok((Old::Kept(id.clone()), memory.to_memo()))
}

/// The account of an id or a username. Single sign-on users are not among those that are provisioned.
async fn account(operator: &Operator, name: &str, deadline: Deadline) -> Result<Account> {
    let anypoint = &operator.ports.anypoint;
    let found = match AccountId::parse(name) {
        Ok(id) if uuid::Uuid::parse_str(name).is_ok() => anypoint.account(&id, deadline).await?,
        _ => anypoint.account_named(name, deadline).await?.sure()?,
    };
    let Some(account) = found else {
        bail!("Anypoint has no native user \"{name}\" in this organization; nothing was linked");
    };
    if !account.is_native() {
        bail!(
            "Anypoint user {} signs in by single sign-on; only native accounts are provisioned",
            account.id
        );
    }
    Ok(account)
}

pub async fn unlink(args: &UnlinkArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    let user = names::user(&operator, &args.user).await?;
    let unlink = async |lease: &Lease| {
        let link = operator.ports.store.user_link(&user).await?;
        operator.ports.store.unlink_user(lease, &user).await?;
        let entry = link.as_ref().map(|link| AuditEntry {
            username: Some(link.username.clone()),
            ..link_entry(lease, "unlink", &link.anypoint_id, UNLINKED)
        });
        Ok((link, entry))
    };
    let subject = Subject::User(user.clone());
    let link = operator.under_lease(&subject, unlink).await?;
    console.say(match &link {
        Some(link) => format!(
            "Okta user {user} and Anypoint user {} are unlinked; neither was changed.",
            link.anypoint_id
        ),
        None => format!("Okta user {user} was not linked."),
    })?;
    console.emit(&json!({"okta_user": user, "unlinked": link}))?;
    Ok(Exit::Done)
}

pub async fn reset_email(args: &ResetArgs, console: &Console) -> Result<Exit> {
    let operator = args.table.open(Access::Write).await?;
    operator.refuse_unless_applying().await?;
    let deadline = Deadline::within(LOOK_TIME);
    let user = names::user(&operator, &args.user).await?;
    let subject = Subject::User(user.clone());
    operator.refuse_excluded(&subject, deadline).await?;
    let ask = async |lease: &Lease| {
        let (link, account) = account_to_mail(&operator, &user, deadline).await?;
        operator
            .ports
            .anypoint
            .mail_password_reset(&account.username, deadline)
            .await?;
        let entry = AuditEntry {
            id: Some(account.id.to_string()),
            username: Some(account.username.clone()),
            ..by_hand(lease, "mail_reset")
        };
        // The mail is on its way, and in the audit trail, whatever becomes of the link.
        let settled = settle_mail(&operator, lease, &user, &link).await;
        Ok(((account, settled), Some(entry)))
    };
    let (account, settled) = operator.under_lease(&subject, ask).await?;
    settled.context(
        "the mail was asked for, but that could not be recorded: a later run may ask again",
    )?;
    console.say(format!(
        "Anypoint was asked to mail a password reset link to user {}.",
        account.id
    ))?;
    console.emit(&json!({"okta_user": user, "anypoint_id": account.id, "asked": true}))?;
    Ok(Exit::Done)
}

/// The link of a user, and the account, which somebody can sign in to.
async fn account_to_mail(
    operator: &Operator,
    user: &OktaUserId,
    deadline: Deadline,
) -> Result<(UserLink, Account)> {
    let Some(link) = operator.ports.store.user_link(user).await? else {
        bail!(
            "Okta user {user} has no linked Anypoint user; `okta-anypoint explain {user}` says why"
        );
    };
    let anypoint = &operator.ports.anypoint;
    let Some(account) = anypoint.account(&link.anypoint_id, deadline).await? else {
        bail!(
            "Anypoint user {} is gone; `okta-anypoint push {user}` makes the account again if it is \
             wanted",
            link.anypoint_id
        );
    };
    if !account.is_enabled() {
        bail!(
            "Anypoint user {} is disabled and could not sign in; `okta-anypoint explain {user}` says \
             why",
            account.id
        );
    }
    Ok((link, account))
}

/// A mail that was owed is sent now: no later run asks for it.
async fn settle_mail(
    operator: &Operator,
    lease: &Lease,
    user: &OktaUserId,
    link: &UserLink,
) -> Result<()> {
    if link.reset_mail == ResetMail::Settled {
        return Ok(());
    }
    let settled = UserLink {
        reset_mail: ResetMail::Settled,
        ..link.clone()
    };
    let store = &operator.ports.store;
    store
        .link_user(lease, user, &settled, Some(link), Memo::Keep)
        .await?;
    Ok(())
}
