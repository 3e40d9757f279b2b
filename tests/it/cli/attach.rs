//! `attach` and `exec` with a terminal: what passes, and that the terminal is given back on every path out.

use std::time::{Duration, Instant};

use podbay::terminal::RESTORE;
use rustix::process::{Pid, Signal, kill_process};

use super::fake::House;
use super::pty::Pty;

const ATTACH: [&str; 2] = ["attach", "fox"];

/// Attached, and the first screen shown.
fn attached(house: &House, args: &[&str]) -> Pty {
    let mut pty = Pty::podbay(house, args);
    pty.wait_for("READY");
    assert!(!pty.is_cooked(), "not raw while attached");
    pty
}

fn pid(pty: &Pty) -> Pid {
    Pid::from_raw(i32::try_from(pty.child.process_id().unwrap()).unwrap()).unwrap()
}

/// The way back was written once, after all that the program drew.
fn assert_restored(pty: &Pty) {
    let after = pty.after(b"READY");
    let times = after.windows(RESTORE.len()).filter(|window| *window == RESTORE).count();
    assert_eq!(times, 1, "{:?}", String::from_utf8_lossy(&after));
    assert!(pty.is_cooked(), "the terminal is still raw");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_and_the_size_is_followed() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    assert_eq!(house.seen.all(), ["terminal rows=24&cols=80"]);
    // Control characters are the program's, not this terminal's.
    pty.type_in(b"\x03\x1a\x1c\x13\x04hello\x7f");
    pty.wait_for("\x03\x1a\x1c\x13\x04hello\x7f");
    pty.resize(40, 132);
    house.seen.wait("the new size", |asked| asked == r#"frame {"type":"resize","rows":40,"cols":132}"#);
    pty.type_in(b"end!");
    let status = pty.end();
    assert_eq!(status.exit_code(), 7, "{status:?}");
    assert_restored(&pty);
    let said = String::from_utf8_lossy(&pty.screen).into_owned();
    assert!(said.contains("fox: exited with code 7"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_q_leaves_and_twice_goes_through() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    pty.type_in(b"a\x11\x11b");
    pty.wait_for("a\x11b");
    pty.type_in(b"last\x11");
    let status = pty.end();
    assert_eq!(status.exit_code(), 0, "{status:?}");
    assert_restored(&pty);
    assert!(String::from_utf8_lossy(&pty.screen).contains("left fox; it goes on"));
    house.seen.wait("that the terminal is closed", |asked| asked == "terminal closed");
    let typed: Vec<String> = house.seen.all().into_iter().filter(|asked| asked.starts_with("typed")).collect();
    assert_eq!(typed.concat().replace("typed ", "").replace("\"\"", ""), "\"a\\u{11}blast\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_and_a_large_paste_go_through_as_they_are() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    let keys: Vec<u8> = (0..=255).flat_map(|byte| if byte == 0x11 { vec![byte, byte] } else { vec![byte] }).collect();
    let text: Vec<u8> = b"0123456789abcdef\x11\n".iter().copied().cycle().take(1 << 20).collect();
    let typed = [keys.as_slice(), b"\x1b[200~", &text, b"\x1b[201~the end"].concat();
    pty.type_and_wait_for(typed, "\x1b[201~the end");
    let all: Vec<u8> = (0..=255).collect();
    let expected = [all.as_slice(), b"\x1b[200~", &text, b"\x1b[201~the end"].concat();
    let came = pty.after(b"READY");
    let differs = came.iter().zip(&expected).position(|(came, typed)| came != typed);
    assert!(came == expected, "{} bytes came of {}, first difference at {differs:?}", came.len(), expected.len());
    pty.type_in(b"\x11");
    assert_eq!(pty.end().exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dragged_window_ends_at_its_last_size_and_is_no_storm() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    for step in 0..1000 {
        pty.resize(10 + step % 50, 20 + step % 100);
    }
    pty.resize(33, 111);
    house.seen.wait("the last size", |asked| asked == r#"frame {"type":"resize","rows":33,"cols":111}"#);
    let frames = house.seen.all().iter().filter(|asked| asked.starts_with("frame")).count();
    assert!(frames < 200, "{frames} frames for 1001 sizes");
    pty.type_in(b"end!");
    assert_eq!(pty.end().exit_code(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detach_types_nothing() {
    detach_and_look(5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the full count: about half a minute"]
async fn a_thousand_detaches_type_nothing() {
    detach_and_look(1000);
}

fn detach_and_look(times: usize) {
    let house = House::open();
    for _ in 0..times {
        let mut pty = attached(&house, &ATTACH);
        pty.type_in(b"\x11x");
        assert_eq!(pty.end().exit_code(), 0);
    }
    let typed = house.seen.all().iter().filter(|asked| asked.starts_with("typed")).count();
    assert_eq!(typed, 0, "{:?}", house.seen.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_give_the_terminal_back() {
    let house = House::open();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131)] {
        let mut pty = attached(&house, &ATTACH);
        kill_process(pid(&pty), signal).unwrap();
        let status = pty.end();
        assert_eq!(status.exit_code(), code, "{signal:?}: {status:?}");
        assert_restored(&pty);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_gives_the_terminal_back() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    pty.type_in(b"cut!");
    let status = pty.end();
    assert_eq!(status.exit_code(), 3, "{status:?}");
    assert_restored(&pty);
    assert!(String::from_utf8_lossy(&pty.screen).contains("broke off"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_gives_the_terminal_back_before_it_reports() {
    let house = House::open();
    let podbay = [env!("CARGO_BIN_EXE_podbay"), "attach", "fox"];
    let mut pty = Pty::start(&house, &podbay, &[("PODBAY_FAIL_POINT", "attach.shown")]);
    let status = pty.end();
    assert_eq!(status.exit_code(), 101, "{status:?}");
    let screen = pty.screen.clone();
    let at = |text: &[u8]| screen.windows(text.len()).rposition(|window| window == text);
    let (restored, reported) = (at(RESTORE), at(b"fail point attach.shown"));
    assert!(reported.is_some() && restored < reported, "{:?}", String::from_utf8_lossy(&screen));
    assert!(pty.is_cooked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_ends_podbay_within_two_seconds() {
    let house = House::open();
    let program = env!("CARGO_BIN_EXE_podbay");
    // Plain, with SIGHUP ignored, and with SIGHUP kept away by a shell in between that ignores it.
    let ignored = format!("trap '' HUP; exec {program} attach fox");
    let below = format!("trap '' HUP; {program} attach fox; exit 9");
    for command in [vec![program, "attach", "fox"], vec!["/bin/sh", "-c", &ignored], vec!["/bin/sh", "-c", &below]] {
        let mut pty = Pty::start(&house, &command, &[]);
        pty.wait_for("READY");
        let started = Instant::now();
        pty.hang_up();
        pty.exit();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(2), "{command:?} took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_terminal_can_be_left_by_a_signal() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    // Nobody reads what comes: podbay's writes block.
    pty.type_in(b"flood!");
    house.seen.wait("the flood", |asked| asked.contains("flood!"));
    let started = Instant::now();
    kill_process(pid(&pty), Signal::TERM).unwrap();
    assert_eq!(pty.exit().exit_code(), 143);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_hangs_can_be_left() {
    let house = House::open();
    let mut pty = attached(&house, &ATTACH);
    pty.type_in(b"hang!");
    house.seen.wait("the hang", |asked| asked.contains("hang!"));
    // More than the socket and the queue between take.
    pty.type_in(&b"x".repeat(700 << 10));
    pty.type_in(b"\x11");
    assert_eq!(pty.end().exit_code(), 0);
    assert_restored(&pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn spawn_attaches_where_there_is_a_terminal() {
    let house = House::open();
    let mut pty = attached(&house, &["spawn", "elk"]);
    let asked = house.seen.all();
    assert!(asked[0].contains(r#""size":{"rows":24,"cols":80}"#), "{asked:?}");
    pty.type_in(b"end!");
    assert_eq!(pty.end().exit_code(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_takes_a_terminal_and_keeps_no_key() {
    let house = House::open();
    let mut pty = attached(&house, &["exec", "fox", "--", "bash"]);
    assert_eq!(house.seen.all(), [r#"exec {"command":["bash"],"tty":{"rows":24,"cols":80}}"#]);
    pty.type_in(b"\x11x");
    pty.wait_for("\x11x");
    pty.type_in(b"end!");
    assert_eq!(pty.end().exit_code(), 7);
    assert_restored(&pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_asked_at_a_terminal() {
    let house = House::open();
    for (answer, code, asked) in [(b"n\n", 1, 0), (b"y\n", 0, 1)] {
        let mut pty = Pty::podbay(&house, &["rm", "--all", "-f"]);
        pty.wait_for("[y/N]");
        pty.type_in(answer);
        let status = pty.end();
        // One of the three is not there for the fake: the engine is away for it.
        let expected = if code == 0 { 4 } else { code };
        assert_eq!(status.exit_code(), expected, "{:?}", String::from_utf8_lossy(&pty.screen));
        let removed = house.seen.all().iter().filter(|request| request.starts_with("DELETE")).count();
        assert_eq!(removed, asked * 3, "{:?}", house.seen.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_is_refused_by_the_dashboard_only() {
    let house = House::open();
    let podbay = env!("CARGO_BIN_EXE_podbay");
    let mut pty = Pty::start(&house, &[podbay], &[("TERM", "dumb")]);
    assert_eq!(pty.end().exit_code(), 2);
    assert!(String::from_utf8_lossy(&pty.screen).contains("TERM"));
    let mut pty = Pty::start(&house, &[podbay, "ls"], &[("TERM", "dumb")]);
    assert_eq!(pty.end().exit_code(), 0);
    assert!(!pty.screen.contains(&0x1b), "{:?}", String::from_utf8_lossy(&pty.screen));
    let mut pty = Pty::start(&house, &[podbay, "ls"], &[]);
    assert_eq!(pty.end().exit_code(), 0);
    assert!(pty.screen.contains(&0x1b));
    let mut pty = Pty::start(&house, &[podbay, "ls"], &[("NO_COLOR", "1")]);
    assert_eq!(pty.end().exit_code(), 0);
    assert!(!pty.screen.contains(&0x1b));
}

/// What is done to the parent costs the workers that live with it something: who sits at a terminal is asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_parent_is_taken_away_only_after_a_yes() {
    let asked = |house: &House| house.seen.all().iter().filter(|asked| asked.contains("parent")).count();
    let ends = "It ends what runs in fox.";
    for (verb, question) in [
        ("restart", format!("Restart the parent? {ends} [y/N] ")),
        ("refresh", format!("Make anew the parent? {ends} [y/N] ")),
        ("stop", "Stop the parent? Until it is repaired, it takes the network from fox. [y/N] ".to_owned()),
    ] {
        for (answer, code, done) in [("\n", 1, 0), ("n\n", 1, 0), ("yess\n", 1, 0), ("y\n", 0, 1)] {
            let house = House::open();
            let mut pty = Pty::podbay(&house, &[verb, "parent"]);
            pty.wait_for(&question);
            pty.type_in(answer.as_bytes());
            let status = pty.end();
            assert_eq!((status.exit_code(), asked(&house)), (code, done), "{verb} {answer:?}: {status:?}");
        }
        let house = House::open();
        let mut pty = Pty::podbay(&house, &[verb, "parent", "-y"]);
        assert_eq!((pty.end().exit_code(), asked(&house)), (0, 1), "{verb} -y");
        assert!(!String::from_utf8_lossy(&pty.screen).contains("[y/N]"));
        // A worker is nobody else's.
        let mut pty = Pty::podbay(&house, &["restart", "fox"]);
        assert_eq!(pty.end().exit_code(), 0);
        assert!(!String::from_utf8_lossy(&pty.screen).contains("[y/N]"));
    }
}
