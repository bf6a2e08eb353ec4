//! `ready`: what a container's health check asks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::console::{Console, Exit};

/// A program that does not answer within this is not ready.
const TIME: Duration = Duration::from_secs(3);
/// The most that is read of an answer.
const MAX_BYTES: u64 = 4096;

/// Ask a running `serve` whether it takes deliveries.
///
/// Exits 0 if it does, else 1. For the health check of a container, which has no other program to ask with.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
                       okta-anypoint ready\n  \
                       okta-anypoint ready --status 127.0.0.1:9000")]
pub struct Args {
    /// Where `serve` shows its status page.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8088")]
    status: SocketAddr,
}

pub fn run(args: &Args, console: &Console) -> Result<Exit> {
    let answer =
        ask(args.status).with_context(|| format!("`serve` does not answer at {}", args.status))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ready = head.split(' ').nth(1) == Some("200");
    console.say(body.trim())?;
    console.emit(&json!({"ready": ready, "answer": body.trim()}))?;
    Ok(if ready { Exit::Done } else { Exit::Problem })
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIME)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.set_write_timeout(Some(TIME))?;
    let request = format!("GET /ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}
