//! Shell completions.

use clap_complete::Shell;

use crate::console::Exit;

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
                       okta-anypoint completions bash > /etc/bash_completion.d/okta-anypoint\n  \
                       okta-anypoint completions zsh > \"${fpath[1]}/_okta-anypoint\"\n  \
                       okta-anypoint completions fish > ~/.config/fish/completions/okta-anypoint.fish")]
pub struct Args {
    /// The shell.
    shell: Shell,
}

pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "okta-anypoint", &mut script);
    crate::console::write(&script)?;
    Ok(Exit::Done)
}
