//! The one integration binary: a module for each room.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails should say where"
)]

mod api;
mod bay;
mod cli;
mod client;
mod config;
mod engine;
mod fake_daemon;
mod gate;
mod git_server;
mod graph;
mod house;
#[cfg(target_os = "linux")]
mod isolation;
#[cfg(target_os = "linux")]
mod local;
mod machine;
#[cfg(target_os = "linux")]
mod podman;
mod pool;
mod readme;
mod session;
mod skip;
mod terminal;
mod tui;
mod workspace;
