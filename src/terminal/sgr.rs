//! Colours and attributes, written so that emulator and terminals read the same.

use std::fmt::Write as _;

use super::csi::{Csi, Param};

/// Fewer than the emulator takes in one sequence.
const AT_ONCE: usize = 16;

/// Writes an SGR sequence anew: colon forms as semicolons, underline styles as plain underline, underline colours and
/// unknown codes left out.
pub(super) fn rewrite(csi: &Csi, out: &mut Vec<u8>) {
    if csi.len() == 0 {
        out.extend_from_slice(b"\x1b[0m");
        return;
    }
    let mut codes: Vec<u16> = Vec::with_capacity(csi.len());
    let mut rest = csi.params();
    while let Some((first, after)) = rest.split_first() {
        let tied = after.iter().take_while(|p| p.tied).count();
        let (subs, next) = after.split_at(tied);
        let before = codes.len();
        rest = one(first.value, subs, next, &mut codes);
        // A colour and its numbers never stand in two sequences.
        if codes.len() > AT_ONCE {
            let surplus = codes.split_off(before);
            write(&codes, out);
            codes = surplus;
        }
    }
    write(&codes, out);
}

/// Passes on what is written in that form already, as nearly all is. `false`: it is not, and nothing was written.
pub(super) fn pass(between: &[u8], out: &mut Vec<u8>) -> bool {
    if between.is_empty() {
        out.extend_from_slice(b"\x1b[0m");
        return true;
    }
    let mut numbers = [0; AT_ONCE];
    let mut count = 0;
    for digits in between.split(|byte| *byte == b';') {
        let (Some(number), Some(slot)) = (short(digits), numbers.get_mut(count)) else { return false };
        *slot = number;
        count += 1;
    }
    let mut rest = numbers.get(..count).unwrap_or_default();
    while let Some((code, after)) = rest.split_first() {
        rest = match (code, after) {
            (38 | 48, [5, n, after @ ..]) if *n <= 255 => after,
            (38 | 48, [2, r, g, b, after @ ..]) if r.max(g).max(b) <= &255 => after,
            (code, after) if is_attribute(*code) => after,
            _ => return false,
        };
    }
    out.extend_from_slice(b"\x1b[");
    out.extend_from_slice(between);
    out.push(b'm');
    true
}

/// A number as it is written shortest.
fn short(digits: &[u8]) -> Option<u16> {
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
        }
        _ => None,
    }
}

/// Codes that stand for themselves.
const fn is_attribute(code: u16) -> bool {
    matches!(code, 0..=9 | 22..=25 | 27..=37 | 39..=47 | 49 | 53 | 55 | 90..=97 | 100..=107)
}

/// Takes one attribute with the sub-parameters tied to it; returns what is left of the parameters after it.
fn one<'a>(code: u16, subs: &'a [Param], next: &'a [Param], codes: &mut Vec<u16>) -> &'a [Param] {
    match code {
        38 | 48 | 58 => {
            let (colour, left) = if subs.is_empty() { loose_colour(next) } else { (tied_colour(subs), next) };
            if let (Some(colour), true) = (colour, code != 58) {
                codes.push(code);
                codes.extend(colour);
            }
            return left;
        }
        4 if !subs.is_empty() => codes.push(if subs.first().is_some_and(|p| p.value == 0) { 24 } else { 4 }),
        21 => codes.push(4),
        code if is_attribute(code) => codes.push(code),
        _ => {}
    }
    next
}

/// `2;r;g;b` or `5;n` at the front of what follows.
fn loose_colour(next: &[Param]) -> (Option<Vec<u16>>, &[Param]) {
    let take = |count: usize| {
        let (colour, left) = next.split_at_checked(count).unwrap_or((&[], &[]));
        (checked(colour.iter().map(|p| p.value).collect()), left)
    };
    match next.first().map(|p| p.value) {
        Some(2) => take(4),
        Some(5) => take(2),
        // Not a colour: what follows would be misread.
        _ => (None, &[]),
    }
}

/// `2:r:g:b`, `2:space:r:g:b` or `5:n`.
fn tied_colour(subs: &[Param]) -> Option<Vec<u16>> {
    let values: Vec<u16> = subs.iter().map(|p| p.value).collect();
    match values.as_slice() {
        [2, _, r, g, b, ..] | [2, r, g, b] => checked(vec![2, *r, *g, *b]),
        [5, n, ..] => checked(vec![5, *n]),
        _ => None,
    }
}

fn checked(colour: Vec<u16>) -> Option<Vec<u16>> {
    (!colour.is_empty() && colour.iter().all(|v| *v <= 255)).then_some(colour)
}

fn write(codes: &[u16], out: &mut Vec<u8>) {
    if codes.is_empty() {
        return;
    }
    let mut text = String::from("\x1b[");
    for (i, code) in codes.iter().enumerate() {
        let separator = if i == 0 { "" } else { ";" };
        // Writing to a string can't fail.
        let _ = write!(text, "{separator}{code}");
    }
    text.push('m');
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_what_would_be_written() {
        let codes = [
            "0", "1", "4", "21", "22", "26", "31", "38", "48", "5", "2", "200", "255", "256", "107", "73", "", "07",
            "4:3",
        ];
        let mut passed = 0;
        for number in 0..60_000_usize {
            let picked = (0..=number % 7).map(|at| codes[(number / 7 + at * (1 + number / 131)) % codes.len()]);
            let text = picked.collect::<Vec<_>>().join(";");
            let (mut quick, mut slow) = (Vec::new(), Vec::new());
            rewrite(&Csi::parse(text.as_bytes(), b'm').unwrap(), &mut slow);
            if pass(text.as_bytes(), &mut quick) {
                passed += 1;
                assert_eq!(quick, slow, "{text}");
            } else {
                assert!(quick.is_empty(), "{text}");
            }
        }
        assert!(passed > 1000, "{passed}");
    }

    #[test]
    fn writes_what_everybody_reads() {
        for (from, to) in [
            ("", "\x1b[0m"),
            ("0;1;31", "\x1b[0;1;31m"),
            ("38;5;200;1", "\x1b[38;5;200;1m"),
            ("38:2::1:2:3", "\x1b[38;2;1;2;3m"),
            ("38:2:1:2:3;4", "\x1b[38;2;1;2;3;4m"),
            ("48:5:9", "\x1b[48;5;9m"),
            ("4:3", "\x1b[4m"),
            ("4:0", "\x1b[24m"),
            ("58;5;1;7", "\x1b[7m"),
            ("58:2::1:2:3", ""),
            ("38;2;300;0;0;1", "\x1b[1m"),
            ("38;9;1", ""),
            ("12;73", ""),
        ] {
            let mut out = Vec::new();
            rewrite(&Csi::parse(from.as_bytes(), b'm').unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), to, "{from}");
        }
    }

    #[test]
    fn a_long_list_becomes_several() {
        let from = "38;2;1;2;3;48;2;4;5;6;1;2;3;38;2;7;8;9;48;2;1;1;1;7;4";
        let mut out = Vec::new();
        rewrite(&Csi::parse(from.as_bytes(), b'm').unwrap(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[38;2;1;2;3;48;2;4;5;6;1;2;3m\x1b[38;2;7;8;9;48;2;1;1;1;7;4m");
    }
}
