//! The map of the house. One binary, three faces over one core: `podbay serve` (the supervisor), `podbay` (the
//! dashboard) and the CLI verbs.
//!
//! | room | what it is for | may call |
//! |---|---|---|
//! | [`bay`] | the domain: plain data and rules, no I/O | nobody |
//! | [`engine`] | how a container runs: the trait, Docker, this machine's own namespaces | bay, config, service (parts of its shim), stream |
//! | [`service`] | how a native service runs: shim, its log, its protocol, probes | bay, config, stream |
//! | [`workspace`] | what a worker finds: directories, mounts, agent home, secrets | bay, config |
//! | [`terminal`] | screens: emulator, filter, key encoding | bay |
//! | [`config`] | the file's shape, defaults, errors with line and key, paths of the state | bay |
//! | [`stream`] | connections that wake their task for what comes alone | nobody |
//! | [`supervisor`] | the one owner of state: pure machine, executor, store, sessions | all above, types of the api |
//! | [`api`] | the wire: types, server, client | types and client: bay, stream; server: all above |
//! | [`cli`] | one file a verb | bay, config, terminal, api client |
//! | [`tui`] | the dashboard: model, update, view | bay, config, terminal, api client |
//!
//! Architecture invariants, held by `tests/it/house.rs`; the last one by the tests of hostile text:
//! - `tui` and `cli` never name `engine` or `supervisor` (but for `cli/serve.rs`, which starts the latter).
//! - `bollard` is named only under `engine/docker`, `ratatui` only under `tui`.
//! - `bay`, `supervisor/machine`, `supervisor/reconcile`, `supervisor/guard` and `tui/update` read no clock and await
//!   nothing.
//! - The process's own streams are written only by `cli` and `tui/tty`.
//! - Text from outside reaches a terminal only as [`terminal::safe::Safe`] or as a cell of the emulator.

pub mod api;
pub mod bay;
pub mod cli;
pub mod config;
pub mod engine;
pub mod service;
pub mod stream;
pub mod supervisor;
pub mod terminal;
pub mod tui;
pub mod workspace;
