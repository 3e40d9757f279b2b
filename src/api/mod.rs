//! The wire: one HTTP API on a unix socket, JSON and SSE and WebSocket, for the dashboard, the CLI and anything else.
//!
//! [`types`] are the shapes, [`server`] speaks for the supervisor, [`client`] for everybody else. Shapes are public:
//! what is here once stays.

pub mod client;
pub mod server;
pub mod types;
