//! Row H16: supervisor, shim and service are killed at random, and nothing is lost, left or doubled.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::den::Den;
use super::process::{alive, signal};
use super::services::{den, lines, service, shim, until_gone, until_row, with_word};
use super::{measured, until, within};

const NAMES: [&str; 3] = ["one1", "two2", "three3"];
/// Each has a word of its own.
const FIRST_WORD: u32 = 4031;
/// What a user waits before asking what is wrong.
const SOON: Duration = Duration::from_secs(2);

/// A generator that is the same in every run of a test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Says a line, then writes down that it has said it.
fn script(name: &str, word: u32) -> String {
    format!(
        "(sleep {word} &); setsid sleep {word} & n=0; \
         while :; do n=$((n+1)); echo $$ $n; echo $$ $n >> witness.{name}; sleep 0.02; done"
    )
}

fn kill(den: &Den, dice: &mut Dice) {
    let name = NAMES[usize::try_from(dice.roll(3)).unwrap()];
    let main = until_row(den, name, "runs", |row| row.state == "running" && row.pid.is_some()).pid.unwrap();
    match dice.roll(4) {
        0 => drop(den.kill_supervisor()),
        1 => signal(shim(den, name), Signal::KILL),
        2 => signal(main, Signal::KILL),
        _ => {
            let supervisor = den.supervisor();
            signal(shim(den, name), Signal::KILL);
            signal(supervisor, Signal::KILL);
            until("the supervisor is gone", || if alive(supervisor) { Err(String::new()) } else { Ok(()) });
        }
    }
}

/// Lines that a service has said and that are not in its log, and lines that are there twice.
fn lost_and_doubled(den: &Den, name: &str) -> (Vec<String>, usize) {
    // First: it goes on.
    let witness = fs::read_to_string(den.path("h").join(format!("witness.{name}"))).unwrap();
    let mut logged: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(den, name) {
        *logged.entry(line).or_default() += 1;
    }
    assert!(!witness.is_empty());
    let lost = witness.lines().filter(|line| !logged.contains_key(*line)).map(str::to_owned).collect();
    (lost, logged.values().filter(|count| **count > 1).count())
}

fn kill_cycles(cycles: u32) {
    let limit = "start_limit = { burst = 10000, interval = \"1s\" }";
    let words: Vec<u32> = (FIRST_WORD..).take(NAMES.len()).collect();
    let services: Vec<String> =
        NAMES.iter().zip(&words).map(|(name, word)| service(name, &script(name, *word), limit)).collect();
    let den = den(&services);
    den.ok(&["up"]);
    let mut dice = Dice(42);
    let mut times = Vec::new();
    for cycle in 0..cycles {
        kill(&den, &mut dice);
        let begun = Instant::now();
        den.ok(&["service", "ls"]);
        for name in NAMES {
            until_row(&den, name, "runs again", |row| row.state == "running" && row.pid.is_some_and(alive));
        }
        times.push(begun.elapsed());
        for (name, word) in NAMES.iter().zip(&words) {
            // One in the group, one that left it: no run has more, and none is left of another.
            within(Duration::from_secs(5), &format!("cycle {cycle}: one run of {name}"), || {
                match with_word(&den, &word.to_string()).len() {
                    2 => Ok(()),
                    other => Err(format!("{other} processes")),
                }
            });
        }
    }
    let found: Vec<(Vec<String>, usize)> = NAMES.iter().map(|name| lost_and_doubled(&den, name)).collect();
    let lost: Vec<&String> = found.iter().flat_map(|(lost, _)| lost).collect();
    let doubled: usize = found.iter().map(|(_, doubled)| doubled).sum();
    times.sort();
    measured(&format!(
        "{cycles} kills at random: 0 orphans, 0 doubles of a service, {} lines lost, {doubled} there twice; all right again \
         within {:?} at most, {:?} at the median, {} of them later than {SOON:?}",
        lost.len(),
        times.last().unwrap(),
        times[times.len() / 2],
        times.iter().filter(|time| **time > SOON).count(),
    ));
    assert_eq!(lost, [""; 0], "lines that were said are not in the log");
    den.ok(&["down", "-y"]);
    until_gone(&den, "shim");
}

#[test]
fn h16_random_kills_leave_no_orphan_no_double_and_no_hole_in_a_log() {
    kill_cycles(10);
}

#[test]
#[ignore = "minutes"]
fn h16_in_full() {
    kill_cycles(500);
}

#[test]
#[ignore = "a minute"]
fn h16_a_hundred() {
    kill_cycles(100);
}
