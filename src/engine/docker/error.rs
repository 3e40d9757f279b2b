//! From what went wrong on the wire to [`EngineError`].

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::endpoint::{Address, Endpoint};
use crate::engine::EngineError;

/// An answer that is an error, by its status.
pub fn of_status(what: &str, status: u16, message: &str) -> EngineError {
    let (what, message) = (what.to_owned(), message.trim().to_owned());
    match status {
        404 => EngineError::NotFound { what, message },
        409 => EngineError::Conflict { what, message },
        400..=499 => EngineError::Refused { what, message },
        // Podman's words for what is a 409 of Docker's.
        500 if ["container state improper", "has dependent containers"].iter().any(|words| message.contains(words)) => {
            EngineError::Conflict { what, message }
        }
        _ => EngineError::Failed { what, message: format!("{message} (status {status})") },
    }
}

/// What bollard says.
pub fn of_bollard(endpoint: &Endpoint, what: &str, error: &bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => of_status(what, *status_code, message),
        Error::JsonDataError { message, .. } => unreadable(what, message),
        Error::JsonSerdeError { err } => unreadable(what, err),
        Error::HyperLegacyError { err } => of_client(endpoint, what, err),
        Error::HyperResponseError { err } => broken(endpoint, what, err),
        Error::IOError { err } => broken(endpoint, what, err),
        other => EngineError::Failed { what: what.to_owned(), message: other.to_string() },
    }
}

/// What hyper's client says: either nothing was sent, or the connection broke on the way.
pub fn of_client(endpoint: &Endpoint, what: &str, error: &hyper_util::client::legacy::Error) -> EngineError {
    if error.is_connect() {
        return match find_io(error) {
            Some(io) => unreachable(endpoint, io),
            None => away(endpoint, error.to_string()),
        };
    }
    broken(endpoint, what, error)
}

/// No connection: nothing was done.
pub fn unreachable(endpoint: &Endpoint, error: &io::Error) -> EngineError {
    let hint = match (&endpoint.address, error.kind()) {
        (Address::Unix(_), io::ErrorKind::NotFound) => {
            "; there is no such socket: start the engine (systemctl start docker, or podman.socket, or Docker \
             Desktop, or colima start)"
        }
        (Address::Unix(_), io::ErrorKind::ConnectionRefused) => {
            "; the socket is there but nobody listens: start the engine (systemctl start docker)"
        }
        (Address::Unix(_), io::ErrorKind::PermissionDenied) => {
            "; this user may not open it: join its group (sudo usermod -aG docker $USER, then log in again), or run \
             the engine rootless"
        }
        (Address::Tcp { .. }, io::ErrorKind::ConnectionRefused) => "; nobody listens there",
        _ => "",
    };
    away(endpoint, format!("{error}{hint} (endpoint from {})", endpoint.source))
}

/// The connection ended where an answer should have been.
pub fn broken(endpoint: &Endpoint, what: &str, error: &(dyn StdError + 'static)) -> EngineError {
    if let Some(hyper) = find::<hyper::Error>(error)
        && (hyper.is_parse() || hyper.is_user())
    {
        return unreadable(what, hyper);
    }
    let cause = find_io(error).map_or_else(|| deepest(error), ToString::to_string);
    away(endpoint, format!("the connection broke, so the outcome is not known: {what}: {cause}"))
}

/// The engine said something that is not its API.
pub fn unreadable(what: &str, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Failed { what: what.to_owned(), message: format!("the engine's answer can't be read: {error}") }
}

fn away(endpoint: &Endpoint, why: String) -> EngineError {
    EngineError::Away { endpoint: endpoint.url.clone(), why }
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    match error.downcast_ref() {
        Some(found) => Some(found),
        None => find(error.source()?),
    }
}

fn find_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    find(error)
}

fn deepest(error: &(dyn StdError + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), deepest)
}

/// Gives a call its deadline.
///
/// # Errors
/// [`EngineError::Deadline`]; else the call's own.
pub async fn within<T>(
    what: &str,
    deadline: Duration,
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(result) => result,
        Err(_) => Err(EngineError::Deadline { what: what.to_owned(), deadline }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d02_a_closed_socket_names_the_group() {
        let endpoint = Endpoint {
            url: "unix:///var/run/docker.sock".into(),
            address: Address::Unix("/var/run/docker.sock".into()),
            source: "default socket".into(),
        };
        let error = unreachable(&endpoint, &io::ErrorKind::PermissionDenied.into());
        let text = error.to_string();
        for words in ["unix:///var/run/docker.sock", "usermod -aG docker", "rootless", "default socket"] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        assert!(error.is_away());
    }
}
