//! The API over TCP, asked by clients that are not ours: raw bytes, `curl`, another WebSocket library.

mod described;
mod fuzzed;
mod limits;
mod load;
mod open;
mod seed;
mod setup;
mod tls;
mod token;
mod websocket;
mod wire;
