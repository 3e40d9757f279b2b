//! `GET /api/containers` over TCP, as often as it is answered, beside a bare axum that says hello; and beside one that says
//! as many bytes, which shows how much of the distance is their way through the system.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::bay::Bay;
use super::{Outcome, Plan};

/// Connections that ask at once.
const CLIENTS: usize = 4;

pub fn run(plan: Plan) -> Outcome {
    let text = |error: std::io::Error| error.to_string();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(text)?.port();
    let bay = Bay::with(&format!("[api]\nlisten = \"127.0.0.1:{port}\"\n"))?;
    let hello = bare("hello".to_owned()).map_err(text)?;
    let token = std::fs::read_to_string(bay.state().join("api-token")).map_err(text)?;
    let list = request(port, "/api/containers", Some(token.trim()));
    let greeting = request(hello, "/", None);
    let time = Duration::from_secs(if plan.quick { 1 } else { 5 });
    for count in plan.sizes() {
        bay.fill(*count)?;
        let length = length(port, &list)?;
        let full = bare("x".repeat(length)).map_err(text)?;
        let as_much = request(full, "/", None);
        // By turns, so that none has the quieter part.
        let (mut ours, mut theirs, mut whole) = (0.0, 0.0, 0.0);
        for _ in 0..2 {
            ours += rate(port, &list, time)?;
            theirs += rate(hello, &greeting, time)?;
            whole += rate(full, &as_much, time)?;
        }
        println!(
            "api: GET /api/containers of {count} workers ({length} bytes): {:.0}/s; a bare axum hello: {:.0}/s; ratio {:.2}; \
             a bare axum with as many bytes: {:.0}/s; ratio {:.2}",
            ours / 2.0,
            theirs / 2.0,
            ours / theirs,
            whole / 2.0,
            ours / whole
        );
    }
    Ok(())
}

/// A server that says this, for as long as this process lives; its port.
fn bare(text: String) -> std::io::Result<u16> {
    let text = bytes::Bytes::from(text);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else { return };
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let router = axum::Router::new().route("/", axum::routing::get(move || async move { text }));
            let _ = axum::serve(listener, router).await;
        });
    });
    Ok(port)
}

fn request(port: u16, path: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{token}\r\n")
}

/// How long the body of an answer is.
fn length(port: u16, request: &str) -> Result<usize, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    answer(&mut stream, &mut vec![0; 1 << 20])
}

/// Answers a second.
fn rate(port: u16, request: &str, time: Duration) -> Result<f64, String> {
    let begun = Instant::now();
    let counts = std::thread::scope(|scope| {
        let ask = || -> Result<u32, String> {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (mut count, mut buffer) = (0, vec![0; 1 << 20]);
            while begun.elapsed() < time {
                stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
                answer(&mut stream, &mut buffer)?;
                count += 1;
            }
            Ok(count)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let counts = clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err("a panic".to_owned())));
        counts.sum::<Result<u32, String>>()
    })?;
    Ok(f64::from(counts) / begun.elapsed().as_secs_f64())
}

/// Reads one answer to its end; how long its body is.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, String> {
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).ok_or("an answer that is too long")?;
        let count = stream.read(room).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the connection ended".to_owned());
        }
        filled += count;
        let head = buffer.get(..filled.min(4096)).unwrap_or_default();
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(head.get(..end).unwrap_or_default()).to_ascii_lowercase();
        if !text.starts_with("http/1.1 200") {
            return Err(text.lines().next().unwrap_or_default().to_owned());
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let length = length.ok_or("no length")?;
        if filled >= end + 4 + length {
            return Ok(length);
        }
    }
}
