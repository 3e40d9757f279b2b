//! What clients of another host ask for, on real Docker: volumes by name, a workspace where they look for it, and images
//! made by setups.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};

use super::den::{Conf, Den};
use super::docker::Docker;
use super::images::{BASE, Images, TURN, base};
use super::{until, within};
use crate::api::wire::Answer;
use crate::git_server::repository;

fn ask(den: &Den, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let mut stream = UnixStream::connect(den.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let answer = Answer::of(&bytes);
    (answer.status, answer.json())
}

fn made(den: &Den, body: &Value) -> Value {
    let (status, made) = ask(den, "POST", "/api/containers", body);
    assert_eq!(status, 200, "{made}");
    made
}

/// What a command in it printed.
fn ran(den: &Den, name: &str, command: &str) -> String {
    let (status, ran) = ask(den, "POST", &format!("/api/containers/{name}/exec"), &json!({"command": command}));
    assert_eq!((status, &ran["exitCode"]), (200, &json!(0)), "{command}: {ran}");
    ran["stdout"].as_str().unwrap().to_owned()
}

fn set_up(den: &Den, name: &str, body: &Value) {
    let (status, reply) = ask(den, "POST", &format!("/api/containers/{name}/setup"), body);
    assert_eq!(status, 202, "{reply}");
    said(den, name, "setup ready");
}

fn said(den: &Den, name: &str, text: &str) -> String {
    let look = || {
        let events = den.ok(&["events"]);
        let line = events.lines().find(|line| line.contains(name) && line.contains(text));
        line.map(str::to_owned).ok_or_else(|| events.clone())
    };
    within(Duration::from_mins(1), text, look).0
}

#[test]
fn workers_that_name_a_volume_share_it_and_are_found_at_app() {
    let test = "hosted::workers_that_name_a_volume_share_it_and_are_found_at_app";
    let Some(docker) = Docker::real(test) else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if base(&docker).is_none() {
        return super::skip(test, "no shell that can be copied with its libraries");
    }
    let _images = Images(docker, vec![BASE.to_owned()]);
    let worker = "command = [\"sleep\", \"600\"]";
    let Some(den) = Den::docker_with(test, Conf { worker, ..Conf::default() }) else { return };
    den.ok(&["up"]);
    let url = format!("file://{}", repository(&den.path("h"), &format!("{}/app.git", den.bay)).display());
    let volume = format!("{}-app-node_modules", den.bay);
    for name in ["one", "two"] {
        let body = json!({"name": name, "image": BASE, "ports": [3000], "volumeName": volume});
        let made = made(&den, &body);
        assert!(made["hostPort"].as_u64().is_some_and(|port| port > 0), "{made}");
    }
    ran(&den, "one", "echo package > /workspace/node_modules/left-pad");
    assert_eq!(ran(&den, "two", "cat /app/node_modules/left-pad"), "package\n");
    set_up(&den, "two", &json!({"repo": url, "branch": "main"}));
    // The document's own example, at the place that it names.
    let listed = ran(&den, "two", "ls -la /app");
    assert!(listed.contains("README") && listed.contains("node_modules"), "{listed}");
    assert_eq!(ran(&den, "two", "cat /app/README /workspace/node_modules/left-pad"), "hello\npackage\n");
    let users = || {
        let status = den.json(&["init", "--status"]).to_string();
        (status.contains(&volume), status.contains("\"used_by\":[\"one\",\"two\"]"))
    };
    assert_eq!(users(), (true, true), "{}", den.json(&["init", "--status"]));
    let refreshed = den.run(&["refresh", "one"]);
    assert_eq!(refreshed.code, 0, "{refreshed:?}");
    den.within_state(Duration::from_mins(1), &["one"], "running");
    assert_eq!(ran(&den, "one", "cat /app/node_modules/left-pad"), "package\n", "made anew, it has it still");
    den.ok(&["rm", "one", "two", "-f", "-y"]);
    until("their directories go", || {
        let left: Vec<_> =
            ["one", "two"].into_iter().filter(|name| den.state().join("workers").join(name).exists()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let (status, error) =
        ask(&den, "POST", "/api/containers", &json!({"name": "bad", "image": BASE, "volumeName": "../../etc"}));
    assert_eq!((status, &error["error"]["field"]), (400, &json!("volumeName")), "{error}");
}

#[test]
fn a_setup_makes_the_image_that_later_workers_begin_with() {
    let test = "hosted::a_setup_makes_the_image_that_later_workers_begin_with";
    let Some(docker) = Docker::real(test) else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if base(&docker).is_none() {
        return super::skip(test, "no shell that can be copied with its libraries");
    }
    let mut images = Images(docker.clone(), vec![BASE.to_owned()]);
    let rest = format!(
        "[[template]]\nname = \"app\"\nimage = \"{BASE}\"\ncommand = [\"sleep\", \"600\"]\nsetup = '''echo once >> \
         /data/installed; echo $API_KEY'''\n"
    );
    let Some(den) = Den::docker_with(test, Conf { rest: &rest, ..Conf::default() }) else { return };
    den.ok(&["up"]);
    let url = format!("file://{}", repository(&den.path("h"), &format!("{}/app.git", den.bay)).display());
    let image = format!("{}-app:main", den.bay);
    made(&den, &json!({"name": "fox", "template": "app"}));
    let body = json!({
        "repo": url, "branch": "feature", "hasMainImage": false, "buildMainImage": true,
        "envVars": {"API_KEY": "hunter2"},
    });
    set_up(&den, "fox", &body);
    let line = said(&den, "fox", "its repository's image was made");
    assert!(line.contains(&image), "{line}");
    let seen = docker.done("GET", &format!("/images/{image}/json"));
    images.1.push(seen["Id"].as_str().unwrap().to_owned());
    assert!(!seen.to_string().contains("hunter2"), "{seen}");
    assert_eq!(ran(&den, "fox", "cat feature"), "new\n", "the worker has the branch that was asked for");
    until("what made it is gone", || {
        let rows = den.rows();
        let left = rows.iter().any(|row| row.name.starts_with("image-"));
        let dirs = std::fs::read_dir(den.state().join("workers")).unwrap().flatten();
        let dirs: Vec<_> = dirs.map(|entry| entry.file_name()).collect();
        if left || dirs.len() > 1 { Err(format!("{rows:?} {dirs:?}")) } else { Ok(()) }
    });
    // Another worker begins with it, and nothing is made again.
    made(&den, &json!({"name": "owl", "template": "app", "image": image}));
    assert_eq!(ran(&den, "owl", "cat /data/installed"), "once\n");
    set_up(&den, "owl", &json!({"repo": url, "hasMainImage": true, "buildMainImage": true}));
    assert!(!said(&den, "owl", "setup ready").contains("is no image of"));
    // One that only says that it does is told.
    made(&den, &json!({"name": "elk", "template": "app"}));
    set_up(&den, "elk", &json!({"repo": url, "hasMainImage": true}));
    assert!(said(&den, "elk", "setup ready").contains(&format!("{BASE} is no image of")));
    let rows = den.json(&["image", "ls"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    den.ok(&["rm", "fox", "owl", "elk", "-f", "-y"]);
}
