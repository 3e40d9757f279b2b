//! `ssh://` with an ssh that is a script: it runs what it is told on this machine. The program is found by PATH, so
//! the test runs itself once more with a PATH of its own.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use podbay::bay::isolation::IsolationRule;
use podbay::config::env::Env;
use podbay::config::{EngineConfig, EngineKind};
use podbay::engine::connect;

use super::bed::{Bed, refused};

/// Set for the inner run; without it the children have no ssh to talk to.
const CHILD: &str = "PODBAY_TEST_SSH";

fn run_with_ssh(script: &str, child: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let ssh = folder.path().join("ssh");
    std::fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", child, "--ignored", "--nocapture"]).env("PATH", path);
    command.env(CHILD, "1").env("DOCKER_HOST", "unix:///var/run/docker.sock").output().unwrap()
}

fn over_ssh() -> podbay::engine::SharedEngine {
    let config =
        EngineConfig { kind: EngineKind::Docker, host: "ssh://ann@box:2222".to_owned(), isolation: IsolationRule::Ask };
    connect(&config, &Env::default()).unwrap()
}

#[tokio::test]
async fn an_engine_is_reached_through_ssh() {
    if Bed::docker("an_engine_is_reached_through_ssh").await.is_none() {
        return;
    }
    // Everything up to the host is ssh's own; the rest is run.
    let script = "echo \"$*\" | grep -q -- '-p 2222 -l ann -- box docker system dial-stdio' || exit 9\n\
                  while [ \"$1\" != -- ]; do shift; done; shift 2; exec \"$@\"";
    let output = run_with_ssh(script, "engine::ssh::child_that_reaches");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
#[ignore = "run by an_engine_is_reached_through_ssh"]
async fn child_that_reaches() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let engine = over_ssh();
    let identity = engine.identify().await.unwrap();
    assert!(!identity.local, "{identity:?}");
    for _ in 0..3 {
        engine.published().await.unwrap();
    }
}

#[test]
fn what_ssh_complains_of_is_said() {
    let script = "echo 'warning: something' >&2; echo 'ann@box: Permission denied (publickey).' >&2; exit 255";
    let output = run_with_ssh(script, "engine::ssh::child_that_is_denied");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
#[ignore = "run by what_ssh_complains_of_is_said"]
async fn child_that_is_denied() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let error = refused(over_ssh().ping().await);
    assert!(error.is_away() && error.to_string().contains("Permission denied (publickey)"), "{error}");
}
