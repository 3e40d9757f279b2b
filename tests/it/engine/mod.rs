//! The engine: one contract on the fake and on every real engine here, and faults on the fake.

mod bed;
mod contract;
mod faults;
mod local;
mod logs;
mod probe;
mod real;
mod ssh;
