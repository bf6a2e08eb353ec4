//! The one integration-test binary. `tools/setup` brings the servers it starts.
//!
//! Run it with `cargo test --test it`: the servers are started once a process and shared by its
//! threads. (nextest gives every test a process, and with it a Java machine.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

/// Runs each test of a module on each adapter: `module [adapter, …] test, …`. The module has a function of
/// that name, which makes the adapter's world.
macro_rules! on_every {
    ($module:ident [$($adapter:ident),+] $($test:ident),+ $(,)?) => {
        on_every!(@ $module [$($adapter),+] [$($test),+]);
    };
    (@ $module:ident [$($adapter:ident),+] $tests:tt) => {
        $(on_every!(@@ $module $adapter $tests);)+
    };
    (@@ $module:ident $adapter:ident [$($test:ident),+]) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::$module::$adapter().await).await;
                }
            )+
        }
    };
}

mod audited;
mod auth;
mod aws;
mod cli;
mod conversation;
mod dynamodb_faults;
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
mod tenant;
mod world;
