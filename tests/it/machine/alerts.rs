//! What fires, through the whole machine: by its clock, in its history and in its view.

use std::time::Duration;

use podbay::bay::alert::Calls;
use podbay::supervisor::event::{Event, Gauges};

use super::world::{World, away};

fn firing(world: &World) -> Vec<String> {
    world.view().status.alerts.into_iter().map(|alert| alert.name).collect()
}

fn said(world: &World, text: &str) -> usize {
    world.view().history.iter().filter(|line| line.text.contains(text)).count()
}

#[test]
fn an_engine_that_is_away_fires_and_is_over_with_it() {
    let mut world = World::new("");
    world.settle();
    assert_eq!(firing(&world), [""; 0]);
    world.event(Event::Pinged(Err(away())));
    world.event(Event::Pinged(Err(away())));
    world.event(Event::Pinged(Err(away())));
    let is_away = |world: &World| world.view().status.engine.state == podbay::api::types::LinkState::Away;
    assert!(is_away(&world));
    let mut seconds = 0;
    // Nobody answers: the machine's tries are left where they are.
    while firing(&world).is_empty() {
        world.mono += Duration::from_secs(1);
        world.event(Event::Tick(Gauges::default()));
        seconds += 1;
        assert!(seconds < 60, "it never fired");
    }
    assert_eq!((seconds, firing(&world)), (31, vec!["PodbayEngineAway".to_owned()]));
    assert_eq!(said(&world, "alert: PodbayEngineAway"), 1);
    world.pass(10);
    assert!(!is_away(&world));
    assert_eq!((firing(&world), said(&world, "over: PodbayEngineAway")), (vec![], 1));
}

#[test]
fn a_pool_without_a_warm_worker_fires_after_two_minutes() {
    let mut world = World::new("[[template]]\nname = \"web\"\ncommand = [\"sh\"]\npool = { target = 1 }\n");
    for _ in 0..200 {
        world.failures.push_back(("create", podbay::engine::EngineError::NoImage("gone".to_owned())));
    }
    world.pass(100);
    assert_eq!(firing(&world), [""; 0]);
    world.pass(40);
    assert_eq!(firing(&world), ["PodbayPoolEmpty"]);
}

#[test]
fn gauges_are_looked_at_too() {
    let mut world = World::new("");
    world.settle();
    let calls = |all, failed| Calls { all, failed, ..Calls::default() };
    for second in 0..100 {
        world.mono += Duration::from_secs(1);
        world.event(Event::Tick(Gauges { calls: calls(second * 10, second * 5), ..Gauges::default() }));
    }
    assert_eq!(firing(&world), ["PodbayEngineErrors"]);
}
