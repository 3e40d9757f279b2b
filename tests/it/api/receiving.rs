//! A receiver of what podbay tells: callbacks of setups, and alerts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha2::Sha256;

use super::wire::PATIENCE;

/// A receiver of callbacks: answers each as told, and passes on what came.
pub struct Receiving {
    pub port: u16,
    scheme: &'static str,
    pub came: Receiver<(String, String)>,
}

impl Receiving {
    /// `answers`: the statuses of the first ones; 200 after that.
    pub fn start(answers: Vec<&'static str>) -> Self {
        Self::with(answers, None)
    }

    /// The same over TLS.
    pub fn with(answers: Vec<&'static str>, tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, came) = channel();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming().flatten() {
                let status = answers.next().unwrap_or("200 OK");
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let received = match &tls {
                    None => receive(stream, status),
                    Some(tls) => {
                        let Ok(connection) = ServerConnection::new(tls.clone()) else { return };
                        receive(StreamOwned::new(connection, stream), status)
                    }
                };
                let Some(request) = received else { continue };
                if to.send(request).is_err() {
                    return;
                }
            }
        });
        Self { port, scheme, came }
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/docker-status?a=b", self.scheme, self.port)
    }

    /// Head, body, and what the body says.
    pub fn next(&self) -> (String, String, Value) {
        let (head, body) = self.came.recv_timeout(PATIENCE).expect("a callback comes");
        let report = serde_json::from_str(&body).unwrap();
        (head, body, report)
    }
}

fn receive(mut stream: impl Read + Write, status: &str) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let location = "Location: http://127.0.0.1:1/elsewhere\r\n";
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\n{location}Content-Length: 0\r\n\r\n").as_bytes())
                    .ok()?;
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Whether what came is signed with this secret, over its time and its body.
pub fn is_signed(head: &str, body: &str, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}.{body}", header(head, "x-podbay-timestamp")).as_bytes());
    let wanted = podbay::bay::owner::hex(&mac.finalize().into_bytes());
    header(head, "x-podbay-signature").strip_prefix("sha256=") == Some(wanted.as_str())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}
