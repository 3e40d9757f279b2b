//! When a worker is made anew unasked, and when it waits.

use std::time::Duration;

use podbay::api::types::{SessionRow, State};
use podbay::bay::container::label;
use podbay::bay::idle::{Activity, QUIET};
use podbay::bay::session::{SessionId, SessionKind, TermSize};
use podbay::supervisor::event::{AgentSocket, Command, Event, Reply, Vitals};

use super::world::World;

const RESTING: Option<Activity> = Some(Activity { clients: 0, quiet: QUIET });

fn fox(toml: &str, vitals: Vitals) -> World {
    let mut world = World::new(&format!("[worker.refresh]\n{toml}\n"));
    // A disk fills up later than a worker is made: one that was full by then is no reason.
    let filling = vitals.disk.is_some();
    world.vitals = if filling { Vitals { disk: Some(10), ..Vitals::default() } } else { vitals.clone() };
    world.settle();
    world.spawn("fox");
    world.settle();
    if filling {
        world.pass(61);
        world.vitals = vitals;
    }
    world
}

/// Whether fox is made anew within three minutes, and why it is not simply running at their end.
fn anew(mut world: World) -> (bool, Option<String>) {
    let before = world.id("fox");
    world.pass(180);
    assert_eq!(world.row("fox").state, State::Running);
    world.assert_no_doubles();
    (world.id("fox") != before, world.row("fox").reason)
}

#[test]
fn each_criterion_counts_and_no_other_figure_does() {
    let some = |memory, disk| Vitals { memory: Some(memory), disk: Some(disk), activity: RESTING, ..Vitals::default() };
    for (vitals, expected) in [
        (some(90, 10), true),
        (some(89, 79), false),
        (some(10, 80), true),
        (Vitals { activity: RESTING, ..Vitals::default() }, false),
        (Vitals { agent: AgentSocket::Another, activity: RESTING, ..Vitals::default() }, true),
    ] {
        let (made, reason) = anew(fox("", vitals.clone()));
        assert_eq!(made, expected, "{vitals:?}");
        assert!(made || reason.is_none(), "{vitals:?}: {reason:?}");
        assert!(!anew(fox("enabled = false", vitals)).0);
    }
}

#[test]
fn idle_is_never_while_someone_is_there_or_the_agent_works() {
    let busy = [
        None,
        Some(Activity { clients: 1, quiet: Duration::from_hours(9) }),
        Some(Activity { clients: 0, quiet: QUIET.saturating_sub(Duration::from_secs(1)) }),
    ];
    for activity in busy {
        let vitals = Vitals { disk: Some(99), activity, ..Vitals::default() };
        let (made, reason) = anew(fox("when = \"idle\"", vitals.clone()));
        assert!(!made, "{activity:?}");
        let reason = reason.unwrap();
        assert!(
            reason.starts_with("due to be made anew: its disk is 99% full, and 80% is the most; it waits"),
            "{reason}"
        );
        assert!(anew(fox("when = \"always\"", vitals.clone())).0);
        let (made, reason) = anew(fox("when = \"ask\"", vitals));
        assert!(!made && reason.unwrap().ends_with("`podbay refresh` does it"));
    }
    // Attached since the last survey.
    let mut world = fox("", Vitals { disk: Some(99), activity: RESTING, ..Vitals::default() });
    let session = SessionRow {
        id: SessionId(1),
        name: "fox".to_owned(),
        kind: SessionKind::Main,
        title: String::new(),
        size: TermSize::default(),
        clients: 1,
        ended: None,
        attention: None,
    };
    world.event(Event::Sessions(vec![session.clone()]));
    assert!(!anew_of(&mut world));
    world.event(Event::Sessions(vec![SessionRow { clients: 0, ..session }]));
    assert!(anew_of(&mut world));
}

fn anew_of(world: &mut World) -> bool {
    let before = world.id("fox");
    world.pass(180);
    world.id("fox") != before
}

#[test]
fn a_peak_of_memory_passes_and_a_full_disk_is_tried_once() {
    let mut world = fox("when = \"always\"", Vitals { memory: Some(95), ..Vitals::default() });
    let before = world.id("fox");
    world.pass(30);
    world.vitals.memory = Some(40);
    world.pass(120);
    assert_eq!(world.id("fox"), before, "one look at a peak is none");
    world.vitals.memory = Some(95);
    assert!(anew_of(&mut world));

    world.vitals = Vitals { disk: Some(95), ..Vitals::default() };
    assert!(anew_of(&mut world));
    assert!(!anew_of(&mut world), "it did not help, and would not help again");
    world.vitals.disk = Some(50);
    assert!(!anew_of(&mut world));
    world.vitals.disk = Some(95);
    assert!(anew_of(&mut world));
}

/// Somebody else fills the disk: it costs one worker, and none after another supervisor has come.
#[test]
fn a_full_disk_costs_one_worker_of_many() {
    let mut world = fox("when = \"always\"", Vitals { disk: Some(40), ..Vitals::default() });
    world.spawn("owl");
    world.pass(120);
    let ids = |world: &mut World| ["fox", "owl"].map(|name| world.id(name));
    let before = ids(&mut world);
    world.vitals.disk = Some(81);
    world.pass(600);
    let after = ids(&mut world);
    assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 1);
    world.crash();
    world.pass(600);
    assert_eq!(ids(&mut world), after);
}

#[test]
fn an_agent_that_is_gone_is_said_and_nothing_is_done() {
    let vitals = Vitals { agent: AgentSocket::Gone, activity: RESTING, ..Vitals::default() };
    let (made, reason) = anew(fox("when = \"always\"", vitals));
    assert!(!made && reason.unwrap().contains("the ssh agent that it was given is gone"));
}

#[test]
fn a_parent_of_another_configuration_is_told_of_by_up() {
    let mut world = World::new("");
    world.settle();
    world.spawn("fox");
    world.settle();
    let up = |world: &mut World| {
        let id = world.command(Command::Up { gently: false });
        world.settle();
        match world.answers.get(&id) {
            Some(Reply::Done(done)) => done.notes.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(up(&mut world), Vec::<String>::new());
    let parent = world.named("parent").unwrap();
    parent.labels.insert(label::TEMPLATE_HASH.to_owned(), "0123456789ab".to_owned());
    world.hint();
    let notes = up(&mut world);
    assert!(notes.len() == 1 && notes[0].contains("`podbay refresh parent`"), "{notes:?}");
    // One of an older podbay does not say.
    world.named("parent").unwrap().labels.insert(label::TEMPLATE_HASH.to_owned(), String::new());
    world.hint();
    assert_eq!(up(&mut world), Vec::<String>::new());
}
