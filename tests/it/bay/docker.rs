//! The engine as the tests see it: a few raw calls, so that nothing of podbay is trusted to check podbay.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::skip::{Need, lacks};

/// Longer than any call here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// An engine's socket.
#[derive(Clone, Debug)]
pub struct Docker {
    pub socket: PathBuf,
}

impl Docker {
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Docker on its default socket, when it answers; else says so by the test's name, or fails where it is required.
    pub fn real(test: &str) -> Option<Self> {
        let docker = Self::new("/var/run/docker.sock");
        if docker.answers() {
            return Some(docker);
        }
        lacks(Need::Docker, test, "no docker");
        None
    }

    pub fn answers(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok() && matches!(self.try_call("GET", "/_ping", None), Ok((200, _)))
    }

    /// Status and body of one call.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A call that must succeed.
    pub fn done(&self, method: &str, path: &str) -> Value {
        let (status, body) = self.call(method, path, None);
        assert!((200..400).contains(&status), "{method} {path}: {status} {body}");
        body
    }

    /// Imports an archive as an image; the status.
    pub fn import(&self, name: &str, changes: &[&str], archive: &[u8]) -> u16 {
        let (repo, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let changes = changes.join("&changes=").replace(' ', "%20");
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let path = format!("/images/create?fromSrc=-&repo={repo}&tag={tag}&changes={changes}");
        write!(stream, "POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n").unwrap();
        write!(stream, "Content-Length: {}\r\n\r\n", archive.len()).unwrap();
        stream.write_all(archive).unwrap();
        answer(&mut stream).unwrap().0
    }

    pub fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Value)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: d\r\n{kind}Content-Length: {length}\r\n\r\n{body}")?;
        let (status, bytes) = answer(&mut stream)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// All containers, running or not, that carry this bay's label.
    pub fn of_bay(&self, bay: &str) -> Vec<Value> {
        let filters = format!("%7B%22label%22%3A%5B%22podbay.bay%3D{bay}%22%5D%7D");
        let listed = self.done("GET", &format!("/containers/json?all=1&filters={filters}"));
        listed.as_array().cloned().unwrap_or_default()
    }

    /// One container, by name or id; `None`: there is none.
    pub fn inspect(&self, name: &str) -> Option<Value> {
        let (status, body) = self.call("GET", &format!("/containers/{name}/json"), None);
        (status == 200).then_some(body)
    }

    pub fn remove(&self, id: &str) {
        let (status, body) = self.call("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        // Somebody else may be at it, or have been.
        assert!(matches!(status, 204 | 404 | 409), "removing {id}: {status} {body}");
    }

    /// `docker restart`, `stop`, `kill`, `pause`, `unpause`, `start`.
    pub fn act(&self, name: &str, verb: &str) {
        let grace = if matches!(verb, "restart" | "stop") { "?t=1" } else { "" };
        self.done("POST", &format!("/containers/{name}/{verb}{grace}"));
    }
}

fn answer(stream: &mut UnixStream) -> std::io::Result<(u16, Vec<u8>)> {
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
    let mut body = bytes.split_off(head_end);
    if matches!(status, 204 | 304) {
        return Ok((status, Vec::new()));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    if let Some(length) = length {
        while body.len() < length {
            more(stream, &mut body)?;
        }
        return Ok((status, body));
    }
    let mut whole = Vec::new();
    loop {
        let Some(at) = body.windows(2).position(|two| two == b"\r\n") else {
            more(stream, &mut body)?;
            continue;
        };
        let size = std::str::from_utf8(&body[..at]).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or_else(broken)?;
        while body.len() < at + 2 + size + 2 {
            more(stream, &mut body)?;
        }
        whole.extend_from_slice(&body[at + 2..at + 2 + size]);
        body.drain(..at + 2 + size + 2);
        if size == 0 {
            return Ok((status, whole));
        }
    }
}

fn more(stream: &mut UnixStream, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    let mut space = [0; 16 << 10];
    match stream.read(&mut space)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend_from_slice(&space[..count]);
            Ok(())
        }
    }
}

/// Whether a file is a socket that somebody listens on.
pub fn listens(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}
