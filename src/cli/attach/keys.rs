//! The one key that podbay keeps for itself while a program has the terminal.

/// Ctrl-q as a plain byte.
const PLAIN: u8 = 0x11;
/// Ctrl-q as terminals send it that were asked to tell keys apart (kitty's protocol, xterm's modifyOtherKeys).
const ENCODED: [&[u8]; 3] = [b"\x1b[113;5u", b"\x1b[113;5:1u", b"\x1b[27;5;113~"];
/// Its release, where the program asked for releases.
const RELEASE: &[u8] = b"\x1b[113;5:3u";
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// Finds Ctrl-q in what is typed. Once: the user wants to leave, unless it comes again at once; twice: it is meant for
/// the program. Inside a paste it is a byte like any other. No other byte is held back or changed.
#[derive(Debug, Default)]
pub struct LeaveKey {
    pasting: bool,
    /// Bytes of the bracket that is looked for, seen so far.
    seen: usize,
    /// The key came once, and nothing after it yet.
    armed: bool,
}

/// What a portion of typed bytes means.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// For the program.
    pub bytes: Vec<u8>,
    /// Leave now; what followed is for nobody.
    pub leave: bool,
}

impl LeaveKey {
    /// Whether the key came, and is waited for again.
    pub fn is_armed(&self) -> bool {
        self.armed
    }

    /// Takes what was typed.
    pub fn take(&mut self, mut typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len());
        while let Some((first, rest)) = typed.split_first() {
            if let Some(length) = self.key(typed) {
                let (key, after) = typed.split_at(length);
                if self.armed {
                    bytes.extend_from_slice(key);
                }
                self.armed = !self.armed;
                typed = after;
            } else if self.armed && typed.starts_with(RELEASE) {
                typed = typed.get(RELEASE.len()..).unwrap_or_default();
            } else if self.armed {
                return Typed { bytes, leave: true };
            } else {
                self.follow_paste(*first);
                bytes.push(*first);
                typed = rest;
            }
        }
        Typed { bytes, leave: false }
    }

    /// Length of the key at the front, if it is there.
    fn key(&self, typed: &[u8]) -> Option<usize> {
        if self.pasting {
            return None;
        }
        if typed.first() == Some(&PLAIN) {
            return Some(1);
        }
        // A terminal sends a key in one piece; one that is cut in two goes to the program.
        ENCODED.iter().find(|key| typed.starts_with(key)).map(|key| key.len())
    }

    /// The brackets are looked for across portions; only their first byte can begin one, so a mismatch starts anew.
    fn follow_paste(&mut self, byte: u8) {
        let bracket = if self.pasting { PASTE_ENDS } else { PASTE_BEGINS };
        let matches = bracket.get(self.seen) == Some(&byte);
        self.seen = if matches { self.seen + 1 } else { usize::from(bracket.first() == Some(&byte)) };
        if self.seen == bracket.len() {
            self.pasting = !self.pasting;
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that got through, and whether the user left.
    fn typed(portions: &[&[u8]]) -> (Vec<u8>, bool, bool) {
        let mut key = LeaveKey::default();
        let mut bytes = Vec::new();
        for portion in portions {
            let got = key.take(portion);
            bytes.extend(got.bytes);
            if got.leave {
                return (bytes, true, key.is_armed());
            }
        }
        (bytes, false, key.is_armed())
    }

    #[test]
    fn once_arms_and_twice_goes_through() {
        assert_eq!(typed(&[b"ab\x11"]), (b"ab".to_vec(), false, true));
        assert_eq!(typed(&[b"ab\x11", b"\x11c"]), (b"ab\x11c".to_vec(), false, false));
        assert_eq!(typed(&[b"\x11\x11\x11"]), (b"\x11".to_vec(), false, true));
        assert_eq!(typed(&[b"a\x11bc", b"d"]), (b"a".to_vec(), true, true));
    }

    #[test]
    fn keys_of_newer_protocols_count() {
        assert_eq!(typed(&[b"a\x1b[113;5u"]), (b"a".to_vec(), false, true));
        assert_eq!(typed(&[b"\x1b[113;5:1u\x1b[113;5:3u"]), (Vec::new(), false, true));
        assert_eq!(typed(&[b"\x1b[113;5u\x1b[113;5u"]), (b"\x1b[113;5u".to_vec(), false, false));
        assert_eq!(typed(&[b"\x1b[113;6u"]), (b"\x1b[113;6u".to_vec(), false, false));
    }

    #[test]
    fn a_paste_is_not_read() {
        let paste: &[u8] = b"x\x1b[200~a\x11b\x1b[201~";
        for cut in 0..paste.len() {
            let (head, tail) = paste.split_at(cut);
            assert_eq!(typed(&[head, tail]), (paste.to_vec(), false, false), "cut at {cut}");
            assert_eq!(typed(&[head, tail, b"\x11"]), (paste.to_vec(), false, true), "cut at {cut}");
        }
    }

    #[test]
    fn all_other_bytes_go_through_in_any_portions() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != PLAIN).collect();
        for size in 1..=all.len() {
            let portions: Vec<&[u8]> = all.chunks(size).collect();
            assert_eq!(typed(&portions), (all.clone(), false, false), "portions of {size}");
        }
    }
}
