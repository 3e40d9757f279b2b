//! Runs a command in a worker, with a terminal when this is one, else with plain pipes.

use std::io::IsTerminal as _;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::api::client::{Terminal, TerminalMessage};
use crate::api::types::{ExecRequest, Frame};

use super::attach::{Ending, at_terminal, exit_of, pump};
use super::context::Context;
use super::exit::{CliError, Exit, Kind};
use super::logs::plain::Stream;
use super::targets;
use super::tty::{self, Writer};

/// Until the last output is written out.
const FLUSH: Duration = Duration::from_secs(10);

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// No terminal for the command, even if this is one
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// A name, a unique prefix, an id, or `parent`
    pub name: String,
    /// The command
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `podbay exec`.
pub async fn run(context: &Context, args: ExecArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    let row = targets::one(&client, &args.name).await?;
    let size = (!args.no_tty && at_terminal()).then(tty::size);
    let request = ExecRequest { command: args.command, tty: size };
    let terminal = client.exec(&row.name, &request).await?;
    let ending = match size {
        Some(size) => pump(terminal, None, size).await?,
        None => pipes(terminal).await?,
    };
    match ending {
        // It never ran, or nobody knows how it ended: that is told, not passed on as a code.
        Ending::Ended { code: None, reason } => Err(CliError::failed(reason).about(&row.name)),
        Ending::Ended { code, .. } => Ok(exit_of(code)),
        Ending::Signal(number) => Ok(exit_of(Some(128 + i64::from(number)))),
        Ending::Left | Ending::Lost => {
            let message = format!("the connection to {} broke off before the command ended", row.name);
            Err(CliError::new(Kind::Failed, message))
        }
    }
}

async fn pipes(terminal: Terminal) -> Result<Ending, CliError> {
    let Terminal { mut incoming, outgoing } = terminal;
    let (stdout, stderr) = (Writer::stdout(), Writer::stderr());
    let ending = tokio::select! {
        ending = output(&mut incoming, &stdout.bytes, &stderr.bytes) => ending,
        never = input(&outgoing) => never,
    };
    let (out, err) = tokio::join!(stdout.finish(FLUSH), stderr.finish(FLUSH));
    out?;
    err?;
    Ok(ending)
}

async fn input(program: &Sender<TerminalMessage>) -> Ending {
    let mut stdin = tty::read_stdin();
    while let Some(bytes) = stdin.recv().await {
        if program.send(TerminalMessage::Bytes(bytes)).await.is_err() {
            break;
        }
    }
    // A connection that is gone is noticed where output comes in.
    let _ = program.send(TerminalMessage::Frame(Frame::Eof)).await;
    std::future::pending().await
}

async fn output(incoming: &mut Receiver<TerminalMessage>, stdout: &Sender<Bytes>, stderr: &Sender<Bytes>) -> Ending {
    let mut out = Stream::for_terminal(std::io::stdout().is_terminal());
    let mut err = Stream::for_terminal(std::io::stderr().is_terminal());
    let ending = loop {
        let bytes = match incoming.recv().await {
            None => break Ending::Lost,
            Some(TerminalMessage::Frame(Frame::Ended { reason, code })) => break Ending::Ended { reason, code },
            Some(TerminalMessage::Frame(_)) => continue,
            Some(TerminalMessage::Bytes(bytes)) => bytes,
        };
        let written = match bytes.first() {
            Some(1) => stdout.send(out.take(bytes.slice(1..))).await,
            Some(2) => stderr.send(err.take(bytes.slice(1..))).await,
            _ => continue,
        };
        if written.is_err() {
            // Whoever read it is gone; why is told by the writer itself.
            return Ending::Lost;
        }
    };
    // The same: a writer that is gone tells why.
    let _ = stdout.send(out.rest()).await;
    let _ = stderr.send(err.rest()).await;
    ending
}
