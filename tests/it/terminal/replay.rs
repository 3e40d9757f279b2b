//! V05: a snapshot brings a fresh terminal to the same screen.

use std::fmt::Write as _;

use super::{Dice, emulator, fuzz};
use podbay::bay::session::TermSize;
use podbay::terminal::emulator::Emulator;

/// All that can be seen of an emulator, scrollback included.
#[derive(Debug, PartialEq)]
struct Seen {
    pages: Vec<String>,
    looks: Vec<String>,
    cursor: (u16, u16),
    modes: podbay::terminal::emulator::Modes,
    input: String,
    pen: String,
}

fn seen(emulator: &mut Emulator) -> Seen {
    let mut pages = Vec::new();
    let mut looks = Vec::new();
    let top = emulator.scroll_to(usize::MAX);
    for above in (0..=top).rev() {
        emulator.scroll_to(above);
        pages.push(emulator.text());
        looks.push(look(emulator));
    }
    let screen = emulator.screen();
    Seen {
        pages,
        looks,
        cursor: screen.cursor_position(),
        modes: emulator.modes(),
        input: screen.input_mode_formatted(),
        pen: screen.attributes_formatted(),
    }
}

/// Colours and flags, where they can be seen.
fn look(emulator: &Emulator) -> String {
    let size = emulator.size();
    let mut text = String::new();
    for row in 0..size.rows {
        for cell in (0..size.cols).filter_map(|col| emulator.screen().cell(row, col)) {
            if cell.is_wide_continuation() {
                continue;
            }
            let flags = [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()];
            let _ = write!(text, "{:?}{:?}{flags:?}", cell.fgcolor(), cell.bgcolor());
        }
    }
    text
}

fn replayed(emulator: &Emulator) -> Emulator {
    let mut fresh = Emulator::new(emulator.size(), 200);
    let fed = fresh.feed(&emulator.snapshot());
    assert!(fed.replies.is_empty() && fed.bells == 0, "a snapshot asks and rings nothing");
    fresh
}

#[test]
fn dump_and_replay_are_equal() {
    let mut long = String::new();
    for i in 0..100 {
        let _ = write!(long, "line {i} \x1b[3{}mcolour\x1b[0m\r\n", i % 8);
    }
    for text in [
        "",
        "$ ",
        long.as_str(),
        &format!("{long}\x1b[?1049h\x1b[?1000h\x1b[?1006h\x1b[?25l\x1b[5;5H\x1b[44mTUI 好\x1b[K\x1b[2;20r\x1b[7;9H"),
        &"wrapped text that goes on and on ".repeat(20),
        "\x1b[1;79H好\x1b[31m",
        "\x1b[24;80Hx",
        "\x1b[?2004h\x1b[?1h\x1b=\x1b[?1004h\x1b[4 q\x1b[1;3;4;7;38;5;200;48;2;1;2;3mstyled",
        "a\x1b[10Cb\x1b[41m\x1b[2K\x1b[0m\r\n\x1b[42m\x1b[5Xtext",
        "\x1b[5;10r\x1b[8;1Hinside",
        "e\u{301}👩\u{200d}💻 ⚠\u{fe0f} done",
    ] {
        let mut first = emulator();
        first.feed(text.as_bytes());
        let mut second = replayed(&first);
        assert_eq!(seen(&mut second), seen(&mut first), "{text:?}");
    }
}

/// What lies under an alternate screen is in the snapshot too.
#[test]
fn leaving_the_alternate_screen_after_a_replay_shows_the_main_one() {
    let mut first = emulator();
    first.feed("one\r\ntwo\r\n".repeat(40).as_bytes());
    first.feed(b"prompt$ \x1b[32m\x1b[?1049h\x1b[2J\x1b[31mvim");
    let mut second = replayed(&first);
    for emulator in [&mut first, &mut second] {
        emulator.feed(b"\x1b[?1049l");
    }
    assert_eq!(seen(&mut second), seen(&mut first));
}

/// The scroll region is in force after a replay.
#[test]
fn a_replayed_screen_goes_on_alike() {
    let mut first = emulator();
    first.feed(b"top\x1b[24;1Hstatus\x1b[1;20r\x1b[20;1Hlast line");
    let mut second = replayed(&first);
    for emulator in [&mut first, &mut second] {
        emulator.feed(b"\n\n\nmore");
    }
    assert_eq!(seen(&mut second), seen(&mut first));
    assert!(second.text().ends_with("status"));
}

#[test]
fn a_random_screen_is_replayed() {
    let mut dice = Dice::new(5);
    let mut differing = Vec::new();
    for case in 0..400 {
        let mut first = emulator();
        let bytes = fuzz::soup(&mut dice, 600);
        if first.feed(&bytes).rebuilt {
            continue;
        }
        let mut second = replayed(&first);
        if seen(&mut second).pages != seen(&mut first).pages {
            differing.push((case, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    println!("{} of 400 differ", differing.len());
    // Cells that only a broken pair of wide characters makes are drawn as what they look like.
    assert!(differing.len() <= 4, "{} of 400 differ, the first: {:?}", differing.len(), differing.first());
}

/// What programs print that floods: mostly lines, now and then something that moves.
fn flood(dice: &mut Dice, length: usize, odd: usize) -> Vec<u8> {
    let colours = ["\x1b[31m", "\x1b[0m", "\x1b[1;44m", "\x1b[m", "\x1b[38;5;200m", "", "", ""];
    let odds = [
        "\x1b[2A",
        "\x1b[2J\x1b[H",
        "\x1b[5;10r",
        "\x1b[r",
        "\x1b[?1049h",
        "\x1b[?1049l",
        "\x1b7",
        "\x1b8",
        "\n\n",
        "\x1bM",
        "\x1b[?25l",
        "\x1b[3L",
        "\x1b[10;10H",
        "\x1bc",
        "\x1b[6n",
        "\x07",
        "\x1b]0;title\x07",
    ];
    let mut bytes = Vec::new();
    let mut number = 0;
    while bytes.len() < length {
        number += 1;
        let _ = std::io::Write::write_fmt(
            &mut bytes,
            format_args!(
                "{}{number} {}{}",
                dice.pick(&colours),
                "wide \u{597d} text ".repeat(dice.roll(8)),
                dice.pick(&colours)
            ),
        );
        bytes.extend_from_slice(dice.pick(&["\r\n", "\r\n", "\r\n", "\x1b[K\r\n", "\t|\r\n"]).as_bytes());
        if dice.roll(odd) == 0 {
            bytes.extend_from_slice(dice.pick(&odds).as_bytes());
        }
    }
    bytes
}

/// What is put aside, and passed over because nobody could see it any more, leaves the screen that it would have left.
#[test]
fn a_flood_ends_as_if_all_of_it_had_been_drawn() {
    let mut dice = Dice::new(11);
    for case in 0..16 {
        let odd = dice.one(&[1_000_000, 20_000, 2000, 200]);
        let bytes = flood(&mut dice, 400_000, odd);
        let (mut lazy, mut eager) = (emulator(), emulator());
        let (mut replies, mut answered) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(100 + dice.roll(120_000)) {
            replies.extend(lazy.feed(piece).replies);
            // Now and then somebody looks.
            if dice.roll(12) == 0 {
                let _ = lazy.text();
            }
        }
        // Looked at all the time, and in pieces that are too small to be put aside.
        for piece in bytes.chunks(1000) {
            answered.extend(eager.feed(piece).replies);
            let _ = eager.screen();
        }
        assert_eq!(replies, answered, "case {case}");
        assert!(!lazy.settle() && !lazy.is_behind());
        assert!(seen(&mut lazy) == seen(&mut eager), "case {case}, {odd}");
    }
}

#[test]
fn a_snapshot_after_a_resize_loses_no_text() {
    let mut first = emulator();
    first.feed("0123456789".repeat(7).as_bytes());
    first.feed("\r\n".repeat(30).as_bytes());
    first.resize(TermSize::new(24, 40));
    let mut second = replayed(&first);
    let text = seen(&mut second).pages.concat();
    assert!(text.contains(&"0123456789".repeat(4)) && text.contains(&"0123456789".repeat(3)));
}
