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

#[test]
fn a_range_without_ports_is_too_much_at_once_and_says_what_is_free() {
    let template = |name: &str, ports: &str| {
        format!(
            "[[template]]\nname = \"{name}\"\nnetwork = \"bridge\"\nports = [{ports}]\nport_range = \"20051-20053\"\n\
             command = [\"sh\"]\n"
        )
    };
    let open = Open::with("", &(template("two", "80, 443") + &template("one", "80")));
    let made = |name: &str, template: &str| {
        open.request("POST", "/api/containers").json(&json!({"name": name, "template": template})).send()
    };
    assert_eq!(made("fox", "two").status, 200);
    let full = made("owl", "two");
    let error = full.json()["error"].clone();
    assert_eq!((full.status, &error["code"]), (429, &json!("capacity")), "{full:?}");
    assert_eq!(error["message"], "2 ports of 20051-20053 asked for, free: 20053", "{error}");
    assert!(error["hint"].is_string() && full.header("retry-after").is_some(), "{full:?}");
    assert_eq!(made("owl", "one").json()["hostPort"], 20053);
    assert_eq!(made("bee", "one").json()["error"]["message"], "1 port of 20051-20053 asked for, none is free");
    assert!(open.den.row("bee").is_none(), "nothing of it is left");
    open.den.ok(&["rm", "owl", "-f", "-y"]);
    assert_eq!(made("bee", "one").status, 200, "and what is removed gives its port back");
}

#[test]
fn requests_are_counted_by_words_that_are_podbays_own() {
    let open = Open::new();
    for path in ["/api/containers", "/api/containers", "/api/containers/no-such-one", "/nowhere/at/all", "/etc/passwd"]
    {
        open.get(path);
    }
    open.bare("GET", "/api/containers").send();
    open.request("BREW", "/api/containers").send();
    let text = open.get("/metrics").body;
    for wanted in [
        "podbay_api_requests_total{route=\"/api/containers\",method=\"GET\",code=\"200\"} 2",
        "podbay_api_requests_total{route=\"/api/containers\",method=\"GET\",code=\"401\"} 1",
        "podbay_api_requests_total{route=\"/api/containers/{id}\",method=\"GET\",code=\"404\"} 1",
        "podbay_api_requests_total{route=\"other\",method=\"GET\",code=\"404\"} 2",
        "podbay_api_requests_total{route=\"/api/containers\",method=\"other\",code=\"405\"} 1",
        "podbay_api_request_seconds_count{route=\"/api/containers\"} 4",
        "podbay_api_streams 0",
    ] {
        assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("no-such-one") && !text.contains("passwd"), "{text}");
}
