//! Keys, and what they ask for.

use podbay::api::client::ClientError;
use podbay::api::types::{Done, ErrorDetail, Frame, SpawnReply, State, Verb};
use podbay::bay::session::{SessionId, SessionKind, TermSize};
use podbay::tui::action::Context;
use podbay::tui::effect::{Effect, Target};
use podbay::tui::model::overlay::Overlay;
use podbay::tui::model::{Pane, Tab};
use podbay::tui::msg::{FeedMsg, Msg, TerminalMsg};

use super::bay;
use super::driver::Driver;

fn act(name: &str, verb: Verb) -> Effect {
    Effect::Act { name: name.to_owned(), verb }
}

fn running() -> Driver {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.taken();
    driver
}

/// The effects that change something outside.
fn deeds(driver: &mut Driver) -> Vec<Effect> {
    let opens = |effect: &Effect| {
        matches!(
            effect,
            Effect::OpenTerminal { .. }
                | Effect::CloseTerminal { .. }
                | Effect::OpenLogs { .. }
                | Effect::CloseLogs { .. }
        )
    };
    driver.taken().into_iter().filter(|effect| !opens(effect)).collect()
}

#[test]
fn a_verb_is_asked_for_once_and_shown() {
    let mut driver = running();
    driver.keys("j s s");
    assert_eq!(deeds(&mut driver), [act("fox", Verb::Stop)]);
    let shot = driver.shot();
    assert!(shot.contains("stopping") && shot.contains("fox is stopping already"), "{shot}");
}

#[test]
fn removing_asks_and_cancels_by_default() {
    let mut driver = running();
    driver.keys("d");
    driver.wait(400);
    driver.keys("enter");
    assert_eq!(deeds(&mut driver), []);
    assert!(driver.model.overlay.is_none());
    driver.keys("d");
    driver.wait(400);
    driver.keys("tab enter");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Remove)]);
}

#[test]
fn keys_that_were_on_their_way_are_no_answer() {
    let mut driver = running();
    driver.keys("d y enter");
    assert_eq!(deeds(&mut driver), []);
    assert!(matches!(driver.model.overlay, Some(Overlay::Confirm(_))));
    driver.wait(400);
    driver.keys("y");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Remove)]);
}

/// The supervisor does not remove a worker whose clone holds work that is nowhere else.
fn unsaved(driver: &mut Driver, name: &str) {
    let message = format!("{name}'s clone holds what is nowhere else:\n1 commit of main that no remote has");
    let error = ErrorDetail { code: "unsaved".to_owned(), message, hint: None, field: None };
    let result = Err(ClientError::Refused(error));
    driver.send(Msg::Acted { name: name.to_owned(), verb: Verb::Remove, result });
}

#[test]
fn work_that_is_nowhere_else_is_asked_about_and_no_impatient_key_answers() {
    let mut driver = running();
    unsaved(&mut driver, "badger");
    // Whoever has waited for the removal presses on, faster or slower.
    for _ in 0..4 {
        driver.keys("y enter");
        driver.wait(900);
    }
    assert_eq!(deeds(&mut driver), []);
    let shot = driver.shot();
    assert!(shot.contains("badger: 1 commit of main that no remote has") && shot.contains("discard"), "{shot}");
    // Another answer makes the same question a larger one: what is in it was not read yet.
    driver.wait(1100);
    unsaved(&mut driver, "fox");
    driver.keys("y");
    assert_eq!(deeds(&mut driver), []);
    driver.wait(1100);
    driver.keys("enter");
    assert_eq!(deeds(&mut driver), [], "no is what stands there first");
    assert!(driver.model.overlay.is_none());
    unsaved(&mut driver, "badger");
    driver.wait(1100);
    driver.keys("y");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Discard)]);
}

#[test]
fn a_question_that_comes_late_takes_no_terminals_keys() {
    let mut driver = running();
    driver.keys("enter");
    driver.screen("$ ");
    assert_eq!(driver.model.context(), Context::Focused);
    unsaved(&mut driver, "badger");
    assert!(driver.model.overlay.is_none());
    let shot = driver.shot();
    assert!(
        shot.contains("badger is not removed, it holds") && shot.contains("nowhere else: 1 commit of main"),
        "{shot}"
    );
}

/// A live agent is not ended by a stray key: it has no way back.
#[test]
fn restarting_what_runs_asks_and_what_has_ended_starts_at_once() {
    let mut driver = running();
    driver.keys("r");
    assert_eq!(deeds(&mut driver), []);
    let shot = driver.shot();
    assert!(shot.contains("restart badger?") && shot.contains("badger: what runs in it ends"), "{shot}");
    driver.wait(400);
    driver.keys("enter");
    assert_eq!(deeds(&mut driver), [], "no is what stands there first");
    driver.keys("r");
    driver.wait(400);
    driver.keys("y");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Restart)]);
    let mut driver = Driver::of(bay::mixed(), 80, 24);
    driver.keys("j");
    driver.taken();
    driver.keys("r");
    assert_eq!(deeds(&mut driver), [act("fox", Verb::Restart)]);
}

#[test]
fn marked_workers_are_meant_together() {
    for (key, verb, losses) in [
        ("s", Verb::Stop, ["badger", "fox"]),
        (
            "r",
            Verb::Restart,
            ["badger: what runs in it ends; its container", "fox: what runs in it ends; its container"],
        ),
        ("R", Verb::Refresh, ["badger: what runs in it ends; workspace", "fox: what runs in it ends; workspace"]),
        ("d", Verb::Remove, ["badger is running: what runs in it ends", "fox is running: what runs in it ends"]),
    ] {
        let mut driver = running();
        driver.keys(&format!("space space {key}"));
        assert_eq!(deeds(&mut driver), [], "{key}");
        let shot = driver.shot();
        assert!(shot.contains(&format!("{} 2 workers?", verb.as_str())), "{shot}");
        for loss in losses {
            assert!(shot.contains(loss), "{key} does not name {loss:?}: {shot}");
        }
        // The third is not marked, and not meant.
        assert!(!shot.contains("owl: ") && !shot.contains("owl is running:"), "{shot}");
        driver.wait(400);
        driver.keys("enter");
        assert_eq!(deeds(&mut driver), [], "no is what stands there first");
        driver.keys(key);
        driver.wait(400);
        driver.keys("y");
        assert_eq!(deeds(&mut driver), [act("badger", verb), act("fox", verb)]);
        assert!(driver.model.lists.marks.is_empty());
    }
}

/// What a supervisor that was killed leaves is seen by the next one a moment after it answers.
#[test]
fn who_was_selected_and_marked_is_so_again_after_another_supervisor_has_begun() {
    let mut driver = running();
    driver.keys("space G");
    let (selected, marks) = (driver.model.lists.worker.clone(), driver.model.lists.marks.clone());
    assert!(selected.is_some() && marks.len() == 1 && !marks.contains(selected.as_ref().unwrap()));
    let mut young = bay::running();
    young.containers.clear();
    driver.hear(young);
    assert!(driver.model.selected_worker().is_none());
    driver.keys("s");
    assert_eq!(deeds(&mut driver), [], "there is nobody to stop");
    driver.hear(bay::running());
    assert_eq!((&driver.model.lists.worker, &driver.model.lists.marks), (&selected, &marks));
}

#[test]
fn stopping_all_asks_and_leaves_out_what_does_not_run() {
    let mut driver = Driver::of(bay::mixed(), 80, 24);
    driver.keys("S");
    driver.wait(400);
    driver.taken();
    driver.keys("y");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Stop), act("owl", Verb::Stop)]);
}

#[test]
fn what_is_cut_off_is_repaired_by_one_key() {
    let mut driver = Driver::of(bay::mixed(), 80, 24);
    driver.taken();
    assert!(driver.shot().contains("1 worker cut off: F repairs all"));
    driver.keys("F");
    assert_eq!(deeds(&mut driver), [act("parent", Verb::Restart)]);
    let mut driver = Driver::of(bay::mixed(), 80, 24);
    driver.taken();
    driver.keys("1 r");
    assert_eq!(deeds(&mut driver), [act("parent", Verb::Restart)]);
}

#[test]
fn the_parent_of_running_workers_is_not_stopped_by_a_stray_key() {
    let mut driver = running();
    driver.keys("1 s");
    assert_eq!(deeds(&mut driver), []);
    assert!(driver.shot().contains("3 workers lose their network"), "{}", driver.shot());
}

#[test]
fn a_spawned_worker_is_selected_and_has_the_keys_when_its_terminal_is_there() {
    let mut driver = Driver::of(bay::empty(), 80, 24);
    driver.taken();
    driver.keys("n");
    let effects = driver.taken();
    let size = driver.model.next_terminal_size();
    assert!(matches!(effects.as_slice(), [Effect::Spawn(request)] if request.size == Some(size)), "{effects:?}");
    let reply =
        SpawnReply { id: "x".to_owned(), name: "fox".to_owned(), host_port: None, claimed: false, notes: Vec::new() };
    driver.send(Msg::Spawned(Ok(reply)));
    let mut snapshot = bay::empty();
    snapshot.containers.push(bay::worker("fox", State::Running, None));
    snapshot.sessions.push(bay::main_session(1, "fox"));
    driver.hear(snapshot);
    driver.wait(200);
    let open = driver.taken();
    let wanted = Target::Main("fox".to_owned());
    assert!(
        open.iter()
            .any(|e| matches!(e, Effect::OpenTerminal { target, size: s, .. } if *target == wanted && *s == size)),
        "{open:?}"
    );
    driver.screen("$ ");
    assert!(driver.model.focus.terminal);
    driver.text("ls");
    let typed: Vec<Effect> = driver.taken();
    assert_eq!(typed.len(), 2, "{typed:?}");
}

#[test]
fn what_is_typed_before_a_new_worker_is_there_does_nothing_to_another() {
    let mut driver = running();
    driver.keys("n s r d enter e");
    assert!(matches!(deeds(&mut driver).as_slice(), [Effect::Spawn(_)]));
    assert!(!driver.model.focus.terminal && driver.model.overlay.is_none(), "{}", driver.shot());
    assert!(driver.shot().contains("the terminal opens: what"), "{}", driver.shot());
    // Several in a row are meant; one that takes long holds nobody up.
    driver.keys("n n");
    assert_eq!(deeds(&mut driver).len(), 2);
    driver.wait(2500);
    driver.keys("s");
    assert!(matches!(deeds(&mut driver).as_slice(), [Effect::Act { .. }]));
}

#[test]
fn what_is_so_for_each_worker_is_said_once() {
    let mut driver = running();
    for name in ["zebra", "yak"] {
        let notes = vec!["no ssh agent".to_owned(), "two CPUs".to_owned()];
        let reply = SpawnReply { id: "x".to_owned(), name: name.to_owned(), host_port: None, claimed: false, notes };
        driver.send(Msg::Spawned(Ok(reply)));
    }
    let shot = driver.shot();
    assert!(shot.contains("zebra: no ssh agent; two CPUs") && !shot.contains("yak: no ssh agent"), "{shot}");
}

#[test]
fn help_is_closed_by_the_keys_that_people_try() {
    for key in ["q", "?", "esc"] {
        let mut driver = running();
        driver.keys("?");
        assert!(driver.model.overlay.is_some());
        driver.keys(key);
        assert!(driver.model.overlay.is_none() && deeds(&mut driver).is_empty(), "{key}");
    }
}

#[test]
fn a_spawned_worker_does_not_take_the_keys_from_who_moved_on() {
    let mut driver = running();
    driver.keys("n");
    let reply =
        SpawnReply { id: "x".to_owned(), name: "zebra".to_owned(), host_port: None, claimed: false, notes: Vec::new() };
    driver.send(Msg::Spawned(Ok(reply)));
    driver.keys("j");
    let mut snapshot = bay::running();
    snapshot.containers.push(bay::worker("zebra", State::Running, None));
    driver.hear(snapshot);
    driver.wait(200);
    driver.screen("$ ");
    assert!(!driver.model.focus.terminal);
}

#[test]
fn every_key_but_one_goes_to_the_program() {
    let mut driver = running();
    driver.keys("enter");
    driver.screen("$ ");
    driver.taken();
    driver.keys("q esc ctrl-c tab ? ctrl-z");
    assert_eq!(driver.taken().len(), 6);
    assert!(driver.model.focus.terminal);
    driver.keys("ctrl-q");
    assert_eq!(driver.taken(), []);
    assert!(!driver.model.focus.terminal);
    assert_eq!(driver.model.focus.pane, Pane::Workers);
    // Twice within a second: the program gets it.
    driver.keys("ctrl-q");
    let key = driver.stream();
    assert_eq!(driver.taken(), [Effect::TypeInto { key, bytes: bytes::Bytes::from_static(b"\x11") }]);
    assert!(driver.model.focus.terminal);
    // Later it only leaves.
    driver.keys("ctrl-q");
    driver.wait(1500);
    driver.taken();
    driver.keys("ctrl-q");
    assert_eq!(driver.taken(), []);
}

#[test]
fn what_is_typed_into_a_program_that_ended_or_was_lost_is_no_command() {
    let mut driver = running();
    driver.keys("enter");
    driver.screen("$ ");
    let key = driver.stream();
    let ended = Frame::Ended { reason: "exited with code 3".to_owned(), code: Some(3) };
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(ended) });
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Lost("closed".to_owned()) });
    driver.taken();
    driver.keys("n w S q d");
    assert_eq!(driver.taken(), []);
    assert!(driver.model.focus.terminal, "only the leaving key leaves");
    driver.keys("ctrl-q");
    assert!(!driver.model.focus.terminal);
    let shot = driver.shot();
    assert!(shot.contains("exited with code 3; r starts"), "{shot}");
}

#[test]
fn whoever_opens_a_terminal_that_is_not_there_yet_gets_it_when_it_is() {
    let mut driver = running();
    driver.wait(200);
    let key = driver.stream();
    driver.taken();
    // The supervisor has just begun, and has not adopted it yet.
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Lost("badger has no terminal that is open".to_owned()) });
    driver.keys("enter");
    assert!(!driver.model.focus.terminal);
    driver.keys("r");
    assert_eq!(driver.taken(), [], "what is typed ahead is no command");
    driver.wait(2200);
    driver.wait(200);
    driver.screen("$ ");
    assert!(driver.model.focus.terminal);
    // Who waits for longer does something else meanwhile.
    driver.keys("ctrl-q");
    driver.wait(1500);
    let key = driver.stream();
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Lost("closed".to_owned()) });
    driver.keys("enter");
    driver.wait(16_000);
    driver.screen("$ ");
    assert!(!driver.model.focus.terminal);
}

#[test]
fn the_size_follows_the_pane_and_hidden_terminals_are_let_go() {
    let mut driver = running();
    driver.wait(200);
    driver.taken();
    driver.send(Msg::Input(crossterm::event::Event::Resize(100, 30)));
    let key = driver.stream();
    assert_eq!(driver.taken(), [Effect::ResizeTerminal { key, size: TermSize::new(26, 68) }]);
    driver.keys("z");
    assert_eq!(driver.taken(), [Effect::CloseTerminal { key }]);
    driver.keys("z");
    driver.wait(200);
    assert!(matches!(driver.taken().as_slice(), [Effect::OpenTerminal { .. }]));
}

#[test]
fn running_through_a_list_opens_few_terminals() {
    let mut snapshot = bay::empty();
    for at in 0..60 {
        snapshot.containers.push(bay::worker(&format!("w{at:02}"), State::Running, None));
    }
    let mut driver = Driver::of(snapshot, 80, 24);
    driver.taken();
    for _ in 0..50 {
        driver.keys("j");
        driver.now += std::time::Duration::from_millis(10);
    }
    driver.wait(200);
    let opened = driver.taken().iter().filter(|effect| matches!(effect, Effect::OpenTerminal { .. })).count();
    assert!((2..=6).contains(&opened), "{opened}");
    let target = driver.model.main.terminals.shown().map(|pane| pane.target.clone());
    assert_eq!(target, Some(Target::Main("w50".to_owned())));
}

#[test]
fn one_more_shell_is_shown_and_focused_and_can_be_closed() {
    let mut driver = running();
    driver.wait(200);
    driver.screen("main $ ");
    driver.keys("e");
    assert!(matches!(deeds(&mut driver).as_slice(), [Effect::OpenSession { name, .. }] if name == "badger"));
    let session = bay::session(9, "badger", SessionKind::Shell, "bash");
    driver.send(Msg::SessionOpened { name: "badger".to_owned(), result: Ok(session) });
    driver.wait(200);
    driver.screen("# ");
    assert!(driver.model.focus.terminal);
    assert_eq!(driver.model.wanted_terminal(), Some(Target::Shell(SessionId(9))));
    driver.keys("ctrl-q");
    driver.wait(1500);
    assert_eq!(driver.model.focus.pane, Pane::Workers);
    driver.keys("5 x");
    driver.wait(400);
    driver.taken();
    driver.keys("y");
    assert_eq!(driver.taken(), [Effect::CloseSession { id: SessionId(9) }]);
}

#[test]
fn a_lost_supervisor_is_a_state_with_a_next_try() {
    let mut driver = running();
    driver.send(Msg::Feed(FeedMsg::Lost("gone".to_owned())));
    let first = driver.model.next_wake().unwrap();
    assert!(first <= driver.now + std::time::Duration::from_millis(500));
    driver.wait(600);
    assert!(driver.taken().contains(&Effect::Connect));
    driver.send(Msg::Feed(FeedMsg::Lost("gone".to_owned())));
    driver.keys("j");
    assert_eq!(driver.model.lists.worker.as_deref(), Some("fox"));
    driver.hear(bay::running());
    assert!(driver.shot().contains("the supervisor answers again"));
}

#[test]
fn esc_goes_back_and_never_quits() {
    let mut driver = running();
    driver.keys("space / o enter 5 z ? esc esc esc esc esc esc esc esc");
    assert!(!driver.taken().contains(&Effect::Quit));
    assert!(driver.model.overlay.is_none());
    driver.keys("q");
    assert_eq!(driver.taken(), [Effect::Quit]);
}

#[test]
fn the_palette_finds_by_letters_and_acts() {
    let mut driver = running();
    driver.keys(":");
    driver.text("insp");
    driver.keys("enter");
    assert_eq!(driver.model.main.tab, Tab::Inspect);
    driver.keys("ctrl-k");
    driver.text("zzzz");
    assert!(driver.shot().contains("no action is called so"));
    driver.keys("enter");
    assert!(driver.model.overlay.is_none());
}

#[test]
fn the_palette_finds_what_a_log_can_do_from_everywhere() {
    let mut driver = running();
    driver.keys("2 :");
    driver.text("wrap");
    assert!(driver.shot().contains("wrap long lines"), "{}", driver.shot());
    driver.keys("enter");
    assert_eq!((driver.model.main.tab, driver.model.main.logs.look.wrap), (Tab::Logs, true));
}

#[test]
fn the_form_makes_a_request_and_names_the_wrong_field() {
    let mut driver = running();
    driver.keys("N");
    driver.text("zebra");
    driver.keys("tab");
    driver.text("rel");
    driver.keys("enter");
    assert!(driver.shot().contains("project: write the whole path"), "{}", driver.shot());
    driver.keys("ctrl-u");
    driver.send(Msg::Input(crossterm::event::Event::Paste("/srv/a\r\nb".to_owned())));
    driver.keys("shift-tab shift-tab right enter");
    let effects = deeds(&mut driver);
    let [Effect::Spawn(request)] = effects.as_slice() else { panic!("{effects:?}\n{}", driver.shot()) };
    assert_eq!(request.name.as_deref(), Some("zebra"));
    assert_eq!(request.template.as_ref().map(podbay::bay::name::Name::as_str), Some("claude"));
    assert_eq!(request.overrides.project.as_deref(), Some(std::path::Path::new("/srv/a  b")));
}

#[test]
fn the_selection_stays_with_its_worker_and_moves_on_when_that_goes() {
    let mut driver = running();
    driver.keys("j");
    let mut snapshot = bay::running();
    snapshot.containers.insert(1, bay::worker("ant", State::Running, None));
    driver.hear(snapshot);
    assert_eq!(driver.model.lists.worker.as_deref(), Some("fox"));
    let mut snapshot = bay::running();
    snapshot.containers.retain(|row| row.name != "fox" && row.name != "owl");
    driver.hear(snapshot);
    assert_eq!(driver.model.lists.worker.as_deref(), Some("badger"));
}

#[test]
fn nothing_is_drawn_when_nothing_changed() {
    let mut driver = running();
    driver.keys("enter");
    driver.screen("$ ");
    driver.model.dirty = false;
    driver.text("typed");
    assert!(!driver.model.dirty, "a key for the program is drawn by its answer");
    let wake = driver.model.next_wake().unwrap();
    assert!(wake.duration_since(driver.now).as_secs() >= 30, "only ages change: {wake}");
}

#[test]
fn a_shell_that_is_left_by_exit_takes_its_tab_along() {
    let mut driver = running();
    driver.keys("e");
    let session = bay::session(9, "badger", SessionKind::Shell, "bash");
    driver.send(Msg::SessionOpened { name: "badger".to_owned(), result: Ok(session) });
    driver.wait(200);
    driver.screen("# ");
    driver.taken();
    let key = driver.stream();
    let ended = Frame::Ended { reason: "exited with code 0".to_owned(), code: Some(0) };
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(ended) });
    assert!(driver.taken().contains(&Effect::CloseSession { id: SessionId(9) }));
    assert_eq!(driver.model.wanted_terminal(), Some(Target::Main("badger".to_owned())));
    assert!(!driver.model.focus.terminal);
}

#[test]
fn who_spawns_past_the_machines_room_is_told_so() {
    let mut snapshot = bay::running();
    snapshot.status.capacity.templates = vec![podbay::api::types::TemplateRoom {
        template: "default".to_owned(),
        workers: Some(1),
        ends_first: Some("cpu".to_owned()),
        by_memory: Some(9),
        by_cpu: Some(1),
        by_disk: None,
    }];
    let mut driver = Driver::of(snapshot, 120, 40);
    driver.taken();
    driver.keys("n");
    assert!(!driver.shot().contains("past what cpu"), "{}", driver.shot());
    driver.keys("n");
    assert!(driver.shot().contains("past what cpu has room for"), "{}", driver.shot());
    let spawned = deeds(&mut driver).into_iter().filter(|effect| matches!(effect, Effect::Spawn(_))).count();
    assert_eq!(spawned, 2, "both are made");
}

#[test]
fn a_key_that_means_nothing_here_says_where_it_does() {
    let mut driver = running();
    driver.keys("l s");
    let said = "s (stop) holds in pane 2, not here; : finds it everywhere";
    assert!(driver.shot().replace('\n', " ").contains("s (stop) holds in pane 2"), "{said}: {}", driver.shot());
    assert_eq!(deeds(&mut driver), []);
    driver.keys("4 Q");
    assert!(driver.shot().contains("Q does nothing here; ? shows the keys"), "{}", driver.shot());
    // By its name it is found from everywhere, and means the selected row.
    driver.keys("5 :");
    driver.text("stop");
    driver.keys("enter");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Stop)]);
    // In the keys themselves one is looked for.
    driver.keys("? /");
    driver.text("inspe");
    assert!(driver.shot().contains("what to do"), "{}", driver.shot());
    driver.keys("enter");
    assert_eq!(driver.model.main.tab, Tab::Inspect);
}

#[test]
fn what_starts_a_dead_program_again_is_said_as_it_is_and_in_sight() {
    let mut driver = running();
    driver.keys("5 enter");
    driver.screen("$ ");
    assert!(driver.model.focus.terminal);
    let ended = Frame::Ended { reason: "exited with code 1".to_owned(), code: Some(1) };
    let key = driver.stream();
    driver.send(Msg::Terminal { key, msg: TerminalMsg::Frame(ended) });
    driver.text("r");
    assert_eq!(deeds(&mut driver), [], "somebody was typing");
    assert!(driver.shot().contains("exited with code 1; ctrl-q r starts it again"), "{}", driver.shot());
    driver.keys("ctrl-q Q");
    let shot = driver.shot();
    assert!(shot.contains("exited with code 1; r starts it again") && shot.contains("Q does nothing here"), "{shot}");
    driver.keys("r");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Restart)]);
}

#[test]
fn what_was_stopped_is_started_again_by_one_key() {
    let mut driver = running();
    driver.keys("s");
    driver.taken();
    let done = Done { text: "stopped badger".to_owned(), ..Done::default() };
    driver.send(Msg::Acted { name: "badger".to_owned(), verb: Verb::Stop, result: Ok(done) });
    assert!(driver.shot().contains("u starts it again"), "{}", driver.shot());
    let mut snapshot = bay::running();
    snapshot.containers[1] = bay::worker("badger", State::Exited, Some("exited with code 143"));
    driver.hear(snapshot.clone());
    driver.keys("j u");
    assert_eq!(deeds(&mut driver), [act("badger", Verb::Start)]);
    driver.keys("u");
    assert_eq!(deeds(&mut driver), []);
    assert!(driver.shot().contains("nothing to undo"), "{}", driver.shot());
    // One that runs again by other hands is left alone.
    let mut driver = running();
    driver.send(Msg::Acted { name: "fox".to_owned(), verb: Verb::Stop, result: Ok(Done::default()) });
    driver.keys("u");
    assert_eq!(deeds(&mut driver), []);
}

#[test]
fn orders_filters_and_terminals_let_go_come_back() {
    let mut driver = super::tiles::three(120, 40);
    driver.keys("o o u");
    assert_eq!(driver.model.lists.sort, podbay::tui::model::list::Sort::Need);
    driver.keys("u / o w enter");
    assert_eq!(driver.model.workers().count(), 1);
    driver.keys("esc");
    assert_eq!(driver.model.workers().count(), 3);
    driver.keys("u");
    assert_eq!(driver.model.workers().count(), 1);
    driver.keys("esc X");
    assert_eq!(driver.model.main.tiles.len(), 2);
    driver.keys("u");
    driver.wait(200);
    assert_eq!(driver.model.main.terminals.panes.len(), 3);
}
