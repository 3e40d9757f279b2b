//! Random sequences: whatever is asked, whatever fails, whoever is killed, the bay comes to rest as it should be.

use proptest::prelude::*;

use podbay::api::types::{DownRequest, State, Verb};
use podbay::supervisor::event::Command;

use super::world::{World, late};

const NAMES: [&str; 4] = ["fox", "owl", "elk", "parent"];

#[derive(Clone, Copy, Debug)]
enum Move {
    Spawn(usize),
    Act(usize, Verb),
    Up,
    Down,
    /// The supervisor is killed after so many effects.
    Crash(u8),
    /// Somebody ends, starts or removes it behind our back.
    End(usize),
    Start(usize),
    Remove(usize),
    /// The answer to the next step of this kind is lost, or it is refused.
    Lose(&'static str),
    Refuse(&'static str),
    EngineAway(bool),
    Reboot,
    Pass(u8),
}

fn verbs() -> impl Strategy<Value = Verb> {
    prop_oneof![Just(Verb::Start), Just(Verb::Stop), Just(Verb::Restart), Just(Verb::Refresh), Just(Verb::Remove)]
}

fn steps() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("create"), Just("start"), Just("stop"), Just("restart"), Just("remove"), Just("rename")]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Move::Spawn),
        5 => (0..4_usize, verbs()).prop_map(|(name, verb)| Move::Act(name, verb)),
        1 => Just(Move::Up),
        1 => Just(Move::Down),
        4 => (0..12_u8).prop_map(Move::Crash),
        2 => (0..4_usize).prop_map(Move::End),
        1 => (0..4_usize).prop_map(Move::Start),
        1 => (0..4_usize).prop_map(Move::Remove),
        2 => steps().prop_map(Move::Lose),
        1 => steps().prop_map(Move::Refuse),
        1 => any::<bool>().prop_map(Move::EngineAway),
        1 => Just(Move::Reboot),
        4 => (1..20_u8).prop_map(Move::Pass),
    ]
}

fn make(world: &mut World, asked: &mut Vec<u64>, a_move: Move) {
    match a_move {
        Move::Spawn(name) => asked.push(world.spawn(NAMES[name])),
        Move::Act(name, verb) => asked.push(world.act(NAMES[name], verb)),
        Move::Up => asked.push(world.command(Command::Up { gently: false })),
        Move::Down => {
            asked.push(world.command(Command::Down(DownRequest { workers: true, supervisor_only: false })));
        }
        Move::Crash(after) => {
            for _ in 0..after {
                world.perform_one();
            }
            // Who waited for the dead supervisor has lost the connection.
            asked.retain(|id| world.answers.contains_key(id));
            world.crash();
        }
        Move::End(name) => {
            if world.named(NAMES[name]).is_some() {
                let id = world.id(NAMES[name]);
                drop(world.end(&id, 137));
            }
        }
        Move::Start(name) => {
            if world.named(NAMES[name]).is_some() {
                let id = world.id(NAMES[name]);
                drop(world.start(&id));
            }
        }
        Move::Remove(name) => {
            if world.named(NAMES[name]).is_some() {
                let id = world.id(NAMES[name]);
                world.containers.remove(&id);
            }
        }
        Move::Lose(what) => world.failures.push_back((what, late(what))),
        Move::Refuse(what) => world.failures.push_back((
            what,
            podbay::engine::EngineError::Refused { what: what.to_owned(), message: "no".to_owned() },
        )),
        Move::EngineAway(is_away) => world.away = is_away,
        Move::Reboot => {
            asked.retain(|id| world.answers.contains_key(id));
            world.reboot();
        }
        Move::Pass(seconds) => world.pass(u64::from(seconds)),
    }
    world.assert_no_doubles();
}

fn check(moves: Vec<Move>) {
    let mut world = World::new("");
    let mut asked = Vec::new();
    for a_move in moves {
        make(&mut world, &mut asked, a_move);
        if world.exited {
            // The bay went down; the next verb starts it again.
            world.exited = false;
            world.settle();
            world.crash();
        }
    }
    world.away = false;
    world.failures.clear();
    world.pass(120);
    if world.exited {
        world.crash();
        world.pass(60);
    }
    world.assert_no_doubles();
    for id in &asked {
        assert!(world.answers.contains_key(id), "command {id} was never answered");
    }
    let view = world.view();
    assert!(world.disk.goals.is_empty(), "goals that never end: {:?}", world.disk.goals);
    for container in world.containers.values() {
        let retired = container.name.strip_suffix(podbay::bay::name::RETIRED);
        assert_eq!(retired, None, "a retired container stayed");
        let name = container.name.strip_prefix("podbay-").unwrap();
        assert!(view.containers.iter().any(|row| row.name == name), "{name} is there but nobody sees it");
    }
    for row in &view.containers {
        assert_ne!(row.state, State::Creating, "{} is being made for ever", row.name);
        let explained = row.state == State::Running || row.reason.is_some();
        assert!(explained, "{} is {:?} without a reason", row.name, row.state);
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn k04_the_bay_comes_to_rest_whatever_happens(moves in prop::collection::vec(moves(), 1..40)) {
        check(moves);
    }
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    #[ignore = "the full count: some minutes"]
    fn k04_the_bay_comes_to_rest_in_full(moves in prop::collection::vec(moves(), 1..80)) {
        check(moves);
    }
}
