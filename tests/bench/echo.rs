//! From a key to its echo on the screen, through supervisor and dashboard, against a bare pty.

use std::time::{Duration, Instant};

use super::bay::Bay;
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_secs(30);
/// An echo that takes longer is told as this.
const SLOW: Duration = Duration::from_secs(10);
/// Keys on one line: less than the narrowest tile.
const LINE: usize = 30;
/// A screen that was quiet for so long is taken as drawn.
const QUIET: Duration = Duration::from_millis(300);
/// A program on a tty of this machine: no engine is between.
const NATIVE: &str = "\n[[service]]\nname = \"native\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [\"cat\"]\n\
                      tty = true\n";

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let keys = if plan.quick { 60 } else { 600 };
    let bay = Bay::with(NATIVE)?;
    let bare = Pty::start(&["cat"], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    let floor = Times::of(&bare, keys)?;
    println!("key to echo, bare pty: {floor}");
    bay.done(&["spawn", "echo", "--detach", "--", "cat"])?;
    let engine = engine(&bay, keys)?;
    println!("key to echo, `docker attach` quiet: {engine}: p50 {:.1} x bare", engine.p50() / floor.p50());
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    dashboard.wait_for("echo", PATIENCE)?;
    into(&dashboard)?;
    let quiet = Times::of(&dashboard, keys)?;
    println!("key to echo, dashboard quiet: {quiet}: p50 {:.1} x bare (goal: 3)", quiet.p50() / floor.p50());
    leave(&dashboard)?;
    type_in(&dashboard, "4")?;
    std::thread::sleep(QUIET);
    into(&dashboard)?;
    let native = Times::of(&dashboard, keys)?;
    println!("key to echo, dashboard quiet, a native terminal: {native}: p50 {:.1} x bare", native.p50() / floor.p50());
    // The other pane: kept in sight beside this one, and never still.
    leave(&dashboard)?;
    bay.done(&["spawn", "flood", "--detach", "--", "yes", "a line of a program that does not stop to print"])?;
    dashboard.wait_for("flood", PATIENCE)?;
    type_in(&dashboard, "2g|j|")?;
    dashboard.wait_for("a line of a program", PATIENCE)?;
    type_in(&dashboard, "k")?;
    into(&dashboard)?;
    let beside = Times::of(&dashboard, keys / 2)?;
    drop(dashboard);
    let engine = self::engine(&bay, keys / 2)?;
    println!(
        "key to echo, `docker attach`, another container floods: {engine}: p50 {:.1} x bare",
        engine.p50() / floor.p50()
    );
    println!("key to echo, another pane floods: {beside}: p50 {:.1} x bare (goal: 20)", beside.p50() / floor.p50());
    Ok(())
}

/// What the engine itself takes: podbay is away.
fn engine(bay: &Bay, keys: usize) -> Result<Times, String> {
    bay.kill_supervisor()?;
    let container = format!("{}-echo", bay.name());
    let attached = Pty::start(&["docker", "attach", &container], &bay.vars(), 40, 120);
    let attached = attached.map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_secs(1));
    Times::of(&attached, keys)
}

fn type_in(pty: &Pty, text: &str) -> Outcome {
    pty.type_in(text).map_err(|error| error.to_string())
}

/// Gives the selected worker's terminal the keys.
pub fn into(dashboard: &Pty) -> Outcome {
    type_in(dashboard, "\r")?;
    dashboard.wait_for("TERMINAL", PATIENCE)?;
    std::thread::sleep(QUIET);
    Ok(())
}

fn leave(dashboard: &Pty) -> Outcome {
    type_in(dashboard, "\x11")?;
    // The leaving key means something else for a second.
    std::thread::sleep(Duration::from_millis(1200));
    Ok(())
}

/// How long each key took, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    /// All of these together.
    pub fn all(parts: Vec<Self>) -> Self {
        let mut times: Vec<Duration> = parts.into_iter().flat_map(|part| part.0).collect();
        times.sort_unstable();
        Self(times)
    }

    pub fn of(pty: &Pty, count: usize) -> Result<Self, String> {
        let mut times = Vec::new();
        let letters = (b'a'..=b'z').map(char::from).cycle().take(count);
        for (at, letter) in letters.enumerate() {
            if at % LINE == 0 {
                // The kernel's own line editing clears the line.
                type_in(pty, "\x15")?;
                std::thread::sleep(QUIET);
            }
            let begun = Instant::now();
            type_in(pty, &letter.to_string())?;
            let wanted = letter.to_string();
            let echoed = pty.wait(SLOW, |screen| {
                let (row, col) = screen.cursor_position();
                col > 0 && screen.cell(row, col - 1).is_some_and(|cell| cell.contents() == wanted)
            });
            times.push(echoed.map_or(SLOW, |at| at.saturating_duration_since(begun)));
            // As fast as nobody types: what came before must not help.
            std::thread::sleep(Duration::from_millis(15));
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    fn part(&self, percent: usize) -> f64 {
        let at = self.0.len() * percent / 100;
        self.0.get(at.min(self.0.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    fn p50(&self) -> f64 {
        self.part(50)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms", self.part(50), self.part(95), self.part(99))
    }
}
