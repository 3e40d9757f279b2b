//! Screens: what a program on a tty draws, kept so that it can be shown, sent on and searched.
//!
//! Owns the emulator, the filter that keeps control strings away from everybody's terminal, and the encoding of keys.
//! Opens no device and knows no container. Called by the supervisor's sessions, the dashboard and the CLI.

pub mod emulator;
pub mod keys;
pub mod safe;
