//! `hook register`, `status`, `rotate` and `remove`: the event hook in Okta.

mod judge;
mod register;
mod remove;
mod rotate;

use anyhow::{Result, anyhow};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::okta::{EventHook, Filtering, Okta};
use okta_anypoint::settings::{Needs, app_id, is_loopback};
use serde_json::{Value, json};
use url::Url;

use crate::console::{Console, Exit, Tone, Usage};
use crate::remote;
use crate::table::LOOK_TIME;

use judge::Judgement;
pub use judge::judge;

/// The name under which the hook is registered and found again.
pub const NAME: &str = "okta-anypoint";

/// Register the event hook in Okta, show its state, change its secret, or remove it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The hook's name in Okta.
    #[arg(long, global = true, default_value = NAME)]
    name: String,
    #[command(subcommand)]
    command: HookCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HookCommand {
    /// Create or update the event hook with exactly the event types that act, and verify it.
    ///
    /// Where the org has event hook filters, Okta sends only the assignments of this app. If the org has no
    /// filters, the command says so. Safe to run again: a hook of the same name or URL is updated, never duplicated. Run it again
    /// after HOOK_SECRET changed (the receiver accepts HOOK_SECRET_PREVIOUS meanwhile). Exits 1 if
    /// Okta could not verify it: then it delivers nothing.
    #[command(after_long_help = "\
Settings: OKTA_ORG_URL, OKTA_APP_ID, OKTA_API_TOKEN or the service app, HOOK_SECRET and, if the receiver has it, \
HOOK_AUTH_HEADER. The API token must be of an admin who may manage event hooks; a service app needs \
okta.eventHooks.manage.

With --json: what `hook status` prints, with \"done\": \"created\" | \"updated\" and \"no_filter\": why there is no filter.

Examples:
  okta-anypoint hook register --url https://hooks.acme.example/okta
  # rotate the secret: first the receiver accepts both, then Okta sends the new one
  HOOK_SECRET=new HOOK_SECRET_PREVIOUS=old okta-anypoint serve &
  HOOK_SECRET=new okta-anypoint hook register --url https://hooks.acme.example/okta")]
    Register {
        /// The address of the receiver; Okta calls https:// only.
        #[arg(long, value_parser = address)]
        url: Url,
    },
    /// Change the secret in Secrets Manager and in Okta, and verify the hook with it.
    ///
    /// The value before it stays good until the next rotation, for deliveries that are under way. After a leak
    /// use --leaked: it rotates twice, so that nothing accepts the leaked value any more.
    #[command(after_long_help = "\
Settings: HOOK_SECRET_ARN (and not HOOK_SECRET), OKTA_ORG_URL, OKTA_APP_ID, OKTA_API_TOKEN or the service app and, if the \
receiver has it, HOOK_AUTH_HEADER. The AWS credentials need secretsmanager:GetSecretValue and PutSecretValue on \
that secret.

With --json: the hook as `hook register` prints it, once for each rotation.

Examples:
  okta-anypoint hook rotate
  okta-anypoint hook rotate --leaked")]
    Rotate {
        /// The present value is known to others.
        #[arg(long)]
        leaked: bool,
    },
    /// Show the hook: where it delivers to, whether it is on and verified, its event types and its filter.
    #[command(after_long_help = "\
Settings: OKTA_ORG_URL, OKTA_APP_ID, and OKTA_API_TOKEN or the service app.

With --json: {\"id\", \"name\", \"url\", \"header\", \"active\", \"verified\", \"event_types\", \"missing\", \
\"superfluous\", \"filter\": \"this_app\" | \"every_app\" | \"other\", \"problems\", \"advice\"}. Exits 1 if it does not deliver everything that is needed.

Examples:
  okta-anypoint hook status")]
    Status,
    /// Deactivate and delete the event hook in Okta. Nothing else changes, in Okta, Anypoint or the table.
    ///
    /// It refuses a hook that is also subscribed to event types of others. Without a hook of that name there
    /// is nothing to do, and it exits 0.
    #[command(after_long_help = "\
Settings: OKTA_ORG_URL, and OKTA_API_TOKEN or the service app. The API token must be of an admin who may manage \
event hooks; a service app needs okta.eventHooks.manage.

With --json: {\"done\": \"removed\" | \"absent\", \"id\", \"name\", \"url\"}.

Examples:
  okta-anypoint hook remove")]
    Remove,
}

pub async fn run(args: &Args, console: &Console) -> Result<Exit> {
    let deadline = Deadline::within(LOOK_TIME);
    let name = &args.name;
    match &args.command {
        HookCommand::Register { url } => {
            let access = remote::hook_access().await?;
            register::register(&access, url, name, deadline, console).await
        }
        HookCommand::Rotate { leaked } => {
            let reason = match leaked {
                true => rotate::Reason::Leaked,
                false => rotate::Reason::Routine,
            };
            rotate::rotate(name, reason, console).await
        }
        HookCommand::Status => {
            let (okta, app) = remote::okta_and(Needs::CREDENTIALS, app_id).await?;
            status(&okta, &app, name, deadline, console).await
        }
        HookCommand::Remove => {
            let (okta, ()) = remote::okta_and(Needs::CREDENTIALS, |_| Some(())).await?;
            remove::remove(&okta, name, deadline, console).await
        }
    }
}

fn named<'a>(hooks: &'a [EventHook], name: &str) -> Vec<&'a EventHook> {
    hooks.iter().filter(|hook| hook.name == name).collect()
}

/// The one hook of that name.
fn the_hook<'a>(hooks: &'a [EventHook], name: &str) -> Result<&'a EventHook> {
    match named(hooks, name).as_slice() {
        [hook] => Ok(hook),
        [] => Err(anyhow!(
            "Okta has no event hook named \"{name}\"; `okta-anypoint hook register --url URL` makes it"
        )),
        found => Err(several(found, name)),
    }
}

fn several(found: &[&EventHook], name: &str) -> anyhow::Error {
    let ids: Vec<&str> = found.iter().map(|hook| hook.id.as_str()).collect();
    anyhow!(
        "Okta has {} event hooks named \"{name}\": {}; every event comes more than once; delete all but one in Okta",
        ids.len(),
        ids.join(", ")
    )
}

async fn status(
    okta: &Okta,
    app: &OktaAppId,
    name: &str,
    deadline: Deadline,
    console: &Console,
) -> Result<Exit> {
    let hooks = okta.event_hooks(deadline).await?;
    let hook = the_hook(&hooks, name)?;
    let judged = judge(hook, app);
    show(hook, &judged, console)?;
    if let Some(advice) = &judged.advice {
        console.say_gap()?;
        console.say(advice)?;
    }
    console.emit(&machine(hook, &judged))?;
    Ok(Exit::with_problems(judged.problems.len()))
}

fn show(hook: &EventHook, judged: &Judgement, console: &Console) -> Result<()> {
    let state = |is: bool, yes: &'static str, no: &'static str| {
        if is {
            console.paint(Tone::Good, yes)
        } else {
            console.paint(Tone::Bad, no)
        }
    };
    console.say_lines([
        format!("  id        {}", hook.id),
        format!("  name      {}", hook.name),
        format!("  url       {}", hook.url()),
        format!("  header    {}", hook.auth_header().unwrap_or("none")),
        format!(
            "  state     {}, {}",
            state(hook.is_active(), "ACTIVE", "INACTIVE"),
            state(hook.is_verified(), "VERIFIED", "UNVERIFIED")
        ),
        format!(
            "  events    {} of the {} that are needed",
            HOOK_EVENT_TYPES.len() - judged.missing.len(),
            HOOK_EVENT_TYPES.len()
        ),
        format!("  filter    {}", filter_text(&judged.filtering)),
    ])?;
    for problem in &judged.problems {
        let problem = console.paint(Tone::Bad, format!("!! {problem}"));
        console.say_behind("  ", 5, problem)?;
    }
    Ok(())
}

/// What a filter does, in a few words.
pub fn filter_text(filtering: &Filtering) -> &'static str {
    match filtering {
        Filtering::ThisApp => "assignments of this app only",
        Filtering::EveryApp => "none: assignments of every app",
        Filtering::Other(_) => "another one",
    }
}

fn machine(hook: &EventHook, judged: &Judgement) -> Value {
    json!({
        "id": hook.id,
        "name": hook.name,
        "url": hook.url(),
        "header": hook.auth_header(),
        "active": hook.is_active(),
        "verified": hook.is_verified(),
        "event_types": hook.event_types(),
        "missing": judged.missing,
        "superfluous": judged.superfluous,
        "filter": judged.filter_word(),
        "problems": judged.problems,
        "advice": judged.advice,
    })
}

/// An address that Okta can call; plain HTTP on loopback is for the simulated Okta.
fn address(text: &str) -> Result<Url, Usage> {
    let url = Url::parse(text)
        .map_err(|_| Usage("expected the receiver's whole address, https://…".to_owned()))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(Usage(
            "Okta calls https:// addresses only (http:// is for the simulator on a loopback host)"
                .to_owned(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Usage(
            "the address must have no user, password or fragment; the secret goes into HOOK_SECRET"
                .to_owned(),
        ));
    }
    Ok(url)
}
