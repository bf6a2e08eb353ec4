//! Conversations: Okta changes, events are delivered, Anypoint must agree.

mod adoption;
mod budgets;
mod converge;
mod faults;
mod groups;
mod members;
mod overtaken;
mod peers;
mod teams;
mod teams_meanwhile;
mod users;
