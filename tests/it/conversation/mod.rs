//! Conversations: Okta changes, events are delivered, Anypoint must agree.

mod faults;
mod groups;
mod peers;
mod users;
