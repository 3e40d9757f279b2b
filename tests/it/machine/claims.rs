//! Claims that go wrong, and claimed workers that run on under another configuration.

use std::sync::Arc;

use podbay::api::types::{SpawnRequest, State, Verb};
use podbay::bay::container::ContainerId;
use podbay::bay::session::TermSize;
use podbay::bay::template::Overrides;
use podbay::config::Config;
use podbay::engine::EngineError;
use podbay::supervisor::event::{Command, Effect, Event, Reply, StepError};
use podbay::supervisor::goal::Step;
use podbay::workspace::WorkspaceError;

use super::pool::{POOLED, claim, claim_with, filled, pool, spawned};
use super::world::{World, late};

pub fn fault(text: &str) -> WorkspaceError {
    WorkspaceError { text: text.to_owned(), hint: None, by_request: false }
}

/// What the program of a claimed worker was, run by run.
fn became(world: &mut World, name: &str) -> Vec<String> {
    let id = world.id(name);
    let execs = world.gates[&id].taken.iter().map(|(_, text)| text.lines().find(|line| line.starts_with("exec")));
    execs.map(|line| line.unwrap_or_default().to_owned()).collect()
}

fn reload(world: &mut World, toml: &str) {
    world.config = Arc::new(Config::parse("podbay.toml", toml).unwrap());
    world.command(Command::Reload(Ok(world.config.clone())));
}

#[test]
fn a_request_that_is_wrong_is_not_tried_twice() {
    let mut world = filled(POOLED);
    world.fails_to_fill = Some(fault("no such repository"));
    let id = claim(&mut world, "fox");
    world.settle();
    let Reply::Refused(error) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
    assert_eq!(error.message, "no such repository");
    world.pass(10);
    assert!(world.named("fox").is_none(), "another one could not be given it either");
    assert!(world.disk.goals.is_empty(), "{:?}", world.disk.goals);
    assert_eq!((pool(&world).warm, pool(&world).hits), (3, 0));
    // The name is free, and the next claim of it is as any.
    let id = claim(&mut world, "fox");
    world.settle();
    assert!(spawned(&world, id).claimed);
    world.assert_claims();
}

#[test]
fn a_claim_file_that_cannot_be_written_costs_a_cold_start() {
    let mut world = filled(POOLED);
    world.fails_to_write = Some(StepError::Workspace(fault("the disk is full")));
    let id = claim(&mut world, "fox");
    world.pass(5);
    let reply = spawned(&world, id);
    assert!(!reply.claimed, "{reply:?}");
    assert_eq!(reply.notes, ["cold start: the warm worker could not be claimed: the disk is full"]);
    assert_eq!((pool(&world).hits, pool(&world).misses, pool(&world).warm), (0, 1, 3));
    world.assert_claims();
    world.assert_no_doubles();
}

#[test]
fn a_claimed_worker_stays_what_it_was_claimed_as() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.settle();
    reload(&mut world, &POOLED.replace("\"agent\"", "\"other\""));
    world.pass(3);
    world.act("fox", Verb::Restart);
    world.pass(3);
    // Its template is gone, and so is the supervisor that knew it.
    reload(&mut world, "");
    world.pass(3);
    world.crash();
    world.pass(3);
    world.act("fox", Verb::Restart);
    world.pass(3);
    assert_eq!(became(&mut world, "fox"), ["exec 'agent'"; 3]);
    world.assert_claims();
}

#[test]
fn a_reload_in_the_middle_of_a_claim_changes_nothing_of_it() {
    let mut world = filled(POOLED);
    world.failures.push_back(("open", late("rename")));
    let id = claim(&mut world, "fox");
    world.perform_one();
    reload(&mut world, "");
    world.pass(5);
    let reply = spawned(&world, id);
    assert!(!reply.id.is_empty(), "{reply:?}");
    assert_eq!(became(&mut world, "fox"), ["exec 'agent'"]);
}

#[test]
fn claims_are_counted_and_restarts_are_not() {
    let mut world = filled(POOLED);
    world.failures.push_back(("open", late("rename")));
    claim(&mut world, "fox");
    world.pass(5);
    assert_eq!(pool(&world).hits, 1, "by the claim, whoever gave the name");
    world.act("fox", Verb::Restart);
    world.pass(5);
    assert_eq!(became(&mut world, "fox").len(), 2);
    assert_eq!((pool(&world).hits, pool(&world).misses), (1, 0));
}

#[test]
fn a_gate_that_never_takes_its_claim_is_given_up_and_says_so() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.settle();
    let (id, run) = (world.id("fox"), world.named("fox").unwrap().status.since().unwrap());
    for _ in 0..6 {
        assert_eq!(world.row("fox").reason, None);
        world.event(Event::Shut { id: id.clone(), run });
        world.pass(3);
    }
    let opened = world.count("open");
    assert_eq!(opened, 6, "the first, and five tries");
    world.pass(60);
    assert_eq!(world.count("open"), opened, "it is left alone then");
    let reason = world.row("fox").reason.unwrap_or_default();
    assert!(reason.contains("did not take its claim"), "{reason}");
}

#[test]
fn environments_of_claims_are_bounded() {
    let mut world = filled(POOLED);
    let env = [("BIG".to_owned(), "x".repeat(1 << 20))];
    let overrides = Overrides { env: env.into(), ..Overrides::default() };
    let asked: Vec<u64> = (0..3)
        .map(|n| {
            let id = claim_with(&mut world, &format!("w{n}"), overrides.clone());
            world.pass(10);
            id
        })
        .collect();
    let claimed: Vec<bool> = asked.iter().map(|id| spawned(&world, *id).claimed).collect();
    assert_eq!(claimed, [true, false, false]);
    let notes = spawned(&world, asked[2]).notes;
    assert!(notes[0].contains("environments of claimed workers"), "{notes:?}");
    world.assert_claims();
}

/// Whether its command is there is only waited for where nobody sees it: a terminal shows that by itself.
#[test]
fn a_claim_without_a_terminal_waits_for_its_command() {
    for (size, unseen) in [(None, true), (Some(TermSize::new(24, 80)), false)] {
        let mut world = filled(POOLED);
        let template = Some("pooled".parse().unwrap());
        world.spawn_with(SpawnRequest { template, size, ..SpawnRequest::default() });
        let opening = world.effects.iter().find_map(|effect| match effect {
            Effect::Step(_, Step::Open(_, opening)) => Some(opening.unseen),
            _ => None,
        });
        assert_eq!(opening, Some(unseen), "{size:?}");
    }
}

/// What the engine calls it comes last, and everything that may be asked of a worker works before that.
#[test]
fn a_claimed_worker_has_its_name_before_the_engine_has() {
    let engine_name = |world: &mut World, name: &str| world.named(name).map(|one| one.name.clone());
    for verb in [Verb::Restart, Verb::Stop, Verb::Refresh, Verb::Remove] {
        let mut world = filled(POOLED);
        claim(&mut world, "fox");
        world.settle();
        assert_ne!(engine_name(&mut world, "fox").unwrap(), "podbay-fox");
        assert_eq!(world.row("fox").state, State::Running);
        let asked = world.act("fox", verb);
        world.pass(5);
        assert!(matches!(world.answers[&asked], Reply::Done(_)), "{verb:?}: {:?}", world.answers[&asked]);
        let named = engine_name(&mut world, "fox");
        assert_eq!(named.as_deref(), (verb != Verb::Remove).then_some("podbay-fox"), "{verb:?}");
        assert_eq!(pool(&world).warm, 3, "{verb:?}");
        world.assert_claims();
        world.assert_no_doubles();
    }
}

/// Somebody takes the name in the engine within those milliseconds: the worker is its claimer's all the same.
#[test]
fn a_name_that_the_engine_refuses_costs_no_worker() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.settle();
    let id = world.id("fox");
    let mut stranger = world.containers[&id].clone();
    (stranger.id, stranger.name) = (ContainerId::new("5".repeat(64)), "podbay-fox".to_owned());
    stranger.labels.clear();
    world.containers.insert(stranger.id.clone(), stranger.clone());
    world.pass(30);
    assert!(world.count("rename") <= 1, "it is not asked for again and again");
    let row = world.row("fox");
    assert_eq!((row.id, row.state), (id.to_string(), State::Running));
    assert!(row.reason.is_some_and(|reason| reason.contains("name")));
    world.crash();
    world.pass(3);
    assert_eq!(world.row("fox").id, id.to_string(), "the state file knows");
    world.containers.remove(&stranger.id);
    world.pass(90);
    let row = world.row("fox");
    assert_eq!((world.containers[&id].name.as_str(), row.reason), ("podbay-fox", None));
    world.assert_claims();
}

#[test]
fn a_claim_survives_a_kill_before_the_engine_has_the_name() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.settle();
    let id = world.id("fox");
    world.crash();
    world.pass(3);
    assert_eq!(world.containers[&id].name, "podbay-fox");
    assert_eq!(became(&mut world, "fox"), ["exec 'agent'"]);
    world.assert_claims();
}

/// Somebody else's container has the name: another worker could not have it either.
#[test]
fn a_claim_of_a_name_that_is_taken_in_the_engine_is_refused() {
    let mut world = filled(POOLED);
    world.failures.push_back(("open", EngineError::NameTaken("podbay-fox".to_owned())));
    let id = claim(&mut world, "fox");
    world.settle();
    let Reply::Refused(error) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
    assert_eq!(error.code, "name-taken");
    world.pass(10);
    assert!(world.named("fox").is_none() && world.disk.goals.is_empty());
    assert_eq!((pool(&world).warm, pool(&world).hits), (3, 0));
    world.assert_claims();
}
