//! Random sequences around a pool: no worker is lost, none is two people's, none is used twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use podbay::api::types::{PoolOrder, PoolRequest, State, Verb};
use podbay::bay::container::Status;
use podbay::supervisor::event::{Command, Reply, StepError};

use super::claims::fault;
use super::pool::{POOLED, claim, pool};
use super::world::{World, late};

#[derive(Clone, Copy, Debug)]
enum Move {
    Claim(u8),
    /// Claims, and is killed between two acts of it.
    Die(u8, usize),
    Slow(bool),
    /// The next line for a gate is lost.
    Mute,
    Crash(u8),
    /// Somebody ends, removes or pauses a warm one, or ends the parent and starts it.
    End(u8),
    Remove(u8),
    Pause(u8),
    Parent,
    Act(u8, Verb),
    Scale(u32),
    Lose(&'static str),
    Refuse(&'static str),
    Unfilled,
    Unwritten,
    Away(bool),
    Pass(u8),
}

fn moves() -> impl Strategy<Value = Move> {
    let step =
        || prop_oneof![Just("create"), Just("start"), Just("remove"), Just("open"), Just("open"), Just("rename")];
    let verb = prop_oneof![Just(Verb::Restart), Just(Verb::Remove), Just(Verb::Stop), Just(Verb::Refresh)];
    prop_oneof![
        6 => (0..9_u8).prop_map(Move::Claim),
        6 => (0..9_u8, 0..7_usize).prop_map(|(name, acts)| Move::Die(name, acts)),
        1 => any::<bool>().prop_map(Move::Slow),
        1 => Just(Move::Mute),
        3 => (0..12_u8).prop_map(Move::Crash),
        1 => (0..5_u8).prop_map(Move::End),
        1 => (0..5_u8).prop_map(Move::Remove),
        1 => (0..5_u8).prop_map(Move::Pause),
        1 => Just(Move::Parent),
        3 => (0..9_u8, verb).prop_map(|(name, verb)| Move::Act(name, verb)),
        1 => (0..6_u32).prop_map(Move::Scale),
        1 => step().prop_map(Move::Lose),
        1 => step().prop_map(Move::Refuse),
        1 => Just(Move::Unfilled),
        1 => Just(Move::Unwritten),
        1 => any::<bool>().prop_map(Move::Away),
        5 => (1..9_u8).prop_map(Move::Pass),
    ]
}

fn nth_warm(world: &World, at: u8) -> Option<podbay::bay::container::ContainerId> {
    let mut warm = world.containers.values().filter(|one| one.name.starts_with("podbay-warm-"));
    warm.nth(usize::from(at)).map(|one| one.id.clone())
}

fn make(world: &mut World, asked: &mut BTreeMap<u64, String>, a_move: Move) {
    let forget =
        |world: &World, asked: &mut BTreeMap<u64, String>| asked.retain(|id, _| world.answers.contains_key(id));
    match a_move {
        Move::Claim(name) => {
            let name = format!("w{name}");
            asked.insert(claim(world, &name), name);
        }
        Move::Die(name, acts) => {
            forget(world, asked);
            world.dies_in_claim = Some(acts);
            claim(world, &format!("w{name}"));
            world.settle();
            world.dies_in_claim = None;
        }
        Move::Slow(slow) => world.slow_gates = slow,
        Move::Mute => world.loses_wakes = true,
        Move::Crash(after) => {
            (0..after).for_each(|_| _ = world.perform_one());
            forget(world, asked);
            world.crash();
        }
        Move::End(at) => drop(nth_warm(world, at).map(|id| world.end(&id, 137))),
        Move::Remove(at) => drop(nth_warm(world, at).map(|id| world.containers.remove(&id))),
        Move::Pause(at) => {
            if let Some(one) = nth_warm(world, at).and_then(|id| world.containers.get_mut(&id))
                && let Status::Running { paused, .. } = &mut one.status
            {
                *paused = true;
            }
        }
        Move::Parent => {
            if world.named("parent").is_some() {
                let id = world.id("parent");
                drop(world.end(&id, 137));
                drop(world.start(&id));
            }
        }
        Move::Act(name, verb) => drop(world.act(&format!("w{name}"), verb)),
        Move::Scale(target) => {
            world.command(Command::Pool(PoolRequest { template: None, order: PoolOrder::Scale { target } }));
        }
        Move::Lose(what) => world.failures.push_back((what, late(what))),
        Move::Refuse(what) => world.failures.push_back((
            what,
            podbay::engine::EngineError::Refused { what: what.to_owned(), message: "no".to_owned() },
        )),
        Move::Unfilled => world.fails_to_fill = Some(fault("no such repository")),
        Move::Unwritten => world.fails_to_write = Some(StepError::Workspace(fault("the disk is full"))),
        Move::Away(away) => world.away = away,
        Move::Pass(seconds) => world.pass(u64::from(seconds)),
    }
    world.assert_no_doubles();
    world.assert_claims();
}

fn check(moves: Vec<Move>) {
    let mut world = World::new(POOLED);
    world.pass(3);
    let mut asked = BTreeMap::new();
    for a_move in moves {
        make(&mut world, &mut asked, a_move);
        let row = pool(&world);
        assert!(row.creating <= 2, "{row:?}");
    }
    // Left alone, everything comes to rest, and the pool is full.
    (world.away, world.slow_gates, world.loses_wakes) = (false, false, false);
    world.failures.clear();
    for container in world.containers.values_mut() {
        // One that was claimed while it was paused can't be let in before.
        if let Status::Running { paused, .. } = &mut container.status {
            *paused = false;
        }
    }
    (world.fails_to_fill, world.fails_to_write) = (None, None);
    world.pass(40);
    world.command(Command::Up { gently: false });
    world.pass(10);
    world.command(Command::Pool(PoolRequest { template: None, order: PoolOrder::Cleanup }));
    world.pass(200);
    world.assert_no_doubles();
    world.assert_claims();
    assert!(world.disk.goals.is_empty(), "goals that never end: {:?}", world.disk.goals);
    let row = pool(&world);
    assert_eq!((row.warm, row.creating, row.last_error.clone()), (row.target, 0, None), "{row:?}");
    let warm = world.containers.values().filter(|one| one.name.starts_with("podbay-warm-")).count();
    assert_eq!(warm, row.target as usize, "none too many");
    for (id, name) in &asked {
        assert!(world.answers.contains_key(id), "claim {id} of {name} was never answered");
    }
    no_gate_is_forgotten(&world);
    let steps = world.steps.len();
    world.pass(120);
    assert_eq!(world.steps.len(), steps, "it never rests");
    what_always_fails_is_given_up(&mut world);
}

/// Whatever came before: warm workers that can't be made or started are not tried for ever.
fn what_always_fails_is_given_up(world: &mut World) {
    for what in ["create", "start"] {
        let made = world.count("create");
        drop(nth_warm(world, 0).map(|id| world.containers.remove(&id)));
        world.hint();
        for _ in 0..120 {
            while world.failures.len() < 8 {
                world.failures.push_back((what, podbay::engine::EngineError::NoImage("agent:1".to_owned())));
            }
            world.pass(1);
        }
        let tries = world.count("create") - made;
        assert!(tries <= 10, "{what}: {tries} in two minutes");
        world.failures.clear();
        world.command(Command::Pool(PoolRequest { template: None, order: PoolOrder::Cleanup }));
        world.pass(20);
        assert_eq!(pool(world).warm, pool(world).target);
    }
}

/// Every worker with somebody's name that waited at a gate has its command, in its present run.
fn no_gate_is_forgotten(world: &World) {
    for (id, gate) in &world.gates {
        let Some(container) = world.containers.get(id) else { continue };
        let name = container.name.trim_start_matches("podbay-");
        let Status::Running { since, .. } = container.status else { continue };
        if name.starts_with("warm-") {
            continue;
        }
        let taken = gate.taken.iter().filter(|(run, _)| *run == since).count();
        assert_eq!(taken, 1, "{name} was let in {taken} times in this run: {gate:?}");
        assert_eq!(world.row(name).state, State::Running);
    }
}

#[test]
fn a_gate_of_a_paused_worker_is_opened_once_it_goes_on() {
    use Move::{Claim, Crash, Die, Mute, Pause, Unfilled};
    let moves =
        [Claim(0), Crash(2), Mute, Unfilled, Claim(0), Die(8, 0), Pause(1), Claim(1), Die(8, 3), Die(1, 0)].to_vec();
    check(moves);
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn p03_no_claim_is_lost_or_doubled(moves in prop::collection::vec(moves(), 1..30)) {
        check(moves);
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    #[ignore = "the full count: some minutes"]
    fn p03_no_claim_is_lost_or_doubled_in_full(moves in prop::collection::vec(moves(), 1..40)) {
        check(moves);
    }
}

#[test]
fn every_answered_claim_has_a_worker() {
    let mut world = World::new(POOLED);
    world.pass(3);
    let ids: Vec<u64> = (0..5).map(|n| claim(&mut world, &format!("w{n}"))).collect();
    world.settle();
    for id in ids {
        let Reply::Spawned(reply) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
        assert_eq!(world.row(&reply.name).state, State::Running);
    }
}
