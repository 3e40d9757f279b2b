//! Podman's service, begun where nothing else answers and an image is named.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::fake_daemon::FakeDaemon;
use crate::local::Nest;

/// As a machine without any engine's socket, with a program of Podman's name that does what a script says.
fn nest(test: &str, image: &str, script: &str) -> Option<Nest> {
    let mut nest = Nest::new(test, "")?;
    let file = nest.path("c/podbay/config.toml");
    let template = format!("[[template]]\nname = \"boxed\"\nimage = \"{image}\"\n");
    fs::write(&file, format!("[bay]\nname = \"{}\"\n[parent]\nports = []\n{template}", nest.bay)).unwrap();
    fs::create_dir(nest.path("bin")).unwrap();
    let program = nest.path("bin/podman");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", nest.path("asked").display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    nest.hidden = true;
    Some(nest)
}

fn run(nest: &Nest, args: &[&str]) -> (i32, String) {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", nest.path("bin").display());
    let output = nest.command(args).env("PATH", path).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn podmans_service_is_begun_for_an_image() {
    let fake = FakeDaemon::start();
    // In place of a service: a way to one that listens.
    let script = format!("ln -s {} ${{4#unix://}}\nsleep 30", fake.socket.display()).replace("${4#", "${5#");
    let Some(nest) = nest("podmans_service_is_begun_for_an_image", "img", &script) else { return };
    let (code, text) = run(&nest, &["--json", "status"]);
    assert_eq!(code, 0, "{text}");
    crate::local::until("its engine answers", || {
        let engine = nest.json(&["status"])["engine"].clone();
        let there = engine["endpoint"] == "unix:///run/podman/podman.sock" && engine["state"] == "up";
        if there && engine["isolation"] == "container" { Ok(()) } else { Err(engine.to_string()) }
    });
    let asked = fs::read_to_string(nest.path("asked")).unwrap();
    assert_eq!(asked, "system service --time 600 unix:///run/podman/podman.sock\n");
    nest.ok(&["down", "--workers", "-y"]);
}

#[test]
fn podman_is_left_alone_where_no_image_is_named() {
    let Some(nest) = nest("podman_is_left_alone_where_no_image_is_named", "host", "exit 1") else { return };
    assert_eq!(run(&nest, &["spawn", "fox", "-d"]).0, 0);
    assert_eq!(nest.json(&["status"])["engine"]["kind"], "local");
    assert!(!nest.path("asked").exists());
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_podman_that_does_not_begin_is_told_of() {
    let script = "echo 'Error: no subuid ranges' >&2; exit 125";
    let Some(nest) = nest("a_podman_that_does_not_begin_is_told_of", "img", script) else { return };
    assert_eq!(run(&nest, &["spawn", "fox", "-d"]).0, 0, "the machine's own namespaces are there all the same");
    let engine = nest.json(&["status"])["engine"].clone();
    assert_eq!(engine["kind"], "local", "{engine}");
    assert!(engine["limits"].to_string().contains("Error: no subuid ranges"), "{engine}");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}
