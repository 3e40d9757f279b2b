//! What podbay costs, as ratios to the docker CLI and to doing nothing: `cargo bench`, or `cargo bench -- --quick`.
//! A word names the parts to run: `cargo bench -- idle`. It fails nothing: figures are for people.
#![expect(clippy::print_stdout, reason = "figures are its output")]

mod api;
mod bay;
mod claim;
mod clone;
mod echo;
mod figures;
mod first;
mod idle;
mod lines;
mod list;
mod load;
#[cfg(target_os = "linux")]
mod local;
mod process;
mod pty;
mod reading;
mod redraw;
mod services;
mod spawn;
mod throughput;

use std::process::{Command, ExitCode, Stdio};

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The short form.
    pub quick: bool,
}

impl Plan {
    /// How often something short is done.
    pub fn rounds(self) -> usize {
        if self.quick { 5 } else { 21 }
    }

    /// Sizes of a bay.
    pub fn sizes(self) -> &'static [usize] {
        if self.quick { &[20] } else { &[20, 200] }
    }
}

/// What goes wrong is said in the figure's place.
pub type Outcome = Result<(), String>;

type Part = (&'static str, fn(Plan) -> Outcome);

const PARTS: &[Part] = &[
    ("first", first::run),
    ("clone", clone::run),
    ("spawn", spawn::run),
    ("claim", claim::run),
    #[cfg(target_os = "linux")]
    ("local", local::run),
    #[cfg(target_os = "linux")]
    ("local-many", local::crowd),
    ("list", list::run),
    ("api", api::run),
    ("load", load::run),
    ("idle", idle::run),
    ("services", services::run),
    ("echo", echo::run),
    ("throughput", throughput::run),
    ("million", lines::million),
    ("followed", lines::followed),
    ("sessions", lines::sessions),
    ("redraw", redraw::run),
    ("reading", reading::run),
];
/// What needs no engine.
const ALONE: &[&str] = &["services", "redraw", "reading", "local-many"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let plan = Plan { quick: words.iter().any(|word| word == "--quick") };
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let engine = has_docker();
    for (name, run) in PARTS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        if !engine && !ALONE.contains(name) {
            println!("skipped: {name}: the docker CLI and an engine that answers it are needed");
        } else if let Err(error) = run(plan) {
            println!("{name}: not measured: {error}");
        }
    }
    ExitCode::SUCCESS
}

fn has_docker() -> bool {
    let mut docker = Command::new("docker");
    docker.arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
