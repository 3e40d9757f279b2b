//! What every verb starts from: the configuration, where its files lie, and how to print.

use std::path::PathBuf;

use crate::api::client::Client;
use crate::config::Config;
use crate::config::env::Env;
use crate::config::paths::Paths;

use super::args::Global;
use super::exit::CliError;
use super::output::Output;
use super::supervisor;

/// What every verb starts from.
pub struct Context {
    /// The environment, as it was at the start.
    pub env: Env,
    /// The file that a flag named.
    pub file: Option<PathBuf>,
    /// The configuration, flags laid over it.
    pub config: Config,
    /// Where the bay's files lie.
    pub paths: Paths,
    /// Where results go.
    pub out: Output,
}

impl Context {
    /// Reads the configuration.
    ///
    /// # Errors
    /// The configuration's.
    pub fn load(global: &Global) -> Result<Self, CliError> {
        let env = Env::of_process();
        let mut config = Config::load(global.config.as_deref(), &env)?;
        if let Some(bay) = &global.bay {
            config.bay = bay.clone();
        }
        let paths = Paths::of(&config.bay, &env);
        let out = Output::of_process(global.json, &env);
        Ok(Self { env, file: global.config.clone(), config, paths, out })
    }

    /// The supervisor's client; starts one when none runs.
    ///
    /// # Errors
    /// When none can be started.
    pub async fn client(&self) -> Result<Client, CliError> {
        supervisor::ensure(&self.paths, &self.config).await
    }
}
