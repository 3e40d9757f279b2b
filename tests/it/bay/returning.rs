//! Rows X01, G01 and T06: what a new supervisor finds, what many logs bring at once, and what a killed program leaves.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use podbay::api::client::{Client, LogsRequest, TerminalMessage};
use podbay::api::types::{Frame, SpawnRequest};
use podbay::bay::session::TermSize;
use podbay::bay::template::Overrides;
use podbay::terminal::emulator::Emulator;
use rustix::process::Signal;

use super::den::{Conf, Den};
use super::process::signal;
use super::pty::Pty;
use super::{measured, until, within};

/// On a busy machine all takes its time; the figures that are aimed at are said with what was measured.
const PATIENCE: Duration = Duration::from_secs(30);
const GONE: Duration = Duration::from_secs(5);

/// Draws on the main screen, then answers what is typed.
const PROMPT: &str =
    "for n in $(seq 50); do echo line $n of $0; done; echo ready $0; while read w; do echo \"$0 got $w\"; done";
/// The same on the whole screen, drawn anew whenever its size changes, as editors and agents do.
const WHOLE: &str = "draw() { printf '\\033[?1049h\\033[2J\\033[3;5Hready %s' $0; }; trap draw WINCH; draw; \
                     while :; do if read -t 600 w; then printf '\\033[5;5H%s got %s' $0 \"$w\"; fi; done";

async fn spawn(client: &Client, name: &str, script: &str) {
    let command = ["bash", "-c", script, name].map(str::to_owned).to_vec();
    let overrides = Overrides { command, ..Overrides::default() };
    let request = SpawnRequest { name: Some(name.to_owned()), overrides, ..SpawnRequest::default() };
    client.spawn(&request).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Looks at a terminal until it shows a text; else says what it shows.
async fn shows(client: &Client, name: &str, text: &str) -> Result<(), String> {
    let size = TermSize::new(24, 80);
    let mut terminal = client.main_terminal_at(name, Some(size)).await.map_err(|error| error.to_string())?;
    let mut screen = Emulator::new(size, 100);
    let look = async {
        while !screen.text().contains(text) {
            match terminal.incoming.recv().await {
                Some(TerminalMessage::Bytes(bytes)) => drop(screen.feed(&bytes)),
                Some(TerminalMessage::Frame(Frame::Reset { rows, cols })) => {
                    screen = Emulator::new(TermSize::new(rows, cols), 100);
                }
                Some(_) => {}
                None => return false,
            }
        }
        true
    };
    let found = tokio::time::timeout(Duration::from_secs(2), look).await;
    if found == Ok(true) { Ok(()) } else { Err(format!("{name}: {:?}", screen.text())) }
}

#[test]
fn x01_twenty_live_sessions_outlive_their_supervisor() {
    let Some(den) = Den::docker("x01_twenty_live_sessions_outlive_their_supervisor") else { return };
    den.ok(&["up"]);
    let names: Vec<String> = (0..20).map(|number| format!("x{number}")).collect();
    let script = |at: usize| if at.is_multiple_of(2) { PROMPT } else { WHOLE };
    den.wait(async |client| {
        let one = |(at, name): (usize, &String)| {
            let (client, name) = (client.clone(), name.clone());
            async move { spawn(&client, &name, script(at)).await }
        };
        futures_util::future::join_all(names.iter().enumerate().map(one)).await;
    });
    let all_show = |what: &str| {
        let look = || {
            den.wait(async |client| {
                let one = |name: &String| {
                    let (client, name, text) = (client.clone(), name.clone(), format!("{name}{what}"));
                    let text = if what.is_empty() { format!("ready {name}") } else { text };
                    async move { shows(&client, &name, &text).await }
                };
                let all = futures_util::future::join_all(names.iter().map(one)).await;
                all.into_iter().collect::<Result<Vec<()>, String>>()
            })
        };
        within(PATIENCE, &format!("all 20 show {what:?}"), look).1
    };
    all_show("");
    let runs = |names: &[String]| -> Vec<serde_json::Value> {
        names.iter().map(|name| den.inspect(name)["State"]["StartedAt"].clone()).collect()
    };
    let before = runs(&names);
    den.kill_supervisor();
    let begun = Instant::now();
    den.ok(&["ls"]);
    all_show("");
    measured(&format!("X01: 20 of 20 attachable with their screens {:?} after the start (goal: 3 s)", begun.elapsed()));
    assert_eq!(runs(&names), before, "the programs are the same ones");
    // And each takes keys.
    for name in &names {
        den.ok(&["send", name, "a-word"]);
    }
    all_show(" got a-word");
}

/// Prints numbered lines, a thousand a second at most, and ends.
fn paced(count: u64) -> String {
    format!("n=0; while [ $n -lt {count} ]; do seq -f 'line %.0f' $((n+1)) $((n+100)); n=$((n+100)); sleep 0.1; done")
}

/// Follows the logs of workers that print all at once; each is whole and in order.
fn followed(den: &Den, workers: usize, count: u64) {
    den.ok(&["up"]);
    let names: Vec<String> = (0..workers).map(|number| format!("g{number}")).collect();
    den.wait(async |client| {
        let one = |name: &String| {
            let (client, name) = (client.clone(), name.clone());
            async move {
                spawn(&client, &name, &paced(count)).await;
                let request = LogsRequest { follow: true, ..LogsRequest::default() };
                let mut lines = client.logs(&name, &request).await.unwrap();
                let mut last = 0;
                while let Some(line) = lines.next().await {
                    let line = line.unwrap_or_else(|error| panic!("{name} after line {last}: {error}")).line;
                    last += 1;
                    assert_eq!(
                        line.trim_end(),
                        format!("line {last}"),
                        "{name}: a line is missing, twice, or out of its order"
                    );
                }
                assert_eq!(last, count, "{name}: the end is missing");
            }
        };
        futures_util::future::join_all(names.iter().map(one)).await;
    });
}

#[test]
fn g01_workers_that_all_print_at_once_lose_no_line() {
    let Some(den) = Den::docker("g01_workers_that_all_print_at_once_lose_no_line") else { return };
    followed(&den, 5, 3000);
}

#[test]
#[ignore = "20 workers at 1000 lines a second for a minute"]
fn g01_in_full() {
    let Some(den) = Den::docker("g01_in_full") else { return };
    followed(&den, 20, 60_000);
}

/// What an editor asks of its terminal, and gives back when it is left as it should be.
const EDITOR: &str = "printf '\\033[?1049h\\033[?1002;1006h\\033[?2004h\\033[?1h\\033=\\033[?25l\\033[>1u\\033[2JIN-THE-EDITOR'; \
                      exec sleep 987";

#[test]
fn t06_a_program_that_is_killed_leaves_the_terminal_as_it_was() {
    let rest = Conf { worker: "mounts = []\nssh = \"none\"", ..Conf::default() };
    let Some(den) = Den::docker_with("t06_a_program_that_is_killed_leaves_the_terminal_as_it_was", rest) else {
        return;
    };
    den.ok(&["spawn", "fox", "-d", "--", "bash"]);
    let kill = || {
        let ran = den.exec("fox", "pkill -KILL -f '[s]leep 987'");
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    // The user's own terminal, by `exec` and by `attach`.
    let mut pty = Pty::run(&den, &["exec", "fox", "--", "bash", "-c", EDITOR], 24, 80);
    pty.shows("IN-THE-EDITOR");
    kill();
    assert_eq!(pty.end(GONE), 137);
    pty.is_restored();
    let mut pty = Pty::run(&den, &["attach", "fox"], 24, 80);
    pty.shows("/workspace");
    pty.type_in(&format!("({EDITOR})\r"));
    pty.loses("exec sleep");
    pty.shows("IN-THE-EDITOR");
    den.docker.act(&format!("{}-fox", den.bay), "kill");
    assert_ne!(pty.end(GONE), 0);
    pty.is_restored();
    // A pane of the dashboard: the program's modes are not the user's terminal's, and its end gives the keys back.
    den.ok(&["start", "fox"]);
    den.until_state(&["fox"], "running");
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("fox");
    pty.type_in("2e");
    pty.shows("TERMINAL");
    pty.shows("/workspace");
    pty.type_in(&format!("exec bash -c \"{}\"\r", EDITOR.replace('\\', "\\\\")));
    pty.shows("IN-THE-EDITOR");
    kill();
    pty.shows("the shell exited with code 137");
    pty.loses("TERMINAL");
    pty.type_in("?");
    pty.shows("everywhere");
    pty.loses("IN-THE-EDITOR");
    // Escape and what follows it at once would be another key.
    pty.type_in("\u{1b}");
    pty.shows("fox");
    pty.loses("everywhere");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
    pty.is_restored();
    // Killed itself while such a program is shown, a dashboard leaves what no program can give back; the next one is as new.
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("fox");
    signal(pty.pid(), Signal::KILL);
    pty.end(GONE);
    let mut pty = Pty::run(&den, &[], 30, 100);
    pty.shows("fox");
    pty.type_in("q");
    assert_eq!(pty.end(GONE), 0);
    pty.is_restored();
    until("fox runs on", || match den.row("fox") {
        Some(row) if row.state.as_str() == "running" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
