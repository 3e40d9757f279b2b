//! Pools in trouble: what fails, what is silent, and what somebody takes away.

use std::time::Duration;

use podbay::api::types::{DownRequest, PoolRow, State, Verb};
use podbay::bay::phase::{Phase, Progress};
use podbay::engine::EngineError;
use podbay::supervisor::event::{Command, Effect, Event, Gauges, Reply, Waiting};
use podbay::supervisor::goal::Step;

use super::pool::{POOLED, claim, filled, pool};
use super::world::World;

fn warm(world: &World) -> Vec<String> {
    let view = world.view();
    view.containers.iter().filter(|row| row.state == State::Warm).map(|row| row.name.clone()).collect()
}

fn refused(what: &str) -> EngineError {
    EngineError::Refused { what: what.to_owned(), message: "no space left on device".to_owned() }
}

#[test]
fn a_gate_that_does_not_open_is_tried_now_and_then_and_its_row_says_why() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.pass(2);
    let container = world.id("fox");
    let fail = |world: &mut World| {
        while world.failures.len() < 4 {
            world.failures.push_back(("open", refused("claiming")));
        }
    };
    world.act("fox", Verb::Restart);
    let mut tries = 0;
    for _ in 0..150 {
        fail(&mut world);
        world.pass(1);
        tries += 4 - world.failures.len();
    }
    assert!((2..=4).contains(&tries), "{tries} tries in two and a half minutes");
    let row = world.row("fox");
    assert_eq!(row.state, State::Running);
    assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("no space left")), "{:?}", row.reason);
    // A restart is a new try at once, and nothing of the fault is left.
    world.failures.clear();
    world.act("fox", Verb::Restart);
    world.pass(2);
    assert_eq!((world.row("fox").reason, world.gates[&container].taken.len()), (None, 2));
    world.assert_claims();
}

#[test]
fn a_lost_link_condemns_no_warm_worker() {
    let mut world = World::new(POOLED);
    // They run, and no look at them has come back when the link is lost.
    world.no_probes = true;
    world.pass(3);
    assert_eq!(pool(&world).probing, 2);
    let created = world.count("create");
    world.away = true;
    world.pass(30);
    (world.away, world.no_probes) = (false, false);
    world.pass(40);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None));
    assert_eq!(world.count("create"), created + 1, "those that were there are kept");
    assert_eq!(world.count("remove"), 0);
}

#[test]
fn a_late_answer_condemns_no_warm_worker() {
    let mut world = World::new(POOLED);
    world.no_probes = true;
    world.pass(3);
    let looked_at: Vec<_> = world.containers.values().filter(|one| one.name.contains("-warm-")).cloned().collect();
    for one in &looked_at {
        let run = one.status.since().unwrap();
        world.event(Event::Probed { id: one.id.clone(), run, answer: Waiting::Unknown });
        let again = world.effects.iter().any(|effect| matches!(effect, Effect::Probe { id, .. } if *id == one.id));
        assert!(again, "it is looked at again");
    }
    world.no_probes = false;
    world.pass(5);
    assert_eq!((pool(&world).warm, world.count("remove")), (3, 0));
}

#[test]
fn five_that_are_killed_at_once_are_one_failure() {
    let mut world = filled(&POOLED.replace("target = 3", "target = 5"));
    world.pass(3);
    assert_eq!(pool(&world).warm, 5);
    for name in warm(&world) {
        let id = world.id(&name);
        world.end(&id, 137).unwrap();
    }
    world.hint();
    let error = pool(&world).last_error.unwrap_or_default();
    assert!(!error.starts_with("stopped trying"), "{error}");
    world.pass(8);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (5, None));
}

#[test]
fn those_that_were_killed_while_nobody_looked_are_replaced_at_once() {
    let mut world = filled(&POOLED.replace("target = 3", "target = 5"));
    world.pass(90);
    for name in warm(&world) {
        let id = world.id(&name);
        world.end(&id, 137).unwrap();
    }
    world.crash();
    world.pass(4);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (5, None));
}

#[test]
fn one_that_is_being_claimed_is_not_removed_under_its_claimer() {
    let mut world = filled(POOLED);
    let id = claim(&mut world, "fox");
    let claimed = opening(&world);
    let name = world.containers[&claimed].name.trim_start_matches("podbay-").to_owned();
    let removed = world.act(&name, Verb::Remove);
    let down = world.command(Command::Down(DownRequest::default()));
    world.settle();
    let answer = &world.answers[&removed];
    assert!(matches!(answer, Reply::Refused(error) if error.message.contains("no such name")), "{answer:?}");
    assert!(matches!(world.answers[&down], Reply::Done(_)), "{:?}", world.answers[&down]);
    assert!(matches!(&world.answers[&id], Reply::Spawned(reply) if reply.claimed), "{:?}", world.answers[&id]);
    assert_eq!(world.id("fox"), claimed);
    assert!(world.containers.values().all(|one| !one.name.contains("-warm-")));
    world.assert_claims();
}

/// The warm worker whose gate is about to be opened.
fn opening(world: &World) -> podbay::bay::container::ContainerId {
    let open = |effect: &Effect| match effect {
        Effect::Step(_, Step::Open(id, _)) => Some(id.clone()),
        _ => None,
    };
    world.effects.iter().find_map(open).unwrap()
}

const TWO: &str = r#"
[[template]]
name = "one"
network = "none"
command = ["agent"]
pool = { target = 8, min = 1, max_creating = 3 }
[[template]]
name = "two"
network = "none"
command = ["agent"]
pool = { target = 8, min = 1, max_creating = 3 }
[[template]]
name = "three"
network = "none"
command = ["agent"]
pool = { target = 8, min = 1, max_creating = 3 }
"#;

#[test]
fn four_are_made_at_once_over_all_pools() {
    let mut world = World::new(TWO);
    let mut said = false;
    for _ in 0..400 {
        let rows = world.view().status.pool;
        let creating: u32 = rows.iter().map(|row| row.creating).sum();
        assert!(creating <= 4, "{creating} at once: {rows:?}");
        let waits = |row: &PoolRow| row.last_error.as_deref() == Some("waits for the warm workers of other pools");
        said |= rows.iter().any(waits);
        if !world.perform_one() {
            world.pass(1);
        }
    }
    assert!(said, "a pool that waits for the others says so");
    let rows = world.view().status.pool;
    assert!(rows.iter().all(|row| (row.warm, &row.last_error) == (8, &None)), "{rows:?}");
}

#[test]
fn a_slow_claim_does_not_stop_the_pools() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    assert!(take_step(&mut world, "fox"), "its step never comes back");
    world.pass(2);
    assert_eq!((pool(&world).warm, pool(&world).creating), (2, 0));
    let error = pool(&world).last_error.unwrap();
    assert!(error.contains("come first"), "{error}");
    world.pass(8);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None));
}

#[test]
fn a_worker_whose_repository_is_fetched_does_not_stop_the_pools() {
    let mut world = filled(POOLED);
    let name = warm(&world).remove(0);
    world.spawn("owl");
    assert!(take_step(&mut world, "owl"));
    let progress = Progress::new(Phase::Cloning, "");
    world.event(Event::Progressed { target: "owl".to_owned(), progress });
    let id = world.id(&name);
    world.containers.remove(&id);
    world.hint();
    world.pass(2);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None));
}

#[test]
fn claims_without_a_pause_do_not_starve_the_pool() {
    let mut world = filled(&POOLED.replace("min = 1", "min = 0"));
    for number in 0..40 {
        claim(&mut world, &format!("w{number}"));
        world.settle();
        world.mono += Duration::from_millis(400);
        world.event(Event::Tick(Gauges::default()));
        world.settle();
    }
    assert!(pool(&world).hits > 10, "{:?}", pool(&world));
    world.assert_claims();
}

/// Takes the next step of this name away, as if it took for ever.
fn take_step(world: &mut World, name: &str) -> bool {
    let at = world.effects.iter().position(|effect| matches!(effect, Effect::Step(of, _) if of == name));
    at.is_some_and(|at| world.effects.remove(at).is_some())
}
