//! The machine and its rules: tables first, then random sequences.

mod alerts;
mod claims;
mod gates;
mod making;
mod outgoing;
mod pool;
mod pool_faults;
mod pool_random;
mod random;
mod refresh;
mod reload;
mod service_table;
mod services;
mod services_again;
mod shims;
mod walls;
mod world;

use podbay::api::types::{DownRequest, LinkState, SpawnRequest, State, Verb};
use podbay::bay::container::Status;
use podbay::bay::template::{NetworkMode, Overrides};
use podbay::engine::EngineError;
use podbay::supervisor::event::{Command, Effect, Event, Reply};
use world::{World, away, late};

fn bay(workers: &[&str]) -> World {
    let mut world = World::new("");
    world.settle();
    for worker in workers {
        let id = world.spawn(worker);
        world.settle();
        assert!(matches!(world.answers[&id], Reply::Spawned(_)), "{:?}", world.answers[&id]);
    }
    world
}

fn refused(world: &World, id: u64) -> (String, String) {
    match &world.answers.get(&id) {
        Some(Reply::Refused(error)) => (error.code.clone(), error.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

fn done(world: &World, id: u64) -> String {
    match &world.answers.get(&id) {
        Some(Reply::Done(done)) => done.text.clone(),
        other => panic!("not done: {other:?}"),
    }
}

#[test]
fn a_spawn_brings_the_parent_up_first() {
    let world = bay(&["fox"]);
    let steps: Vec<String> = world.steps.iter().map(|(name, step)| format!("{name} {step}")).collect();
    assert_eq!(steps, ["parent create", "parent start", "fox create", "fox start"]);
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.row("fox").reason, None);
    assert_eq!(world.row("fox").network, "shared");
    assert_eq!(world.row("parent").network, "own");
}

#[test]
fn spawning_without_a_name_finds_the_lowest_free_one() {
    let mut world = bay(&["worker-1"]);
    let id = world.spawn_with(SpawnRequest::default());
    world.settle();
    let Reply::Spawned(reply) = &world.answers[&id] else { panic!() };
    assert_eq!(reply.name, "worker-2");
}

#[test]
fn a_name_is_taken_once() {
    let mut world = bay(&["fox"]);
    let id = world.spawn("fox");
    world.settle();
    assert_eq!(refused(&world, id).0, "name-taken");
    let id = world.spawn("parent");
    world.settle();
    assert_eq!(refused(&world, id).0, "invalid");
}

#[test]
fn workers_of_other_networks_need_no_parent() {
    let mut world = World::new("");
    world.settle();
    let overrides = Overrides { network: Some(NetworkMode::None), ..Overrides::default() };
    let id = world.spawn_with(SpawnRequest { name: Some("fox".to_owned()), overrides, ..SpawnRequest::default() });
    world.settle();
    assert!(matches!(world.answers[&id], Reply::Spawned(_)));
    assert_eq!(world.containers.len(), 1);
}

#[test]
fn n02_a_lost_parent_cuts_its_workers_off_and_nobody_is_started_against_it() {
    let mut world = bay(&["fox", "owl"]);
    let parent = world.id("parent");
    world.end(&parent, 137).unwrap();
    world.hint();
    for name in ["fox", "owl"] {
        assert_eq!(world.row(name).state, State::CutOff);
        assert!(world.row(name).reason.unwrap().starts_with("the parent is stopped (exit code 137)"));
    }
    assert_eq!(world.row("parent").state, State::Exited);
    let steps = world.steps.len();
    world.pass(120);
    assert_eq!(world.steps.len(), steps, "nothing is done unasked");
    let id = world.act("fox", Verb::Restart);
    world.settle();
    assert_eq!(refused(&world, id).0, "refused");
    assert!(world.named("fox").unwrap().status.is_running(), "it must not be stopped for nothing");
}

#[test]
fn a_restart_of_the_parent_repairs_all() {
    let mut world = bay(&["fox", "owl"]);
    let parent = world.id("parent");
    world.end(&parent, 137).unwrap();
    world.hint();
    let id = world.act("parent", Verb::Restart);
    world.settle();
    assert_eq!(done(&world, id), "the parent runs; repaired 2 workers");
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.row("owl").state, State::Running);
    assert_eq!(world.count("create"), 3, "nothing is made anew");
}

#[test]
fn a_parent_that_restarted_behind_our_back_is_not_restarted_again() {
    let mut world = bay(&["fox"]);
    let parent = world.id("parent");
    world.end(&parent, 0).unwrap();
    world.start(&parent).unwrap();
    world.hint();
    assert_eq!(world.row("fox").state, State::CutOff);
    let since = world.named("parent").unwrap().status.since();
    let id = world.act("parent", Verb::Restart);
    world.settle();
    assert_eq!(done(&world, id), "the parent runs; repaired 1 worker");
    assert_eq!(world.named("parent").unwrap().status.since(), since);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn n03_workers_of_a_removed_parent_are_made_anew_under_their_names() {
    let mut world = bay(&["fox", "owl"]);
    let (parent, fox) = (world.id("parent"), world.id("fox"));
    world.containers.remove(&parent);
    world.hint();
    assert!(world.row("fox").reason.unwrap().starts_with("the parent is gone"));
    let id = world.act("parent", Verb::Restart);
    world.settle();
    assert_eq!(done(&world, id), "the parent runs; repaired 2 workers");
    assert_ne!(world.id("fox"), fox);
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.containers.len(), 3, "the old ones are gone");
}

#[test]
fn a_healthy_parent_really_restarts_and_its_workers_with_it() {
    let mut world = bay(&["fox"]);
    let since = world.named("parent").unwrap().status.since();
    let id = world.act("parent", Verb::Restart);
    world.settle();
    assert_eq!(done(&world, id), "the parent runs; repaired 1 worker");
    assert_ne!(world.named("parent").unwrap().status.since(), since);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn with_repair_auto_the_bay_heals_itself() {
    let mut world = World::new("[parent]\nrepair = \"auto\"\n");
    world.settle();
    world.spawn("fox");
    world.settle();
    let parent = world.id("parent");
    world.containers.remove(&parent);
    world.hint();
    world.pass(5);
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.row("parent").state, State::Running);
}

#[test]
fn n02_a_parent_in_a_crash_loop_is_tried_ever_more_slowly() {
    let mut world = World::new("[parent]\nrepair = \"auto\"\n");
    world.settle();
    world.spawn("fox");
    world.settle();
    let before = world.count("start");
    for _ in 0..300 {
        let parent = world.id("parent");
        world.end(&parent, 1).unwrap();
        world.hint();
        world.pass(1);
    }
    let starts = world.count("start") - before;
    assert!((3..=20).contains(&starts), "{starts} starts in five minutes");
}

/// The engine opens no terminal of what is paused: it is opened once that goes on.
#[test]
fn a_paused_worker_is_attached_to_once_it_goes_on() {
    let mut world = bay(&["fox"]);
    let pause = |world: &mut World, on: bool| {
        if let Status::Running { paused, .. } = &mut world.named("fox").unwrap().status {
            *paused = on;
        }
    };
    pause(&mut world, true);
    world.crash();
    let opened = |world: &mut World| {
        let mut opened = Vec::new();
        for _ in 0..100 {
            if let Some(Effect::OpenSession { name, .. }) = world.effects.front() {
                opened.push(name.to_string());
            }
            world.perform_one();
        }
        opened
    };
    assert_eq!(opened(&mut world), Vec::<String>::new());
    pause(&mut world, false);
    world.event(Event::Hinted(None));
    assert_eq!(opened(&mut world), ["fox"]);
}

#[test]
fn n04_a_paused_parent_is_shown_and_left_alone() {
    let mut world = bay(&["fox"]);
    if let Status::Running { paused, .. } = &mut world.named("parent").unwrap().status {
        *paused = true;
    }
    let steps = world.steps.len();
    world.hint();
    world.pass(30);
    assert!(world.row("parent").reason.unwrap().starts_with("paused"));
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.steps.len(), steps);
}

#[test]
fn n06_a_worker_restarted_by_hand_while_the_parent_was_down_comes_back_by_start() {
    let mut world = bay(&["fox"]);
    let (parent, fox) = (world.id("parent"), world.id("fox"));
    world.end(&parent, 137).unwrap();
    world.end(&fox, 137).unwrap();
    assert!(world.start(&fox).is_err());
    world.hint();
    assert!(world.row("fox").reason.unwrap().contains("cannot join network"));
    let id = world.act("parent", Verb::Restart);
    world.settle();
    done(&world, id);
    let id = world.act("fox", Verb::Start);
    world.settle();
    done(&world, id);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn n07_after_a_reboot_the_parent_comes_first_and_what_the_user_stopped_stays() {
    let mut world = bay(&["fox", "owl", "elk"]);
    world.act("elk", Verb::Stop);
    world.settle();
    world.pass(15);
    world.steps.clear();
    world.reboot();
    world.pass(3);
    assert_eq!(world.steps.first().map(|(name, step)| (name.as_str(), *step)), Some(("parent", "start")));
    for name in ["parent", "fox", "owl"] {
        assert_eq!(world.row(name).state, State::Running, "{name}");
    }
    assert_eq!(world.row("elk").reason.unwrap(), "stopped by request");
}

#[test]
fn d07_what_went_down_with_the_engine_is_started_again() {
    let mut world = bay(&["fox"]);
    world.pass(12);
    world.away = true;
    world.pass(12);
    assert_eq!(world.view().status.engine.state, LinkState::Away);
    assert_eq!(world.row("fox").state, State::Unknown);
    world.end_all(137);
    world.away = false;
    world.pass(40);
    assert_eq!(world.row("fox").state, State::Running);
    assert_eq!(world.row("parent").state, State::Running);
}

/// A daemon that is told to end stops its containers first, and answers meanwhile.
#[test]
fn d07_what_the_engine_took_down_before_it_went_is_started_again() {
    for reboots in [false, true] {
        let mut world = bay(&["fox", "owl"]);
        world.pass(12);
        world.end_all(143);
        world.hint();
        assert_eq!(world.row("fox").state, State::Exited);
        world.pass(14);
        if reboots {
            world.reboot();
        } else {
            world.away = true;
            world.pass(12);
            world.away = false;
        }
        world.pass(40);
        for name in ["parent", "fox", "owl"] {
            assert_eq!(world.row(name).state, State::Running, "{name}, reboots: {reboots}");
        }
    }
}

#[test]
fn what_was_stopped_by_hand_before_the_engine_went_stays_so() {
    let mut world = bay(&["fox", "owl"]);
    let fox = world.id("fox");
    world.end(&fox, 143).unwrap();
    world.hint();
    world.pass(60);
    world.away = true;
    world.pass(12);
    world.end_all(143);
    world.away = false;
    world.pass(40);
    assert_eq!((world.row("fox").state, world.row("owl").state), (State::Exited, State::Running));
}

#[test]
fn d01_an_engine_that_is_away_is_a_state_with_a_reason_and_a_time() {
    let mut world = World::new("");
    world.away = true;
    world.settle();
    let engine = world.view().status.engine;
    assert_eq!(engine.state, LinkState::Away);
    assert_eq!(engine.reason.as_deref(), Some("memory can't be reached: nobody is there"));
    assert!(engine.next_try_at.is_some());
    let id = world.spawn("fox");
    world.settle();
    assert_eq!(refused(&world, id).0, "engine-away");
    world.away = false;
    world.pass(2);
    assert_eq!(world.view().status.engine.state, LinkState::Up);
}

/// The daemon was restarted, podbay found the new one at once, and then a call on the old connection comes to its end.
#[test]
fn a_call_that_broke_with_an_old_link_does_not_end_the_new_one() {
    let mut world = bay(&["fox"]);
    world.failures.push_back(("stop", away()));
    let id = world.act("fox", Verb::Stop);
    world.pass(5);
    assert_eq!(world.view().status.engine.state, LinkState::Up);
    assert_eq!(done(&world, id), "stopped");
    assert_eq!(world.row("fox").state, State::Exited);
}

#[test]
fn a_call_that_finds_nobody_asks_at_once_whether_anybody_is_there() {
    let mut world = bay(&["fox"]);
    world.away = true;
    let id = world.act("fox", Verb::Stop);
    world.settle();
    assert_eq!(refused(&world, id).0, "engine-away");
    assert_eq!(world.view().status.engine.state, LinkState::Away);
    world.away = false;
    world.pass(40);
    assert_eq!(world.row("fox").state, State::Exited, "what was accepted is done");
}

#[test]
fn d06_three_unanswered_pings_are_an_absence() {
    let mut world = bay(&["fox"]);
    for _ in 0..3 {
        assert_eq!(world.view().status.engine.state, LinkState::Up);
        world.event(Event::Pinged(Err(late("ping"))));
        world.effects.clear();
    }
    assert_eq!(world.view().status.engine.state, LinkState::Away);
}

#[test]
fn k03_a_lost_answer_is_looked_up_and_never_done_twice() {
    let mut world = bay(&[]);
    for what in ["create", "start"] {
        world.failures.push_back((what, late(what)));
    }
    let id = world.spawn("fox");
    world.pass(30);
    assert!(matches!(world.answers[&id], Reply::Spawned(_)), "{:?}", world.answers[&id]);
    assert_eq!(world.containers.len(), 2);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn a_spawn_that_fails_leaves_nothing() {
    let mut world = bay(&[]);
    world.act("parent", Verb::Restart);
    world.settle();
    let port = EngineError::PortTaken { port: "8080".to_owned(), holder: Some("nginx (pid 7)".to_owned()) };
    world.failures.push_back(("start", port));
    let id = world.spawn("fox");
    world.settle();
    assert_eq!(refused(&world, id), ("port-taken".to_owned(), "port 8080 is taken by nginx (pid 7)".to_owned()));
    assert!(world.named("fox").is_none());
    assert!(world.view().containers.iter().all(|row| row.name != "fox"));
}

#[test]
fn a_refresh_that_fails_gives_the_old_worker_back() {
    let mut world = bay(&["fox"]);
    let old = world.id("fox");
    world.failures.push_back(("create", EngineError::NoImage("gone:latest".to_owned())));
    let id = world.act("fox", Verb::Refresh);
    world.settle();
    assert_eq!(refused(&world, id).0, "impossible");
    assert_eq!(world.id("fox"), old);
    assert_eq!(world.named("fox").unwrap().name, "podbay-fox");
    assert_eq!(world.row("fox").state, State::Running);
    assert!(world.row("fox").reason.unwrap().contains("gone:latest"), "the failure is still to be seen");
}

#[test]
fn a_refresh_makes_the_same_worker_again() {
    let mut world = bay(&[]);
    let overrides = Overrides { pids: Some(77), ..Overrides::default() };
    world.spawn_with(SpawnRequest { name: Some("fox".to_owned()), overrides, ..SpawnRequest::default() });
    world.settle();
    let (old, request) = (world.id("fox"), world.named("fox").unwrap().label("podbay.request").to_owned());
    let id = world.act("fox", Verb::Refresh);
    world.settle();
    done(&world, id);
    assert_ne!(world.id("fox"), old);
    assert_eq!(world.named("fox").unwrap().label("podbay.request"), request);
    assert_eq!(world.containers.len(), 2);
}

#[test]
fn s10_a_container_with_all_our_labels_is_never_touched() {
    let mut world = bay(&["fox"]);
    let mut copy = world.named("fox").unwrap().clone();
    copy.id = podbay::bay::container::ContainerId::new("f".repeat(64));
    copy.name = "podbay-owl".to_owned();
    world.containers.insert(copy.id.clone(), copy.clone());
    world.hint();
    assert!(world.view().containers.iter().all(|row| row.name != "owl"));
    for verb in [Verb::Stop, Verb::Restart, Verb::Remove, Verb::Refresh] {
        let id = world.act("owl", verb);
        world.settle();
        assert_eq!(refused(&world, id).0, "not-found");
    }
    let id = world.spawn("owl");
    world.settle();
    assert_eq!(refused(&world, id).0, "name-taken");
    let id = world.command(Command::Down(DownRequest { workers: true, supervisor_only: false }));
    world.settle();
    done(&world, id);
    assert_eq!(world.containers.get(&copy.id), Some(&copy));
}

#[test]
fn k05_a_worker_removed_by_hand_is_gone_and_its_name_is_free() {
    let mut world = bay(&["fox"]);
    let fox = world.id("fox");
    world.containers.remove(&fox);
    world.hint();
    assert!(world.view().containers.iter().all(|row| row.name != "fox"));
    let id = world.spawn("fox");
    world.settle();
    assert!(matches!(world.answers[&id], Reply::Spawned(_)));
}

#[test]
fn p02_a_list_that_fails_changes_nothing() {
    let mut world = bay(&["fox"]);
    let error = EngineError::Failed { what: "list".to_owned(), message: "500".to_owned() };
    world.event(Event::Hinted(None));
    let Some(podbay::supervisor::event::Effect::Look(look)) = world.effects.pop_front() else { panic!() };
    world.event(Event::Looked { look, seen: Err(error), namespaces: podbay::supervisor::guard::Namespaces::new() });
    assert_eq!(world.row("fox").state, State::Running);
    let steps = world.steps.len();
    world.pass(15);
    assert_eq!(world.steps.len(), steps);
}

#[test]
fn down_ends_a_parent_that_is_being_made() {
    let mut world = World::new("");
    world.settle();
    world.command(Command::Up { gently: false });
    while !matches!(world.effects.front(), Some(Effect::Step(..))) {
        assert!(world.perform_one(), "nothing is made");
    }
    let id = world.command(Command::Down(DownRequest::default()));
    world.settle();
    assert_eq!(done(&world, id), "the bay is down");
    assert!(world.exited && world.disk.goals.is_empty(), "{:?}", world.disk.goals);
    assert!(world.named("parent").is_none_or(|parent| !parent.status.is_running()));
    // And it is not gone on with by whoever only has a look.
    world.exited = false;
    world.crash();
    world.pass(30);
    assert!(world.named("parent").is_none_or(|parent| !parent.status.is_running()));
}

#[test]
fn down_keeps_workers_unless_told_and_says_so() {
    let mut world = bay(&["fox"]);
    let id = world.command(Command::Down(DownRequest::default()));
    world.settle();
    let Reply::Done(answer) = &world.answers[&id] else { panic!() };
    assert_eq!(answer.notes, ["fox keeps running; `podbay up` brings its network back, `down --workers` stops it"]);
    assert!(world.exited);
    assert!(world.named("fox").unwrap().status.is_running());
    world.exited = false;
    world.crash();
    let id = world.command(Command::Up { gently: false });
    world.settle();
    assert_eq!(done(&world, id), "the parent runs; repaired 1 worker");
}

#[test]
fn up_is_idempotent() {
    let mut world = bay(&["fox"]);
    let steps = world.steps.len();
    let id = world.command(Command::Up { gently: false });
    world.settle();
    assert_eq!(done(&world, id), "the parent runs");
    assert_eq!(world.steps.len(), steps);
}

#[test]
fn a_passing_worker_is_removed_once_it_ends() {
    let mut world = bay(&[]);
    let overrides = Overrides { rm: true, ..Overrides::default() };
    world.spawn_with(SpawnRequest { name: Some("fox".to_owned()), overrides, ..SpawnRequest::default() });
    world.settle();
    let fox = world.id("fox");
    world.end(&fox, 0).unwrap();
    world.hint();
    assert!(world.named("fox").is_none());
}

#[test]
fn x06_exit_codes_are_said_exactly() {
    let mut world = bay(&["fox"]);
    for code in 0..=255 {
        let fox = world.id("fox");
        world.start(&fox).unwrap();
        world.end(&fox, code).unwrap();
        world.hint();
        let reason = world.row("fox").reason.unwrap();
        assert!(reason.starts_with(&format!("exited with code {code}")), "{reason}");
    }
}

#[test]
fn x12_running_out_of_memory_is_said() {
    let mut world = bay(&["fox"]);
    let fox = world.id("fox");
    let hint = podbay::engine::Hint { id: fox.clone(), action: "oom".to_owned() };
    world.event(Event::Hinted(Some(hint)));
    world.settle();
    assert!(world.row("fox").reason.unwrap().contains("a process in it was killed"));
    assert_eq!(world.row("fox").state, State::Running);
    world.named("fox").unwrap().status = Status::Exited { code: 137, oom: true, at: None, error: String::new() };
    world.hint();
    assert_eq!(world.row("fox").reason.unwrap(), "killed by the kernel: it ran out of memory");
}

#[test]
fn why_says_what_somebody_is_needed_for() {
    use podbay::api::types::SessionRow;
    use podbay::bay::attention::{Attention, Need, Source};
    use podbay::bay::session::{SessionId, SessionKind, TermSize};
    let mut world = bay(&["fox"]);
    let since = world::wall(world.mono);
    world.event(Event::Sessions(vec![SessionRow {
        id: SessionId(1),
        name: "fox".to_owned(),
        kind: SessionKind::Main,
        title: String::new(),
        size: TermSize::default(),
        clients: 0,
        ended: None,
        attention: Some(Attention { need: Need::Permission, source: Source::Hook, since }),
    }]));
    let needs = |world: &mut World| {
        let id = world.command(Command::Why("fox".to_owned()));
        world.settle();
        let Some(Reply::Why(why)) = world.answers.remove(&id) else { panic!("no answer") };
        why.attention
    };
    assert_eq!(needs(&mut world).unwrap(), "asks permission (hook)");
    world.named("fox").unwrap().status = Status::Exited { code: 1, oom: false, at: None, error: String::new() };
    world.hint();
    assert_eq!(needs(&mut world), None, "how it ended is its reason");
}

/// Who ended by itself calls for somebody, who was stopped does not.
#[test]
fn an_end_that_nobody_asked_for_calls() {
    use podbay::bay::attention::{Need, Source};
    for (code, oom, need) in [
        (0, false, Need::Finished),
        (1, false, Need::Failed),
        (137, true, Need::Failed),
        // A main process that survives its child's end by memory, and ends well for all it says.
        (0, true, Need::Failed),
    ] {
        let mut world = bay(&["fox"]);
        let at = world::wall(world.mono);
        world.named("fox").unwrap().status = Status::Exited { code, oom, at: Some(at), error: String::new() };
        world.pass(40);
        let row = world.row("fox");
        let call = row.call.unwrap();
        assert_eq!((call.need, call.source, call.since), (need, Source::Exit, at), "code {code}, oom {oom}");
        assert_eq!(row.attention.unwrap(), format!("{} (exit)", need.as_str()));
        // Started again it calls no more; stopped by hand it does not.
        for verb in [Verb::Start, Verb::Stop] {
            world.act("fox", verb);
            world.pass(40);
            let row = world.row("fox");
            assert_eq!((row.call, row.attention), (None, None), "after {verb:?}");
        }
    }
    // The engine does not say when: since it was first seen.
    let mut world = bay(&["fox"]);
    world.named("fox").unwrap().status = Status::Exited { code: 1, oom: false, at: None, error: String::new() };
    world.hint();
    let since = world.row("fox").call.unwrap().since;
    world.pass(60);
    assert_eq!(world.row("fox").call.unwrap().since, since);
    assert!(!serde_json::to_string(&world.row("parent")).unwrap().contains("\"call\""));
}

#[test]
fn one_that_could_not_be_started_calls_since_then() {
    use podbay::bay::attention::{Need, Source};
    let mut world = bay(&["fox"]);
    world.named("fox").unwrap().status = Status::Created { error: "no such program".to_owned() };
    world.hint();
    let (first, since) = (world.row("fox"), world.now().wall);
    world.pass(60);
    let call = world.row("fox").call.unwrap();
    assert_eq!((first.state, call.need, call.source, call.since), (State::Failed, Need::Failed, Source::Podbay, since));
}

#[test]
fn why_has_one_answer_for_everything() {
    let mut world = bay(&["fox"]);
    let parent = world.id("parent");
    world.end(&parent, 137).unwrap();
    world.hint();
    let id = world.command(Command::Why("fox".to_owned()));
    world.settle();
    let Reply::Why(why) = &world.answers[&id] else { panic!() };
    assert_eq!(why.wanted, "running");
    assert!(why.observed.starts_with("cut-off"));
    assert!(why.hint.as_ref().unwrap().contains("podbay restart parent"));
    assert!(!why.history.is_empty());
    let id = world.command(Command::Why("foxx".to_owned()));
    world.settle();
    assert_eq!(
        refused(&world, id),
        ("not-found".to_owned(), "no such name: \"foxx\"; did you mean \"fox\"?".to_owned())
    );
}

#[test]
fn k15_a_clock_that_jumps_moves_nothing() {
    let mut world = bay(&["fox"]);
    let steps = world.steps.len();
    for jump in [-86_400, 86_400, -1, 1] {
        let now = podbay::supervisor::event::Now {
            mono: world.mono,
            wall: world::wall(world.mono) + jiff::SignedDuration::from_secs(jump),
        };
        let effects = world.machine.handle(Event::Tick(podbay::supervisor::event::Gauges::default()), now);
        world.effects.extend(effects);
        world.settle();
    }
    assert_eq!(world.steps.len(), steps);
}

#[test]
fn a_worker_whose_parent_fails_says_why_the_parent_failed() {
    let mut world = bay(&[]);
    let error = EngineError::Refused { what: "start".to_owned(), message: "no init".to_owned() };
    world.failures.push_back(("start", error));
    let id = world.spawn("fox");
    world.settle();
    let (code, message) = refused(&world, id);
    assert_eq!(code, "refused");
    assert_eq!(message, "the parent could not be brought up: starting it failed: start: no init");
    assert!(world.containers.is_empty());
}

#[test]
fn a_worker_past_its_age_is_made_anew_where_the_template_says_always() {
    for (when, anew) in [("always", true), ("idle", false), ("ask", false)] {
        let mut world = World::new(&format!("[worker.refresh]\nmax_age = \"1h\"\nwhen = \"{when}\"\n"));
        world.settle();
        world.spawn("fox");
        world.settle();
        let fox = world.id("fox");
        world.mono += std::time::Duration::from_secs(3590);
        world.pass(30);
        assert_eq!(world.id("fox") != fox, anew, "{when}");
        assert_eq!(world.row("fox").state, State::Running);
        assert_eq!(world.containers.len(), 2);
    }
}

#[test]
fn a_worker_whose_health_checks_fail_is_made_anew() {
    let mut world = World::new("[worker.refresh]\nwhen = \"always\"\n");
    world.settle();
    world.spawn("fox");
    world.settle();
    let fox = world.id("fox");
    let container = world.named("fox").unwrap();
    container.health = Some(podbay::bay::container::HealthState::Unhealthy);
    container.failed_probes = 3;
    world.hint();
    assert_ne!(world.id("fox"), fox);
}

#[test]
fn a_save_that_is_told_begins_nothing() {
    let mut world = bay(&["fox"]);
    world.failures.push_back(("stop", late("stop")));
    world.act("fox", Verb::Stop);
    world.settle();
    world.mono += std::time::Duration::from_mins(1);
    let now = world.now();
    assert_eq!(world.machine.handle(Event::Saved(Ok(())), now), vec![]);
    world.pass(5);
    assert_eq!(world.row("fox").reason.unwrap(), "stopped by request");
}

#[test]
fn what_ends_right_after_its_start_is_not_started_for_ever() {
    let mut world = bay(&["fox"]);
    world.act("fox", Verb::Stop);
    world.settle();
    world.short_lived = true;
    let starts = world.count("start");
    let id = world.act("fox", Verb::Start);
    world.pass(60);
    done(&world, id);
    assert_eq!(world.count("start"), starts + 1);
    assert_eq!(world.row("fox").reason.unwrap(), "exited with code 1");
    let id = world.act("parent", Verb::Restart);
    world.pass(60);
    let (_, message) = refused(&world, id);
    assert!(message.contains("had no effect"), "{message}");
}

#[test]
fn d14_a_removal_that_fails_for_good_is_not_tried_at_full_speed() {
    let mut world = bay(&["fox"]);
    for _ in 0..200 {
        let message = "driver failed to remove root filesystem".to_owned();
        world.failures.push_back(("remove", EngineError::Failed { what: "remove".to_owned(), message }));
    }
    let id = world.act("fox", Verb::Refresh);
    world.pass(300);
    assert!(matches!(world.answers[&id], Reply::Refused(_)));
    assert!(world.failures.len() > 180, "{} tries in five minutes", 200 - world.failures.len());
    world.failures.clear();
    world.pass(90);
    assert_eq!(world.containers.len(), 2);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn a_template_may_be_called_as_no_worker_may() {
    let mut world = World::new("[[template]]\nname = \"warm-claude\"\n");
    world.settle();
    let template = Some("warm-claude".parse().unwrap());
    let id = world.spawn_with(SpawnRequest { template, ..SpawnRequest::default() });
    world.settle();
    let Reply::Spawned(reply) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
    assert_eq!(reply.name, "worker-1");
}

#[test]
fn a_free_name_is_none_of_a_services() {
    let mut world = World::new(
        "[[service]]\nname = \"worker-1\"\ncommand = [\"sleep\", \"1000\"]\nrun = \"host\"\nreason = \"native-api\"\n",
    );
    world.settle();
    let id = world.spawn_with(SpawnRequest::default());
    world.settle();
    let Reply::Spawned(reply) = &world.answers[&id] else { panic!("{:?}", world.answers[&id]) };
    assert_eq!(reply.name, "worker-2");
}

#[test]
fn s10_a_copy_does_not_inherit_when_the_original_is_removed() {
    let mut world = bay(&["fox"]);
    let mut copy = world.named("fox").unwrap().clone();
    copy.id = podbay::bay::container::ContainerId::new("f".repeat(64));
    copy.name = "podbay-owl".to_owned();
    world.containers.insert(copy.id.clone(), copy);
    world.hint();
    let id = world.act("fox", Verb::Remove);
    world.settle();
    done(&world, id);
    world.pass(30);
    assert!(world.view().containers.iter().all(|row| row.name != "owl"));
    world.crash();
    world.pass(30);
    assert!(world.view().containers.iter().all(|row| row.name != "owl"));
}

#[test]
fn having_a_look_restarts_nothing() {
    let mut world = bay(&["fox"]);
    let parent = world.id("parent");
    world.end(&parent, 0).unwrap();
    world.start(&parent).unwrap();
    world.hint();
    let steps = world.steps.len();
    let id = world.command(Command::Up { gently: true });
    world.pass(5);
    done(&world, id);
    assert_eq!(world.steps.len(), steps);
    assert_eq!(world.row("fox").state, State::CutOff);
    world.act("parent", Verb::Stop);
    world.settle();
    let id = world.command(Command::Up { gently: true });
    world.pass(5);
    done(&world, id);
    assert_eq!(world.row("parent").reason.unwrap(), "stopped by request");
}

#[test]
fn a_removed_workers_terminals_are_forgotten() {
    let mut world = bay(&["fox"]);
    let fox = world.id("fox");
    world.act("fox", Verb::Stop);
    world.settle();
    world.act("fox", Verb::Remove);
    world.settle();
    assert_eq!(world.forgotten, [fox]);
}

#[test]
fn an_engine_that_was_restarted_while_nobody_looked_is_a_gap_too() {
    let mut world = bay(&["fox"]);
    world.pass(12);
    world.end_all(137);
    world.crash();
    world.pass(5);
    assert_eq!(world.row("parent").state, State::Running);
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn d14_a_worker_that_the_engine_can_not_tell_of_is_unknown_and_left_alone() {
    let mut world = bay(&["fox", "owl"]);
    let before = world.named("fox").unwrap().status.clone();
    world.named("fox").unwrap().status = Status::Unclear { error: "500".to_owned() };
    let steps = world.steps.len();
    world.hint();
    assert_eq!(world.row("fox").state, State::Unknown);
    assert_eq!(world.row("fox").reason.unwrap(), "the engine can't say how it is: 500");
    assert_eq!(world.row("owl").state, State::Running);
    world.pass(30);
    assert_eq!(world.steps.len(), steps);
    world.named("fox").unwrap().status = before;
    world.hint();
    assert_eq!(world.row("fox").state, State::Running);
}

#[test]
fn capacity_counts_what_every_worker_may_take() {
    let mut world = World::new(
        "[worker.limits]\nmemory = '1g'\ncpus = 0\n[[template]]\nname = 'big'\n[template.limits]\nmemory = '3g'\n",
    );
    world.settle();
    let by_memory = |world: &World| -> Vec<(String, Option<u64>, Option<String>)> {
        let rooms = world.view().status.capacity.templates;
        rooms.into_iter().map(|room| (room.template, room.workers, room.ends_first)).collect()
    };
    let total = world.view().status.capacity.memory >> 30;
    let left = |promised: u64, each: u64| Some((total - 1 - promised) / each);
    let memory = || Some("memory".to_owned());
    assert!(total > 6, "{total}");
    assert_eq!(by_memory(&world), [("default".into(), left(0, 1), memory()), ("big".into(), left(0, 3), memory())]);
    world.spawn("fox");
    world.spawn_with(serde_json::from_str(r#"{"name": "owl", "template": "big", "memory": "2g"}"#).unwrap());
    world.settle();
    assert_eq!(by_memory(&world), [("default".into(), left(3, 1), memory()), ("big".into(), left(3, 3), memory())]);
    // One that does not run takes nothing.
    world.act("owl", Verb::Stop);
    world.settle();
    assert_eq!(by_memory(&world)[0].1, left(1, 1));
}

fn why(world: &mut World, word: &str) -> podbay::api::types::Why {
    let id = world.command(Command::Why(word.to_owned()));
    world.settle();
    match &world.answers[&id] {
        Reply::Why(why) => (**why).clone(),
        other => panic!("why {word}: {other:?}"),
    }
}

#[test]
fn why_tells_how_it_ended_in_words() {
    let mut world = bay(&["fox"]);
    assert_eq!((why(&mut world, "fox").kind.as_str(), why(&mut world, "parent").kind.as_str()), ("worker", "parent"));
    for (code, oom, said) in [
        (127, false, "exited with code 127 (the command was not found): there is no such program"),
        (126, false, "exited with code 126 (the command can't be executed)"),
        (139, false, "exited with code 139 (SIGSEGV): it crashed"),
        (137, true, "out of memory: the kernel killed it"),
    ] {
        let at = Some(world::wall(world.mono));
        world.named("fox").unwrap().status = Status::Exited { code, oom, at, error: String::new() };
        world.hint();
        let told = why(&mut world, "fox").last_exit.unwrap();
        assert!(told.starts_with(said) && told.contains(", at 2027-"), "{told}");
    }
    assert!(why(&mut world, "fox").hint.unwrap().contains("podbay start fox"));
}

#[test]
fn why_tells_when_it_is_tried_again() {
    let mut world = bay(&["fox"]);
    let failed = || EngineError::Deadline { what: "stop fox".to_owned(), deadline: std::time::Duration::from_secs(20) };
    world.failures.extend((0..3).map(|_| ("stop", failed())));
    world.act("fox", Verb::Stop);
    world.settle();
    let told = why(&mut world, "fox");
    assert!(
        told.attempts > 0 && told.last_error.as_deref().is_some_and(|error| error.contains("no answer within 20s")),
        "{told:?}"
    );
    assert!(told.next_try_at.is_some_and(|next| next > world::wall(world.mono)), "{told:?}");
}

#[test]
fn why_knows_services_and_pools_by_whole_names_first() {
    let toml = "[[service]]\nname = 'brain'\nimage = 'x'\ndepends_on = { db = 'ready' }\n[[service]]\nname = 'db'\n\
                image = 'x'\n[[template]]\nname = 'claude'\npool = { target = 2 }\n";
    let mut world = World::new(toml);
    world.settle();
    world.spawn("brain-2");
    world.spawn("claude");
    world.settle();
    for (word, kind, name) in [
        ("brain", "service", "brain"),
        ("brain-", "worker", "brain-2"),
        ("svc-db", "service", "db"),
        ("d", "service", "db"),
        ("service/db", "service", "db"),
        ("service/d", "service", "db"),
        ("worker/claude", "worker", "claude"),
        ("pool/claude", "pool", "claude"),
        ("par", "parent", "parent"),
    ] {
        let told = why(&mut world, word);
        assert_eq!((told.kind.as_str(), told.name.as_str()), (kind, name), "{word}");
        assert!(!told.wanted.is_empty() && !told.observed.is_empty(), "{told:?}");
        assert!(kind != "service" || told.reason.is_some(), "{told:?}");
    }
    let id = world.command(Command::Why("brian".to_owned()));
    world.settle();
    assert_eq!(refused(&world, id).1, "no such name: \"brian\"; did you mean \"brain\"?");
    // A name that two have is never guessed, and no worker takes that of a service.
    let id = world.command(Command::Why("claude".to_owned()));
    world.settle();
    assert_eq!(refused(&world, id).1, "\"claude\" is ambiguous: worker/claude, pool/claude");
    let request = SpawnRequest { name: Some("db".to_owned()), ..SpawnRequest::default() };
    let id = world.command(Command::Spawn(Box::new(request)));
    world.settle();
    assert_eq!(refused(&world, id).1, "db is the name of a service of this bay: take another one");
}
