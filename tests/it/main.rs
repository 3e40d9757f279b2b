//! The one integration binary: a module for each room.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails should say where")]
#![expect(clippy::indexing_slicing, reason = "a test that fails should say where")]

mod config;
mod engine;
mod fake_daemon;
mod machine;
mod session;
mod terminal;
mod workspace;
