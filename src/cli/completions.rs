//! Prints completions for a shell.

use clap::Args;
use clap_complete::Shell;

use super::args;
use super::exit::{CliError, Exit};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `podbay completions`.
pub fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    use std::io::Write as _;

    // The generator takes a failed write for a bug; so it writes to memory, and the pipe may be closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "podbay", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
