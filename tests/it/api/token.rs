//! Who may ask.

use std::fs;
use std::io::Write as _;

use podbay::api::server::routes::ROUTES;
use rustix::process::Signal;
use serde_json::json;

use super::open::{Open, free_port};
use super::wire::{Answer, Request, read_until, rest};
use crate::bay::den::{Conf, Den};
use crate::bay::process::signal;
use crate::bay::until;

/// How a request fails to carry the token.
fn strangers(request: &Request, token: &str, streams: bool) -> Vec<(&'static str, Request)> {
    let bearer = |text: &str| request.clone().header("Authorization", &format!("Bearer {text}"));
    let mut all = vec![
        ("none", request.clone()),
        ("empty", bearer("")),
        ("wrong", bearer(&"0".repeat(64))),
        ("one byte short", bearer(&token[..63])),
        ("one byte long", bearer(&format!("{token}0"))),
        ("another case", bearer(&token.to_uppercase())),
        ("as a password", request.clone().header("Authorization", &format!("Basic {token}"))),
        ("without a scheme", request.clone().header("Authorization", token)),
        ("in a cookie", request.clone().header("Cookie", &format!("token={token}"))),
        ("in another header", request.clone().header("X-Api-Key", token)),
        ("behind another", bearer("wrong").header("Authorization", &format!("Bearer {token}"))),
    ];
    if token.to_uppercase() == token {
        all.retain(|(what, _)| *what != "another case");
    }
    if !streams {
        all.push(("in the URL", request.clone().query(&format!("token={token}"))));
    }
    all
}

#[test]
fn s07_every_route_needs_the_token_and_does_nothing_without() {
    let open = Open::new();
    open.den.spawn("fox");
    let (token, before) = (open.token(), open.changes());
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| route.path != "/health") {
        let path = route.path.replace("{id}", "fox").replace("{name}", "fox");
        let streams = route.method == "GET" && matches!(route.path.rsplit('/').next(), Some("logs" | "terminal"));
        let streams = streams && route.path.starts_with("/api/containers");
        let mut request = open.bare(route.method, &path);
        if route.method == "POST" {
            request = request.json(&json!({"name": "owl", "order": "drain", "workers": true, "text": "x"}));
        }
        for (how, request) in strangers(&request, &token, streams) {
            for request in [request.clone(), request.upgrade()] {
                let answer = request.send();
                let seen = (answer.status, answer.code());
                assert_eq!(seen, (401, "unauthorized".to_owned()), "{} {path}, token {how}: {answer:?}", route.method);
                assert!(!answer.body.contains(&token) && answer.header("www-authenticate") == Some("Bearer"));
                asked += 1;
            }
        }
    }
    assert!(asked > 500, "{asked}");
    for path in ["/", "/api", "/api/nothing", "/api/containers/fox/nothing", "//health", "/health/", "/api/../health"] {
        assert_eq!(open.bare("GET", path).send().status, 401, "{path}");
    }
    assert_eq!(open.bare("POST", "/health").send().status, 401);
    assert_eq!((open.changes(), open.token()), (before, token), "something was done");
    assert_eq!(open.den.row("fox").map(|row| row.state.as_str()), Some("running"));
}

#[test]
fn the_token_opens_what_the_socket_answers() {
    let open = Open::new();
    open.den.spawn("fox");
    let health = open.bare("GET", "/health").send();
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    let rows = open.get("/api/containers").json();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{rows}");
    let lower = open.bare("GET", "/api/status").header("authorization", &format!("bearer {}", open.token())).send();
    assert_eq!(lower.status, 200, "{lower:?}");
    let missing = open.get("/api/containers/nobody");
    assert_eq!((missing.status, missing.code().as_str()), (404, "not-found"));
    assert_eq!(open.get("/api/nothing").status, 404);
    let method = open.request("PUT", "/api/status").send();
    assert_eq!((method.status, method.code().as_str()), (405, "no-method"));
    let logs = open.bare("GET", &format!("/api/containers/fox/logs?follow=false&token={}", open.token())).send();
    assert_eq!(logs.status, 200, "{logs:?}");
    let private = open.request("POST", "/api/token").send();
    assert_eq!(private.status, 404, "{private:?}");
}

#[test]
fn s09_other_hosts_and_origins_are_turned_away_even_with_the_token() {
    let open = Open::with("hosts = [\"bay.example\"]", "");
    let with = |name: &str, value: &str| open.request("GET", "/api/status").without(name).header(name, value).send();
    assert_eq!(with("Host", "bay.example").status, 200);
    for (name, value) in [
        ("Host", "evil.example"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        let answer = with(name, value);
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{name}: {value}");
        assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{answer:?}");
    }
    assert_eq!(with("Origin", &format!("http://127.0.0.1:{}", open.port)).status, 200);
    assert_eq!(open.request("GET", "/api/status").without("Host").send().status, 400);
    let preflight = open.bare("OPTIONS", "/api/containers").header("Origin", "http://evil.example").send();
    assert_eq!(preflight.status, 403);
    assert_eq!(open.bare("GET", "/health").without("Host").header("Host", "evil.example").send().status, 403);
}

#[test]
fn a_rotated_token_is_the_only_one_at_once() {
    let open = Open::new();
    let old = open.token();
    let mut stream = open.request("GET", "/api/events").open();
    read_until(&mut stream, "event: snapshot");
    let said = open.den.ok(&["api", "token", "rotate"]);
    let new = open.token();
    assert!(said.contains("api-token") && !said.contains(&new) && !said.contains(&old), "{said}");
    assert_ne!(old, new);
    let with =
        |token: &str| open.bare("GET", "/api/status").header("Authorization", &format!("Bearer {token}")).send().status;
    assert_eq!((with(&old), with(&new)), (401, 200));
    let left = String::from_utf8_lossy(&rest(&mut stream)).into_owned();
    assert!(!left.contains("0\r\n\r\n"), "the stream of the old token is cut, not ended: {left:?}");
}

#[test]
fn s13_the_token_is_told_to_nobody() {
    let open = Open::new();
    let token = open.token();
    open.den.spawn("fox");
    let wrong = format!("{}x", &token[..63]);
    for path in ["/api/status", "/api/containers/fox/logs?follow=false", "/api/nothing"] {
        let join = if path.contains('?') { '&' } else { '?' };
        for secret in [&token, &wrong] {
            let answer = open.bare("GET", &format!("{path}{join}token={secret}")).send();
            assert!(!answer.body.contains(secret.as_str()), "{answer:?}");
            let answer = open.bare("GET", path).header("Authorization", &format!("Bearer {secret}")).send();
            assert!(!answer.body.contains(secret.as_str()), "{answer:?}");
        }
    }
    open.den.ok(&["api", "token", "rotate"]);
    let secrets = [token, open.token(), wrong];
    let has = |text: &str| secrets.iter().any(|secret| text.contains(secret.as_str()));
    for entry in fs::read_dir(open.den.state().join("logs")).unwrap().flatten() {
        assert!(!has(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap())), "{:?}", entry.path());
    }
    for part in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{part}", open.den.supervisor())).unwrap();
        assert!(!has(&String::from_utf8_lossy(&text)), "{part}");
    }
    for verb in [["status"], ["events"], ["ls"]] {
        assert!(!has(&open.den.ok(&verb)), "{verb:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_a_trouble_until_it_is_free() {
    let port = free_port();
    let holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let rest = format!("[api]\nlisten = \"127.0.0.1:{port}\"\n");
    let den = Den::fake_with(Conf { rest: &rest, ..Conf::default() });
    let _served = den.serve(&[]);
    let troubles = || den.json(&["status"])["troubles"].to_string();
    until("it says so", || {
        let said = troubles();
        if said.contains("does not listen") && said.contains(&port.to_string()) { Ok(()) } else { Err(said) }
    });
    den.spawn("fox");
    drop(holder);
    until("it listens", || {
        let status = std::panic::catch_unwind(|| Request::new(port, "GET", "/health").send().status);
        if status.is_ok_and(|status| status == 200) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    until("the trouble is over", || match troubles() {
        said if said == "[]" => Ok(()),
        said => Err(said),
    });
}

#[test]
fn a_token_that_others_can_read_opens_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let open = Open::new();
    let token = open.token();
    fs::set_permissions(open.token_file(), fs::Permissions::from_mode(0o644)).unwrap();
    signal(open.den.supervisor(), Signal::KILL);
    let Open { served, den, port } = open;
    drop(served);
    let _served = den.serve(&[]);
    until("it says so", || match den.json(&["status"])["troubles"].to_string() {
        said if said.contains("others may read it") && !said.contains(&token) => Ok(()),
        said => Err(said),
    });
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn an_answer_is_closed_although_its_body_never_comes() {
    let open = Open::new();
    let mut stream = open.bare("POST", "/api/containers").header("Content-Length", "1000").open();
    stream.write_all(b"{").unwrap();
    assert_eq!(Answer::of(&rest(&mut stream)).status, 401);
}

#[test]
fn another_user_is_turned_away_also_where_the_sockets_mode_lets_him_in() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let test = "another_user_is_turned_away_also_where_the_sockets_mode_lets_him_in";
    if !rustix::process::geteuid().is_root() {
        return crate::bay::skip(test, "only root can be another user");
    }
    let open = Open::new();
    let socket = open.den.socket();
    let above = socket.ancestors().skip(1).take_while(|dir| dir.starts_with(open.den.path("")));
    let mode = |path: &std::path::Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o077, 0, "its mode alone keeps others out");
    above.for_each(|dir| mode(dir, 0o755));
    mode(&socket, 0o777);
    let status = |uid: u32| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        curl.arg(&socket).arg("http://podbay/api/status").uid(uid).gid(uid);
        curl.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(own) = status(0) else { return crate::bay::skip(test, "no curl") };
    assert_eq!((own.as_str(), status(65534).unwrap().as_str()), ("200", "000"));
    assert_eq!(status(0).unwrap(), "200", "and it goes on");
}
