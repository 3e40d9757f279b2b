//! How a worker is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::name::Name;
use crate::bay::session::TermSize;
use crate::bay::template::Overrides;

/// `POST /api/containers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SpawnRequest {
    /// The worker's name; absent: podbay finds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The template; absent: the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub template: Option<Name>,
    /// What differs from it.
    #[serde(flatten)]
    pub overrides: Overrides,
    /// One of the pool's; where no template is named, of the only one that has a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<bool>,
    /// The size of the terminal that will look at it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<TermSize>,
}

/// The answer to a spawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpawnReply {
    /// The engine's id.
    pub id: String,
    /// The worker's name.
    pub name: String,
    /// The first published port, if there is one.
    #[serde(rename = "hostPort", default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// It was warm, and claimed.
    #[serde(default)]
    pub claimed: bool,
    /// What was done otherwise than asked, in words: why it was a cold start although there is a pool, an optional mount that is missing, a limit that is not enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
