//! The configuration file: its shape, its defaults, and errors that name file, line and key. And where things lie.
//!
//! Reads files and the environment snapshot that it is given, nothing else. Called by the CLI at the start, by the
//! supervisor on reload.

pub mod env;
pub mod paths;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bay::name::Name;
use crate::bay::template::{ParentSpec, Template};
use env::Env;

/// A configuration that can be used as it is: everything is checked and has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it came from; `None`: built-in defaults.
    pub source: Option<PathBuf>,
    /// `[bay] name`.
    pub bay: Name,
    /// `[engine]`.
    pub engine: EngineConfig,
    /// `[parent]`.
    pub parent: ParentSpec,
    /// `[worker]`, as the template `default`.
    pub worker: Template,
    /// Each `[[template]]`, laid over `[worker]`.
    pub templates: Vec<Template>,
    /// Each `[[service]]`.
    pub services: Vec<ServiceConfig>,
    /// `[api]`.
    pub api: ApiConfig,
    /// `[ui]`.
    pub ui: UiConfig,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// `auto` or `docker`.
    pub kind: EngineKind,
    /// `unix://`, `tcp://`, `ssh://`; empty: as the docker CLI resolves it.
    pub host: String,
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The first that answers.
    Auto,
    /// Docker's API.
    Docker,
}

/// `[[service]]`: read and checked in full; run by a later version.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Its name.
    pub name: Name,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {}

/// `[ui]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiConfig {
    /// The theme's name.
    pub theme: String,
    /// Whether the dashboard takes the mouse.
    pub mouse: bool,
    /// Only ASCII is drawn.
    pub ascii: bool,
    /// `[ui.keys.CONTEXT]`: per context, key sequence to action name; `false` (here `None`) unbinds.
    pub keys: std::collections::BTreeMap<String, std::collections::BTreeMap<String, Option<String>>>,
}

/// Why a configuration can't be used. Its text names the file, the line, the key, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
}

impl Config {
    /// Finds and reads the configuration: `flag`, `$PODBAY_CONFIG`, `./podbay.toml`, the user's, the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn load(_flag: Option<&Path>, _env: &Env) -> Result<Self, ConfigError> {
        todo!()
    }

    /// A template by name; `default` is the `[worker]` table.
    #[must_use]
    pub fn template(&self, name: &Name) -> Option<&Template> {
        std::iter::once(&self.worker).chain(&self.templates).find(|template| template.name == *name)
    }
}
