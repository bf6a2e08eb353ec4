//! Stateful stand-ins for Okta and for Anypoint Platform, spoken to over plain HTTP.
//!
//! They serve the demo, the tests, `sam local`, and anybody who wants to try an integration without two tenants. Each is a
//! plain model (a *world*) behind a real HTTP server:
//!
//! | part | plays |
//! |---|---|
//! | [`okta::OktaSimulator`] | an Okta org: users, groups, apps and assignments, System Log, event hooks (which it really calls) |
//! | [`anypoint::AnypointSimulator`] | one Anypoint control plane with one organization: users, teams, members, tokens, recovery mail |
//! | [`traffic::Traffic`] | what was asked of a server, and what of it the vendor does not document |
//! | [`fault::Fault`] | a fault or a lie to play: which requests it strikes, what it makes of their answers, how often, how long |
//! | [`cell::WorldGuard`] | the world itself, for tests that set it up with verbs or look at it |
//!
//! A test sets a world up with verbs (`create_user`, `assign`, …), lets the program under test talk to
//! [`base_url`](okta::OktaSimulator::base_url), and looks at the world again. A request outside the vendors' documents is
//! answered like the vendor would and also noted in [`Traffic::unexpected`](traffic::Traffic::unexpected), so that a test
//! can end by asserting that there were none.
//!
//! ```
//! use okta_anypoint::simulator::okta::{OktaOptions, OktaSimulator};
//! use okta_anypoint::simulator::fault::Fault;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let okta = OktaSimulator::start("127.0.0.1:0".parse()?, OktaOptions::default()).await?;
//! okta.world().add_app("0oaAPP1", "Anypoint Platform");
//! let user = okta.world().create_user("ada@acme.example", "Ada", "Lovelace", "ada@acme.example", None)?;
//! // What a hook would be sent for the assignment.
//! let events = okta.world().assign("0oaAPP1", &user.id)?;
//! let delivery = okta.world().delivery(&events);
//! assert_eq!(delivery["eventType"], "com.okta.event_hook");
//! // The next read of users fails; then the program under test is let loose on `okta.base_url()`.
//! okta.traffic().inject(Fault::status("/api/v1/users", 503, "").once());
//! assert!(okta.traffic().unexpected().is_empty());
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Identifiers are strings, as on the wire. Of the rest of the crate only the set-up of the HTTP client is used, for deliveries.
//!
//! # Not simulated
//!
//! Okta's authorization servers beyond tokens for service apps, rate limits by count (play them with a
//! [`fault`](fault::Fault)), group push mappings, group rules, admin roles, Anypoint permissions of teams, invitations,
//! single sign-on itself and audit logs. Where the vendors' documents leave an answer open, the doc comment of the function
//! says which one was chosen.

pub mod anypoint;
pub mod cell;
pub mod clock;
pub mod fault;
pub mod okta;
pub mod server;
pub mod traffic;

mod call;
mod control;
mod index;
mod outcome;

#[cfg(test)]
mod tests;
