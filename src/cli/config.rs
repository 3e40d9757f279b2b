//! Checks and shows the configuration.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bay::template::{ParentSpec, Template};
use crate::config::{Config, EngineConfig};
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub what: What,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum What {
    /// Say whether it can be used
    Check,
    /// Print it as it is understood, defaults included
    Show,
    /// Print where it comes from
    Path,
}

/// `podbay config`. A configuration that can't be used never gets here: it is said, with exit code 2, when it is read.
pub fn run(context: &Context, args: &ConfigArgs) -> Result<Exit, CliError> {
    let config = &context.config;
    let source = config.source.as_ref().map(|path| path.display().to_string());
    match args.what {
        What::Check if context.out.json => context.out.json(&json!({"ok": true, "path": source}))?,
        What::Check => match source {
            Some(source) => context.out.line(format!("{}: ok", Safe::new(&source)))?,
            None => context.out.line("no file, built-in defaults: ok")?,
        },
        What::Path if context.out.json => context.out.json(&json!({"path": source}))?,
        What::Path => match source {
            Some(source) => context.out.line(Safe::new(&source))?,
            None => note("no file: built-in defaults (`podbay init` writes one)"),
        },
        What::Show if context.out.json => context.out.json(&shown(config)?)?,
        What::Show => {
            let text = toml::to_string(&shown(config)?).map_err(|error| CliError::failed(error.to_string()))?;
            let lines: Vec<String> = text.lines().map(|line| Safe::new(line).to_string()).collect();
            context.out.line(lines.join("\n"))?;
        }
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown<'a> {
    bay: BTreeMap<&'static str, &'a str>,
    engine: &'a EngineConfig,
    parent: &'a ParentSpec,
    worker: Value,
    ui: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    template: Vec<&'a Template>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service: Vec<Value>,
}

fn shown(config: &Config) -> Result<Shown<'_>, CliError> {
    let mut worker = serde_json::to_value(&config.worker).map_err(|error| CliError::failed(error.to_string()))?;
    // `[worker]` has no name of its own; as a template it is called `default`.
    if let Some(table) = worker.as_object_mut() {
        table.remove("name");
    }
    let ui = json!({"theme": config.ui.theme, "mouse": config.ui.mouse, "ascii": config.ui.ascii});
    Ok(Shown {
        bay: BTreeMap::from([("name", config.bay.as_str())]),
        engine: &config.engine,
        parent: &config.parent,
        worker,
        ui,
        template: config.templates.iter().collect(),
        service: config.services.iter().map(|service| json!({"name": service.name})).collect(),
    })
}
