//! Rows X: programs that end, in every way, and what is heard of it.

use std::time::{Duration, Instant};

use podbay::api::types::SpawnRequest;
use podbay::bay::session::TermSize;
use podbay::bay::template::Overrides;

use super::den::Den;
use super::process::finish;
use super::{measured, until, within};

/// A worker that ends with this code, and what is said of it.
fn ends_with(den: &Den, codes: &[i64]) {
    let names: Vec<String> = codes.iter().map(|code| format!("x{code}")).collect();
    den.wait(async |client| {
        let one = |(name, code): (&String, &i64)| {
            let command = ["bash", "-c"].map(str::to_owned).into_iter().chain([format!("exit {code}")]).collect();
            let overrides = Overrides { command, ..Overrides::default() };
            let request = SpawnRequest { name: Some(name.clone()), overrides, ..SpawnRequest::default() };
            let client = client.clone();
            async move { client.spawn(&request).await }
        };
        for result in futures_util::future::join_all(names.iter().zip(codes).map(one)).await {
            result.unwrap();
        }
    });
    for (name, code) in names.iter().zip(codes) {
        den.until_state(&[name], "exited");
        let reason = den.row(name).unwrap().reason.unwrap_or_default();
        let said = format!("exited with code {code}");
        assert!(reason == said || reason.starts_with(&format!("{said} (")), "{code}: {reason}");
    }
    let mut args = vec!["rm"];
    args.extend(names.iter().map(String::as_str));
    den.ok(&args);
}

fn execs_with(den: &Den, codes: impl IntoIterator<Item = u8>) {
    for code in codes {
        let ran = den.exec("fox", &format!("exit {code}"));
        assert_eq!(ran.code, i32::from(code), "{ran:?}");
    }
}

#[test]
fn x06_exit_codes_are_exact() {
    let Some(den) = Den::docker("x06_exit_codes_are_exact") else { return };
    den.spawn("fox");
    execs_with(&den, [0, 1, 2, 126, 127, 128, 255]);
    for (script, code) in [("kill -9 $$", 137), ("kill -15 $$", 143), ("no-such-command", 127)] {
        let ran = den.exec("fox", script);
        assert_eq!(ran.code, code, "{script}: {ran:?}");
    }
    ends_with(&den, &[0, 1, 127, 255]);
}

#[test]
#[ignore = "all 256 codes, twice"]
fn x06_in_full() {
    let Some(den) = Den::docker("x06_in_full") else { return };
    den.spawn("fox");
    execs_with(&den, 0..=255);
    let codes: Vec<i64> = (0..=255).collect();
    codes.chunks(16).for_each(|codes| ends_with(&den, codes));
}

/// An exec whose child keeps the tty ends with its own process.
fn keeps_the_tty(den: &Den, runs: usize) {
    let mut slowest = Duration::ZERO;
    for _ in 0..runs {
        let begun = Instant::now();
        let ran = den.exec("fox", "sleep 600 & echo done");
        slowest = slowest.max(begun.elapsed());
        assert_eq!((ran.code, &*ran.stdout), (0, "done\n"), "{ran:?}");
        // Far below the child's time, and above what a busy machine needs: the engine itself waits two seconds for such
        // a child, one exec after another.
        assert!(slowest < Duration::from_secs(30), "it took {slowest:?}");
    }
    measured(&format!("X05: the slowest of {runs} took {slowest:?}"));
}

#[test]
fn x05_an_exec_ends_with_its_process_and_not_with_its_children() {
    let Some(den) = Den::docker("x05_an_exec_ends_with_its_process_and_not_with_its_children") else { return };
    den.spawn("fox");
    keeps_the_tty(&den, 2);
    // A container that ends under an exec.
    let command = den.command(&["exec", "fox", "--", "sleep", "600"]);
    let exec = std::thread::spawn(move || (finish(command, &["exec", "fox"]), Instant::now()));
    until("the exec runs", || match den.exec("fox", "pgrep -fc 'sleep 600'") {
        ran if ran.stdout.trim().parse().is_ok_and(|count: u32| count >= 3) => Ok(()),
        ran => Err(format!("{ran:?}")),
    });
    den.docker.act(&format!("{}-fox", den.bay), "kill");
    let killed = Instant::now();
    let (ran, ended) = exec.join().unwrap();
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ended.duration_since(killed) < Duration::from_secs(3), "{:?}", ended.duration_since(killed));
}

#[test]
#[ignore = "500 runs"]
fn x05_in_full() {
    let Some(den) = Den::docker("x05_in_full") else { return };
    den.spawn("fox");
    keeps_the_tty(&den, 500);
}

/// Clients that come and go type nothing.
fn detaches(den: &Den, times: usize) {
    den.wait(async |client| {
        for _ in 0..times {
            let size = Some(TermSize::new(24, 80));
            let mut terminal = client.main_terminal_at("fox", size).await.unwrap();
            let first = tokio::time::timeout(Duration::from_secs(5), terminal.incoming.recv()).await;
            assert!(first.is_ok_and(|message| message.is_some()), "a screen was to come");
        }
    });
    den.ok(&["send", "fox", "end-of-test"]);
    until("what was sent arrives", || match den.exec("fox", "cat /workspace/typed") {
        ran if ran.stdout.contains("end-of-test") => Ok(()),
        ran => Err(format!("{ran:?}")),
    });
    assert_eq!(den.exec("fox", "cat /workspace/typed").stdout, "end-of-test\n", "something was typed");
}

fn listening_worker(test: &str) -> Option<Den> {
    let den = Den::docker(test)?;
    den.ok(&["spawn", "fox", "-d", "--", "bash", "-c", "cat > /workspace/typed"]);
    Some(den)
}

#[test]
fn x02_clients_that_come_and_go_type_nothing() {
    let Some(den) = listening_worker("x02_clients_that_come_and_go_type_nothing") else { return };
    detaches(&den, 20);
    // A client that is killed in the middle of it.
    for _ in 0..3 {
        let mut pty = super::pty::Pty::run(&den, &["attach", "fox"], 24, 80);
        pty.shows("end-of-test");
        super::process::signal(pty.pid(), rustix::process::Signal::KILL);
        pty.end(Duration::from_secs(5));
    }
    assert_eq!(den.exec("fox", "cat /workspace/typed").stdout, "end-of-test\n", "something was typed");
    den.until_state(&["fox"], "running");
}

#[test]
#[ignore = "1000 detaches"]
fn x02_in_full() {
    let Some(den) = listening_worker("x02_in_full") else { return };
    detaches(&den, 1000);
}

const EATS: &str = "import sys; b = bytearray()\nwhile True: b.extend(bytes(4 << 20))";

#[test]
fn x12_out_of_memory_of_the_main_process_and_of_a_child() {
    let test = "x12_out_of_memory_of_the_main_process_and_of_a_child";
    let Some(den) = Den::docker(test) else { return };
    let limits = ["-d", "--memory", "48m"];
    let args = |name: &'static str, rest: &[&'static str]| [&["spawn", name][..], &limits, &["--"], rest].concat();
    den.ok(&args("child", &["bash"]));
    if den.exec("child", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max").stdout.trim()
        != "50331648"
    {
        return super::skip(test, "no memory limits here");
    }
    let ran = den.run(&["exec", "child", "--", "python3", "-c", EATS]);
    assert_eq!(ran.code, 137, "{ran:?}");
    den.until_state(&["child"], "running");
    let (said, _) = within(Duration::from_secs(10), "the child's end is said", || {
        let row = den.row("child").unwrap();
        row.reason.clone().ok_or_else(|| format!("{row:?}"))
    });
    assert_eq!(said, "a process in it was killed by the kernel: it ran out of memory");
    den.ok(&args("main", &["bash", "-c", "sleep 1; exec python3 -c \"$0\"", EATS]));
    den.until_state(&["main"], "exited");
    assert_eq!(den.json(&["why", "main"])["reason"], "killed by the kernel: it ran out of memory");
}
