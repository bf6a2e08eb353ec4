//! `okta-anypoint`: for operators, and for running without AWS. One file per command.

mod completions;
mod console;
mod demo;
mod events;
mod explain;
mod hook;
mod link;
mod names;
mod outlook;
mod remote;
mod replay;
mod serve;
mod simulate;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use okta_anypoint::telemetry::start_logging_for_people;

use console::{Console, Verdict, report};

/// Provisions people and teams from Okta into MuleSoft Anypoint Platform.
#[derive(Debug, Parser)]
#[command(
    name = "okta-anypoint",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_long_help = "Settings come from the environment, the same variables as on Lambda.\n\
                       Exit codes: 0 done; 1 a problem was found or the work failed; 2 wrong usage \
                       or settings.\n\n\
                       Examples:\n  \
                       okta-anypoint demo\n  \
                       okta-anypoint doctor\n  \
                       okta-anypoint events --failed\n  \
                       okta-anypoint explain ada.lovelace@acme.example"
)]
struct Cli {
    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Simulate(simulate::Args),
    Serve(serve::Args),
    Events(events::Args),
    Replay(replay::ReplayArgs),
    Explain(explain::Args),
    Push(replay::PushArgs),
    Link(link::LinkArgs),
    Unlink(link::UnlinkArgs),
    ResetEmail(link::ResetArgs),
    Hook(hook::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new(cli.json);
    // The demo tells of refused requests itself.
    let level = match cli.command {
        Command::Demo(_) => "error",
        _ => "warn",
    };
    start_logging_for_people(level);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(error.into()), &console),
    };
    let outcome = runtime.block_on(run(cli.command, &console));
    report(outcome, &console)
}

async fn run(command: Command, console: &Console) -> anyhow::Result<Verdict> {
    match command {
        Command::Demo(demo::Args {}) => demo::run(console).await,
        Command::Simulate(args) => simulate::run(args, console).await,
        Command::Serve(args) => serve::run(args, console).await,
        Command::Events(args) => events::run(&args, console).await,
        Command::Replay(args) => replay::replay(&args, console).await,
        Command::Explain(args) => explain::run(&args, console).await,
        Command::Push(args) => replay::push(&args, console).await,
        Command::Link(args) => link::link(&args, console).await,
        Command::Unlink(args) => link::unlink(&args, console).await,
        Command::ResetEmail(args) => link::reset_email(&args, console).await,
        Command::Hook(args) => hook::run(&args, console).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}
