//! Pools and claims, step by step.

use std::time::Duration;

use podbay::api::types::{PoolOrder, PoolRequest, PoolRow, SpawnReply, SpawnRequest, State, Verb};
use podbay::bay::container::Status;
use podbay::bay::template::Overrides;
use podbay::engine::EngineError;
use podbay::supervisor::event::{Command, Event, Reply};

use super::world::{World, late};

pub const POOLED: &str = r#"
[[template]]
name = "pooled"
command = ["agent"]
pool = { target = 3, min = 1, max_creating = 2 }
"#;

pub fn filled(toml: &str) -> World {
    let mut world = World::new(toml);
    world.pass(3);
    world
}

pub fn pool(world: &World) -> PoolRow {
    world.view().status.pool.into_iter().next().unwrap()
}

pub fn claim(world: &mut World, name: &str) -> u64 {
    claim_with(world, name, Overrides::default())
}

pub fn claim_with(world: &mut World, name: &str, overrides: Overrides) -> u64 {
    let template = Some("pooled".parse().unwrap());
    world.spawn_with(SpawnRequest { name: Some(name.to_owned()), template, overrides, ..SpawnRequest::default() })
}

pub fn spawned(world: &World, id: u64) -> SpawnReply {
    match &world.answers[&id] {
        Reply::Spawned(reply) => reply.clone(),
        other => panic!("not spawned: {other:?}"),
    }
}

fn order(world: &mut World, order: PoolOrder) -> Reply {
    let id = world.command(Command::Pool(PoolRequest { template: None, order }));
    world.settle();
    world.answers[&id].clone()
}

fn warm(world: &World) -> Vec<String> {
    let view = world.view();
    view.containers.iter().filter(|row| row.state == State::Warm).map(|row| row.name.clone()).collect()
}

#[test]
fn a_pool_fills_and_a_claim_is_a_name_and_a_line() {
    let mut world = filled(POOLED);
    assert_eq!((pool(&world).warm, pool(&world).creating, pool(&world).last_error), (3, 0, None));
    assert_eq!(world.count("create"), 4, "the parent and three");
    let steps = world.steps.len();
    let overrides = Overrides { env: [("KEY".to_owned(), "it's".to_owned())].into(), ..Overrides::default() };
    let id = claim_with(&mut world, "fox", overrides);
    while !world.answers.contains_key(&id) {
        assert!(world.perform_one());
    }
    assert_eq!(world.steps[steps..], [("fox".to_owned(), "open")]);
    let reply = spawned(&world, id);
    assert!(reply.claimed && reply.notes.is_empty(), "{reply:?}");
    world.settle();
    let row = world.row("fox");
    assert_eq!((row.state, row.reason), (State::Running, None));
    let id = world.id("fox");
    let (_, text) = &world.gates[&id].taken[0];
    assert!(text.contains("export KEY='it'\\''s'") && text.contains("exec 'agent'"), "{text}");
    assert_ne!(world.containers[&id].name, "podbay-fox", "the command has the engine for itself");
    world.pass(3);
    assert_eq!(world.containers[&id].name, "podbay-fox");
    assert_eq!((pool(&world).warm, pool(&world).claimed, pool(&world).hits), (3, 1, 1));
    world.assert_claims();
}

#[test]
fn p01_sixty_four_claims_at_once_on_eight_warm() {
    let mut world = filled(&POOLED.replace("target = 3", "target = 8"));
    world.pass(5);
    assert_eq!(pool(&world).warm, 8);
    let asked: Vec<u64> = (0..64).map(|n| claim(&mut world, &format!("w{n:02}"))).collect();
    world.settle();
    let replies: Vec<SpawnReply> = asked.iter().map(|id| spawned(&world, *id)).collect();
    let claimed: Vec<bool> = replies.iter().map(|reply| reply.claimed).collect();
    assert!(claimed[..8].iter().all(|claimed| *claimed), "who came first is served first: {claimed:?}");
    assert!(claimed[8..].iter().all(|claimed| !claimed));
    assert_eq!(replies[8].notes, ["cold start: pool empty: 9 claims in 1 s"]);
    let ids: std::collections::BTreeSet<&String> = replies.iter().map(|reply| &reply.id).collect();
    assert_eq!(ids.len(), 64, "each has a worker of its own");
    assert_eq!((pool(&world).hits, pool(&world).misses), (8, 56));
    world.assert_claims();
}

#[test]
fn p02_a_list_that_fails_creates_nothing() {
    let mut world = filled(POOLED);
    world.no_lists = true;
    world.hint();
    let steps = world.steps.len();
    for name in warm(&world) {
        let id = world.id(&name);
        world.containers.remove(&id);
    }
    world.pass(2);
    assert_eq!(world.steps.len(), steps);
    world.no_lists = false;
    world.pass(15);
    assert_eq!(pool(&world).warm, 3);
}

#[test]
fn p03_a_claim_survives_a_kill_between_any_two_of_its_acts() {
    for after in 0..6 {
        for slow in [false, true] {
            let mut world = filled(POOLED);
            world.dies_in_claim = Some(after);
            world.slow_gates = slow;
            claim(&mut world, "fox");
            world.settle();
            world.pass(5);
            assert_eq!(world.row("fox").state, State::Running, "killed after {after}");
            assert_eq!((pool(&world).warm, pool(&world).claimed), (3, 1), "killed after {after}");
            let id = world.id("fox");
            assert_eq!(world.gates[&id].taken.len(), 1, "killed after {after}");
            world.assert_claims();
        }
    }
}

/// A line that is lost is typed again, and one that is only late is never the command's.
#[test]
fn a_gate_is_woken_again_and_its_command_gets_no_line() {
    for (slow, lost) in [(false, true), (true, true), (true, false)] {
        let mut world = filled(POOLED);
        (world.slow_gates, world.loses_wakes) = (slow, lost);
        claim(&mut world, "fox");
        world.settle();
        // Before the gate stirs, and anew.
        world.crash();
        world.settle();
        world.loses_wakes = lost;
        world.crash();
        world.pass(20);
        let id = world.id("fox");
        assert_eq!(world.gates[&id].taken.len(), 1, "slow: {slow}, lost: {lost}");
        world.assert_claims();
    }
}

#[test]
fn p04_what_dies_is_replaced_and_an_old_image_drained_one_by_one() {
    let mut world = filled(POOLED);
    let name = warm(&world)[0].clone();
    let id = world.id(&name);
    world.end(&id, 137).unwrap();
    world.hint();
    world.pass(5);
    assert_eq!(pool(&world).warm, 3);
    assert!(world.named(&name).is_none());
    let old: Vec<String> = warm(&world);
    world.images.insert("host".to_owned(), "sha256:new".to_owned());
    let mut least = 3;
    for _ in 0..60 {
        world.pass(1);
        let there = world.containers.values().filter(|one| one.name.contains("-warm-")).count();
        least = least.min(there);
        assert!(there <= 3);
    }
    assert_eq!(pool(&world).warm, 3);
    assert!(warm(&world).iter().all(|name| !old.contains(name)), "all are of the new image");
    assert!(least >= 2, "one by one");
}

#[test]
fn a_changed_template_makes_its_warm_workers_stale() {
    let mut world = filled(POOLED);
    let old = warm(&world);
    let config = podbay::config::Config::parse("podbay.toml", &POOLED.replace("[\"agent\"]", "[\"other\"]")).unwrap();
    world.config = std::sync::Arc::new(config);
    let id = world.command(Command::Reload(Ok(world.config.clone())));
    while !world.answers.contains_key(&id) {
        assert!(world.perform_one());
    }
    assert!(matches!(world.answers[&id], Reply::Reloaded(_)));
    let id = claim(&mut world, "fox");
    world.settle();
    assert!(!spawned(&world, id).claimed, "a stale one is no one's");
    world.pass(20);
    assert_eq!(pool(&world).warm, 3);
    assert!(warm(&world).iter().all(|name| !old.contains(name)));
}

#[test]
fn p05_what_always_fails_is_tried_ever_more_rarely_and_said_once() {
    fails_for_ever("create");
}

#[test]
fn p05_a_start_that_always_fails_too() {
    fails_for_ever("start");
}

fn fails_for_ever(what: &'static str) {
    let mut world = World::new(&POOLED.replace("command", "network = \"none\"\ncommand"));
    let refused = || EngineError::NoImage("agent:1".to_owned());
    let mut tries = Vec::new();
    for second in 0..1200 {
        while world.failures.len() < 4 {
            world.failures.push_back((what, refused()));
        }
        let before = world.failures.len();
        world.pass(1);
        if world.failures.len() < before {
            tries.push(second);
        }
    }
    let late_ones = tries.iter().filter(|second| **second > 60).count();
    assert!(tries.len() >= 6 && late_ones <= 5, "{tries:?}");
    assert!(tries.windows(2).all(|pair| pair[1] > pair[0]));
    let row = pool(&world);
    let error = row.last_error.unwrap();
    assert!(error.starts_with("stopped trying after ") && error.contains("agent:1"), "{error}");
    assert!(row.next_try_at.is_some());
    assert!(world.count("create") <= 12, "{} were made", world.count("create"));
    let left = world.containers.values().filter(|one| one.name.contains("-warm-")).count();
    assert_eq!(left, 0, "what was not started is removed");
    let said = world.view().history.iter().filter(|line| line.text.contains("agent:1")).count();
    assert!(said <= 2, "said {said} times: {:#?}", world.view().history);
    world.failures.clear();
    assert!(matches!(order(&mut world, PoolOrder::Cleanup), Reply::Done(_)));
    world.pass(5);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None));
}

#[test]
fn p06_a_pool_is_scaled_drained_and_filled_again() {
    let mut world = filled(POOLED);
    for (target, wanted) in [(5, 5), (1, 1), (0, 0), (4, 4)] {
        assert!(matches!(order(&mut world, PoolOrder::Scale { target }), Reply::Done(_)));
        world.pass(6);
        assert_eq!((pool(&world).warm, pool(&world).target), (wanted, target));
        assert!(pool(&world).min <= target);
    }
    assert!(matches!(order(&mut world, PoolOrder::Drain), Reply::Done(_)));
    world.pass(3);
    assert_eq!(pool(&world).warm, 0);
    // Over a restart of the supervisor, too.
    world.crash();
    world.pass(20);
    assert_eq!(pool(&world).warm, 0);
    let id = claim(&mut world, "fox");
    world.settle();
    assert_eq!(spawned(&world, id).notes, ["cold start: pool empty: it was drained"]);
    let Reply::Refused(error) = order(&mut world, PoolOrder::Scale { target: 10_000 }) else { panic!() };
    assert!(error.message.contains("too many"), "{}", error.message);
}

#[test]
fn p08_a_used_worker_is_never_warm_again() {
    let mut world = filled(POOLED);
    // The claim fails after it was begun: the one that was tried is let go, the claimer has a worker all the same.
    world.failures.push_back(("open", EngineError::Refused { what: "attach".to_owned(), message: "no".to_owned() }));
    let tried = warm(&world);
    let id = claim(&mut world, "fox");
    world.settle();
    let reply = spawned(&world, id);
    assert!(!reply.claimed, "{reply:?}");
    assert!(reply.notes[0].starts_with("cold start: the warm worker could not be claimed"), "{reply:?}");
    world.pass(5);
    assert_eq!(tried.iter().filter(|name| world.named(name).is_some()).count(), 2);
    assert_eq!((pool(&world).warm, pool(&world).hits, pool(&world).misses), (3, 0, 1));
    // Restarted, it waits at its gate again, and has its own command let in again.
    let id = claim(&mut world, "owl");
    world.settle();
    assert!(spawned(&world, id).claimed);
    let container = world.id("owl");
    world.act("owl", Verb::Restart);
    world.pass(2);
    assert_eq!(world.gates[&container].taken.len(), 2);
    assert_eq!(world.row("owl").state, State::Running);
    world.crash();
    world.pass(2);
    assert_eq!(world.gates[&container].taken.len(), 2, "a new supervisor opens nothing that is open");
    world.assert_claims();
}

#[test]
fn n08_a_warm_worker_without_its_network_is_never_handed_out() {
    for round in 0..200 {
        let mut world = filled(POOLED);
        let parent = world.id("parent");
        world.end(&parent, 0).unwrap();
        world.start(&parent).unwrap();
        // Nobody has looked yet in one half of the rounds.
        if round % 2 == 0 {
            world.hint();
        }
        let id = claim(&mut world, "fox");
        world.settle();
        world.pass(10);
        let reply = spawned(&world, id);
        // Once it is known, those that were made after it may be handed out.
        assert!(!reply.claimed || round % 2 == 0, "{reply:?}");
        let since = world.named("parent").unwrap().status.since();
        assert!(world.named("fox").unwrap().status.since() > since, "it lives in a network that is gone");
        assert_eq!(world.row("fox").state, State::Running);
        assert_eq!(pool(&world).warm, 3);
        for name in warm(&world) {
            assert_eq!(world.row(&name).reason, None);
        }
        world.assert_claims();
    }
}

#[test]
fn p09_a_pause_of_the_engine_makes_no_herd() {
    let mut world =
        filled(&POOLED.replace("target = 3, min = 1, max_creating = 2", "target = 40, min = 9, max_creating = 4"));
    world.away = true;
    world.pass(30);
    world.away = false;
    for _ in 0..200 {
        world.perform_one();
        assert!(pool(&world).creating <= 4, "{:?}", pool(&world));
        if world.effects.is_empty() {
            world.pass(1);
        }
    }
    world.pass(60);
    assert_eq!(pool(&world).warm, 40);
    assert_eq!(world.containers.len(), 41);
}

#[test]
fn p10_a_clock_that_jumps_reaps_nobody() {
    let mut world = filled(&POOLED.replace("max_creating = 2", "max_creating = 2, idle_timeout = \"1h\""));
    let there = warm(&world);
    for hours in [24_i64, -48, 1] {
        world.jump += jiff::SignedDuration::from_hours(hours);
        world.pass(60);
        assert_eq!(warm(&world), there, "after {hours} h");
    }
    world.crash();
    world.pass(60);
    assert_eq!(warm(&world), there, "after a restart");
    // An hour in which nobody asks does, down to the least.
    world.pass(3700);
    assert_eq!((pool(&world).warm, pool(&world).target), (1, 1));
    claim(&mut world, "fox");
    world.pass(5);
    assert_eq!(pool(&world).warm, 3);
}

#[test]
fn a_paused_one_is_replaced_and_a_removed_one_too() {
    let mut world = filled(POOLED);
    let names = warm(&world);
    let removed = world.id(&names[0]);
    world.containers.remove(&removed);
    let paused = world.named(&names[1]).unwrap();
    let Status::Running { paused, .. } = &mut paused.status else { panic!() };
    *paused = true;
    world.hint();
    let id = claim(&mut world, "fox");
    world.settle();
    assert!(spawned(&world, id).claimed);
    assert!(world.named(&names[2]).is_none(), "the only one that was fit");
    world.pass(10);
    assert_eq!(pool(&world).warm, 3);
    assert!(names.iter().all(|name| world.named(name).is_none()));
}

#[test]
fn a_claim_whose_answer_is_lost_is_one_claim() {
    let mut world = filled(POOLED);
    world.failures.push_back(("open", late("rename")));
    let id = claim(&mut world, "fox");
    world.pass(5);
    let reply = spawned(&world, id);
    assert!(reply.claimed, "{reply:?}");
    assert_eq!(world.gates[&world.containers.values().find(|one| one.name == "podbay-fox").unwrap().id].taken.len(), 1);
    world.assert_claims();
}

#[test]
fn misses_say_why() {
    let toml = format!("{POOLED}\n[[template]]\nname = \"plain\"");
    let mut world = filled(&toml);
    let project = Overrides { project: Some("/srv/app".into()), ..Overrides::default() };
    let id = claim_with(&mut world, "fox", project);
    world.settle();
    assert_eq!(spawned(&world, id).notes, ["cold start: template names no project"]);
    let said = world.view().history.iter().any(|line| line.text == "cold start: template names no project");
    assert!(said, "and it is in the history");
    let request = SpawnRequest { template: Some("plain".parse().unwrap()), ..SpawnRequest::default() };
    let id = world.spawn_with(request);
    world.settle();
    assert_eq!(spawned(&world, id).notes, Vec::<String>::new(), "without a pool there is nothing to miss");
}

#[test]
fn first_outputs_make_the_percentiles() {
    let mut world = filled(POOLED);
    claim(&mut world, "fox");
    world.settle();
    let id = world.id("fox");
    world.event(Event::FirstOutputs(vec![(id, Duration::from_micros(4200))]));
    assert_eq!((pool(&world).claim_ms.p50, pool(&world).claim_ms.p95), (Some(4.2), Some(4.2)));
}

#[test]
fn people_come_first_and_a_bay_that_goes_down_leaves_none() {
    let mut world = filled(POOLED);
    let id = world.act(&warm(&world)[0], Verb::Restart);
    world.settle();
    assert!(matches!(&world.answers[&id], Reply::Refused(error) if error.message.contains("pool")));
    let id = world.command(Command::Down(podbay::api::types::DownRequest::default()));
    world.settle();
    assert!(matches!(world.answers[&id], Reply::Done(_)), "{:?}", world.answers[&id]);
    assert!(world.containers.values().all(|one| !one.name.contains("-warm-")));
    world.crash();
    world.pass(20);
    assert!(world.containers.values().all(|one| !one.name.contains("-warm-")), "it was taken down by request");
    assert_eq!(pool(&world).last_error.as_deref(), Some(WAITS));
}

const WAITS: &str = "waits for the bay; `podbay up` or a first spawn begins it";

/// Any verb starts a supervisor; one that only asks has nothing made by it, whatever network the template has.
#[test]
fn a_pool_begins_with_the_bay_and_not_with_a_question() {
    for network in ["shared", "none"] {
        let toml = format!("{POOLED}network = \"{network}\"\n");
        let mut world = World::untouched(&toml);
        for _ in 0..2 {
            world.pass(20);
            assert_eq!((world.containers.len(), pool(&world).last_error.as_deref()), (0, Some(WAITS)), "{network}");
            // Nothing is missing that nobody wants: no alert counts it.
            assert_eq!(pool(&world).target, 0);
            world.crash();
        }
        let id = claim(&mut world, "fox");
        world.pass(10);
        assert_eq!(spawned(&world, id).notes, ["cold start: pool empty: 1 claim in 1 s"], "{network}");
        assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None), "{network}");
        // Down is down, for whatever comes after it too.
        world.command(Command::Down(podbay::api::types::DownRequest::default()));
        world.settle();
        world.crash();
        world.pass(20);
        assert_eq!((pool(&world).warm, pool(&world).last_error.as_deref()), (0, Some(WAITS)), "{network}");
        for order in [PoolOrder::Scale { target: 2 }, PoolOrder::Cleanup] {
            world.disk.pools_up = false;
            world.crash();
            world.settle();
            let id = world.command(Command::Pool(PoolRequest { template: None, order }));
            world.settle();
            assert!(matches!(world.answers[&id], Reply::Done(_)), "{:?}", world.answers[&id]);
            assert!(world.disk.pools_up);
        }
    }
}

/// A service that a template depends on is there before its warm workers, and before a claim lets its command in.
#[test]
fn a_pool_waits_for_the_services_of_its_template() {
    let toml = format!(
        "[[service]]\nname = 'db'\nrun = 'host'\nreason = 'native-api'\ncommand = ['true']\n{}depends_on = {{ db = \"ready\" }}\n",
        &POOLED[1..]
    );
    let mut world = filled(&toml);
    let said = pool(&world).last_error.unwrap_or_default();
    assert_eq!(said, "waits for db to be ready, which was stopped; `podbay service start db` starts it");
    assert_eq!(world.count("create"), 0);
    world.command(Command::Up { gently: false });
    world.pass(5);
    assert_eq!((pool(&world).warm, pool(&world).last_error), (3, None));
    let stop = Command::Service { target: "db".to_owned(), verb: podbay::api::types::ServiceVerb::Stop };
    world.command(stop);
    world.pass(2);
    assert_eq!(pool(&world).warm, 3, "those that are warm stay");
    let id = claim(&mut world, "fox");
    world.pass(2);
    let Reply::Refused(error) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
    assert!(error.message.starts_with("it waits for db to be ready, which was stopped"), "{error:?}");
    world.command(Command::Up { gently: false });
    world.pass(2);
    assert_eq!((world.row("fox").state, pool(&world).claimed), (State::Running, 1));
    world.assert_claims();
}

/// Who removes the parent has it removed, though a pool would need it, until somebody asks for it.
#[test]
fn a_parent_that_was_removed_stays_away_until_it_is_asked_for() {
    let mut world = filled(POOLED);
    world.act("parent", Verb::Remove);
    world.pass(30);
    assert!(world.named("parent").is_none());
    let row = pool(&world);
    assert_eq!(
        (row.warm, row.last_error.as_deref()),
        (0, Some("waits for the parent; `podbay up` brings it back")),
        "{row:?}"
    );
    world.crash();
    world.command(Command::Up { gently: true });
    world.pass(10);
    assert!(world.named("parent").is_none(), "nor by who only looks");
    world.command(Command::Up { gently: false });
    world.pass(10);
    assert_eq!(pool(&world).warm, 3);
}
