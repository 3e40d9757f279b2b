//! The invariants of the map in `src/lib.rs`, read from the source. Each check is also shown a house that breaks it.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// What each room may name beside itself: rooms, and single modules of rooms.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("bay", &[]),
    ("engine/local", &["bay", "config", "engine", "service", "stream"]),
    ("engine", &["bay", "config", "service", "stream"]),
    ("service", &["bay", "config", "stream"]),
    ("stream.rs", &[]),
    ("workspace", &["bay", "config"]),
    ("terminal", &["bay"]),
    ("config", &["bay"]),
    ("supervisor", &["bay", "engine", "service", "workspace", "terminal", "config", "api::types"]),
    ("api/types", &["bay", "api"]),
    ("api/client", &["bay", "api", "stream"]),
    ("api", &["bay", "engine", "service", "stream", "workspace", "terminal", "config", "supervisor"]),
    ("cli/shim.rs", &["engine::local", "service", "cli"]),
    ("cli/serve.rs", &["bay", "config", "terminal", "api", "supervisor", "cli"]),
    ("cli/dashboard.rs", &["bay", "config", "terminal", "api::client", "api::types", "cli", "tui"]),
    ("cli", &["bay", "config", "terminal", "api::client", "api::types"]),
    ("tui", &["bay", "config", "terminal", "api::client", "api::types"]),
    ("lib.rs", &[]),
    ("main.rs", &[]),
];

/// Crates that only one place may name.
const KEPT: &[(&str, &str)] = &[
    ("bollard", "engine/docker"),
    ("ratatui", "tui"),
    ("clap", "cli"),
    ("landlock", "engine/local"),
    ("seccompiler", "engine/local"),
];

/// Pure places: the same input gives the same answer.
const PURE: &[&str] = &["bay/", "supervisor/machine", "supervisor/reconcile.rs", "supervisor/guard.rs", "tui/update"];

/// Paths that end so read a clock.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Date::now", "UNIX_EPOCH"];

/// Crates and modules that do something.
const DOING: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::env",
    "rustix",
    "hyper",
];

/// A file that is longer is two.
const LONGEST: usize = 450;

/// Longer ones, and why.
const LONGER: &[(&str, &str)] = &[];

/// Words that stand for unfinished work, or for a lint that nobody hears any more.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[allow", "#![allow"];

/// Where the process's own streams are written: each of these is the end of a pipe that everything else goes through.
const SPEAKERS: &[&str] = &["cli/", "tui/tty.rs"];

/// All that may lie at the top.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "themes",
    "config.example.toml",
    "tests",
    "screenshots",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".ci",
    ".clippy.toml",
    ".rustfmt.toml",
    ".config",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src`.
fn house() -> Vec<Source> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    let sources = files.iter().map(|path| {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap();
        Source::new(file, &fs::read_to_string(path).unwrap())
    });
    sources.collect()
}

fn directions(source: &Source) -> Vec<String> {
    let Some((place, allowed)) = DIRECTIONS.iter().find(|(place, _)| lies_in(&source.file, place)) else {
        return vec![format!("{}: this room is not on the map", source.file)];
    };
    let own = format!("crate::{}", place.trim_end_matches(".rs").replace('/', "::"));
    let allowed: Vec<String> = allowed.iter().map(|module| format!("crate::{module}")).chain([own]).collect();
    let rooms: BTreeSet<&str> = DIRECTIONS.iter().filter_map(|(place, _)| place.split(['/', '.']).next()).collect();
    let far = source.named("crate").filter(|path| {
        let room = path.split("::").nth(1).unwrap_or_default();
        rooms.contains(room) && !allowed.iter().any(|module| inside(path, module))
    });
    far.map(|path| format!("{}: {path} is not for {place}", source.file)).collect()
}

fn lies_in(file: &str, place: &str) -> bool {
    file == place || file.strip_prefix(place).is_some_and(|rest| rest.starts_with(['/', '.']) || place.ends_with('/'))
}

fn inside(path: &str, module: &str) -> bool {
    path == module || path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
}

fn kept(source: &Source) -> Vec<String> {
    let outside = KEPT.iter().filter(|(_, place)| !lies_in(&source.file, place));
    let named = outside.filter_map(|(name, place)| source.named(name).next().map(|path| (path, place)));
    named.map(|(path, place)| format!("{}: {path} is named only under {place}", source.file)).collect()
}

fn pure(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|place| source.file.starts_with(place)) {
        return Vec::new();
    }
    let clocks = source.paths.iter().filter(|path| CLOCKS.iter().any(|clock| path.ends_with(clock)));
    let doing = DOING.iter().flat_map(|module| source.named(module));
    let words = ["async", "await", "elapsed"].into_iter().filter(|word| source.has_word(word));
    let found = clocks.map(String::as_str).chain(doing).chain(words);
    found.map(|what| format!("{}: {what} has no place in a pure module", source.file)).collect()
}

fn short(source: &Source) -> Vec<String> {
    let known = LONGER.iter().any(|(file, _)| *file == source.file);
    match (source.lines > LONGEST, known) {
        (true, false) => vec![format!("{}: {} lines, more than {LONGEST}", source.file, source.lines)],
        (false, true) => vec![format!("{}: {} lines, and need not be an exception", source.file, source.lines)],
        _ => Vec::new(),
    }
}

fn finished(source: &Source) -> Vec<String> {
    let code: String = source.code.split(' ').collect();
    let found = UNFINISHED.iter().filter(|word| code.contains(**word));
    found.map(|word| format!("{}: {word}", source.file)).collect()
}

fn quiet(source: &Source) -> Vec<String> {
    if SPEAKERS.iter().any(|place| source.file.starts_with(place)) {
        return Vec::new();
    }
    let streams = ["io::stdout", "io::stderr", "io::Stdout", "io::Stderr"];
    let found = source.paths.iter().filter(|path| streams.iter().any(|stream| path.ends_with(stream)));
    found.map(|path| format!("{}: {path} is for {}", source.file, SPEAKERS.join(" and "))).collect()
}

/// Names at the top that should not be there; what git ignores and git itself are no part of it.
fn top<'a>(names: impl IntoIterator<Item = &'a str>, ignored: &str) -> Vec<String> {
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let names = names.into_iter().filter(|name| *name != ".git" && !ignored.contains(name) && !TOP.contains(name));
    names.map(|name| format!("{name}: does not belong at the top")).collect()
}

fn hold(check: impl Fn(&Source) -> Vec<String>) {
    let house = house();
    assert!(house.len() > 100, "only {} files were found", house.len());
    let broken: Vec<String> = house.iter().flat_map(check).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Whether a check finds as much as it should in a file.
fn finds(check: impl Fn(&Source) -> Vec<String>, file: &str, text: &str, count: usize) {
    let found = check(&Source::new(file, text));
    assert_eq!(found.len(), count, "{file}: {text:?}: {found:?}");
}

#[test]
fn rooms_call_only_whom_they_may() {
    hold(directions);
    finds(directions, "bay/name.rs", "use crate::config::Config;", 1);
    finds(directions, "tui/view/mod.rs", "use crate::{bay::name::Name, engine::{Engine, LogLine}};", 2);
    finds(directions, "tui/mod.rs", "use super::supervisor;", 1);
    finds(directions, "tui/mod.rs", "fn f(x: crate::api::server::Start) {}", 1);
    finds(directions, "cli/ls.rs", "use crate::supervisor::lock::Lock;", 1);
    finds(directions, "cli/serve.rs", "use crate::supervisor::lock::Lock;", 0);
    finds(directions, "cli/supervisor.rs", "use super::exit; use crate::api::client::Client;", 0);
    finds(directions, "cli/ls.rs", "use crate::tui::theme;", 1);
    finds(directions, "api/client.rs", "use crate::supervisor::event::Event;", 1);
    finds(directions, "supervisor/machine/view.rs", "use crate::api::server::Start;", 1);
    finds(directions, "engine/docker/mod.rs", "use super::super::supervisor::Event;", 1);
    finds(directions, "attic/mod.rs", "", 1);
}

#[test]
fn crates_stay_in_their_rooms() {
    hold(kept);
    finds(kept, "engine/mod.rs", "use bollard::Docker;", 1);
    finds(kept, "engine/docker/create.rs", "use bollard::Docker;", 0);
    finds(kept, "cli/table.rs", "fn f(x: ratatui::text::Line) {}", 1);
    finds(kept, "supervisor/mod.rs", "use clap::Args;", 1);
}

#[test]
fn pure_places_read_no_clock_and_await_nothing() {
    hold(pure);
    finds(pure, "tui/update/mod.rs", "let now = Instant::now();", 1);
    finds(pure, "tui/update/mod.rs", "let now = jiff::Timestamp::now();", 1);
    finds(pure, "supervisor/machine/mod.rs", "async fn f() { g().await }", 2);
    finds(pure, "supervisor/guard.rs", "use std::{fs::File, io};", 1);
    finds(pure, "supervisor/reconcile.rs", "if since.elapsed() > LIMIT {}", 1);
    finds(pure, "supervisor/reconcile.rs", "use tokio::sync::mpsc;", 1);
    finds(pure, "bay/backoff.rs", "std::thread::sleep(LONG);", 1);
    finds(pure, "supervisor/executor/mod.rs", "let now = Instant::now(); f().await;", 0);
}

#[test]
fn files_are_short() {
    hold(short);
    finds(short, "bay/long.rs", &"\n".repeat(LONGEST + 1), 1);
    finds(short, "bay/short.rs", &"\n".repeat(LONGEST), 0);
    let gone = LONGER.iter().filter(|(file, _)| !root().join("src").join(file).exists());
    assert_eq!(gone.count(), 0, "an exception for a file that is gone");
}

#[test]
fn nothing_is_left_unfinished() {
    hold(finished);
    for text in ["fn f() { todo!() }", "unimplemented !()", "dbg!(x);", "#[allow(dead_code)]", "#! [ allow(x)]"] {
        finds(finished, "bay/name.rs", text, 1);
    }
    finds(finished, "bay/name.rs", "// todo!()\nconst A: &str = \"dbg!\"; #[expect(x)]", 0);
}

#[test]
fn only_few_places_write_to_the_terminal() {
    hold(quiet);
    finds(quiet, "tui/view/mod.rs", "std::io::stdout().write_all(b\"x\")", 1);
    finds(quiet, "supervisor/mod.rs", "use std::io::{self, stderr};", 1);
    finds(quiet, "tui/tty.rs", "let out = io::stdout();", 0);
}

#[test]
fn the_top_holds_only_what_belongs_there() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    assert_eq!(top(names.iter().map(String::as_str), &ignored), [""; 0]);
    assert_eq!(top(["src", ".git", "target", "notes.md"], &ignored), ["notes.md: does not belong at the top"]);
}
