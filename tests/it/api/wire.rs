//! Requests byte for byte, so that nothing is put right on the way.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A request that is put together.
#[derive(Clone)]
pub struct Request {
    port: u16,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back, the connection closed.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Request {
    pub fn new(port: u16, method: &str, path: &str) -> Self {
        let headers = vec![("Host".to_owned(), format!("127.0.0.1:{port}"))];
        Self { port, line: format!("{method} {path} HTTP/1.1"), headers, body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With no header of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// With this added to its query.
    pub fn query(mut self, pair: &str) -> Self {
        let path = self.line.split(' ').nth(1).unwrap().to_owned();
        let join = if path.contains('?') { '&' } else { '?' };
        self.line = self.line.replacen(&path, &format!("{path}{join}{pair}"), 1);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    pub fn body(mut self, kind: &str, body: Vec<u8>) -> Self {
        self = self.header("Content-Type", kind).header("Content-Length", &body.len().to_string());
        self.body = body;
        self
    }

    /// As a WebSocket's beginning.
    pub fn upgrade(self) -> Self {
        self.header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it; the connection is open still.
    pub fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A server that has answered already need not read the rest.
        let _ = stream.write_all(&self.bytes());
        stream
    }

    /// Sends it and reads until the connection closes.
    pub fn send(&self) -> Answer {
        let closing = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection"));
        let request = if closing { self.clone() } else { self.clone().header("Connection", "close") };
        Answer::of(&rest(&mut request.open()))
    }
}

/// All that still comes.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset after the answer is an end, too.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Reads until this has come; all that came.
pub fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| panic!("{text:?} did not come: {error}"));
        assert!(count > 0, "{text:?} did not come: {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Answer {
    pub fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}
