//! Results to stdout, notes to stderr, questions to whoever sits at the terminal.

use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::config::env::Env;
use crate::terminal::safe::{self, Safe};

use super::exit::CliError;

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// As JSON.
    pub json: bool,
    /// Columns of the terminal; `None`: not a terminal, nothing is wrapped.
    pub width: Option<usize>,
    /// With colours.
    pub colour: bool,
}

impl Output {
    /// By what stdout is.
    pub fn of_process(json: bool, env: &Env) -> Self {
        let tty = io::stdout().is_terminal();
        let colour = tty && env.get("NO_COLOR").is_none() && env.get("TERM").is_some_and(|term| term != "dumb");
        let width = tty.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        let width = width.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Self { json, width: if tty { width.or(Some(80)) } else { None }, colour }
    }

    /// A whole answer, as JSON or in words.
    pub fn answer(self, value: &impl Serialize, words: &str) -> Result<(), CliError> {
        if self.json { self.json(value) } else { self.line(Safe::new(words)) }
    }

    /// One line, or several. The text is podbay's own, or went through [`Safe`].
    #[expect(clippy::unused_self, reason = "stdout is the output's: who has none, prints nothing")]
    pub fn line(self, text: impl Display) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// A text that ends its own lines.
    #[expect(clippy::unused_self, reason = "stdout is the output's: who has none, prints nothing")]
    pub fn text(self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// A whole answer: indented for people, in one piece.
    pub fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let json = serde_json::to_string_pretty(value).map_err(|error| CliError::failed(error.to_string()))?;
        self.line(safe::json(json))
    }

    /// One answer of many: a line.
    pub fn json_line(self, value: &impl Serialize) -> Result<(), CliError> {
        let json = serde_json::to_string(value).map_err(|error| CliError::failed(error.to_string()))?;
        self.line(safe::json(json))
    }
}

/// A note beside the result.
pub fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(stderr, "{}", Safe::new(line));
    }
}

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; everything but yes is no. What was typed before the question was there answers something else.
pub fn ask(question: &str) -> Result<bool, CliError> {
    // Fails only where it is no terminal, and then nobody typed.
    let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} [y/N] ", Safe::new(question))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
