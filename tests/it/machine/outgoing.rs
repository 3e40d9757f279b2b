//! Names outside of the bay: asked for, refused, answered, and remembered.

use podbay::api::types::{NetworkAnswer, NetworkRequest, Way};
use podbay::supervisor::event::{Command, Reply};
use podbay::supervisor::machine::Knock;

use super::world::World;

const LISTED: &str = "[network]\nallow = [\"example.org\", \"*.example.com\"]\n";

fn knock(world: &mut World, host: &str) -> bool {
    let knock = Knock { host: host.parse().unwrap(), port: 443, worker: Some("fox".to_owned()) };
    let id = world.command(Command::Knock(knock));
    world.settle();
    match world.answers.remove(&id) {
        Some(Reply::Open(open)) => open,
        other => panic!("{other:?}"),
    }
}

fn answer(world: &mut World, name: &str, answer: NetworkAnswer) -> Result<(), String> {
    let id = world.command(Command::Network(NetworkRequest { name: name.to_owned(), answer }));
    world.settle();
    match world.answers.remove(&id) {
        Some(Reply::Done(_)) => Ok(()),
        Some(Reply::Refused(error)) => Err(error.message),
        other => panic!("{other:?}"),
    }
}

fn asked(world: &World) -> Vec<(String, u64)> {
    world.view().status.network.asked.into_iter().map(|row| (row.name, row.count)).collect()
}

fn said(world: &World, text: &str) -> usize {
    world.view().history.iter().filter(|line| line.text.contains(text)).count()
}

#[test]
fn what_is_not_listed_is_refused_told_once_and_counted() {
    let mut world = World::new(LISTED);
    assert!(knock(&mut world, "example.org") && knock(&mut world, "a.example.com"));
    assert_eq!((asked(&world), said(&world, "asked for")), (vec![], 0));
    assert!(!knock(&mut world, "example.com") && !knock(&mut world, "evil.net") && !knock(&mut world, "evil.net"));
    let mut rows = asked(&world);
    rows.sort();
    assert_eq!(rows, [("evil.net".to_owned(), 2), ("example.com".to_owned(), 1)]);
    assert_eq!(said(&world, "evil.net:443 was asked for and refused"), 1);
    let line = world.view().history.last().cloned().unwrap();
    assert_eq!(line.name.as_deref(), Some("fox"));
    let network = world.view().status.network;
    assert_eq!((network.way, network.text.contains("allow list of 2 names")), (Way::Listed, true), "{network:?}");
}

#[test]
fn once_is_one_connection() {
    let mut world = World::new(LISTED);
    assert!(!knock(&mut world, "evil.net"));
    answer(&mut world, "evil.net", NetworkAnswer::Once).unwrap();
    assert_eq!(asked(&world), []);
    assert!(knock(&mut world, "evil.net"));
    assert!(!knock(&mut world, "evil.net"));
    assert_eq!(said(&world, "let through once"), 1);
    assert!(answer(&mut world, "*.evil.net", NetworkAnswer::Once).unwrap_err().contains("many names"));
}

#[test]
fn an_answer_for_the_bay_outlives_the_supervisor() {
    let mut world = World::new(LISTED);
    world.settle();
    answer(&mut world, "*.evil.net", NetworkAnswer::Bay).unwrap();
    answer(&mut world, "bad.evil.net", NetworkAnswer::Refuse).unwrap();
    world.settle();
    world.crash();
    assert!(knock(&mut world, "a.evil.net") && !knock(&mut world, "bad.evil.net"));
    // Refused without asking.
    assert_eq!(asked(&world), []);
    let network = world.view().status.network;
    assert_eq!((network.allowed, network.refused), (vec!["*.evil.net".to_owned()], vec!["bad.evil.net".to_owned()]));
    // And taken back.
    answer(&mut world, "*.evil.net", NetworkAnswer::Refuse).unwrap();
    assert!(!knock(&mut world, "a.evil.net"));
    answer(&mut world, "*.evil.net", NetworkAnswer::Bay).unwrap();
    assert!(knock(&mut world, "a.evil.net"));
    // What the configuration names is changed there alone.
    answer(&mut world, "example.org", NetworkAnswer::Refuse).unwrap();
    assert!(knock(&mut world, "example.org"));
}

#[test]
fn who_asks_for_many_names_fills_no_list_and_no_history() {
    let mut world = World::new(LISTED);
    for number in 0..1000 {
        assert!(!knock(&mut world, &format!("n{number}.evil.net")));
    }
    assert_eq!(asked(&world).len(), 100);
    assert_eq!((said(&world, "was asked for"), said(&world, "names wait for an answer")), (100, 1));
}

#[test]
fn what_can_not_be_answered_is_said() {
    let mut world = World::new(LISTED);
    for (name, word) in [("*", "configuration"), ("127.0.0.1", "machine itself"), ("http://x.org", "neither a name")] {
        let error = answer(&mut world, name, NetworkAnswer::Bay).unwrap_err();
        assert!(error.contains(word), "{name}: {error}");
    }
    let mut open = World::new("");
    assert!(answer(&mut open, "example.org", NetworkAnswer::Bay).unwrap_err().contains("no list"));
    assert_eq!(open.view().status.network.way, Way::Open);
    let none = World::new("[network]\nallow = []\n");
    assert_eq!(none.view().status.network.way, Way::None);
}
