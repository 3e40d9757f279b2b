//! Attaches this terminal to a worker's: raw bytes both ways, its size followed, and given back on every path out.

mod keys;
mod pump;

use std::io::IsTerminal as _;

use clap::Args;

use crate::api::client::Client;
use crate::terminal::safe::Safe;

use super::context::Context;
use super::exit::{CliError, Exit, Kind};
use super::output::note;
use super::targets;
use super::tty;

pub use keys::LeaveKey;
pub use pump::{Ending, pump};

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A name, a unique prefix, an id, `parent`, or a native service with `tty = true`
    pub name: String,
}

/// `podbay attach`.
pub async fn run(context: &Context, args: &AttachArgs) -> Result<Exit, CliError> {
    if !at_terminal() {
        let error = CliError::usage("attach needs a terminal on stdin and stdout, and this is none");
        return Err(error.hint("`podbay logs` shows output, `podbay send` types, `podbay exec` runs a command"));
    }
    let client = context.client().await?;
    let row = targets::one(&client, &args.name).await?;
    session(&client, &row.name).await
}

/// Whether a terminal is on both sides.
pub fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Looks at the main terminal of `name` until the user leaves or the program ends.
pub async fn session(client: &Client, name: &str) -> Result<Exit, CliError> {
    let size = tty::size();
    let terminal = client.main_terminal_at(name, Some(size)).await?;
    let ending = pump(terminal, Some(LeaveKey::default()), size).await?;
    if ending == Ending::Left {
        note(&format!("left {name}; it goes on (`podbay attach {name}` comes back)"));
    }
    conclude(name, ending)
}

/// Says how it ended, and ends podbay the same way.
pub fn conclude(name: &str, ending: Ending) -> Result<Exit, CliError> {
    match ending {
        Ending::Left => Ok(Exit::Done),
        Ending::Ended { reason, code } => {
            note(&format!("{name}: {}", Safe::new(&reason)));
            Ok(exit_of(code))
        }
        Ending::Lost => {
            let error = CliError::new(Kind::NoSupervisor, format!("the connection to {name} broke off; it goes on"));
            Err(error.hint(format!("`podbay attach {name}` comes back")))
        }
        Ending::Signal(number) => Ok(exit_of(Some(128 + i64::from(number)))),
    }
}

/// The program's exit code; one that is not known, or no exit code at all, is a failure.
pub fn exit_of(code: Option<i64>) -> Exit {
    match code.map(u8::try_from) {
        Some(Ok(0)) => Exit::Done,
        Some(Ok(code)) => Exit::Program(code),
        _ => Exit::Failed,
    }
}
