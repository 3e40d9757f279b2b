//! The one integration binary: a module for each room.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails should say where")]

mod cli;
mod client;
mod config;
mod terminal;
mod workspace;
