//! Conversations: Okta changes, the test delivers the events, and Anypoint must be in sync.

mod absent_queued;
mod adoption;
mod announced_queued;
pub mod attributes;
mod budgets;
mod conflicts;
mod evidence;
mod evidence_queued;
mod faults;
mod first_hour;
mod groups;
mod intents;
mod joins;
mod late_writes;
mod meanwhile;
mod members;
mod names;
mod peers;
mod queued;
mod refusals;
mod strange_answers;
mod take_over;
mod teams;
mod teams_meanwhile;
mod users;
