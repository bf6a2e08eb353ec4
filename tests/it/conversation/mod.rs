//! Conversations: Okta changes, events are delivered, Anypoint must agree.

mod adoption;
pub mod attributes;
mod budgets;
mod converge;
mod evidence;
mod evidence_queued;
mod faults;
mod groups;
mod joins;
mod meanwhile;
mod members;
mod names;
mod notes;
mod overtaken;
mod peers;
mod refused;
mod safely;
mod strange;
mod teams;
mod teams_meanwhile;
mod users;
