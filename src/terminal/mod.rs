//! Screens: what a program on a tty draws, kept so that it can be shown, sent on and searched.
//!
//! Owns the emulator, the filter that keeps control strings away from everybody's terminal, and the encoding of keys.
//! Opens no device and knows no container. Called by the supervisor's sessions, the dashboard and the CLI.
//!
//! The way of a byte: `lex` puts sequences together, `filter` drops or rewrites them, [`emulator`] draws what is left
//! and answers questions. What the emulator drew and what is forwarded are the same bytes.

mod aside;
pub mod attention;
mod charset;
mod contain;
mod csi;
mod drawn;
pub mod emulator;
mod filter;
mod flow;
mod keyboard;
pub mod keys;
mod lex;
mod modes;
mod mouse;
mod paste;
pub mod plain;
mod query;
pub mod safe;
mod sgr;
mod snapshot;
pub mod still;
mod tabs;
mod utf8;
pub mod watching;

pub use contain::panic_is_contained;
pub use filter::RESTORE;
