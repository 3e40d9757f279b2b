//! Checks and shows the configuration.

use clap::{Args, Subcommand};
use serde_json::json;

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
    /// Say whether it can be used, and what it names that is not there
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
        What::Check => {
            let missing = config.missing(&context.env, &context.paths);
            let warnings: Vec<&str> = missing.iter().map(|missing| missing.text.as_str()).collect();
            match source {
                _ if context.out.json => {
                    context.out.json(&json!({"ok": true, "path": source, "warnings": warnings}))?;
                }
                Some(source) => context.out.line(format!("{}: ok", Safe::new(&source)))?,
                None => context.out.line("no file, built-in defaults: ok")?,
            }
            if !context.out.json {
                for warning in warnings {
                    note(&format!("warning: {warning}"));
                }
            }
        }
        What::Path if context.out.json => context.out.json(&json!({"path": source}))?,
        What::Path => match source {
            Some(source) => context.out.line(Safe::new(&source))?,
            None => note("no file: built-in defaults (`podbay init` writes one)"),
        },
        What::Show if context.out.json => context.out.json(&config.table())?,
        What::Show => {
            let text = config.to_toml();
            let lines: Vec<String> = text.lines().map(|line| Safe::new(line).to_string()).collect();
            context.out.line(lines.join("\n"))?;
        }
    }
    Ok(Exit::Done)
}
