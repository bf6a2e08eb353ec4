//! Conversations: Okta changes, events are delivered, Anypoint must agree.

mod budgets;
mod converge;
mod faults;
mod groups;
mod meanwhile;
mod names;
mod overtaken;
mod peers;
mod refused;
mod users;
