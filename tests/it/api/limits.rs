//! Requests that are too much, too slow, or only half there.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::open::Open;
use super::wire::{Answer, PATIENCE, rest};

#[test]
fn s16_bodies_and_heads_have_an_end() {
    let open = Open::new();
    let large = open.request("POST", "/api/containers").body("application/json", vec![b' '; 10 << 20]).send();
    assert_eq!((large.status, large.code().as_str()), (413, "too-large"), "{large:?}");
    let lying = open.request("POST", "/api/containers").header("Content-Length", "99999999999").send();
    assert_eq!(lying.status, 413, "{lying:?}");
    let mut many = open.request("GET", "/api/status");
    for number in 0..10_000 {
        many = many.header(&format!("X-{number}"), "x");
    }
    assert_eq!(many.send().status, 431);
    let some = (0..100).fold(open.request("GET", "/api/status"), |request, n| request.header(&format!("X-{n}"), "x"));
    assert_eq!(some.send().status, 431, "more than 64 headers");
    let long = open.request("GET", "/api/status").header("X-Long", &"x".repeat(1 << 20)).send();
    assert!([0, 431].contains(&long.status), "{long:?}");
    let path = open.request("GET", &format!("/api/{}", "x".repeat(60_000))).send();
    assert!([0, 414, 431].contains(&path.status), "{path:?}");
    assert_eq!(open.get("/api/status").status, 200, "and it goes on");
}

#[test]
fn s16_chunks_without_end_are_refused() {
    let open = Open::new();
    let request = open.request("POST", "/api/containers");
    let request = request.header("Content-Type", "application/json").header("Transfer-Encoding", "chunked");
    let mut stream = request.open();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    // Refused in the midst of it: the rest is not read.
    while stream.write_all(&chunk).is_ok() {}
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || Answer::of(&answer).status == 413, "{:?}", Answer::of(&answer));
    assert_eq!(open.get("/api/status").status, 200);
}

#[test]
fn s16_half_a_request_is_let_go() {
    let open = Open::new();
    let silent = TcpStream::connect(("127.0.0.1", open.port)).unwrap();
    let mut half = TcpStream::connect(("127.0.0.1", open.port)).unwrap();
    half.write_all(b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-").unwrap();
    let begun = Instant::now();
    for mut stream in [silent, half] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        rest(&mut stream);
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..PATIENCE).contains(&took), "{took:?}");
}

#[test]
fn what_is_no_http_is_an_end_and_no_more() {
    let open = Open::new();
    for bytes in [b"\x16\x03\x01\x02\x00".as_slice(), b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", open.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream.shutdown(std::net::Shutdown::Write));
        let answer = Answer::of(&rest(&mut stream));
        assert!([0, 400, 505].contains(&answer.status), "{answer:?}");
    }
    let smuggled =
        open.request("POST", "/api/pool").header("Content-Length", "5").header("Transfer-Encoding", "chunked");
    assert!([0, 400].contains(&smuggled.send().status));
    assert_eq!(open.get("/api/status").status, 200);
}

#[test]
fn s11_hostile_names_are_refused_and_nothing_is_called() {
    let open = Open::new();
    open.den.spawn("fox");
    let before = open.changes();
    let names = [
        "..",
        "%2e%2e",
        "%2f",
        "..%2f..%2fetc%2fpasswd",
        "fox%2f..%2ffox",
        "fox%3Fforce%3Dtrue",
        "fox%23",
        "%00",
        "fox%00",
        "%0d%0aX:%20y",
        "%0a",
        "-rf",
        "%20",
        "*",
        "%2a",
        "%f0%9f%92%a9",
        "%ff%fe",
        "%c3%28",
        "a%7cb",
        "$(id)",
        "`id`",
        "%25",
        "%252e%252e",
        "fox%20",
        "%e2%80%ae",
        "~",
        ":",
        "@",
        "fox;x",
        "fox,owl",
    ];
    let long = "x".repeat(8000);
    for name in names.into_iter().chain([long.as_str()]) {
        for (method, rest) in [("GET", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/restart"), ("GET", "/logs")] {
            let answer = open.request(method, &format!("/api/containers/{name}{rest}")).send();
            assert!([400, 404, 405].contains(&answer.status), "{method} {name}{rest}: {answer:?}");
        }
        let spawned = open.request("POST", "/api/containers").json(&json!({"name": name.replace('%', "/%")})).send();
        assert!([400, 409].contains(&spawned.status), "{name}: {spawned:?}");
    }
    assert_eq!(open.changes(), before);
}
