//! V06: questions are answered once, to the program, in order.

use super::emulator;
use podbay::bay::session::TermSize;

fn replies(text: &str) -> String {
    String::from_utf8(emulator().feed(text.as_bytes()).replies).unwrap()
}

#[test]
fn answers_what_programs_wait_for() {
    for (question, answer) in [
        ("\x1b[c", "\x1b[?62;22c"),
        ("\x1b[0c\x1bZ", "\x1b[?62;22c\x1b[?62;22c"),
        ("\x1b[>c", "\x1b[>0;276;0c"),
        ("\x1b[>q", "\x1bP>|podbay\x1b\\"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[6n", "\x1b[1;1R"),
        ("ab\x1b[6ncd\n\x1b[6n", "\x1b[1;3R\x1b[2;5R"),
        ("\x1b[3;7H\x1b[?6n", "\x1b[?3;7R"),
        ("\x1b[5;9r\x1b[?6h\x1b[2;3H\x1b[6n", "\x1b[2;3R"),
        ("\x1b[18t\x1b[19t", "\x1b[8;24;80t\x1b[9;24;80t"),
        ("\x1b[?2004$p\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;2$y\x1b[?2004;1$y"),
        ("\x1b[?25$p\x1b[?7$p\x1b[?2026$p\x1b[?2027$p", "\x1b[?25;1$y\x1b[?7;1$y\x1b[?2026;2$y\x1b[?2027;0$y"),
        ("\x1b[4$p\x1b[20$p", "\x1b[4;2$y\x1b[20;0$y"),
        // Only the first flag is there to be had.
        ("\x1b[?u\x1b[>31u\x1b[?u\x1b[<u\x1b[?u", "\x1b[?0u\x1b[?1u\x1b[?0u"),
        ("\x1b]10;?\x07", "\x1b]10;rgb:cccc/cccc/cccc\x07"),
        ("\x1b]11;?\x1b\\", "\x1b]11;rgb:0000/0000/0000\x1b\\"),
        ("\x1bP$qm\x1b\\\x1bP+q544e\x1b\\", "\x1bP0$r\x1b\\\x1bP0+r\x1b\\"),
        // The cursor waits behind the last column.
        ("\x1b[1;80Hx\x1b[6n", "\x1b[1;80R"),
    ] {
        assert_eq!(replies(question), answer, "{question:?}");
    }
}

/// Titles, clipboard, pixels and echoes are nobody's to ask for.
#[test]
fn answers_nothing_that_a_program_could_have_written() {
    let silent = [
        "\x1b]0;rm -rf\x07\x1b[21t\x1b[20t\x1b[22t\x1b[23t",
        "\x1b[14t\x1b[16t\x1b[11t\x1b[13t",
        "\x1b]52;c;?\x07\x1b]50;?\x07\x1b]4;1;?\x07\x1b]12;?\x07",
        "\x1b[>1u\x1b[=c\x1b[x\x1b[1;1;1;1;1;1*y",
        "\x05\x1b[?15n\x1b[?26n\x1b[?996n\x1b[?2;1;0S",
        "\x1b[?62;22c\x1b[1;1R\x1b[0n",
    ];
    for question in silent {
        assert_eq!(replies(question), "", "{question:?}");
    }
}

#[test]
fn questions_are_not_forwarded_and_answers_are_bounded() {
    let mut emulator = emulator();
    let fed = emulator.feed("\x1b[c\x1b[6n".repeat(100_000).as_bytes());
    assert!(fed.forward.is_empty());
    assert!((1..=16 * 1024).contains(&fed.replies.len()), "{}", fed.replies.len());
    assert_eq!(emulator.feed(b"\x1b[5n").replies, b"\x1b[0n");
}

#[test]
fn a_resize_is_answered_with_the_new_size() {
    let mut emulator = emulator();
    emulator.resize(TermSize::new(50, 132));
    assert_eq!(emulator.feed(b"\x1b[18t").replies, b"\x1b[8;50;132t");
    emulator.resize(TermSize { rows: 0, cols: 0 });
    assert_eq!(emulator.size(), TermSize::default());
}
