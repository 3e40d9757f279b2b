//! The engine: one contract on the fake and on every real engine here, and faults on the fake.

mod bare_probe;
mod bed;
mod contract;
mod faults;
mod left;
mod local;
mod logs;
mod network;
mod probe;
mod real;
pub mod rungs;
mod ssh;
