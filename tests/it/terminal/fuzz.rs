//! V01, V02: nothing that a program can write takes the emulator down, or holds it up.

use std::time::{Duration, Instant};

use super::{Dice, emulator, quiet};
use podbay::bay::session::TermSize;
use podbay::terminal::emulator::Emulator;

/// Output that is likely to hurt: extreme sequences, wide and combining text, modes, control strings, noise.
pub fn soup(dice: &mut Dice, length: usize) -> Vec<u8> {
    let texts = [
        "a",
        "hello world",
        "好",
        "👩\u{200d}💻",
        "⚠\u{fe0f}",
        "❤\u{fe0f}",
        "1\u{fe0f}\u{20e3}",
        "e\u{301}\u{301}",
        "\u{17d8}",
        "\r\n",
        "\n",
        "\t",
        "\x08",
        "\x1bM",
        "\x1bD",
        "\x1b7",
        "\x1b8",
        "\x1bc",
        "\x0c",
        "\x1b(0qqx\x1b(B",
        "\u{fe0f}",
    ];
    let strings = ["\x1b]0;t\x07", "\x1b]52;c;QQ==\x1b\\", "\x1bPq\x1b\\", "\x1b_x", "\x1b\\", "\x18"];
    let mut out = Vec::new();
    while out.len() < length {
        match dice.roll(10) {
            0..=3 => out.extend_from_slice(dice.pick(&texts).as_bytes()),
            4..=6 => out.extend(sequence(dice)),
            7 => out.extend(format!("\x1b[?{}{}", dice.pick(&MODES), dice.pick(&["h", "l"])).bytes()),
            8 => out.extend_from_slice(dice.pick(&strings).as_bytes()),
            _ => out.extend((0..dice.roll(6)).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0))),
        }
    }
    out
}

const MODES: [&str; 14] =
    ["1", "6", "7", "9", "25", "47", "1000", "1003", "1006", "1047", "1049", "2004", "2026", "4;20"];

fn sequence(dice: &mut Dice) -> Vec<u8> {
    let finals: Vec<u8> = (0x40..0x7f).collect();
    let mut text = String::from("\x1b[");
    for i in 0..dice.roll(4) {
        if i > 0 {
            text.push(if dice.roll(8) == 0 { ':' } else { ';' });
        }
        let number = dice.one(&[0, 1, 2, 24, 80, 255, 6535, 65535, 4_000_000]);
        text.push_str(&number.to_string());
    }
    let mut bytes = text.into_bytes();
    bytes.push(dice.one(&finals));
    bytes
}

/// The crashers that were found in vt100 0.18.1, with the sizes that they need.
const CRASHERS: [(u16, u16, &str); 6] = [
    (24, 80, "\x1b[24;80H\u{26a0}\u{fe0f}\x1b[23;80Hx"),
    (24, 1, "\u{2764}\u{fe0f}"),
    (24, 1, "e\x0c1\u{fe0f}\u{20e3}"),
    (24, 80, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\x1b[80G\u{260e}\u{fe0f}\u{597d}\x1b[d\x1b[6535b"),
    (1, 1, "\u{26a0}\u{fe0f}\x1b[@"),
    (2, 2, "\u{1f469}\x1b[J\u{17d8}#"),
];

fn read_all(emulator: &mut Emulator, dice: &mut Dice) {
    let size = emulator.size();
    let _ = (emulator.modes(), emulator.title().len(), emulator.text().len(), emulator.snapshot().len());
    for (row, col) in [(0, 0), (size.rows, size.cols), (u16::MAX, u16::MAX)] {
        let _ = (emulator.screen().cell(row, col), emulator.screen().row_wrapped(row));
    }
    let above = dice.roll(50);
    assert!(emulator.scroll_to(above) <= above);
    assert_eq!(emulator.scroll_to(0), 0);
}

#[test]
fn the_known_crashers_are_survived() {
    quiet();
    let mut rebuilt = 0;
    for (rows, cols, bytes) in CRASHERS {
        for size in [TermSize { rows, cols }, TermSize::new(rows, cols)] {
            let mut emulator = Emulator::new(size, 100);
            emulator.feed(b"\x1b[?2004h\x1b[?1006h");
            let _drawn = emulator.screen();
            let fed = emulator.feed(bytes.as_bytes());
            rebuilt += u32::from(fed.rebuilt);
            read_all(&mut emulator, &mut Dice::new(1));
            assert!(emulator.modes().bracketed_paste, "the modes are kept");
            emulator.feed(b"\x1b[2J\x1b[Hok");
            assert!(emulator.text().contains("ok"), "{bytes:?}: {:?}", emulator.text());
        }
    }
    assert!(rebuilt > 0, "none of the crashers crashes any more: the containment may go");
}

/// V02: the session of one that failed goes on, and the others do not notice.
#[test]
fn a_failure_is_told_and_stays_in_its_emulator() {
    let mut victim = emulator();
    let mut other = emulator();
    other.feed(b"other");
    victim.feed("above\r\n".repeat(40).as_bytes());
    victim.feed(b"\x1b[?1049h\x1b[5;5Hshown");
    let _drawn = victim.screen();
    let fed = victim.feed(CRASHERS[0].2.as_bytes());
    assert!(fed.rebuilt);
    assert!(victim.text().contains("shown"), "what can be read is kept: {:?}", victim.text());
    victim.feed(b"\x1b[?1049l");
    assert!(victim.text().contains("above") && victim.scroll_to(10) == 10);
    victim.scroll_to(0);
    assert!(!victim.feed(b"\x1b[H\x1b[2Jagain").rebuilt);
    assert_eq!(victim.text().lines().next(), Some("again"));
    assert_eq!(other.text().lines().next(), Some("other"));
}

/// A screen that nobody asked for is drawn later, and is the same then.
#[test]
fn what_is_drawn_late_is_drawn_alike() {
    quiet();
    let mut dice = Dice::new(7);
    let mut compared = 0;
    for case in 0..3_000 {
        let size = TermSize::new(dice.one(&[24, 3, 50]), dice.one(&[80, 4, 200]));
        let (mut early, mut late) = (Emulator::new(size, 50), Emulator::new(size, 50));
        let _drawn = early.screen();
        let mut failed = false;
        for _ in 0..dice.roll(6) {
            let bytes = soup(&mut dice, 120);
            let one = early.feed(&bytes);
            assert_eq!(one.forward, late.feed(&bytes).forward, "case {case}");
            failed |= one.rebuilt;
            if dice.roll(4) == 0 {
                let size = TermSize::new(1 + u16::try_from(dice.roll(40)).unwrap(), 80);
                early.resize(size);
                late.resize(size);
            }
        }
        if !failed {
            compared += 1;
            assert_eq!(early.snapshot(), late.snapshot(), "case {case}");
        }
    }
    assert!(compared > 2_000, "{compared}");
}

/// A failure that is drawn late is told with the next output, and costs no more than itself.
#[test]
fn a_late_failure_is_told_as_well() {
    quiet();
    let (rows, cols, bytes) = CRASHERS[0];
    let mut emulator = Emulator::new(TermSize::new(rows, cols), 100);
    assert!(!emulator.feed(b"\x1b[5;5Hbefore").rebuilt);
    assert!(!emulator.feed(bytes.as_bytes()).rebuilt);
    assert!(!emulator.feed(b"\x1b[7;1Hafter").rebuilt);
    assert!(emulator.text().contains("before") && emulator.text().contains("after"), "{}", emulator.text());
    assert!(emulator.feed(b"x").rebuilt);
    assert!(!emulator.feed(b"x").rebuilt);
}

#[expect(clippy::print_stdout, reason = "how many panics there were is worth knowing")]
fn cases(count: usize, seed: u64) {
    quiet();
    let mut dice = Dice::new(seed);
    let mut rebuilt = 0_usize;
    let sizes = [(24, 80), (24, 80), (1, 2), (2, 2), (3, 4), (50, 200), (1, 80), (24, 2)];
    for case in 0..count {
        let (rows, cols) = dice.one(&sizes);
        let mut emulator = Emulator::new(TermSize::new(rows, cols), 50);
        for _ in 0..=dice.roll(3) {
            let bytes = soup(&mut dice, 120);
            rebuilt += usize::from(emulator.feed(&bytes).rebuilt);
            if dice.roll(3) == 0 {
                let size =
                    TermSize { rows: dice.roll(60).try_into().unwrap(), cols: dice.roll(120).try_into().unwrap() };
                emulator.resize(size);
            }
        }
        if case % 8 == 0 {
            read_all(&mut emulator, &mut dice);
        }
        emulator.feed(b"\x18\x1bcok");
        let first: String =
            (0..2).filter_map(|col| emulator.screen().cell(0, col)).map(vt100::Cell::contents).collect();
        let narrow = emulator.size().cols < 2;
        assert!(first == "ok" || narrow, "case {case} of seed {seed}: {}", emulator.text());
    }
    println!("{count} cases of seed {seed}, {rebuilt} contained panics");
}

/// A number that somebody asked for, or the usual one.
fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// A quarter of the cases: four tests run beside each other. `PODBAY_FUZZ_CASES` and `PODBAY_FUZZ_SEED` ask for others.
fn quarter(number: u64) {
    let seed = u64::try_from(asked("PODBAY_FUZZ_SEED", 1)).unwrap();
    cases(asked("PODBAY_FUZZ_CASES", 20_000) / 4, seed * 4 + number);
}

#[test]
fn v01_no_output_takes_it_down() {
    quarter(0);
}

#[test]
fn v01_no_output_takes_it_down_second_quarter() {
    quarter(1);
}

#[test]
fn v01_no_output_takes_it_down_third_quarter() {
    quarter(2);
}

#[test]
fn v01_no_output_takes_it_down_last_quarter() {
    quarter(3);
}

/// The slowest sequences there are, 4 KiB of each. The limit is for a build without optimisation on a busy machine;
/// what is promised is 50 ms.
#[test]
fn no_output_holds_it_up() {
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
    let slow = [
        "x\x1b[65535b",
        "\x1b[65535L",
        "\x1b[65535M",
        "\x1b[65535S",
        "\x1b[65535T",
        "\x1b[65535@",
        "\x1b[65535P",
        "\x1b[65535X",
        "\x1b[J",
        "\x1b[2J",
        "\x1b[3J",
        "\x1b[?1049h",
        "\x1bM",
        "\n",
        "\x1bc",
        "\x1b[4h好",
        "\x1b[I",
        "\x1b[65535Z",
        "\x1b[c",
        "\x1b[6n",
        "\x1b[38;2;1;2;3m",
        "⚠\u{fe0f}\x1b[80G",
    ];
    let mut slowest = (Duration::ZERO, "", TermSize::default());
    for size in [TermSize::default(), TermSize::new(60, 200), TermSize::new(200, 400)] {
        for sequence in slow {
            let mut emulator = Emulator::new(size, 200);
            emulator.feed("text 好 ".repeat(400).as_bytes());
            let bytes = sequence.repeat(4096 / sequence.len() + 1);
            // The best of three: other people's work on this machine is not what is measured.
            let best = (0..3)
                .map(|_| {
                    let begun = Instant::now();
                    emulator.feed(&bytes.as_bytes()[..4096.min(bytes.len())]);
                    begun.elapsed()
                })
                .min()
                .unwrap();
            if best > slowest.0 {
                slowest = (best, sequence, size);
            }
            assert!(best < limit, "{sequence:?} took {best:?} at {size:?}");
        }
    }
    println!("slowest 4 KiB: {:?} of {:?} at {:?}", slowest.0, slowest.1, slowest.2);
}

/// What a program does that draws is never refused, also on a large screen.
#[test]
fn drawing_a_large_screen_again_and_again_is_not_held_back() {
    let size = TermSize::new(100, 300);
    let mut emulator = Emulator::new(size, 100);
    let line = "x".repeat(60);
    let frame: String = (1..=100).map(|row| format!("\x1b[{row};1H\x1b[K{line}")).collect::<Vec<_>>().concat();
    for _ in 0..50 {
        let forward = emulator.feed(format!("\x1b[2J{frame}\x1b[S").as_bytes()).forward;
        assert!(forward.starts_with(b"\x1b[2J") && forward.ends_with(b"\x1b[1S"));
    }
}
