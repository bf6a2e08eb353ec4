//! The one integration-test binary. `tools/setup` brings the servers it starts.
//!
//! Run it with `cargo test --test it`: the servers are started once a process and shared by its
//! threads. (nextest gives every test a process, and with it a Java machine.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod audited;
mod auth;
mod aws;
mod cli;
mod conversation;
mod faults;
mod harness;
mod hook;
mod ledger;
mod network;
mod planted;
mod properties;
mod queue;
mod queued;
mod remotes;
mod runtime_api;
mod schedule;
mod schema;
mod serve;
mod servers;
mod store;
mod world;

// The load bench takes `serve/rig.rs` alone, so that the module is declared there.
use serve::tenant;
