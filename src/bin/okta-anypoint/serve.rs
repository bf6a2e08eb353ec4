//! The whole product without AWS.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use okta_anypoint::serve::{Intervals, Options, Ready, Settings, StatusAddress};
use okta_anypoint::settings::{
    self, EngineSettings, HookSettings, Needs, ScheduleSettings, is_loopback,
};
use okta_anypoint::telemetry::start_logging;
use serde_json::json;
use url::Url;

use crate::console::{Console, Exit, Tone, Usage};
use crate::stop::told_to_stop;
use crate::table::{UsualFile, reader};
use crate::time::duration;

/// Run receiver, queue, worker and schedules on one embedded database file.
///
/// Okta calls https:// addresses only: put a proxy that terminates TLS in front of --listen, and
/// register its address with `okta-anypoint hook register --url URL`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Settings: HOOK_SECRET, OKTA_ORG_URL, OKTA_APP_ID, OKTA_API_TOKEN, \
    ANYPOINT_ORG_ID, ANYPOINT_CLIENT_ID, ANYPOINT_CLIENT_SECRET; the rest has defaults.\n\n\
    Ctrl-C or SIGTERM stops in good order. Any other end loses nothing either.\n\n\
    Examples:\n  \
    okta-anypoint serve --data /var/lib/okta-anypoint/okta-anypoint.db\n  \
    okta-anypoint serve --url https://hooks.acme.example/okta\n  \
    curl -f http://127.0.0.1:8088/ready"
)]
pub struct Args {
    /// Where to listen for Okta's deliveries.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    file: UsualFile,
    /// Where to show the status page, /health and /ready [default: 127.0.0.1:8088 if it is free, else off].
    #[arg(long, value_name = "ADDR")]
    status: Option<SocketAddr>,
    /// Show no status page.
    #[arg(long, conflicts_with = "status")]
    no_status: bool,
    /// Allow a --status address that other machines can reach. The page has no password: let a firewall
    /// or a proxy decide who may read it.
    #[arg(long, conflicts_with = "no_status")]
    expose_status: bool,
    /// The address that Okta calls, if a proxy is in front: only for what is printed at the start.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How often the System Log is read for missed events (5m, 1h, …, or off).
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval)]
    catch_up_every: Every,
    /// How often everything is compared.
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = interval)]
    reconcile_every: Every,
    /// How often Anypoint is searched for people to bring to Okta [default: 1d when IMPORT_MODE is
    /// set to report, link or create, else off].
    #[arg(long, value_name = "TIME", value_parser = interval)]
    import_every: Option<Every>,
}

/// A time between runs; `None` is never.
#[derive(Debug, Clone, Copy)]
struct Every(Option<Duration>);

/// Where the status page is shown without `--status`.
const USUAL_STATUS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8088);

/// Starts, works until told to stop.
pub async fn run(args: Args, console: &Console) -> anyhow::Result<Exit> {
    let exposed = args.status.filter(|address| !address.ip().is_loopback());
    if let Some(address) = exposed
        && !args.expose_status
    {
        return Err(Usage(format!(
            "--status {address} shows the status page, which has no password, to anybody who can reach that address. Add \
             --expose-status if a firewall or a proxy decides who may, or name a loopback address"
        ))
        .into());
    }
    let (settings, deciding) = settings().await?;
    start_logging();
    if exposed.is_some() {
        tracing::warn!("the status page has no password, and other machines can reach its address");
    }
    let options = Options {
        listen: args.listen,
        status: match args.status {
            _ if args.no_status => StatusAddress::Off,
            Some(address) => StatusAddress::At(address),
            None => StatusAddress::IfFree(USUAL_STATUS),
        },
        data: args.file.data,
        intervals: Intervals {
            catch_up: args.catch_up_every.0,
            reconcile: args.reconcile_every.0,
            import: args.import_every.unwrap_or_else(import_interval).0,
        },
        deciding,
    };
    // From here on a signal ends the program in good order.
    let told_to_stop = told_to_stop()?;
    let ready = Ready::new(&options, &settings).await?;
    let org = &settings.engine.remotes.okta.org_url;
    announce(&ready, &options, args.url.as_deref(), org, console)?;
    ready.run(told_to_stop).await?;
    console.say("stopped")?;
    Ok(Exit::Done)
}

async fn settings() -> anyhow::Result<(Settings, BTreeMap<String, String>)> {
    let mut reader = reader(Needs::BOTH).await?;
    let deciding = settings::deciding(&reader);
    let hook = HookSettings::read(&mut reader);
    let engine = EngineSettings::read(&mut reader);
    let schedule = ScheduleSettings::read(&mut reader);
    let all = hook.zip(engine).zip(schedule);
    let settings = all.map(|((hook, engine), schedule)| Settings {
        hook,
        engine,
        schedule,
    });
    Ok((reader.finish(settings)?, deciding))
}

/// Imports run only if `IMPORT_MODE` is set.
fn import_interval() -> Every {
    let mode = okta_anypoint::settings::Reader::from_env().optional("IMPORT_MODE");
    let asked_for = mode.is_some_and(|mode| mode != "off");
    Every(asked_for.then_some(Duration::from_secs(24 * 60 * 60)))
}

/// Says where everything is, and what Okta needs to get here.
fn announce(
    ready: &Ready,
    options: &Options,
    url: Option<&str>,
    org: &Url,
    console: &Console,
) -> anyhow::Result<()> {
    let listens = format!("http://{}/", ready.hook_address()?);
    let status = ready.status_address()?;
    let status = status.map(|address| format!("http://{address}/"));
    let register = url.unwrap_or(&listens);
    // A simulated Okta on this machine calls plain HTTP, too.
    let both_here = is_loopback(org) && Url::parse(register).is_ok_and(|url| is_loopback(&url));
    let reachable = register.starts_with("https://") || both_here;
    console.say_lines([
        format!("data     {}", options.data.display()),
        format!("listens  {listens}"),
        format!("status   {}", status.as_deref().unwrap_or("off")),
        format!("register {register}"),
    ])?;
    if reachable {
        console.say_whole(format!(
            "         okta-anypoint hook register --url {register}"
        ))?;
    } else {
        let text = "Okta cannot call this address: it calls https:// only. Put a proxy that terminates TLS in front, \
                    and name its address with --url https://….";
        console.say_indented(9, console.paint(Tone::Bad, text))?;
    }
    console.emit(&json!({
        "data": options.data.display().to_string(),
        "listens": listens,
        "register": register,
        "reachable_for_okta": reachable,
        "status": status,
    }))
}

/// `off`, or a time that is not zero.
fn interval(text: &str) -> Result<Every, String> {
    if text == "off" {
        return Ok(Every(None));
    }
    match duration(text) {
        Ok(time) if !time.is_zero() => Ok(Every(Some(time))),
        _ => Err("expected `off`, or a time like 90s, 5m, 6h or 1d".to_owned()),
    }
}
