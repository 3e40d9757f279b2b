//! The way out of the bay, and what stands before it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may be reached outside of the bay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Everything that the engine's network leads to.
    #[default]
    Open,
    /// Nothing.
    None,
    /// What is listed, by a proxy.
    Listed,
}

/// The way out, in `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkStatus {
    /// What may be reached.
    pub way: Way,
    /// The same in words.
    pub text: String,
    /// `[network] allow`.
    pub allow: Vec<String>,
    /// What was allowed beside it.
    pub allowed: Vec<String>,
    /// What is refused without asking.
    pub refused: Vec<String>,
    /// What was asked for and refused, and waits for an answer; the newest first.
    pub asked: Vec<AskedRow>,
}

/// Something that was asked for and is in no list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedRow {
    /// The name or address.
    pub name: String,
    /// The port that was last asked for.
    pub port: u16,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Timestamp,
    /// Whose program it was, where that could be seen.
    pub worker: Option<String>,
}

/// An answer to what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkRequest {
    /// The name or address, also `*.example.org` where it is for the bay.
    pub name: String,
    /// The answer.
    pub answer: NetworkAnswer,
}

/// What is to be done about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkAnswer {
    /// The next connection is let through.
    Once,
    /// It is let through from now on, in this bay.
    Bay,
    /// It is refused from now on, and nobody is asked.
    Refuse,
}
