//! The docker CLI's rules, as a table.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::endpoint::{Address, Endpoint, Files, SocketState, resolve};
use crate::config::env::Env;
use crate::engine::EngineError;

struct Machine {
    vars: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    sockets: &'static [(&'static str, SocketState)],
}

const BARE: Machine = Machine { vars: &[], files: &[], sockets: &[] };
const USABLE: SocketState = SocketState::Usable;
const PODMAN: (&str, SocketState) = ("/run/user/7/podman/podman.sock", USABLE);
const DENIED: (&str, SocketState) = ("/var/run/docker.sock", SocketState::Denied);
const STALE: (&str, SocketState) = ("/var/run/docker.sock", SocketState::Stale);

fn run(host: &str, machine: &Machine) -> Result<Endpoint, EngineError> {
    let vars: BTreeMap<String, String> = machine.vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let env = Env { vars, home: "/home/ann".into(), ..Env::default() };
    let read = |path: &Path| {
        let found = machine.files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let socket = |path: &Path| {
        let found = machine.sockets.iter().find(|(name, _)| Path::new(name) == path);
        found.map_or(SocketState::Missing, |(_, state)| *state)
    };
    resolve(host, &env, &Files { read: &read, socket: &socket })
}

/// `printf colima | sha256sum`.
const COLIMA: &str =
    "/home/ann/.docker/contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16/meta.json";
const COLIMA_META: &str = r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///home/ann/c.sock"}}}"#;

#[test]
fn d04_the_first_that_is_named_wins() {
    let all = Machine {
        vars: &[("DOCKER_HOST", "tcp://box:1"), ("DOCKER_CONTEXT", "colima")],
        files: &[("/home/ann/.docker/config.json", r#"{"currentContext":"colima"}"#), (COLIMA, COLIMA_META)],
        sockets: &[("/var/run/docker.sock", USABLE)],
    };
    let no_host = Machine { vars: &[("DOCKER_CONTEXT", "colima")], ..all };
    let current = Machine { vars: &[], ..all };
    let default = Machine { vars: &[("DOCKER_CONTEXT", "default")], ..all };
    let table = [
        ("unix:///a.sock", &all, "unix:///a.sock", "[engine] host"),
        ("", &all, "tcp://box:1", "DOCKER_HOST"),
        ("", &no_host, "unix:///home/ann/c.sock", "context \"colima\""),
        ("", &current, "unix:///home/ann/c.sock", "context \"colima\""),
        ("", &default, "unix:///var/run/docker.sock", "default socket"),
    ];
    for (host, machine, url, source) in table {
        let found = run(host, machine).unwrap();
        assert_eq!((found.url.as_str(), found.source.as_str()), (url, source));
    }
}

#[test]
fn d04_sockets_in_their_order() {
    let runtime = &[("XDG_RUNTIME_DIR", "/run/user/7")];
    let rootless = Machine { vars: runtime, sockets: &[("/run/user/7/docker.sock", USABLE), PODMAN], ..BARE };
    assert_eq!(run("", &rootless).unwrap().url, "unix:///run/user/7/docker.sock");
    let only_podman = Machine { vars: runtime, sockets: &[PODMAN], ..BARE };
    assert_eq!(run("", &only_podman).unwrap().source, "Podman's socket");
    let both = Machine { vars: runtime, sockets: &[DENIED, PODMAN], ..BARE };
    assert_eq!(run("", &both).unwrap().source, "Podman's socket");
    let alone = Machine { sockets: &[DENIED], ..BARE };
    assert_eq!(run("", &alone).unwrap().url, "unix:///var/run/docker.sock");
    let stale = Machine { vars: runtime, sockets: &[STALE, PODMAN], ..BARE };
    assert_eq!(run("", &stale).unwrap().source, "Podman's socket");
    assert_eq!(run("unix:///var/run/docker.sock", &stale).unwrap().source, "[engine] host");
    let alone = Machine { sockets: &[STALE], ..BARE };
    assert_eq!(run("", &alone).unwrap().url, "unix:///var/run/docker.sock");
    let colima = Machine { sockets: &[("/home/ann/.colima/default/docker.sock", USABLE)], ..BARE };
    assert_eq!(run("", &colima).unwrap().source, "default socket");
}

#[test]
fn hosts_are_read_as_the_docker_cli_reads_them() {
    let tcp = run("tcp://[::1]:2375", &BARE).unwrap().address;
    assert_eq!(tcp, Address::Tcp { host: "::1".into(), port: 2375 });
    assert_eq!(run("tcp://box", &BARE).unwrap().address, Address::Tcp { host: "box".into(), port: 2375 });
    let Address::Ssh(ssh) = run("ssh://ann@box:2222/run/d.sock", &BARE).unwrap().address else { panic!("not ssh") };
    assert_eq!((ssh.user.as_deref(), ssh.host.as_str(), ssh.port), (Some("ann"), "box", Some(2222)));
    assert_eq!(ssh.socket.as_deref(), Some("/run/d.sock"));
    let hostile = [
        "box",
        "unix://relative",
        "ssh://-oProxyCommand=x",
        "ssh://-l@box",
        "ssh://a b",
        "ssh://box/a;b",
        "ssh://",
        "tcp://:1",
        "tcp://box:x",
        "tcp://box:0",
        "ftp://box",
        "npipe:////./pipe/docker",
    ];
    for host in hostile {
        let error = run(host, &BARE).unwrap_err().to_string();
        assert!(error.contains("[engine] host"), "{error}");
    }
}

#[test]
fn what_can_not_be_used_is_said() {
    let broken = Machine { files: &[("/home/ann/.docker/config.json", "{")], ..BARE };
    let missing = Machine { vars: &[("DOCKER_CONTEXT", "nope")], ..BARE };
    let tls = Machine { vars: &[("DOCKER_HOST", "tcp://box:2376"), ("DOCKER_TLS_VERIFY", "1")], ..BARE };
    let elsewhere = Machine {
        vars: &[("DOCKER_CONFIG", "/cfg")],
        files: &[("/cfg/config.json", r#"{"currentContext":"gone"}"#)],
        ..BARE
    };
    let table = [
        (&broken, "config.json"),
        (&missing, "docker context ls"),
        (&tls, "ssh://"),
        (&elsewhere, "/cfg/contexts/meta/"),
        (&BARE, "systemctl start docker"),
    ];
    for (machine, words) in table {
        let error = run("", machine).unwrap_err();
        assert!(error.to_string().contains(words) && error.is_away(), "{error}");
    }
}
