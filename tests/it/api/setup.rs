//! A repository for a worker that runs, and whoever is told how far it is.

use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::open::Open;
use super::receiving::{Receiving, is_signed};
use crate::bay::until;

/// A repository with one commit; its URL.
pub fn repository(open: &Open) -> String {
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

pub fn open(setup: &str) -> Open {
    let open = Open::with("", &format!("[[template]]\nname = \"web\"\nsetup = \"{setup}\"\ncommand = [\"sh\"]\n"));
    open.den.ok(&["spawn", "fox", "-d", "-t", "web"]);
    open
}

pub fn body(open: &Open, receiving: &Receiving) -> Value {
    json!({
        "repo": repository(open), "branch": "main", "githubToken": "gho_0123456789abcdef",
        "callbackUrl": receiving.url(), "callbackSecret": "secret123",
        "hasMainImage": false, "buildMainImage": false, "envVars": {"NODE_ENV": "development"},
    })
}

#[test]
fn a_setup_is_answered_at_once_and_told_phase_by_phase() {
    let (open, receiving) = (open("echo installed"), Receiving::start(vec!["503 Busy"]));
    let answer = open.request("POST", "/api/containers/fox/setup").json(&body(&open, &receiving)).send();
    let reply = answer.json();
    assert_eq!((answer.status, &reply["status"], &reply["name"]), (202, &json!("cloning"), &json!("fox")), "{reply}");
    assert!(!answer.body.contains("gho_") && !answer.body.contains("secret123"), "{reply}");
    let mut phases = Vec::new();
    while phases.last().is_none_or(|phase| phase != "ready") {
        let (head, body, report) = receiving.next();
        assert!(head.starts_with("POST /docker-status?a=b HTTP/1.1\r\n"), "{head}");
        assert!(is_signed(&head, &body, "secret123"), "signed over the time and the body: {head}");
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
    let (open, receiving) = (open("echo installed"), Receiving::start(vec![]));
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
    let (open, receiving) =
        (open("echo installed"), Receiving::start(vec!["302 Found", "307 Temporary Redirect", "404 Not Found"]));
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
    let (open, receiving) = (open("echo installed"), Receiving::start(vec![]));
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

/// All files below a directory that hold this text.
fn holding(dir: &std::path::Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn variables_reach_what_is_run_in_it_later_and_nothing_else() {
    let (open, receiving) = (open("echo installed"), Receiving::start(vec![]));
    let mut body = body(&open, &receiving);
    body["envVars"] = json!({"NODE_ENV": "development", "API_KEY": "hunter2-of-the-setup"});
    assert_eq!(open.request("POST", "/api/containers/fox/setup").json(&body).send().status, 202);
    while receiving.next().2["status"] != "ready" {}
    let with_it = |command: &str| {
        let store = open.den.fake.as_ref().unwrap().store();
        let execs = store.execs.values().map(|exec| exec.request.to_string());
        let mut meant = execs.filter(|exec| exec.contains(command)).peekable();
        assert!(meant.peek().is_some(), "{command}");
        meant.all(|exec| exec.contains("API_KEY=hunter2-of-the-setup") && exec.contains("NODE_ENV=development"))
    };
    assert!(with_it("echo installed"));
    let ran = open.request("POST", "/api/containers/fox/exec").json(&json!({"command": "echo by-exec"})).send();
    assert!(ran.status == 200 && with_it("echo by-exec"), "{ran:?}");
    let shell = json!({"command": ["sh", "-c", "echo by-session"], "size": {"rows": 24, "cols": 80}});
    let opened = open.request("POST", "/api/containers/fox/sessions").json(&shell).send();
    assert!(opened.status == 200 && with_it("by-session"), "{opened:?}");
    open.den.ok(&["exec", "-T", "fox", "--", "sh", "-c", "echo by-verb"]);
    assert!(with_it("by-verb"));
    // Neither told nor written anywhere but in the worker's own file, which goes with it.
    for path in ["/api/containers/fox", "/api/containers", "/api/events", "/api/why/fox", "/metrics"] {
        let said = if path == "/api/events" { open.den.ok(&["events"]) } else { open.get(path).body };
        assert!(!said.contains("hunter2"), "{path}: {said}");
    }
    let store =
        open.den.fake.as_ref().unwrap().store().find(&format!("{}-fox", open.den.bay)).map(|c| c.request.to_string());
    assert!(store.is_some_and(|spec| !spec.contains("hunter2")));
    let file = open.den.state().join("workers/fox/setup.json");
    assert_eq!(holding(&open.den.state(), "hunter2"), [file]);
    open.den.ok(&["rm", "fox", "-f", "-y"]);
    until("its file goes with it", || match holding(&open.den.state(), "hunter2") {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
}

#[test]
fn a_callback_that_never_succeeds_is_tried_again_ever_later_and_given_up() {
    let (open, receiving) = (open("echo installed"), Receiving::start(vec!["503 Busy"; 6]));
    let answer = open.request("POST", "/api/containers/fox/setup").json(&body(&open, &receiving)).send();
    assert_eq!(answer.status, 202, "{answer:?}");
    let begun = std::time::Instant::now();
    let mut came: Vec<(Value, Duration)> = Vec::new();
    while came.last().is_none_or(|(status, _)| status != "ready") {
        came.push((receiving.next().2["status"].clone(), begun.elapsed()));
    }
    let statuses: Vec<&Value> = came.iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, [vec!["cloning"; 6], vec!["installing", "ready"]].concat(), "six tries, then the next");
    // 1 s, 2, 4, 8 and 16, each up to a fifth shorter.
    for (pair, least) in came.windows(2).zip([1.0, 1.6, 3.2, 6.4, 12.8]) {
        let waited = pair[1].1.saturating_sub(pair[0].1).as_secs_f64();
        assert!(waited > least - 0.1, "{waited} s, and {least} s at least");
    }
    let said = open.den.ok(&["events"]);
    assert!(said.contains("callback to 127.0.0.1 was given up: it answered 503"), "{said}");
}
