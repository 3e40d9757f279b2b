//! The one integration binary: a module for each room.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails should say where")]
mod config;
mod machine;
mod workspace;
mod session;
mod terminal;
#![expect(clippy::indexing_slicing, reason = "a test that fails should say where")]

mod engine;
mod fake_daemon;

mod client;
mod config;
mod terminal;
mod workspace;
mod tui;
