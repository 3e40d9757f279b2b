//! The logs tab: follow, search, hide, mark, save, all workers in one, and what happens after a cut.

use crossterm::event::Event;
use podbay::api::types::LogEntry;
use podbay::tui::effect::{Effect, LogsFrom};
use podbay::tui::model::logs::store::Store;
use podbay::tui::model::logs::{History, TAIL};
use podbay::tui::msg::{LogsMsg, Msg};

use super::bay;
use super::driver::Driver;
use super::screens::log;

fn following() -> Driver {
    let mut driver = Driver::of(bay::running(), 80, 24);
    driver.keys("l");
    driver.wait(200);
    driver
}

fn lines(from: i64, to: i64) -> impl Iterator<Item = LogEntry> {
    (from..to).map(|at| log(at, &if at % 100 == 42 { format!("Error {at}: lost") } else { format!("line {at}") }))
}

/// The log's wakes, until nothing is left to be looked at.
fn settle(driver: &mut Driver) -> usize {
    let mut rounds = 0;
    while driver.model.main.logs.is_scanning() {
        driver.wait(10);
        rounds += 1;
        assert!(rounds < 10_000, "the search never ends");
    }
    rounds
}

fn texts(driver: &Driver) -> Vec<String> {
    driver.model.main.logs.store.iter().map(|line| line.text.to_owned()).collect()
}

#[test]
fn a_search_counts_jumps_and_goes_round() {
    let mut driver = following();
    driver.log(lines(0, 1000));
    driver.keys("/");
    driver.text("error \\d+");
    settle(&mut driver);
    let shot = driver.shot();
    assert!(shot.contains("10 of 10") && shot.contains("Error 942"), "{shot}");
    driver.keys("enter N N");
    let shot = driver.shot();
    assert!(shot.contains("8 of 10") && shot.contains("Error 742") && shot.contains("line 75"), "{shot}");
    driver.keys("n n n");
    assert!(driver.shot().contains("on from the oldest line"), "{}", driver.shot());
    assert!(driver.shot().contains("1 of 10"));
    driver.keys("N");
    assert!(driver.shot().contains("10 of 10"), "{}", driver.shot());
    // More comes in and is counted; the place stays.
    driver.log(lines(1000, 1100));
    settle(&mut driver);
    assert!(driver.shot().contains("10 of 11"), "{}", driver.shot());
    driver.keys("esc");
    assert!(!driver.shot().contains("of 11"));
    driver.keys("n");
    assert!(driver.shot().contains("nothing is looked for: / begins a search"));
}

#[test]
fn a_search_that_is_left_shows_what_was_seen_before() {
    let mut driver = following();
    driver.log(lines(0, 500));
    driver.keys("k k k");
    let before = driver.shot();
    driver.keys("/");
    driver.text("error 42");
    settle(&mut driver);
    assert!(driver.shot().contains("Error 42:"), "{}", driver.shot());
    driver.keys("esc");
    assert_eq!(driver.shot(), before);
    driver.keys("/");
    driver.text("a(");
    assert!(driver.shot().contains("unclosed group"), "{}", driver.shot());
    driver.keys("enter");
    assert!(driver.model.overlay.is_some());
}

#[test]
fn a_search_through_a_million_lines_never_takes_long_at_once() {
    let mut driver = following();
    for part in 0..100 {
        driver.log(lines(part * 10_000, part * 10_000 + 10_000));
    }
    assert_eq!(driver.model.main.logs.store.len(), 1_000_000);
    driver.keys("/");
    driver.text("error 42:");
    let mut rounds = 0;
    while driver.model.main.logs.is_scanning() {
        driver.wait(10);
        driver.draw();
        rounds += 1;
    }
    // In slices, between which keys are answered and frames drawn; how long one takes is the benchmark's.
    assert!(rounds > 10 && driver.shot().contains("1 of 1"), "{rounds}: {}", driver.shot());
}

#[test]
fn a_search_goes_on_at_once_while_it_is_seen_and_rests_else() {
    let mut driver = following();
    for part in 0..10 {
        driver.log(lines(part * 10_000, part * 10_000 + 10_000));
    }
    assert!(!driver.model.is_busy());
    driver.keys("/");
    driver.text("error 42:");
    assert!(driver.model.is_busy());
    driver.keys("enter");
    driver.keys("]");
    assert!(!driver.model.is_busy());
    driver.keys("[");
    assert!(driver.model.is_busy(), "{}", driver.shot());
    driver.send(Msg::Input(Event::Resize(5, 2)));
    assert!(!driver.model.is_busy(), "nothing of it is to be seen");
    driver.send(Msg::Input(Event::Resize(80, 24)));
    settle(&mut driver);
    assert!(!driver.model.is_busy());
}

/// A line as JSON loggers write it is folded however long it is, also where only a part of it is seen.
#[test]
fn a_long_line_of_json_is_folded_too() {
    let mut driver = following();
    let long = "x".repeat(8000);
    driver.log([log(1, &format!(r#"{{"level":"error","msg":"it failed","trace":"{long}"}}"#))]);
    assert!(driver.shot().contains("ERROR it failed trace=xxx"), "{}", driver.shot());
    driver.keys("w");
    assert!(driver.shot().contains("xxxxxxxx") && !driver.shot().contains("level"), "{}", driver.shot());
}

/// To the right as far as the widest line goes, whatever it is made of.
#[test]
fn scrolling_to_the_right_ends_with_the_widest_line() {
    let coloured = "好\u{1b}[31mx\u{1b}[0m";
    for (letter, columns) in [("x", 1), ("好", 2), (coloured, 3)] {
        let mut driver = following();
        driver.log([log(1, &letter.repeat(60)), log(2, "short")]);
        for _ in 0..60 {
            driver.keys("right");
        }
        assert_eq!(driver.model.main.logs.look.left, 60 * columns - 1, "{letter}");
    }
}

#[test]
fn hidden_lines_are_counted_and_shown_again() {
    let mut driver = following();
    driver.log(lines(0, 1000));
    driver.keys("&");
    driver.text("error");
    driver.keys("enter");
    settle(&mut driver);
    let shot = driver.shot();
    assert!(shot.contains("&error: 10 of 1,000") && shot.contains("Error 42:") && !shot.contains("line 1"), "{shot}");
    // As `/` does, it begins empty; one that is left changes nothing.
    driver.keys("& esc");
    assert!(driver.shot().contains("&error: 10 of 1,000"), "{}", driver.shot());
    driver.keys("&");
    driver.text("!line");
    driver.keys("enter");
    settle(&mut driver);
    assert!(driver.shot().contains("&!line: 10 of 1,000"), "{}", driver.shot());
    driver.keys("& enter");
    assert!(driver.shot().contains("following 1,000 lines"), "{}", driver.shot());
    driver.keys("&");
    driver.text("nowhere");
    driver.keys("enter");
    settle(&mut driver);
    assert!(driver.shot().contains("none of 1,000 lines is left by &nowhere: esc"), "{}", driver.shot());
    driver.keys("esc");
    assert!(driver.shot().contains("following 1,000 lines"), "{}", driver.shot());
}

#[test]
fn both_axes_stay_while_it_follows() {
    let mut driver = following();
    driver.log((0..50).map(|at| log(at, &format!("{}|{at} is far to the right", "x".repeat(100)))));
    for _ in 0..12 {
        driver.keys("right");
    }
    assert!(driver.shot().contains("49 is far to the right"), "{}", driver.shot());
    driver.log((50..60).map(|at| log(at, &format!("{}|{at} is far to the right", "x".repeat(100)))));
    let shot = driver.shot();
    assert!(shot.contains("59 is far to the right") && shot.contains("column 97"), "{shot}");
    driver.keys("left left f");
    driver.log(lines(60, 90));
    assert!(driver.shot().contains("column 81") && driver.shot().contains("line 60 of 90"), "{}", driver.shot());
}

#[test]
fn a_cut_log_goes_on_without_a_gap_or_a_repeat() {
    let mut driver = following();
    let same = |text: &str| log(7, text);
    driver.log([log(1, "a"), same("b"), same("b"), same("c")]);
    let key = driver.log_stream();
    driver.send(Msg::Logs { key, msg: LogsMsg::Lost("the connection was cut".to_owned()) });
    driver.taken();
    driver.wait(2100);
    let opened = driver.taken();
    let since = LogsFrom::Since(1_772_366_400_007);
    assert!(
        opened.iter().any(|effect| matches!(effect, Effect::OpenLogs { from, .. } if *from == since)),
        "{opened:?}"
    );
    // The same moment comes again, in two parts, and more of it that is new.
    driver.log([same("b"), same("b")]);
    driver.log([same("c"), same("b"), log(8, "d")]);
    assert_eq!(texts(&driver), ["a", "b", "b", "c", "b", "d"]);
    // Looking elsewhere and coming back is the same.
    driver.keys("]");
    driver.wait(200);
    driver.keys("[");
    driver.wait(200);
    driver.log([log(8, "d"), log(9, "e")]);
    assert_eq!(texts(&driver), ["a", "b", "b", "c", "b", "d", "e"]);
}

#[test]
fn the_past_is_read_when_it_is_wanted() {
    let mut driver = following();
    let tail = i64::try_from(TAIL).unwrap();
    driver.log(lines(10_000, 10_000 + tail));
    driver.taken();
    driver.keys("g");
    let asked = driver.taken();
    let Some(Effect::ReadLog { key, name }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(name, "badger");
    driver.send(Msg::Logs { key: *key, msg: LogsMsg::Counted(4000) });
    assert!(driver.shot().contains("reading the past: 4,000"), "{}", driver.shot());
    let mut whole = Store::default();
    for line in lines(0, 10_000 + tail - 5) {
        whole.push(&line, 0);
    }
    driver.log(lines(10_000 + tail, 10_010 + tail));
    driver.send(Msg::Logs { key: *key, msg: LogsMsg::Whole(Box::new(whole)) });
    let all = texts(&driver);
    assert_eq!((all.len(), all[0].as_str()), (10_010 + usize::try_from(tail).unwrap(), "line 0"));
    assert!(all.iter().enumerate().all(|(at, text)| text.contains(&at.to_string())));
    assert_eq!(driver.model.main.logs.history, History::Whole);
    assert!(driver.shot().contains("line 0\n") || driver.shot().contains("line 0 "), "{}", driver.shot());
}

#[test]
fn all_workers_are_one_stream_in_the_order_of_time() {
    let mut driver = following();
    driver.taken();
    driver.keys("a");
    driver.wait(200);
    let opened = driver.taken().into_iter().filter(|effect| matches!(effect, Effect::OpenLogs { .. })).count();
    assert_eq!(opened, 3);
    let keys: Vec<_> = driver.model.main.logs.streams.iter().map(|stream| stream.key).collect();
    for (at, key) in (0..).zip(&keys) {
        let lines = (0..3).map(|n| log(n * 10 + at, &format!("{n}{at}"))).collect();
        driver.send(Msg::Logs { key: *key, msg: LogsMsg::Lines(lines, None) });
    }
    driver.wait(250);
    assert_eq!(texts(&driver), ["00", "01", "02", "10", "11", "12", "20", "21", "22"]);
    let shot = driver.shot();
    assert!(shot.contains("badger 00") && shot.contains("fox    01") && shot.contains("owl    22"), "{shot}");
    // One that comes later joins; one that goes leaves its lines.
    let mut snapshot = bay::running();
    snapshot.containers.retain(|row| row.name != "fox");
    snapshot.containers.push(bay::worker("wren", podbay::api::types::State::Running, None));
    driver.hear(snapshot);
    driver.wait(200);
    let effects = driver.taken();
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::OpenLogs { name, .. } if name == "wren")),
        "{effects:?}"
    );
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CloseLogs { .. })), "{effects:?}");
    assert_eq!(texts(&driver).len(), 9);
}

#[test]
fn marks_are_gone_through_and_lines_are_saved() {
    let mut driver = following();
    driver.log(lines(0, 300));
    driver.keys("m k k k k k k k k k k k k k k k k k k k k k k m");
    assert_eq!(driver.model.main.logs.marks.len(), 2);
    driver.keys("G '");
    assert!(driver.shot().contains("✓line 277"), "{}", driver.shot());
    driver.keys("'");
    assert!(driver.shot().contains("✓line 299"), "{}", driver.shot());
    driver.keys("x");
    assert!(driver.shot().contains("save to ~/badger-20260301-120000.log"), "{}", driver.shot());
    driver.taken();
    driver.keys("enter");
    let asked = driver.taken();
    let Some(Effect::SaveLog { path, lines }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(path.to_str(), Some("~/badger-20260301-120000.log"));
    assert_eq!(lines.blocks.iter().map(|block| block.lines().count()).sum::<usize>(), 300);
    driver.send(Msg::Saved(Err("/x: permission denied".to_owned())));
    assert!(driver.shot().contains("not saved: /x: permission denied"));
}

#[test]
fn a_log_without_a_whole_line_says_where_the_prompt_is() {
    let mut driver = following();
    driver.log([]);
    let shot = driver.shot();
    assert!(shot.contains("has ended no line yet: enter"), "{shot}");
}

#[test]
fn what_a_folded_line_shows_is_found_and_marked() {
    let mut driver = following();
    driver.log((0..50).map(|at| log(at, &format!(r#"{{"level":"error","msg":"no","status":{}}}"#, 500 + at))));
    driver.keys("/");
    driver.text("status=520");
    settle(&mut driver);
    assert!(driver.shot().contains("/status=520: 1 of 1"), "{}", driver.shot());
    driver.keys("enter &");
    driver.text("status=7");
    settle(&mut driver);
    let shot = driver.shot();
    assert!(shot.contains("no line") && !shot.contains("line 1 of 0"), "{shot}");
}

#[test]
fn inspect_is_one_key_away_from_logs_and_terminal() {
    for keys in ["l i", "5 i", "4 i"] {
        let mut driver = Driver::of(bay::running(), 120, 40);
        driver.keys(keys);
        let inspects = driver.model.main.tab == podbay::tui::model::Tab::Inspect;
        assert_eq!(inspects, keys != "4 i", "{keys}: {}", driver.shot());
    }
}
