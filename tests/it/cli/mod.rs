//! The verbs, by the real binary: against a fake supervisor on a unix socket, each in a home of its own.

mod attach;
mod boot;
mod fake;
mod hostile;
mod pty;
mod supervisor;
mod verbs;
