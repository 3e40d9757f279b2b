use proptest::prelude::*;

use super::*;
use crate::bay::service::RestartPolicy::{Always, No, OnFailure, UnlessStopped};
use crate::bay::service::{BackoffRule, RestartPolicy, StartLimit, StopRule};
use crate::bay::size::Span;

fn rules(restart: RestartPolicy) -> Rules {
    let span = |text: &str| text.parse::<Span>().unwrap();
    Rules {
        restart,
        success: vec![0],
        stop: StopRule { signal: StopSignal::SIGTERM, timeout: span("10s") },
        backoff: BackoffRule { initial: span("1s"), max: span("8s"), reset_after: span("60s") },
        limit: StartLimit { burst: 5, interval: span("10m") },
        ready_at_once: true,
    }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine whose run began at `now`.
fn running(rules: Rules, now: u64) -> Lifecycle {
    let mut life = Lifecycle::new(rules, Memory::default());
    assert_eq!(life.handle(Event::Start, at(now), 0), [Act::Begin]);
    assert_eq!(life.handle(Event::Began, at(now), 0), []);
    life
}

fn end(life: &mut Lifecycle, exit: Exit, now: Duration) -> Vec<Act> {
    let _ = life.handle(Event::Ended(exit), now, 20);
    life.handle(Event::Emptied, now, 20)
}

#[test]
fn h01_what_follows_an_end_is_a_table() {
    let ended = |success| Phase::Ended { success };
    let waits = Phase::Waiting { until: at(2) };
    let rows = [
        (No, Exit::Code(0), ended(true)),
        (No, Exit::Code(1), ended(false)),
        (No, Exit::Signal(9), ended(false)),
        (OnFailure, Exit::Code(0), ended(true)),
        (OnFailure, Exit::Code(127), waits.clone()),
        (OnFailure, Exit::Signal(11), waits.clone()),
        (OnFailure, Exit::OutOfMemory, waits.clone()),
        (OnFailure, Exit::Daemonised(1), waits.clone()),
        (Always, Exit::Code(0), waits.clone()),
        (Always, Exit::Code(1), waits.clone()),
        (UnlessStopped, Exit::Code(0), waits.clone()),
        (UnlessStopped, Exit::Signal(15), waits),
    ];
    for (policy, exit, phase) in rows {
        let mut life = running(rules(policy), 1);
        end(&mut life, exit.clone(), at(1));
        assert_eq!(*life.phase(), phase, "{policy:?} after {exit:?}");
        assert_eq!(life.memory().last_exit, Some(exit));
    }
    let mut odd = rules(OnFailure);
    odd.success = vec![3];
    let mut life = running(odd.clone(), 1);
    end(&mut life, Exit::Code(3), at(1));
    assert_eq!(*life.phase(), ended(true));
    let mut life = running(odd, 1);
    end(&mut life, Exit::Code(0), at(1));
    assert!(matches!(life.phase(), Phase::Waiting { .. }), "0 is not among its success codes");
}

#[test]
fn waits_double_are_forgiven_after_a_good_run_and_end_at_the_limit() {
    let mut life = running(
        Rules { limit: StartLimit { burst: 9, ..rules(RestartPolicy::Always).limit }, ..rules(RestartPolicy::Always) },
        0,
    );
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..6 {
        end(&mut life, Exit::Code(1), now);
        let until = life.due().unwrap();
        waits.push(until.saturating_sub(now).as_secs());
        now = until;
        assert_eq!(life.handle(Event::Tick, now, 0), [Act::Begin]);
        assert_eq!(life.handle(Event::Began, now, 0), []);
    }
    assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
    now += at(60);
    end(&mut life, Exit::Code(1), now);
    assert_eq!(life.due(), Some(now + at(1)), "it had run for a minute");

    let mut life = running(rules(RestartPolicy::Always), 0);
    let mut now = at(0);
    let mut starts = 1;
    loop {
        end(&mut life, Exit::Code(1), now);
        let Some(until) = life.due() else { break };
        now = until;
        let _ = life.handle(Event::Tick, now, 0);
        let _ = life.handle(Event::Began, now, 0);
        starts += 1;
    }
    assert_eq!((life.phase(), starts), (&Phase::Failed, 5));
    let _ = life.handle(Event::Tick, now + at(100_000), 0);
    assert_eq!(*life.phase(), Phase::Failed, "until started by hand");
    assert_eq!(life.handle(Event::Start, now, 0), [Act::Begin]);
    let _ = life.handle(Event::Began, now, 0);
    end(&mut life, Exit::Code(1), now);
    assert_eq!(life.due(), Some(now + at(1)), "a start by hand forgives");
}

#[test]
fn without_a_wait_the_next_run_begins_in_the_same_turn() {
    let mut quick = rules(RestartPolicy::Always);
    quick.backoff.initial = Span::default();
    quick.backoff.max = Span::default();
    let mut life = running(quick, 0);
    assert_eq!(end(&mut life, Exit::Signal(9), at(1)), [Act::Begin]);
    assert_eq!(life.memory().restarts, 1);
}

/// Whoever writes `restart = "no"` for one that fails again and again does not want to see it once more.
#[test]
fn other_rules_hold_of_a_restart_that_is_waited_for() {
    let mut life = running(rules(Always), 0);
    end(&mut life, Exit::Code(1), at(1));
    life.set_rules(rules(OnFailure));
    assert_eq!(*life.phase(), Phase::Waiting { until: at(2) }, "which they know, too");
    life.set_rules(rules(No));
    assert_eq!((life.phase(), life.due()), (&Phase::Ended { success: false }, None));
    let mut life = running(rules(Always), 0);
    end(&mut life, Exit::Code(0), at(1));
    life.set_rules(rules(OnFailure));
    assert_eq!(*life.phase(), Phase::Ended { success: true });
}

/// As systemd counts: what a user did is no restart, and begins the count anew.
#[test]
fn only_restarts_that_nobody_asked_for_are_counted() {
    let mut life = running(rules(Always), 0);
    assert_eq!(life.memory().restarts, 0);
    end(&mut life, Exit::Code(1), at(1));
    let _ = life.handle(Event::Tick, at(2), 0);
    let _ = life.handle(Event::Began, at(2), 0);
    assert_eq!(life.memory().restarts, 1, "it was started again by its rules");
    let _ = life.handle(Event::Stop, at(3), 0);
    end(&mut life, Exit::Signal(15), at(3));
    assert_eq!((life.phase(), life.memory().restarts), (&Phase::Idle, 1), "what was is told until the next start");
    assert_eq!(life.handle(Event::Start, at(4), 0), [Act::Begin]);
    assert_eq!(life.memory().restarts, 0, "a start by hand");
    let _ = life.handle(Event::Began, at(4), 0);
    end(&mut life, Exit::Code(1), at(5));
    let _ = life.handle(Event::Tick, at(9), 0);
    let _ = life.handle(Event::Began, at(9), 0);
    assert_eq!(life.memory().restarts, 1);
    let _ = life.handle(Event::Restart, at(10), 0);
    assert_eq!(end(&mut life, Exit::Signal(15), at(10)), [Act::Begin]);
    assert_eq!(life.memory().restarts, 0, "a restart by hand");
    // The same, asked for while it was being stopped.
    let _ = life.handle(Event::Began, at(10), 0);
    end(&mut life, Exit::Code(1), at(11));
    let _ = life.handle(Event::Tick, at(19), 0);
    let _ = life.handle(Event::Began, at(19), 0);
    let _ = life.handle(Event::Stop, at(20), 0);
    let _ = life.handle(Event::Start, at(20), 0);
    assert_eq!((life.memory().restarts, end(&mut life, Exit::Signal(15), at(20))), (1, vec![Act::Begin]));
    assert_eq!(life.memory().restarts, 0);
    // What went down unseen is started again by nobody but its rules.
    let mut lost = Lifecycle::new(rules(Always), Memory { restarts: 4, ..Memory::default() });
    let _ = lost.handle(Event::Lost(Exit::Lost), at(0), 0);
    let _ = lost.handle(Event::Tick, at(9), 0);
    assert_eq!(lost.memory().restarts, 5);
}

#[test]
fn h04_who_ignores_the_signal_is_killed_when_the_grace_is_over() {
    let mut life = running(rules(RestartPolicy::Always), 0);
    assert_eq!(life.handle(Event::Stop, at(5), 0), [Act::Signal(StopSignal::SIGTERM)]);
    assert_eq!((life.due(), life.handle(Event::Tick, at(14), 0)), (Some(at(15)), vec![]));
    assert_eq!(life.handle(Event::Tick, at(15), 0), [Act::Kill]);
    end(&mut life, Exit::Signal(9), at(15));
    assert_eq!(*life.phase(), Phase::Idle, "a user's stop is not undone by the policy");
}

#[test]
fn h05_what_sigkill_does_not_end_is_stuck_and_killed_again_and_nothing_begins_beside_it() {
    let mut life = running(rules(RestartPolicy::Always), 0);
    let _ = life.handle(Event::Restart, at(0), 0);
    assert_eq!(life.handle(Event::Tick, at(10), 0), [Act::Kill]);
    assert!(matches!(life.phase(), Phase::Stopping(stopping) if !stopping.is_stuck()));
    assert_eq!(life.handle(Event::Tick, at(12), 0), [Act::Kill]);
    assert!(matches!(life.phase(), Phase::Stopping(stopping) if stopping.is_stuck()));
    assert_eq!(life.handle(Event::Start, at(13), 0), []);
    assert_eq!(life.handle(Event::Ended(Exit::Signal(9)), at(60), 0), []);
    assert_eq!(life.handle(Event::Emptied, at(60), 0), [Act::Begin]);
}

#[test]
fn h03_what_a_main_process_leaves_behind_is_ended_before_the_next_run() {
    let mut life = running(rules(RestartPolicy::Always), 0);
    assert_eq!(life.handle(Event::Ended(Exit::Code(0)), at(1), 0), [Act::Signal(StopSignal::SIGTERM)]);
    assert_eq!(life.handle(Event::Tick, at(2), 0), []);
    assert_eq!(life.handle(Event::Tick, at(3), 0), [Act::Kill]);
    let _ = life.handle(Event::Emptied, at(3), 0);
    assert_eq!(*life.phase(), Phase::Waiting { until: at(4) });
}

#[test]
fn h12_every_two_wishes_in_a_row_leave_the_last_one_in_force() {
    let wishes = [Event::Start, Event::Stop, Event::Restart];
    for phase in 0..5 {
        for first in &wishes {
            for second in &wishes {
                let mut life = running(rules(RestartPolicy::Always), 0);
                match phase {
                    0 => {}
                    1 => drop(life.handle(Event::Stop, at(1), 0)),
                    2 => drop(end(&mut life, Exit::Code(1), at(1))),
                    3 => life = Lifecycle::new(rules(RestartPolicy::Always), Memory::default()),
                    _ => {
                        life = Lifecycle::new(rules(RestartPolicy::Always), Memory::default());
                        let _ = life.handle(Event::Start, at(0), 0);
                    }
                }
                let _ = life.handle(first.clone(), at(1), 0);
                let _ = life.handle(second.clone(), at(1), 0);
                for _ in 0..4 {
                    let _ = life.handle(Event::Began, at(1), 0);
                    if matches!(life.phase(), Phase::Stopping(_)) {
                        end(&mut life, Exit::Signal(15), at(1));
                    }
                }
                let runs = matches!(life.phase(), Phase::Running { .. });
                assert_eq!(runs, *second != Event::Stop, "phase {phase}: {first:?}, {second:?}: {:?}", life.phase());
            }
        }
    }
}

#[test]
fn a_liveness_failure_follows_the_policy() {
    let mut life = running(rules(RestartPolicy::No), 0);
    assert_eq!(life.handle(Event::Unhealthy("no answer".into()), at(1), 0), [Act::Signal(StopSignal::SIGTERM)]);
    end(&mut life, Exit::Code(0), at(2));
    assert_eq!(*life.phase(), Phase::Ended { success: false });
    assert_eq!(life.memory().last_exit, Some(Exit::Unhealthy("no answer".into())));
    let mut life = running(rules(RestartPolicy::OnFailure), 0);
    let _ = life.handle(Event::Unhealthy("no answer".into()), at(1), 0);
    end(&mut life, Exit::Code(0), at(2));
    assert_eq!(*life.phase(), Phase::Waiting { until: at(3) });
}

#[test]
fn who_must_be_ready_is_stable_only_from_then_on() {
    let mut rules = rules(RestartPolicy::Always);
    rules.ready_at_once = false;
    let mut life = running(rules, 0);
    end(&mut life, Exit::Code(1), at(100));
    let _ = life.handle(Event::Tick, at(101), 0);
    let _ = life.handle(Event::Began, at(101), 0);
    end(&mut life, Exit::Code(1), at(300));
    assert_eq!(life.due(), Some(at(302)), "never ready, so the wait grew");
    let _ = life.handle(Event::Tick, at(302), 0);
    let _ = life.handle(Event::Began, at(302), 0);
    let _ = life.handle(Event::Ready(true), at(310), 0);
    end(&mut life, Exit::Code(1), at(400));
    assert_eq!(life.due(), Some(at(401)));
}

#[test]
fn what_was_lost_with_its_shim_counts_as_a_failure() {
    let mut life = Lifecycle::new(rules(RestartPolicy::OnFailure), Memory::default());
    let _ = life.handle(Event::Lost(Exit::Lost), at(1), 0);
    assert_eq!((life.phase(), &life.memory().last_exit), (&Phase::Waiting { until: at(2) }, &Some(Exit::Lost)));
    let mut life = Lifecycle::new(rules(RestartPolicy::No), Memory::default());
    let _ = life.handle(Event::Lost(Exit::Lost), at(1), 0);
    assert_eq!(*life.phase(), Phase::Ended { success: false });
}

/// The processes, as they really are.
#[derive(Debug, Default)]
struct World {
    main: bool,
    left: bool,
    asked: bool,
    /// Ends on a signal; else only on SIGKILL.
    polite: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn h12_random_walks_never_wedge_and_never_run_two(walk in proptest::collection::vec((0u8..12, any::<u64>()), 0..1000)) {
        let mut life = Lifecycle::new(rules(RestartPolicy::Always), Memory::default());
        let mut world = World { polite: true, ..World::default() };
        let mut now = Duration::ZERO;
        for (choice, spread) in walk {
            now += Duration::from_millis(spread % 3000);
            let event = match choice {
                0 => Event::Start,
                1 => Event::Stop,
                2 => Event::Restart,
                3 if world.asked => { world.asked = false; world.main = true; world.polite = spread % 2 == 0; Event::Began }
                4 if world.asked => { world.asked = false; Event::NotBegun("no".into()) }
                5 if world.main => { world.main = false; world.left = spread % 3 == 0; Event::Ended(Exit::Code(1)) }
                6 if !world.main && !world.left => Event::Emptied,
                7 => Event::Unhealthy("x".into()),
                8 => Event::Ready(spread % 2 == 0),
                _ => Event::Tick,
            };
            let mut queue = std::collections::VecDeque::from([event]);
            while let Some(event) = queue.pop_front() {
                for act in life.handle(event, now, spread) {
                    match act {
                        Act::Begin => {
                            prop_assert!(!world.main && !world.left && !world.asked, "a second run: {world:?}");
                            world.asked = true;
                        }
                        Act::Kill => {
                            if std::mem::take(&mut world.main) { queue.push_back(Event::Ended(Exit::Signal(9))); }
                            world.left = false;
                            queue.push_back(Event::Emptied);
                        }
                        Act::Signal(_) if world.polite => {
                            if std::mem::take(&mut world.main) { queue.push_back(Event::Ended(Exit::Signal(15))); }
                            world.left = false;
                            queue.push_back(Event::Emptied);
                        }
                        Act::Signal(_) => {}
                    }
                }
            }
            prop_assert_eq!(world.asked, matches!(life.phase(), Phase::Starting { .. }));
            if world.main {
                let live = matches!(life.phase(), Phase::Running { .. } | Phase::Stopping(_));
                prop_assert!(live, "a live process in {:?}", life.phase());
            }
        }
        // A stop is answered, whatever came before.
        let _ = life.handle(Event::Stop, now, 0);
        if world.asked { let _ = life.handle(Event::Began, now, 0); world.main = true; }
        for _ in 0..20 {
            let Some(due) = life.due() else { break };
            now = now.max(due);
            for act in life.handle(Event::Tick, now, 0) {
                if act == Act::Kill {
                    if std::mem::take(&mut world.main) { let _ = life.handle(Event::Ended(Exit::Signal(9)), now, 0); }
                    let _ = life.handle(Event::Emptied, now, 0);
                }
            }
        }
        if matches!(life.phase(), Phase::Stopping(_)) { let _ = life.handle(Event::Emptied, now, 0); }
        prop_assert_eq!(life.phase(), &Phase::Idle);
    }
}
