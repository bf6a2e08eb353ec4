//! `simulate`: both simulators as plain HTTP servers.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::okta::{OktaOptions, OktaSimulator};
use okta_anypoint::simulator::traffic::{RecordedRequest, Traffic};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::console::{Console, Exit, Usage};
use crate::demo::{self, Worlds};
use crate::stop::told_to_stop;

/// How often new deliveries are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// After a change the state is saved this much later, with what came meanwhile.
const SETTLE: Duration = Duration::from_millis(200);

/// Serve a simulated Okta and a simulated Anypoint until Ctrl-C.
///
/// Both keep state, check requests as strictly as the vendors say, and show each request as it comes.
/// Event hooks that are registered in the simulated Okta are verified and really called. Without a
/// state file, or when it does not exist yet, a small world is there: the app 0oaANYPOINT1demo with
/// the group Integrators and Ada assigned, and Grace, Katherine and Mallory, who are not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Change the simulated Okta through its API, as an administrator's tools do:
  okta=http://127.0.0.1:8081/api/v1; auth='authorization: SSWS simulated-okta-token'
  # assign Grace to the app
  curl -sH \"$auth\" -H 'content-type: application/json' $okta/apps/0oaANYPOINT1demo/users \\
    -d '{\"id\":\"00uGRACE00000002\",\"scope\":\"USER\",\"credentials\":{\"userName\":\"grace_hopper\"}}'
  # change a name, suspend, put into a group
  curl -sH \"$auth\" -H 'content-type: application/json' $okta/users/00uGRACE00000002 \\
    -d '{\"profile\":{\"lastName\":\"Murray Hopper\"}}'
  curl -sH \"$auth\" -X POST -H 'content-length: 0' $okta/users/00uGRACE00000002/lifecycle/suspend
  curl -sH \"$auth\" -X PUT -H 'content-length: 0' $okta/groups/00gINTEGRATORS1/users/00uGRACE00000002
  # what Okta wrote into its System Log
  curl -sH \"$auth\" \"$okta/logs?limit=100\"

Play faults and lies on either side, without a token (more: GET /_simulator):
  sim=http://127.0.0.1:8081/_simulator
  # for a minute, Okta answers 404 for Grace, in its own words
  curl -s $sim/faults -d '{\"path\":\"/api/v1/users/*\",\"about\":\"00uGRACE00000002\",
    \"kind\":{\"not_found\":\"service\"},\"lasts_ms\":60000}'
  # the next two lists of members are empty, as for a caller without the right
  curl -s $sim/faults -d '{\"path\":\"/api/v1/groups/*/users\",\"kind\":\"empty_list\",\"times\":2}'
  # how often each struck; take all away; let an hour pass; change the state by a merge patch
  curl -s $sim/faults
  curl -sX DELETE $sim/faults
  curl -s $sim/clock -d '{\"advance_ms\":3600000}'
  curl -sX PATCH $sim/world -d '{\"oauth\":{\"token_lifetime_s\":60}}'
A fault: path (contained, or whole with *), about (an id in the path), method, skip, times, lasts_ms,
moment (before_effect, after_effect), and one kind:
  \"empty_list\"  {\"lacks\":[ID…]}  {\"not_found\":FORM}  {\"member_lag_ms\":N}  \"frozen\"  \"stale_read\"
  {\"refused\":HOW}  {\"token_dies\":HOW}  {\"call_budget\":{\"calls\":N,\"window_ms\":60000}}
  {\"status\":{\"code\":N,\"headers\":[[NAME,VALUE]…],\"body\":TEXT}}  {\"delay_ms\":N}  \"drop_connection\"
  \"truncated_body\"  {\"slow_body_ms\":N}  \"wrong_json\"  {\"short_page\":N}  {\"pages_above\":N}  \"lost_item\"
  {\"links\":\"raw_byte|no_bracket|two_relations|circle|drop_expand\"}  {\"rate_headers\":\"twice|list\"}
  {\"changed\":{\"id\":ID,\"pointer\":PATH,\"value\":JSON}}  {\"removed\":{\"id\":ID,\"pointer\":PATH}}
FORM is service, empty, object, no_route or text; HOW is credentials, session, right or sign_in.

Examples:
  okta-anypoint simulate
  okta-anypoint simulate --okta 127.0.0.1:7001 --anypoint 127.0.0.1:7002 --state world.json")]
pub struct Args {
    /// Where Okta listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    okta: SocketAddr,
    /// Where Anypoint listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    anypoint: SocketAddr,
    /// A JSON file to load both worlds from and to save them to, on every change and at the end.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub async fn run(args: Args, console: &Console) -> Result<Exit> {
    let worlds = match &args.state {
        Some(file) => load(file)?,
        None => small_world()?,
    };
    // Before the servers: a signal that comes while they start is not missed.
    let stop = told_to_stop()?;
    let (okta, anypoint) = start(&args, worlds).await?;
    if let Some(file) = &args.state {
        save(file, &okta, &anypoint)?;
    }
    opening(console, &okta, &anypoint)?;

    let changed = Arc::new(Notify::new());
    watch(console, "okta", okta.traffic(), &changed);
    watch(console, "anypoint", anypoint.traffic(), &changed);
    tokio::pin!(stop);
    let mut shown = 0;
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = changed.notified() => {
                tokio::time::sleep(SETTLE).await;
                if let Some(file) = &args.state {
                    save(file, &okta, &anypoint)?;
                }
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        shown = deliveries(console, &okta, shown)?;
    }
    if let Some(file) = &args.state {
        save(file, &okta, &anypoint)?;
    }
    okta.stop().await;
    anypoint.stop().await;
    Ok(Exit::Done)
}

async fn start(args: &Args, worlds: Worlds) -> Result<(OktaSimulator, AnypointSimulator)> {
    let taken = |side: &str, option: &str, address: SocketAddr| {
        format!("{side} cannot listen on {address}; name another address with {option}")
    };
    let okta = OktaOptions {
        world: worlds.okta,
        deliver: true,
        ..OktaOptions::default()
    };
    let okta = OktaSimulator::start(args.okta, okta)
        .await
        .with_context(|| taken("the simulated Okta", "--okta", args.okta))?;
    let anypoint = AnypointOptions {
        world: worlds.anypoint,
        ..AnypointOptions::default()
    };
    let anypoint = AnypointSimulator::start(args.anypoint, anypoint)
        .await
        .with_context(|| taken("the simulated Anypoint", "--anypoint", args.anypoint))?;
    Ok((okta, anypoint))
}

fn small_world() -> Result<Worlds> {
    let mut worlds = demo::first_worlds()?;
    let okta = &mut worlds.okta;
    for id in [demo::ADA, demo::GRACE, demo::KATHERINE] {
        okta.activate(id)?;
    }
    okta.set_password(demo::GRACE)?;
    okta.assign_with_username(demo::APP, demo::ADA, "ada_lovelace")?;
    okta.add_member(demo::INTEGRATORS, demo::ADA)?;
    okta.assign_group(demo::APP, demo::INTEGRATORS)?;
    Ok(worlds)
}

/// Read as an object first: serde takes a list for a struct as well.
fn read(text: &str) -> serde_json::Result<Worlds> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    serde_json::from_value(object.into())
}

fn load(file: &Path) -> Result<Worlds> {
    match std::fs::read_to_string(file) {
        Ok(text) => read(&text).map_err(|error| {
            let text = format!(
                "{} is not a state of the simulators ({error}); fix it, or name a file that does not \
                 exist yet",
                file.display()
            );
            Usage(text).into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => small_world(),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Writes beside the file and renames: it is whole at any moment.
fn save(file: &Path, okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Result<()> {
    let text = serde_json::to_string_pretty(&Worlds {
        okta: okta.world().clone(),
        anypoint: anypoint.world().clone(),
    })?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&beside)
        .and_then(|mut handle| {
            handle
                .write_all(text.as_bytes())
                .and_then(|()| handle.sync_all())
        })
        .and_then(|()| std::fs::rename(&beside, file));
    written.with_context(|| format!("the state cannot be saved to {}", file.display()))
}

fn opening(console: &Console, okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Result<()> {
    let settings = demo::settings(okta, anypoint);
    console.emit_line(&json!({"settings": BTreeMap::from(settings.clone())}))?;
    console.say(format!(
        "A simulated Okta at {}, a simulated Anypoint at {}. Settings to talk to them:",
        okta.base_url(),
        anypoint.base_url()
    ))?;
    console.say_gap()?;
    for (name, value) in &settings {
        console.say_whole(format!("export {name}={value}"))?;
    }
    let (users, groups) = {
        let world = okta.world();
        (world.users.len(), world.groups.len())
    };
    let (accounts, teams) = {
        let world = anypoint.world();
        (world.users.len(), world.teams.len().saturating_sub(1))
    };
    console.say_gap()?;
    console.say(format!(
        "Okta has {users} users and {groups} groups; Anypoint has {accounts} users and {teams} teams besides the root team."
    ))?;
    console.say("How to change them: okta-anypoint simulate --help. Ctrl-C stops.")?;
    console.say_gap()
}

/// Shows requests as they come. With no reader left there is nobody to show them to.
fn watch(console: &Console, side: &'static str, traffic: &Traffic, changed: &Arc<Notify>) {
    let (console, changed) = (*console, Arc::clone(changed));
    traffic.on_request(move |request: &RecordedRequest| {
        let query: Vec<String> = request
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let query = match query.as_slice() {
            [] => String::new(),
            query => format!("?{}", query.join("&")),
        };
        let _ = console.say_whole(format!(
            "{side:<9}{:<7}{}{query}  {}  {} ms",
            request.method.as_str(),
            request.path,
            request.status,
            request.took_ms
        ));
        let _ = console.emit_line(&json!({
            "side": side,
            "method": request.method.as_str(),
            "path": request.path,
            "query": request.query,
            "status": request.status,
            "took_ms": request.took_ms,
            "unexpected": request.unexpected,
        }));
        for unexpected in &request.unexpected {
            let _ = console.say(format!(
                "{side:<9}not in the vendor's documents: {unexpected}"
            ));
        }
        if request.method != "GET" {
            changed.notify_one();
        }
    });
}

/// Shows deliveries that were not shown yet; says how many there are now.
fn deliveries(console: &Console, okta: &OktaSimulator, shown: usize) -> Result<usize> {
    let all = okta.deliveries();
    for delivery in all.iter().skip(shown) {
        let answer = delivery
            .status
            .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        console.say(format!(
            "okta     delivers {} event(s) to hook {}: {answer}, {} attempt(s), {} ms",
            delivery.event_uuids.len(),
            delivery.hook_id,
            delivery.attempts,
            delivery.took_ms
        ))?;
        console.emit_line(&json!({
            "side": "okta",
            "delivery": {
                "hook": delivery.hook_id,
                "events": delivery.event_uuids,
                "status": delivery.status,
                "attempts": delivery.attempts,
                "took_ms": delivery.took_ms,
            },
        }))?;
    }
    Ok(all.len())
}
