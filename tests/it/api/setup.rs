//! A repository for a worker that runs, and whoever is told how far it is.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::open::Open;
use super::wire::PATIENCE;
use crate::bay::until;

/// A receiver of callbacks: answers each as told, and passes on what came.
struct Receiving {
    port: u16,
    came: Receiver<(String, String)>,
}

impl Receiving {
    /// `answers`: the statuses of the first ones; 200 after that.
    fn start(answers: Vec<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, came) = channel();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming().flatten() {
                let status = answers.next().unwrap_or("200 OK");
                let Some(request) = receive(stream, status) else { continue };
                if to.send(request).is_err() {
                    return;
                }
            }
        });
        Self { port, came }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/docker-status?a=b", self.port)
    }

    /// Head, body, and what the body says.
    fn next(&self) -> (String, String, Value) {
        let (head, body) = self.came.recv_timeout(PATIENCE).expect("a callback comes");
        let report = serde_json::from_str(&body).unwrap();
        (head, body, report)
    }
}

fn receive(mut stream: TcpStream, status: &str) -> Option<(String, String)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
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

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

/// A repository with one commit; its URL.
fn repository(open: &Open) -> String {
    let dir = open.den.path("git/owner/repo");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("README"), "hello\n").unwrap();
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
        let done = Command::new("git").args(identity).args(args).current_dir(&dir).output().unwrap();
        assert!(done.status.success(), "git {args:?}: {done:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    format!("file://{}", dir.display())
}

fn open() -> Open {
    let open = Open::with("", "[[template]]\nname = \"web\"\nsetup = \"echo installed\"\ncommand = [\"sh\"]\n");
    open.den.ok(&["spawn", "fox", "-d", "-t", "web"]);
    open
}

fn body(open: &Open, receiving: &Receiving) -> Value {
    json!({
        "repo": repository(open), "branch": "main", "githubToken": "gho_0123456789abcdef",
        "callbackUrl": receiving.url(), "callbackSecret": "secret123",
        "hasMainImage": false, "buildMainImage": true, "envVars": {"NODE_ENV": "development"},
    })
}

#[test]
fn a_setup_is_answered_at_once_and_told_phase_by_phase() {
    let (open, receiving) = (open(), Receiving::start(vec!["503 Busy"]));
    let answer = open.request("POST", "/api/containers/fox/setup").json(&body(&open, &receiving)).send();
    let reply = answer.json();
    assert_eq!((answer.status, &reply["status"], &reply["name"]), (202, &json!("cloning"), &json!("fox")), "{reply}");
    assert!(!answer.body.contains("gho_") && !answer.body.contains("secret123"), "{reply}");
    let mut phases = Vec::new();
    while phases.last().is_none_or(|phase| phase != "ready") {
        let (head, body, report) = receiving.next();
        assert!(head.starts_with("POST /docker-status?a=b HTTP/1.1\r\n"), "{head}");
        let at = header(&head, "x-podbay-timestamp");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret123").unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        let told = header(&head, "x-podbay-signature").strip_prefix("sha256=").unwrap().to_owned();
        let wanted = podbay::bay::owner::hex(&mac.finalize().into_bytes());
        assert_eq!(told, wanted, "signed over the time and the body");
        assert_eq!(report["containerId"], reply["id"]);
        assert!(report["timestamp"].is_i64() && report["message"].is_string(), "{report}");
        phases.push(report["status"].as_str().unwrap().to_owned());
        assert_ne!(phases.last().unwrap(), "failed", "{report}");
    }
    assert_eq!(phases, ["cloning", "cloning", "installing", "ready"], "the first one was told again");
    let workspace = open.den.state().join("workers/fox/workspace");
    assert_eq!(std::fs::read_to_string(workspace.join("README")).unwrap(), "hello\n");
    let said = open.den.ok(&["events"]);
    assert!(said.contains("setup ready") && !said.contains("gho_") && !said.contains("secret123"), "{said}");
    let left: Vec<_> = std::fs::read_dir(open.den.state()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".setup")), "{left:?}");
}

#[test]
fn what_can_not_be_set_up_is_refused_before_anything_is_done() {
    let (open, receiving) = (open(), Receiving::start(vec![]));
    std::fs::create_dir(open.den.path("h/mine")).unwrap();
    open.den.ok(&["spawn", "bound", "-d", "-p", &open.den.path("h/mine").display().to_string()]);
    let whole = body(&open, &receiving);
    let with = |name: &str, field: &str, value: Value| {
        let mut body = whole.clone();
        body[field] = value;
        let answer = open.request("POST", &format!("/api/containers/{name}/setup")).json(&body).send();
        (answer.status, answer.json()["error"]["field"].as_str().map(str::to_owned))
    };
    let field = |field: &str| (400, Some(field.to_owned()));
    assert_eq!(with("fox", "repo", json!("nonsense")), field("repo"));
    assert_eq!(with("fox", "branch", json!("-x")), field("branch"));
    assert_eq!(with("fox", "envVars", json!({"A B": "x"})), field("envVars"));
    assert_eq!(with("fox", "callbackSecret", json!("")), field("callbackSecret"));
    for url in
        ["https://evil.example/x", "http://169.254.169.254/latest", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/x"]
    {
        assert_eq!(with("fox", "callbackUrl", json!(url)), field("callbackUrl"), "{url}");
    }
    assert_eq!(with("nobody", "branch", json!("main")).0, 404);
    assert_eq!(with("bound", "branch", json!("main")).0, 422, "a directory of the user's is never touched");
    assert_eq!(with("parent", "branch", json!("main")).0, 422);
    assert!(receiving.came.try_recv().is_err(), "nobody was told");
    assert!(!open.den.state().join("workers/fox/workspace/README").exists());
}

#[test]
fn a_redirect_is_not_followed_and_given_up_is_said() {
    let (open, receiving) = (open(), Receiving::start(vec!["302 Found", "307 Temporary Redirect", "404 Not Found"]));
    let answer = open.request("POST", "/api/containers/fox/setup").json(&body(&open, &receiving)).send();
    assert_eq!(answer.status, 202, "{answer:?}");
    let phases: Vec<Value> = (0..3).map(|_| receiving.next().2["status"].clone()).collect();
    assert_eq!(phases, ["cloning", "installing", "ready"], "each is told once");
    until("it is said", || match open.den.ok(&["events"]) {
        said if said.contains("was given up: it answered 302") && said.contains("404") => Ok(()),
        said => Err(said),
    });
    assert!(receiving.came.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn a_long_callback_secret_opens_that_terminal_and_nothing_else() {
    let (open, receiving) = (open(), Receiving::start(vec![]));
    open.den.spawn("owl");
    let secret = "a-callback-secret-of-40-characters-at-all";
    let mut body = body(&open, &receiving);
    body["callbackSecret"] = json!(secret);
    assert_eq!(open.request("POST", "/api/containers/fox/setup").json(&body).send().status, 202);
    let status =
        |method: &str, path: &str| open.bare(method, path).query(&format!("token={secret}")).upgrade().send().status;
    let terminal = |name: &str| {
        let stream = open.bare("GET", &format!("/api/containers/{name}/terminal")).query(&format!("token={secret}"));
        let mut stream = stream.upgrade().open();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head).into_owned()
    };
    assert_eq!(terminal("fox"), "HTTP/1.1 101");
    assert_eq!(terminal("owl"), "HTTP/1.1 401");
    assert_eq!(status("GET", "/api/containers/owl/terminal"), 401);
    open.den.ok(&["rm", "fox", "-f", "-y"]);
    open.den.ok(&["spawn", "fox", "-d", "-t", "web"]);
    assert_eq!(terminal("fox"), "HTTP/1.1 401", "another one of the name");
    assert_eq!(status("GET", "/api/containers/fox/logs"), 401);
    assert_eq!(status("GET", "/api/containers/fox"), 401);
    assert_eq!(open.bare("GET", "/api/status").header("Authorization", &format!("Bearer {secret}")).send().status, 401);
}
