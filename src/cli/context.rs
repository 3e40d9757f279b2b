//! What every verb starts from: the configuration, where its files lie, and how to print.

use std::path::PathBuf;

use crate::api::client::Client;
use crate::api::types::DownRequest;
use crate::config::Config;
use crate::config::env::Env;
use crate::config::paths::Paths;

use super::args::Global;
use super::consent;
use super::exit::CliError;
use super::output::{Output, note};
use super::supervisor;

/// What a verb can do beside a configuration that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// Ask a supervisor that runs.
    WhatIsAsked,
    /// That, and what needs none, whichever bay it is.
    AllThatCanBe,
}

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
    /// The configuration is broken, and stands here as the defaults: only a supervisor that runs can be asked.
    pub broken: Option<CliError>,
}

impl Context {
    /// Reads the configuration. A broken one is an error, but not to who only asks the supervisor: workers can be looked
    /// at and stopped meanwhile.
    ///
    /// # Errors
    /// The configuration's.
    pub fn load(global: &Global, beside: Beside) -> Result<Self, CliError> {
        let env = Env::of_process();
        let (mut config, broken) = match Config::load(global.config.as_deref(), &env) {
            Ok(config) => (config, None),
            Err(error) if beside != Beside::Nothing => {
                let bay = global.bay.clone().or_else(|| Config::bay_of_broken(global.config.as_deref(), &env));
                let defaults = Config::defaults()?;
                // The one that would be looked for in a file that names none.
                let bay = bay.or_else(|| (beside == Beside::AllThatCanBe).then(|| defaults.bay.clone()));
                let Some(bay) = bay else { return Err(error.into()) };
                (Config { bay, ..defaults }, Some(error.into()))
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(bay) = &global.bay {
            config.bay = bay.clone();
        }
        let paths = Paths::of(&config.bay, &env);
        let config = config.with_isolation(global.isolation, &paths.state);
        let out = Output::of_process(global.json, &env);
        Ok(Self { env, file: global.config.clone(), config, paths, out, broken })
    }

    /// The supervisor's client; starts one when none runs.
    ///
    /// # Errors
    /// When none can be started.
    pub async fn client(&self) -> Result<Client, CliError> {
        if self.broken.is_none() {
            let Some(said) = self.config.said else { return self.ensure().await };
            let running = supervisor::running(&self.paths).await?;
            if let Some(client) = &running {
                consent::stays_in_sight(client, said).await?;
            }
            consent::keep(self)?;
            return match running {
                // One that runs already: what was said is in the file that it reads now.
                Some(client) => consent::heard(self, client, said).await,
                None => self.ensure().await,
            };
        }
        self.running().await?.ok_or_else(|| CliError::failed("no supervisor runs"))
    }

    pub(super) async fn ensure(&self) -> Result<Client, CliError> {
        supervisor::ensure(&self.paths, &self.config).await
    }

    /// The client of a new supervisor in the place of this one: what one takes only at its beginning needs that.
    ///
    /// # Errors
    /// When this one does not end, or none can be started.
    pub async fn hand_over(&self, old: &Client) -> Result<Client, CliError> {
        old.down(DownRequest { workers: false, supervisor_only: true }).await?;
        note("a new supervisor takes over; containers stay as they are");
        self.ensure().await
    }

    /// The supervisor's client, if one runs.
    ///
    /// # Errors
    /// When its socket can't be used, or when none runs and the configuration is broken.
    pub async fn running(&self) -> Result<Option<Client>, CliError> {
        match (supervisor::running(&self.paths).await?, &self.broken) {
            (None, Some(error)) => Err(error.clone()),
            (Some(client), Some(error)) => {
                note(&format!("{error}; the supervisor goes on with what it read before"));
                Ok(Some(client))
            }
            (client, None) => Ok(client),
        }
    }
}
