//! The domain: plain data and rules.
//!
//! Owns the nouns (name, template, container, mount, reason) and what follows from them alone.
//! Does no I/O, awaits nothing and reads no clock: time is an argument.
//! Called by every other room; calls none.

pub mod alert;
pub mod attention;
pub mod backoff;
pub mod capacity;
pub mod clash;
pub mod container;
pub mod exit;
pub mod gate;
pub mod graph;
pub mod hardening;
pub mod idle;
pub mod isolation;
pub mod lifecycle;
pub mod limit;
pub mod matching;
pub mod metric;
pub mod mount;
pub mod name;
pub mod outgoing;
pub mod owner;
pub mod phase;
pub mod pool;
pub mod port;
pub mod reason;
pub mod receiver;
pub mod remote;
pub mod service;
pub mod session;
pub mod size;
pub mod template;
pub mod volume;
