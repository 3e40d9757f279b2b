//! The API over TCP, asked by clients that are not ours: raw bytes, `curl`, another WebSocket library.

mod alerts;
mod claims;
mod described;
mod fuzzed;
mod limits;
mod load;
pub mod open;
#[cfg(target_os = "linux")]
mod outgoing;
mod receiving;
mod resumed;
mod seed;
mod setup;
mod streams;
mod tls;
mod token;
mod websocket;
pub mod wire;
