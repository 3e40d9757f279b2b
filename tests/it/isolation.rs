//! Weaker walls by the user's word alone: the flag, the file, the question, and what is said without them.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::engine::rungs::RUN;
use crate::local::{Nest, Ran};

/// A verb as on a machine that refuses user namespaces, to podbay and to bwrap.
fn walled(nest: &Nest, args: &[&str]) -> Command {
    let command = nest.command(args);
    let vars: Vec<_> =
        command.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
    let words = [&[env!("CARGO_BIN_EXE_podbay")], args].concat().join("\n");
    let mut outer = Command::new(std::env::current_exe().unwrap());
    outer.args(["--exact", "engine::rungs::run_without_namespaces", "--ignored", "--nocapture"]);
    outer.env_clear().envs(vars).env(RUN, words).current_dir(nest.path("h")).stdin(std::process::Stdio::null());
    outer
}

fn ran(nest: &Nest, args: &[&str]) -> Ran {
    let output = walled(nest, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Ran { code: output.status.code().unwrap_or(-1), stdout, stderr }
}

fn findings(nest: &Nest) -> Value {
    serde_json::from_str(&nest.run(&["--json", "doctor"]).stdout).unwrap()
}

/// The text and the hint of a check.
fn finding(found: &Value, check: &str) -> (String, String) {
    let one = found.as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap();
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("text"), text("hint"))
}

fn has_landlock() -> bool {
    podbay::engine::local::landlock::version().is_ok()
}

#[test]
fn weaker_walls_need_a_word() {
    let Some(nest) = Nest::new("weaker_walls_need_a_word", "") else { return };
    let refused = ran(&nest, &["spawn", "fox", "-d"]);
    assert_eq!(refused.code, 4, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("make a user namespace: Operation not permitted"), "{}", refused.stderr);
    let offers = if has_landlock() { "`podbay --isolation landlock`" } else { "`podbay --isolation none`" };
    assert!(refused.stderr.contains(offers), "{}", refused.stderr);
    let engine = nest.json(&["status"])["engine"].clone();
    assert_eq!((&engine["state"], &engine["isolation"]), (&"away".into(), &serde_json::Value::Null), "{engine}");
    assert_eq!(engine["weaker"], if has_landlock() { "landlock".into() } else { serde_json::Value::Null });
    let found = findings(&nest);
    let (text, hint) = finding(&found, "engine");
    assert!(text.contains("make a user namespace") && !hint.contains("DOCKER_HOST"), "{found}");
    if has_landlock() {
        assert!(hint.contains("`podbay --isolation landlock up`"), "{hint}");
    }
    let (why, status) = (nest.json(&["why", "parent"]), nest.ok(&["status"]));
    assert!(why["reason"].as_str().unwrap().contains("make a user namespace"), "{why}");
    assert!(
        why["hint"].as_str().unwrap().contains(if has_landlock() { "--isolation landlock" } else { "doctor" }),
        "{why}"
    );
    assert!(status.contains("isolation namespaces wanted\n"), "{status}");
    // Who has said that it is to be namespaces is not asked again.
    let strict = ran(&nest, &["--isolation", "namespaces", "spawn", "fox", "-d"]);
    assert_eq!(strict.code, 4, "{}", strict.stderr);
    crate::local::until("nothing is offered", || {
        let engine = nest.json(&["status"])["engine"].clone();
        if engine["weaker"].is_null() && engine["state"] == "away" { Ok(()) } else { Err(engine.to_string()) }
    });
    // The supervisor that was refused runs on, and hears the word.
    let level = if has_landlock() { "landlock" } else { "none" };
    nest.ok(&["--isolation", level, "spawn", "fox", "-d"]);
    let engine = nest.json(&["status"])["engine"].clone();
    assert_eq!((&engine["isolation"], &engine["endpoint"]), (&level.into(), &format!("local://{level}").into()));
    assert!(engine["limits"].to_string().contains("shared namespace: not isolated"), "{engine}");
    assert!(nest.ok(&["status"]).contains(&format!("isolation {level}\n")));
    // It is kept for the bay.
    nest.kill_supervisor();
    nest.until_state("fox", "running");
    assert_eq!(nest.json(&["status"])["engine"]["isolation"], level);
    let ran = nest.run(&["exec", "fox", "--", "sh", "-c", "pwd; echo $HOME; touch /tmp/podbay-was-here; exit 5"]);
    assert_eq!(ran.code, 5, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("/workers/fox/"), "{}", ran.stdout);
    if level == "landlock" {
        assert!(
            ran.stderr.contains("/tmp/podbay-was-here") || ran.stdout.contains("Permission denied"),
            "{}",
            ran.stderr
        );
    }
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

fn level(nest: &Nest) -> String {
    nest.json(&["status"])["engine"]["isolation"].as_str().unwrap_or("away").to_owned()
}

fn socket(nest: &Nest) -> std::path::PathBuf {
    nest.path("r/podbay").join(format!("{}.sock", nest.bay))
}

/// Whether a worker's processes are among the machine's own.
fn is_bare(nest: &Nest, worker: &str) -> bool {
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    nest.ok(&["exec", worker, "--", "readlink", "/proc/self/ns/pid"]).trim() == own.to_str().unwrap()
}

/// A verb hands its flag to the supervisor that it starts: what is said later goes before it all the same.
#[tokio::test]
async fn the_last_word_counts() {
    let Some(nest) = Nest::new("the_last_word_counts", "") else { return };
    let keeps_it = |wanted: &str| {
        assert_eq!(level(&nest), wanted);
        nest.kill_supervisor();
        assert_eq!(level(&nest), wanted, "it is kept");
    };
    nest.ok(&["--isolation", "none", "up"]);
    nest.ok(&["--isolation", "namespaces", "up"]);
    keeps_it("namespaces");
    nest.ok(&["--isolation", "none", "up"]);
    // The dashboard's answer, which a later `up` brings into effect.
    let client = podbay::api::client::Client::new(socket(&nest));
    let done = client.allow(podbay::bay::isolation::Isolation::Namespaces).await.unwrap();
    assert!(done.notes.iter().any(|note| note.contains("`podbay up`")), "{done:?}");
    assert_eq!(level(&nest), "none", "what runs stays, and it is said");
    nest.ok(&["up"]);
    keeps_it("namespaces");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_supervisor_in_the_foreground_keeps_its_word() {
    let Some(nest) = Nest::new("a_supervisor_in_the_foreground_keeps_its_word", "") else { return };
    let mut serve = nest.command(&["--isolation", "none", "serve"]).spawn().unwrap();
    // A verb that finds nobody would start another.
    let socket = socket(&nest);
    crate::local::until("it listens", || if socket.exists() { Ok(()) } else { Err("no socket".to_owned()) });
    assert_eq!(level(&nest), "none");
    serve.kill().unwrap();
    serve.wait().unwrap();
    nest.ok(&["spawn", "fox", "-d"]);
    assert_eq!((level(&nest).as_str(), is_bare(&nest, "fox")), ("none", true), "the next one has it");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// Another level than that of a supervisor which is up already.
#[test]
fn what_is_made_has_the_walls_that_were_asked_for() {
    let Some(nest) = Nest::new("what_is_made_has_the_walls_that_were_asked_for", "") else { return };
    nest.ok(&["--isolation", "none", "spawn", "fox", "-d"]);
    nest.ok(&["--isolation", "namespaces", "spawn", "owl", "-d"]);
    assert_eq!((is_bare(&nest, "fox"), is_bare(&nest, "owl")), (true, false));
    // What ran before has its old walls, and nobody is told otherwise.
    let old = "runs with isolation none until it is restarted";
    for name in ["fox", "parent"] {
        assert_eq!((&nest.row(name)["isolation"], &nest.row(name)["reason"]), (&"none".into(), &old.into()), "{name}");
    }
    assert_eq!((&nest.row("owl")["isolation"], &nest.row("owl")["reason"]), (&"namespaces".into(), &Value::Null));
    assert!(nest.ok(&["why", "fox"]).contains(old));
    nest.ok(&["restart", "fox"]);
    assert_eq!((is_bare(&nest, "fox"), &nest.row("fox")["reason"]), (false, &Value::Null));
    nest.ok(&["--isolation", "none", "spawn", "cat", "-d"]);
    assert_eq!((is_bare(&nest, "owl"), is_bare(&nest, "cat")), (false, true));
    assert_eq!(level(&nest), "none");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// Whoever reaches the supervisor can have anything run on the machine.
#[test]
fn a_worker_does_not_reach_its_supervisor() {
    let Some(nest) = Nest::new("a_worker_does_not_reach_its_supervisor", "") else { return };
    let levels = [("none", "reached"), ("landlock", "refused: "), ("namespaces", "refused: No such file")];
    for (level, answer) in levels.into_iter().filter(|(level, _)| *level != "landlock" || has_landlock()) {
        nest.ok(&["--isolation", level, "spawn", level, "-d"]);
        let script = "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]); print $s ? 'reached' : \"refused: $!\"";
        let socket = socket(&nest).display().to_string();
        let said = nest.ok(&["exec", level, "--", "perl", "-MIO::Socket::UNIX", "-e", script, &socket]);
        // Without walls it is reached: so the question is one that can be answered.
        assert!(said.starts_with(answer), "{level}: {said}");
    }
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn an_allow_list_needs_namespaces() {
    let Some(nest) = Nest::new("an_allow_list_needs_namespaces", "[network]\nallow = []\n") else { return };
    for level in ["landlock", "none"].into_iter().filter(|level| *level != "landlock" || has_landlock()) {
        let ran = nest.run(&["--isolation", level, "spawn", "fox", "-d"]);
        let words =
            format!("a network of its own can't be had with isolation {level}: leave [network] as it is by default");
        assert!(ran.code != 0 && ran.stderr.contains(&words), "{}{}", ran.stdout, ran.stderr);
    }
    nest.ok(&["--isolation", "namespaces", "spawn", "fox", "-d"]);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// A flag goes before the file, also where the supervisor began without it.
#[test]
fn a_flag_goes_before_the_file_of_a_supervisor_that_is_up() {
    let Some(nest) = Nest::new("a_flag_goes_before_the_file_of_a_supervisor_that_is_up", "") else { return };
    let file = nest.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("kind = \"local\"", "kind = \"local\"\nisolation = \"none\"")).unwrap();
    nest.ok(&["spawn", "fox", "-d"]);
    nest.ok(&["--isolation", "namespaces", "spawn", "owl", "-d"]);
    assert_eq!((is_bare(&nest, "fox"), is_bare(&nest, "owl")), (true, false));
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn the_files_word_is_not_passed_over() {
    let Some(nest) = Nest::new("the_files_word_is_not_passed_over", "") else { return };
    let file = nest.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("kind = \"local\"", "kind = \"local\"\nisolation = \"none\"")).unwrap();
    nest.ok(&["spawn", "fox", "-d"]);
    let engine = nest.json(&["status"])["engine"].clone();
    assert_eq!(engine["isolation"], "none");
    assert!(engine["limits"].to_string().contains("walls: none"), "{engine}");
    let found = findings(&nest);
    let limits = found.as_array().unwrap().iter().filter(|finding| finding["check"] == "engine limits");
    let walls = limits.clone().find(|finding| finding["text"].as_str().unwrap().starts_with("walls")).unwrap();
    assert!(walls["hint"].as_str().unwrap().contains("`podbay --isolation namespaces up`"), "{walls}");
    let hints: std::collections::BTreeSet<_> = limits.map(|finding| finding["hint"].to_string()).collect();
    assert!(hints.len() > 1, "each limit has its own: {hints:?}");
    let why = nest.json(&["why", "fox"]);
    assert_eq!((&why["isolation"], &why["reason"]), (&"none".into(), &Value::Null));
    assert!(
        why["limits"].to_string().contains("walls: none") && !why["limits"].to_string().contains("hostname"),
        "{why}"
    );
    let ran =
        nest.run(&["exec", "fox", "--", "sh", "-c", "cat /proc/self/attr/current >/dev/null; ls / | grep -c usr"]);
    assert_eq!((ran.code, ran.stdout.trim()), (0, "1"), "{}", ran.stderr);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
    // Who wants an engine of containers gets nothing else.
    fs::write(&file, text.replace("kind = \"local\"", "kind = \"local\"\nisolation = \"container\"")).unwrap();
    let refused = nest.run(&["spawn", "owl", "-d"]);
    assert!(refused.code == 4 && refused.stderr.contains("isolation = \"container\""), "{}", refused.stderr);
}

/// An engine of containers would not see what runs without one.
#[test]
fn a_word_does_not_take_the_bay_out_of_sight() {
    let Some(nest) = Nest::new("a_word_does_not_take_the_bay_out_of_sight", "") else { return };
    nest.ok(&["spawn", "fox", "-d"]);
    let ran = nest.run(&["--isolation", "container", "spawn", "owl", "-d"]);
    assert!(ran.code != 0 && ran.stderr.contains("podbay down --workers"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(nest.row("fox")["state"], "running");
    assert_eq!(nest.json(&["status"])["engine"]["isolation"], "namespaces");
    nest.kill_supervisor();
    assert_eq!(nest.row("fox")["state"], "running", "nothing of it was kept");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn the_one_question_is_asked_at_a_terminal() {
    use std::io::{Read as _, Write as _};
    let Some(nest) = Nest::new("the_one_question_is_asked_at_a_terminal", "") else { return };
    if !crate::skip::has_landlock("the_one_question_is_asked_at_a_terminal") {
        return;
    }
    let pair = portable_pty::native_pty_system().openpty(portable_pty::PtySize::default()).unwrap();
    let outer = walled(&nest, &["spawn", "fox", "-d"]);
    let mut command = portable_pty::CommandBuilder::new(outer.get_program());
    command.args(outer.get_args());
    command.env_clear();
    outer.get_envs().for_each(|(key, value)| command.env(key, value.unwrap()));
    command.cwd(nest.path("h"));
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let (mut reader, mut writer) = (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
    let (mut seen, mut answered) = (String::new(), false);
    let mut space = [0; 4096];
    // Its end is an error of the terminal.
    while let Ok(count @ 1..) = reader.read(&mut space) {
        seen.push_str(&String::from_utf8_lossy(&space[..count]));
        if !answered && seen.contains("[y/N]") {
            answered = true;
            writer.write_all(b"y\r").unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert!(answered && ended.success(), "{seen}");
    assert!(seen.contains("user namespace") && seen.contains("isolation landlock?"), "{seen}");
    assert_eq!(nest.json(&["status"])["engine"]["isolation"], "landlock");
    nest.until_state("fox", "running");
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// The first minute of a machine without an engine: nobody's sockets are in its `/run`, and there is no configuration but
/// the bay's name.
#[test]
fn the_dashboard_without_an_engine_gives_a_shell() {
    use std::io::{Read as _, Write as _};
    let Some(mut nest) = Nest::new("the_dashboard_without_an_engine_gives_a_shell", "") else { return };
    let file = nest.path("c/podbay/config.toml");
    fs::write(&file, format!("[bay]\nname = \"{}\"\n[parent]\nports = []\n", nest.bay)).unwrap();
    nest.hidden = true;
    let size = portable_pty::PtySize { rows: 30, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = portable_pty::native_pty_system().openpty(size).unwrap();
    let outer = nest.command(&[]);
    let mut command = portable_pty::CommandBuilder::new(outer.get_program());
    command.args(outer.get_args());
    command.env_clear();
    outer.get_envs().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| command.env(key, value));
    command.env("TERM", "xterm-256color");
    command.cwd(nest.path("h"));
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let (mut reader, mut writer) = (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
    let (tell, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut space) {
            if tell.send(space[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut screen = vt100::Parser::new(30.try_into().unwrap(), 120.try_into().unwrap(), 0);
    let mut shows = |words: &str| {
        crate::local::until(words, || {
            while let Ok(bytes) = seen.recv_timeout(std::time::Duration::from_millis(20)) {
                screen.process(&bytes);
            }
            let text = screen.screen().contents();
            if text.contains(words) { Ok(()) } else { Err(text) }
        });
    };
    shows("namespaces");
    writer.write_all(b"n").unwrap();
    shows("running");
    crate::local::until("a worker runs", || {
        let rows = nest.json(&["ls"]);
        let runs = rows.as_array().unwrap().iter().any(|row| row["role"] == "worker" && row["state"] == "running");
        if runs { Ok(()) } else { Err(rows.to_string()) }
    });
    shows(if rustix::process::geteuid().is_root() { "# " } else { "$ " });
    writer.write_all(b"\recho from-$((40+2))\r").unwrap();
    shows("from-42");
    child.kill().unwrap();
    child.wait().unwrap();
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}
