//! Types a text into workers' terminals.

use std::io::Read as _;

use clap::Args;

use crate::api::types::{SEND_MAX, SendRequest, State};

use super::context::Context;
use super::exit::{CliError, Exit, report};
use super::output::note;
use super::targets;

/// Arguments of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// NAME TEXT…, or with --all only TEXT…; a text of - is read from stdin, one that begins
    /// with - comes after --
    #[arg(required = true, value_name = "NAME TEXT")]
    pub words: Vec<String>,
    /// To all running workers
    #[arg(long)]
    pub all: bool,
    /// Do not press Enter after it
    #[arg(short, long, overrides_with = "enter")]
    pub no_enter: bool,
    /// Press Enter after it (the default)
    #[arg(long, overrides_with = "no_enter")]
    pub enter: bool,
}

/// `podbay send`.
pub async fn run(context: &Context, args: SendArgs) -> Result<Exit, CliError> {
    let (names, words) = match args.words.as_slice() {
        words if args.all => (None, words),
        [name, words @ ..] if !words.is_empty() => (Some(name.clone()), words),
        _ => return Err(CliError::usage("send takes a name and a text").hint("podbay send NAME TEXT")),
    };
    let text = if words == ["-"] { stdin()? } else { words.join(" ") };
    let client = context.client().await?;
    let rows = if let Some(name) = names {
        targets::resolve(&[name], &targets::all(&client).await?)?
    } else {
        let workers = targets::workers(client.containers().await?);
        workers.into_iter().filter(|row| row.state == State::Running).collect()
    };
    if rows.is_empty() {
        note("no running workers");
    }
    let request = SendRequest { text, enter: !args.no_enter };
    let mut exit = Exit::Done;
    let mut sent = Vec::new();
    for row in rows {
        match client.send(&row.name, &request).await.map_err(CliError::from) {
            Ok(_) => sent.push(row.name),
            Err(error) => {
                report(&error.clone().about(&row.name));
                if exit == Exit::Done {
                    exit = Exit::Program(error.kind.code());
                }
            }
        }
    }
    if context.out.json {
        context.out.json(&sent)?;
    }
    Ok(exit)
}

fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    // The newline that ends it is not typed; one byte more than that is too much.
    std::io::stdin().lock().take(SEND_MAX as u64 + 2).read_to_string(&mut text)?;
    if text.strip_suffix('\n').unwrap_or(&text).len() > SEND_MAX {
        return Err(CliError::usage(format!("the text on stdin is larger than {} KiB", SEND_MAX >> 10)));
    }
    // The last newline ends the text; whether Enter is pressed is said by the flag.
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}
