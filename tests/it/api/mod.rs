//! The API over TCP, asked by clients that are not ours: raw bytes, `curl`, another WebSocket library.

mod limits;
mod open;
mod seed;
mod tls;
mod token;
mod wire;
