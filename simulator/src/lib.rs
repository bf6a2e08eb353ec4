#![doc = include_str!("../README.md")]

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
mod model;
mod outcome;
mod strike;

#[cfg(test)]
mod tests;
