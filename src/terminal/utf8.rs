//! UTF-8, a byte at a time.

/// One thing read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 0x00 to 0x7f.
    Ascii(u8),
    /// 0x80 to 0x9f, as a stray byte or as a character.
    C1(u8),
    /// U+00A0 and up.
    Char(char),
    /// Bytes that are no character.
    Invalid,
}

/// Holds the beginning of a character that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: [u8; 4],
    len: usize,
    want: usize,
}

impl Decoder {
    /// Whether nothing is held.
    pub const fn is_idle(&self) -> bool {
        self.len == 0
    }

    /// Takes a byte. The flag says that what was held turned out to be no character; it comes before the unit.
    pub fn push(&mut self, byte: u8) -> (bool, Option<Unit>) {
        if self.len == 0 {
            return (false, self.first(byte));
        }
        if !self.may_follow(byte) {
            self.len = 0;
            return (true, self.first(byte));
        }
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len += 1;
        if self.len < self.want {
            return (false, None);
        }
        let whole = self.bytes.get(..self.len).unwrap_or_default();
        let decoded = std::str::from_utf8(whole).ok().and_then(|text| text.chars().next());
        self.len = 0;
        (
            false,
            Some(match decoded {
                Some(c @ '\u{80}'..='\u{9f}') => Unit::C1(u8::try_from(u32::from(c)).unwrap_or_default()),
                Some(c) => Unit::Char(c),
                None => Unit::Invalid,
            }),
        )
    }

    fn first(&mut self, byte: u8) -> Option<Unit> {
        self.want = match byte {
            0..=0x7f => return Some(Unit::Ascii(byte)),
            0x80..=0x9f => return Some(Unit::C1(byte)),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Some(Unit::Invalid),
        };
        self.bytes = [byte, 0, 0, 0];
        self.len = 1;
        None
    }

    /// Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte.
    const fn may_follow(&self, byte: u8) -> bool {
        let [lead, ..] = self.bytes;
        match (self.len, lead) {
            (1, 0xe0) => matches!(byte, 0xa0..=0xbf),
            (1, 0xed) => matches!(byte, 0x80..=0x9f),
            (1, 0xf0) => matches!(byte, 0x90..=0xbf),
            (1, 0xf4) => matches!(byte, 0x80..=0x8f),
            _ => matches!(byte, 0x80..=0xbf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the standard library reads it, C1 apart.
    #[test]
    fn agrees_with_the_standard_library() {
        let samples: [&[u8]; 8] = [
            "aé好😀".as_bytes(),
            b"\xe5\xa5A",
            b"\xf0\x9f\x98",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xffa\xfe",
            b"\xe2\x28\xa1",
        ];
        for bytes in samples {
            let mut decoder = Decoder::default();
            let mut read = String::new();
            let mut add = |unit| match unit {
                Unit::Ascii(b) => read.push(char::from(b)),
                Unit::Char(c) => read.push(c),
                Unit::Invalid | Unit::C1(_) => read.push('\u{fffd}'),
            };
            for byte in bytes {
                let (broken, unit) = decoder.push(*byte);
                if broken {
                    add(Unit::Invalid);
                }
                unit.into_iter().for_each(&mut add);
            }
            if !decoder.is_idle() {
                add(Unit::Invalid);
            }
            assert_eq!(read, String::from_utf8_lossy(bytes), "{bytes:?}");
        }
    }
}
