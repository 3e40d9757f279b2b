//! The dashboard as a user has it: the real binary in a real terminal, on Docker.

use std::time::Duration;

use rustix::process::Signal;

use super::den::Den;
use super::process::{alive, signal};
use super::pty::Pty;
use super::{measured, until, within};

const GONE: Duration = Duration::from_secs(5);

#[test]
fn a_first_session_from_opening_to_quitting() {
    let Some(den) = Den::docker("a_first_session_from_opening_to_quitting") else { return };
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("no workers");
    until("the parent is up", || match den.row("parent") {
        Some(row) if row.state.as_str() == "running" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    pty.type_in("n");
    pty.shows("worker-1");
    den.until_state(&["worker-1"], "running");
    // The new worker's terminal is the user's at once: the prompt of its shell, at the size of the pane.
    pty.shows("/workspace");
    // Until then the prompt is only looked at, and keys are commands.
    pty.shows("TERMINAL");
    pty.type_in("echo hi-$((20+22)); stty size\r");
    pty.shows("hi-42");
    let size = until("the size", || {
        let screen = pty.text();
        let word = screen.lines().find_map(|line| {
            // What stands in the right pane, between its borders.
            let (rows, cols) = line.rsplit('\u{2502}').nth(1)?.trim().split_once(' ')?;
            Some((rows.parse::<u16>().ok()?, cols.parse::<u16>().ok()?))
        });
        word.ok_or(screen)
    });
    assert!((20..30).contains(&size.0) && (50..100).contains(&size.1), "{size:?}");
    // Every key goes to the program but one.
    pty.type_in("q?n");
    pty.shows("q?n");
    pty.type_in("\u{11}");
    pty.type_in("?");
    pty.loses("hi-42");
    pty.type_in("\u{1b}");
    pty.shows("hi-42");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
    pty.is_restored();
    assert_eq!(pty.wrote("\x1b[?1049l"), 1, "restored exactly once");
    den.until_state(&["worker-1", "parent"], "running");
    // The screen is as it was, for whoever comes back.
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("worker-1");
    pty.shows("hi-42");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
}

/// A terminal that is gone altogether is `tui::pty`'s.
#[test]
fn the_terminal_is_restored_on_each_way_out() {
    let Some(den) = Den::docker("the_terminal_is_restored_on_each_way_out") else { return };
    den.spawn("fox");
    let pid = den.supervisor();
    for (way, name) in [(None, "q"), (Some(Signal::TERM), "SIGTERM"), (Some(Signal::HUP), "SIGHUP")] {
        let mut pty = Pty::run(&den, &[], 24, 80);
        pty.shows("fox");
        until("the alternate screen", || if pty.wrote("\x1b[?1049h") == 1 { Ok(()) } else { Err(pty.text()) });
        match way {
            None => pty.type_in("q"),
            Some(number) => signal(pty.pid(), number),
        }
        pty.end(GONE);
        pty.is_restored();
        assert_eq!(pty.wrote("\x1b[?1049l"), 1, "{name}");
    }
    assert!(alive(pid), "the supervisor went with a dashboard");
    den.until_state(&["fox"], "running");
}

#[test]
fn a_lost_network_is_seen_and_the_offered_key_repairs_it() {
    let Some(den) = Den::docker("a_lost_network_is_seen_and_the_offered_key_repairs_it") else { return };
    den.spawn_all(&["fox", "owl"].map(str::to_owned));
    let mut pty = Pty::run(&den, &[], 30, 110);
    pty.shows("fox");
    for verb in ["kill", "restart"] {
        den.docker.act(&format!("{}-parent", den.bay), verb);
        let seen = pty.shows_within(Duration::from_secs(2), "cut-off");
        measured(&format!("dashboard: cut off after {verb}, on the screen after {seen:?}"));
        pty.shows("2 workers cut off: F repairs all");
        pty.type_in("F");
        pty.loses("cut-off");
        den.until_state(&["parent", "fox", "owl"], "running");
    }
    let ran = den.exec("fox", "tail -n +3 /proc/net/dev | grep -c -v lo:");
    assert_eq!(ran.stdout, "1\n", "{ran:?}");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
    pty.is_restored();
}

#[test]
fn the_dashboard_survives_its_supervisor() {
    let den = Den::fake();
    den.spawn("fox");
    let mut pty = Pty::run(&den, &[], 24, 80);
    pty.shows("fox");
    den.kill_supervisor();
    let ((), noticed) = within(Duration::from_secs(5), "the loss is said", || {
        let screen = pty.text();
        if screen.contains("lost") || screen.contains("supervisor") { Ok(()) } else { Err(screen) }
    });
    measured(&format!("dashboard: the supervisor's death is on the screen after {noticed:?}"));
    den.ok(&["spawn", "owl", "-d"]);
    pty.shows("owl");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
    pty.is_restored();
}

#[test]
fn without_a_terminal_there_is_a_message() {
    let den = Den::fake();
    let ran = den.run(&[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the dashboard needs a terminal"), "{ran:?}");
    assert!(den.supervisors().is_empty(), "one was started for nothing");
}

/// Whoever can't leave a terminal can do nothing but kill the window.
#[test]
fn a_leaving_key_that_never_comes_is_told_of_at_the_start() {
    let den = Den::fake();
    let mut pty = Pty::run_with(&den, &[], 24, 100, &[("ZELLIJ", "0")]);
    pty.shows("zellij takes ctrl-q");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
}
