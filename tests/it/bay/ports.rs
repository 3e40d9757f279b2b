//! Host ports of workers with a network of their own: each its own, none that somebody else listens on, recycled.

use std::collections::BTreeSet;
use std::net::TcpListener;

use podbay::api::types::SpawnRequest;

use super::den::{Conf, Den};

const WORKER: &str = "command = [\"sleep\", \"1000\"]\nnetwork = \"bridge\"\nports = [8000]\nmounts = []\nssh = \"none\"\nagent_home = { from = \"\", to = \"\", copy = [] }";

fn sixteen_at_once(den: &Den) {
    let spawn = |name: &str| SpawnRequest { name: Some(name.to_owned()), ..SpawnRequest::default() };
    den.ok(&["up"]);
    let first = den.wait(async |client| client.spawn(&spawn("first")).await).unwrap();
    let lowest = first.host_port.unwrap();
    // The next one of the range is somebody else's.
    let theirs = TcpListener::bind(("0.0.0.0", lowest + 1)).ok();
    let names: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
    let replies = den.wait(async |client| {
        let one = |name: &String| {
            let (client, request) = (client.clone(), spawn(name));
            async move { client.spawn(&request).await }
        };
        futures_util::future::join_all(names.iter().map(one)).await
    });
    let ports: BTreeSet<u16> = replies.into_iter().map(|reply| reply.unwrap().host_port.unwrap()).collect();
    assert_eq!(ports.len(), 16, "two have the same port: {ports:?}");
    assert!(!ports.contains(&lowest), "{ports:?}");
    assert!(theirs.is_none() || !ports.contains(&(lowest + 1)), "somebody else listens there: {ports:?}");
    let shown = den.wait(async |client| client.ports().await).unwrap();
    let shown: BTreeSet<u16> =
        shown.into_iter().filter(|row| row.name.starts_with('w')).filter_map(|row| row.port).collect();
    assert_eq!(shown, ports, "the table shows each");
    // What is free again is given again; a refresh keeps what it had.
    let before = den.row("w7").unwrap().ports;
    den.ok(&["refresh", "w7"]);
    assert_eq!(den.row("w7").unwrap().ports, before);
    den.ok(&["rm", "-f", "first"]);
    let next = den.wait(async |client| client.spawn(&spawn("next")).await).unwrap();
    assert_eq!(next.host_port, Some(lowest), "the lowest is free again");
}

#[test]
fn sixteen_spawns_at_once_get_sixteen_ports() {
    sixteen_at_once(&Den::fake_with(Conf { worker: WORKER, ..Conf::default() }));
}

#[test]
fn sixteen_spawns_at_once_get_sixteen_ports_of_docker() {
    let test = "sixteen_spawns_at_once_get_sixteen_ports_of_docker";
    let Some(den) = Den::docker_with(test, Conf { worker: WORKER, ..Conf::default() }) else { return };
    sixteen_at_once(&den);
}
