//! Ports of the bay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::port::Protocol;

/// One port of the bay: a row of `GET /api/ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortRow {
    /// On the engine's machine; `null`: it leads nowhere outside of the bay.
    pub port: Option<u16>,
    /// In the container's namespace.
    pub inside: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Whose it is, by its name in the bay; empty when that is nobody's, or can't be seen.
    pub name: String,
    /// The program that listens, when that can be seen.
    pub process: Option<String>,
    /// Its pid on this machine.
    pub pid: Option<u32>,
    /// Where it is reached from the engine's machine.
    pub url: Option<String>,
    /// Why it is not reached, or who else has or wants it.
    pub reason: Option<String>,
}
