//! The engine: one contract on the fake and on every real engine here, and faults on the fake.

#[cfg(target_os = "linux")]
mod bare_probe;
mod bed;
mod contract;
mod faults;
#[cfg(target_os = "linux")]
mod left;
#[cfg(target_os = "linux")]
mod local;
mod logs;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod probe;
mod real;
#[cfg(target_os = "linux")]
pub mod rungs;
#[cfg(target_os = "linux")]
mod spare;
mod ssh;
