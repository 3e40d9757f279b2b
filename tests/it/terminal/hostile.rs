//! Hostile strings: each row of the catalogue's table of escape sequences, in 7-bit and 8-bit form, nested, unterminated.

use podbay::terminal::safe::Safe;

/// Sequences in their 7-bit form; the 8-bit forms are made from them.
const SEQUENCES: [&str; 26] = [
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]52;c;?\x1b\\",
    "\x1b]8;;http://evil.example\x1b\\text\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x1b]2;title\x1b\\",
    "\x1b[21t",
    "\x1b[8;2;2t",
    "\x1bP$q\"p\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b[6n",
    "\x1b[c",
    "\x1b[>c",
    "\x1b]10;?\x07",
    "\x1b]11;?\x1b\\",
    "\x1b]50;?\x07",
    "\x1b]9;notify\x07",
    "\x1b]777;notify;a;b\x07",
    "\x1b]1337;File=name=eA==:AAAA\x07",
    "\x1b_Gi=1;AAAA\x1b\\",
    "\x1b^private\x1b\\",
    "\x1bXstring\x1b\\",
    "\x1b[2J\x1b[H",
    "\x1b[?1049h",
    "\x1b[?1000;1006h",
    "\x1b[>1u",
    "\x1b[4i",
];

/// Strings that are no sequence with an 8-bit form.
const OTHERS: [&str; 9] = [
    "\x1bc",
    "a\rb\x08\x0c\x0b\x00\x7f",
    "\x0e\x1b)0lqk\x0f",
    "a\u{202e}b\u{202c}",
    "a\u{2066}b\u{2069}",
    "a\u{200b}b\u{feff}\u{2060}",
    "\u{e0041}\u{e0042}\u{e007f}",
    "a\u{2028}b\u{2029}",
    "\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\x07\x1b\\",
];

/// All of them, as bytes: at least 61.
pub fn strings() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = SEQUENCES.iter().map(|s| s.as_bytes().to_vec()).collect();
    all.extend(SEQUENCES.iter().map(|s| eight_bit(s.as_bytes())));
    all.extend(OTHERS.iter().map(|s| s.as_bytes().to_vec()));
    // The 8-bit forms as UTF-8 characters.
    all.extend(["\u{9b}2J", "\u{9d}0;title\u{9c}", "\u{90}$qm\u{9c}", "\u{9f}x\u{9c}"].map(|s| s.as_bytes().to_vec()));
    // Unterminated.
    all.extend([&b"\x1b]0;never"[..], b"\x1bPnever", b"\x1b[38;5;", b"\x1b", b"\x9d52;c;"].map(<[u8]>::to_vec));
    // Nested.
    all.extend(
        [&b"\x1b]0;a\x1b]52;c;QQ==\x07b\x07"[..], b"\x1b[1\x1b[2J;2H", b"\x1bP\x9d0;x\x07\x1b\\"].map(<[u8]>::to_vec),
    );
    all
}

fn eight_bit(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if let (0x1b, [next @ 0x40..=0x5f, tail @ ..]) = (first, after) {
            out.push(next + 0x40);
            rest = tail;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// A character that no plain text on a terminal may hold.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// S01, the first sink: what everything else is made of.
#[test]
fn no_hostile_string_survives_as_text() {
    let all = strings();
    assert!(all.len() >= 61, "{}", all.len());
    for bytes in &all {
        let safe = Safe::from_bytes(bytes);
        assert!(!safe.as_str().chars().any(acts), "{bytes:?} became {safe:?}");
        // Also in two pieces, wherever it is cut.
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            let both = format!("{}{}", Safe::from_bytes(left), Safe::from_bytes(right));
            assert!(!both.chars().any(acts), "{bytes:?} cut at {at} became {both:?}");
        }
        assert!(!safe.as_str().is_empty(), "{bytes:?} vanished");
    }
}
