//! The gate's script, run by every shell of this machine.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use podbay::bay::gate::{CLAIM, MISSING, OPENED, READY, argv, claim, claim_file, wake};
use podbay::config::env::Env;
use podbay::config::paths::Paths;
use podbay::workspace::warm::{Ticket, WarmPlace};

/// Runs the gate by one shell with a claim, on a pipe: what it printed after the clear.
fn opened_by(shell: &[&str], env: &BTreeMap<String, String>, command: &[&str]) -> (String, bool) {
    use std::io::Write as _;
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join(CLAIM);
    let gate = argv(file.to_str().unwrap());
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(&gate[1..])
        .env("KEPT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    // In place at once, as the supervisor does it.
    std::fs::write(room.path().join("new"), claim_file("run", 0, &claim(env, &command))).unwrap();
    std::fs::rename(room.path().join("new"), &file).unwrap();
    // In one piece: a command that reads nothing may be gone before a second one.
    input.write_all(&[&wake(0)[..], b"for the command\n"].concat()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.split_once(OPENED).unwrap_or_else(|| panic!("{shell:?}: not opened: {text:?}"));
    assert_eq!(before, format!("{READY}\n\n"), "{shell:?}");
    (after.to_owned(), std::fs::metadata(&file).unwrap().len() == 0)
}

fn shells() -> Vec<Vec<&'static str>> {
    let known: [&[&str]; 5] =
        [&["/bin/sh"], &["/bin/dash"], &["/bin/bash", "--posix"], &["/bin/bash"], &["/bin/busybox", "sh"]];
    known.iter().filter(|shell| std::path::Path::new(shell[0]).exists()).map(|shell| shell.to_vec()).collect()
}

#[test]
fn every_shell_of_this_machine_becomes_the_command() {
    let nasty = "it's \"$HOME\" `id` \\ \t\n\u{1b}[31m é $((1+1)) #";
    let long = "x".repeat(100_000);
    let env = BTreeMap::from([("NASTY".to_owned(), nasty.to_owned()), ("LONG".to_owned(), long.clone())]);
    for shell in shells() {
        let show = "printf '%s|%s|%s|%s|' \"$NASTY\" \"$KEPT\" \"$1\" \"$LONG\"; read -r rest; printf '%s' \"$rest\"";
        let (text, taken) = opened_by(&shell, &env, &["sh", "-c", show, "sh", "a 'word'"]);
        assert!(taken, "{shell:?}: the claim is still there");
        assert!(text == format!("{nasty}|1|a 'word'|{long}|for the command"), "{shell:?}: {text:.200}");
    }
}

/// A program that is not there is said in the gate's own words, in place of the ones before a program's.
#[test]
fn a_command_that_is_not_there_is_said_and_ends_it() {
    for shell in shells() {
        for program in ["no-such program", "/no/such/program", "it's not there"] {
            let gated = Gated::new(&shell);
            let command = [program, "x"].map(str::to_owned);
            let ticket = Ticket { run: "2026-01-01T00:00:00.000000001Z", claim: Some("ours") };
            gated.place().write(ticket, &claim(&BTreeMap::new(), &command), ("", &gated.env)).unwrap();
            gated.send(&wake(0));
            let output = gated.child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(127), "{shell:?}");
            assert_eq!(text, format!("{READY}\n\n{MISSING}{program}\n"), "{shell:?}");
        }
    }
}

#[test]
fn a_line_without_a_claim_opens_nothing_and_a_lost_tty_ends_it() {
    let home = tempfile::tempdir().unwrap();
    let gate = argv(home.path().join(CLAIM).to_str().unwrap());
    let room = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(room.path(), "stray\nlines\n").unwrap();
    let input = Stdio::from(std::fs::File::open(room.path()).unwrap());
    let output = Command::new("/bin/sh").args(&gate[1..]).stdin(input).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(1), format!("{READY}\n").into_bytes()));
}

#[test]
fn a_home_that_is_closed_to_the_gate_is_said_at_once() {
    let gate = argv("/nowhere/claim");
    let output = Command::new("/bin/sh").args(&gate[1..]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("may not look") && !text.contains(READY), "{text}");
}

/// What the gate's own script uses must not show in what the command finds: names that people use, above all.
#[test]
fn the_environment_is_the_same_warm_and_cold() {
    let own = ["_", "PWD", "OLDPWD", "SHLVL"];
    let lines = |text: &str| -> Vec<String> {
        let others = text.lines().filter(|line| !own.contains(&line.split('=').next().unwrap_or_default()));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // With a PATH, as every container has one: a shell without one makes its own, and hands it on.
    let mut inherited = vec![("PATH", "/usr/bin:/bin")];
    inherited.extend(["line", "failed", "claim", "file", "REPLY", "KEPT"].map(|key| (key, "as it was")));
    for shell in shells() {
        let mut cold = Command::new("/usr/bin/env");
        cold.env_clear().envs(inherited.iter().copied()).env("KEPT", "1");
        let cold = String::from_utf8(cold.output().unwrap().stdout).unwrap();
        let outer: Vec<&str> = ["/usr/bin/env", "-i"].into_iter().collect();
        let inherited: Vec<String> = inherited.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut words = outer;
        words.extend(inherited.iter().map(String::as_str));
        words.push("KEPT=1");
        words.extend(&shell);
        let (warm, _) = opened_by(&words, &BTreeMap::new(), &["/usr/bin/env"]);
        assert_eq!(lines(&warm), lines(&cold), "{shell:?}");
    }
}

/// A warm worker's directories, and its gate behind a pipe.
struct Gated {
    _room: tempfile::TempDir,
    paths: Paths,
    env: Env,
    made_as: podbay::bay::name::Name,
    child: std::process::Child,
}

impl Gated {
    fn new(shell: &[&str]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let vars = [("XDG_STATE_HOME".to_owned(), room.path().display().to_string())].into();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let env = Env { vars, home: "/home/ann".into(), uid, gid, ..Env::default() };
        let paths = Paths::of(&"bay".parse().unwrap(), &env);
        let home = paths.state.join("workers/warm-1/home");
        std::fs::create_dir_all(&home).unwrap();
        let gate = argv(home.join(CLAIM).to_str().unwrap());
        let mut child = Command::new(shell[0]);
        child.args(&shell[1..]).args(&gate[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = child.spawn().unwrap();
        Self { _room: room, paths, env, made_as: "warm-1".parse().unwrap(), child }
    }

    /// Puts the claim there, for a turn of its own: the turn, if the gate was not faster.
    fn write(&self) -> Option<u32> {
        let command = ["sh", "-c", "read -r first; printf '<%s>' \"$first\""].map(str::to_owned);
        let ticket = Ticket { run: "2026-01-01T00:00:00.000000001Z", claim: Some("ours") };
        self.place().write(ticket, &claim(&BTreeMap::new(), &command), ("", &self.env)).unwrap()
    }

    fn place(&self) -> WarmPlace<'_> {
        WarmPlace { paths: &self.paths, made_as: &self.made_as, name: &self.made_as }
    }

    fn send(&self, bytes: &[u8]) {
        use std::io::Write as _;
        self.child.stdin.as_ref().unwrap().write_all(bytes).unwrap();
    }

    /// What the command read first, once it was sent its own line.
    fn end(mut self) -> String {
        self.send(b"for the command\n");
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_once(OPENED).map(|(_, after)| after.to_owned()).unwrap_or(text)
    }
}

/// Nobody knows whether the first line is lost or late: whatever comes of it, the command gets its own line alone.
#[test]
fn a_gate_that_is_woken_again_leaves_no_line_to_its_command() {
    for shell in shells() {
        for late in [&[][..], &[0], &[1], &[0, 1]] {
            let gated = Gated::new(&shell);
            let turns = [gated.write(), gated.write(), gated.write()];
            assert_eq!(turns, [Some(0), Some(1), Some(2)], "{shell:?}");
            gated.send(b"half a line");
            for turn in late {
                gated.send(&wake(*turn));
            }
            gated.send(&wake(2));
            assert_eq!(gated.end(), "<for the command>", "{shell:?}, after {late:?}");
        }
    }
}

/// The gate takes its claim at the very moment at which it is to be woken again: one of the two is first.
#[test]
fn a_gate_is_woken_again_or_has_taken_its_claim() {
    for round in 0..60_u32 {
        for shell in shells() {
            let gated = Gated::new(&shell);
            let first = gated.write().unwrap();
            gated.send(&wake(first));
            // Not to wait for anything: to meet the gate at another point each time.
            std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 50));
            if let Some(second) = gated.write() {
                gated.send(&wake(second));
            }
            assert_eq!(gated.end(), "<for the command>", "{shell:?}, round {round}");
        }
    }
}
