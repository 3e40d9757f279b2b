//! What failed, as a user is told: one place for kinds, words and exit codes.

use std::io::Write as _;
use std::process::ExitCode;

use crate::api::client::ClientError;
use crate::api::types::ErrorDetail;
use crate::bay::matching::MatchError;
use crate::config::ConfigError;
use crate::terminal::safe::Safe;

/// How a verb ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, and not all is well, which was printed: `doctor` with a failure.
    Failed,
    /// A program ended with this code, and podbay ends with the same.
    Program(u8),
}

/// What kind of failure it is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and failed.
    Failed,
    /// The arguments or the configuration can't be used.
    Usage,
    /// No supervisor answers, or (`serve`) another one does.
    NoSupervisor,
    /// The supervisor has no engine.
    NoEngine,
    /// Nothing is called so, or too much.
    NoSuchName,
    /// Whoever reads stdout went away: nothing to say, and nobody to say it to.
    ClosedPipe,
}

impl Kind {
    /// The exit code, as INTERFACE names it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoSupervisor => 3,
            Self::NoEngine => 4,
            Self::NoSuchName => 5,
        }
    }

    /// The kind behind a code on the wire.
    #[must_use]
    pub fn of_wire(code: &str) -> Self {
        match code {
            "not-found" => Self::NoSuchName,
            "engine-away" => Self::NoEngine,
            "invalid" | "impossible" => Self::Usage,
            _ => Self::Failed,
        }
    }
}

/// A failure with its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// Decides the exit code.
    pub kind: Kind,
    /// What failed, and on what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The supervisor's own word for it.
    pub wire: Option<String>,
}

impl CliError {
    /// A failure.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, wire: None }
    }

    /// The arguments can't be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// It was tried and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what it is about in front.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The same for programs.
    #[must_use]
    pub fn detail(&self) -> ErrorDetail {
        let code = match self.kind {
            Kind::NoSuchName => "not-found",
            Kind::NoEngine => "engine-away",
            Kind::Usage => "invalid",
            Kind::NoSupervisor => "refused",
            Kind::Failed | Kind::ClosedPipe => "internal",
        };
        let code = self.wire.clone().unwrap_or_else(|| code.to_owned());
        ErrorDetail { code, message: self.message.clone(), hint: self.hint.clone(), field: None }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::NoSupervisor { .. } => Self::new(Kind::NoSupervisor, message),
            ClientError::Refused(detail) => Self {
                kind: Kind::of_wire(&detail.code),
                message: detail.message,
                hint: detail.hint,
                wire: Some(detail.code),
            },
            ClientError::Broken(_) => Self::failed(message),
            ClientError::Deadline(_) => Self::failed(message).hint("it may still be at work: see `podbay events`"),
        }
    }
}

impl From<MatchError> for CliError {
    fn from(error: MatchError) -> Self {
        Self::new(Kind::NoSuchName, error.to_string())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::BrokenPipe { Kind::ClosedPipe } else { Kind::Failed };
        Self::new(kind, error.to_string())
    }
}

impl From<rustix::io::Errno> for CliError {
    fn from(error: rustix::io::Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

/// Says what failed, and gives the exit code.
pub fn code(result: Result<Exit, CliError>) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::FAILURE,
        Ok(Exit::Program(code)) => ExitCode::from(code),
        Err(error) => {
            report(&error);
            ExitCode::from(error.kind.code())
        }
    }
}

/// Prints a failure to stderr.
pub fn report(error: &CliError) {
    if error.kind == Kind::ClosedPipe {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    // Without a stderr there is nobody to tell.
    for (number, line) in error.message.lines().enumerate() {
        let head = if number == 0 { "podbay: " } else { "        " };
        let _ = writeln!(stderr, "{head}{}", Safe::new(line));
    }
    for line in error.hint.iter().flat_map(|hint| hint.lines()) {
        let _ = writeln!(stderr, "  hint: {}", Safe::new(line));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_code_on_the_wire_has_its_exit_code() {
        let table = [
            ("not-found", 5),
            ("name-taken", 1),
            ("busy", 1),
            ("invalid", 2),
            ("impossible", 2),
            ("capacity", 1),
            ("engine-away", 4),
            ("port-taken", 1),
            ("refused", 1),
            ("internal", 1),
            ("of-the-future", 1),
        ];
        for (code, exit) in table {
            let (code, message) = (code.to_owned(), "m".to_owned());
            let detail = ErrorDetail { code, message, hint: Some("h".to_owned()), field: None };
            let error = CliError::from(ClientError::Refused(detail.clone()));
            assert_eq!((error.kind.code(), error.detail()), (exit, detail));
        }
    }

    #[test]
    fn failures_of_the_connection_have_theirs() {
        let nobody =
            ClientError::NoSupervisor { socket: "/s".into(), kind: std::io::ErrorKind::NotFound, why: "w".to_owned() };
        assert_eq!(CliError::from(nobody).kind.code(), 3);
        assert_eq!(CliError::from(ClientError::Deadline(Duration::from_secs(1))).kind.code(), 1);
        assert_eq!(CliError::from(ClientError::Broken(String::new())).kind.code(), 1);
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(CliError::from(pipe).kind, Kind::ClosedPipe);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(CliError::from(full).kind.code(), 1);
    }
}
