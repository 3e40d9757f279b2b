//! What fires, through the whole machine: by its clock, in its history and in its view.

use std::time::Duration;

use podbay::api::types::Disk;
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

#[test]
fn a_change_is_judged_at_the_next_tick_and_mere_figures_after_five_seconds() {
    for (with_a_change, fires) in [(false, 66), (true, 63)] {
        let mut world = World::new("");
        world.settle();
        let block = 1 << 26;
        let mut disk = Disk { total: 100 * block, free: 50 * block };
        let mut second = 0;
        while firing(&world).is_empty() {
            assert!(second < 100, "it never fired");
            // The first tick's change is judged at 1, and the figures again at 6.
            let failed = if second < 2 { 0 } else { 50 };
            if second == 2 && with_a_change {
                disk.free += block;
            }
            let calls = Calls { all: 2 * failed, failed, ..Calls::default() };
            world.mono += Duration::from_secs(1);
            world.event(Event::Tick(Gauges { calls, disk, ..Gauges::default() }));
            second += 1;
        }
        assert_eq!((second - 1, firing(&world)), (fires, vec!["PodbayEngineErrors".to_owned()]), "{with_a_change}");
    }
}
