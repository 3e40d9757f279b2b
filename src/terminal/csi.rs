//! One CSI sequence, parsed.

/// Parameters beyond so many are dropped, as the emulator does.
const MAX_PARAMS: usize = 32;

/// A CSI sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Csi {
    /// `<`, `=`, `>`, `?`, or 0.
    pub private: u8,
    /// One intermediate, or 0.
    pub intermediate: u8,
    /// The final byte.
    pub last: u8,
    params: [Param; MAX_PARAMS],
    len: usize,
}

/// A number, and whether a colon ties it to the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Param {
    pub value: u16,
    pub tied: bool,
}

impl Csi {
    /// `None` when it is malformed, or of a shape that no terminal knows.
    pub fn parse(between: &[u8], last: u8) -> Option<Self> {
        let (private, rest) = match between {
            [private @ (b'<' | b'=' | b'>' | b'?'), rest @ ..] => (*private, rest),
            rest => (0, rest),
        };
        let split = rest.iter().position(|b| (0x20..0x30).contains(b)).unwrap_or(rest.len());
        let (numbers, tail) = rest.split_at(split);
        let intermediate = match tail {
            [] => 0,
            [one] => *one,
            _ => return None,
        };
        let mut csi = Self { private, intermediate, last, params: [Param::default(); MAX_PARAMS], len: 0 };
        if numbers.is_empty() {
            return Some(csi);
        }
        let mut param = Param::default();
        for byte in numbers {
            match byte {
                b'0'..=b'9' => {
                    param.value = param.value.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                }
                b';' | b':' => {
                    csi.add(param);
                    param = Param { value: 0, tied: *byte == b':' };
                }
                _ => return None,
            }
        }
        csi.add(param);
        Some(csi)
    }

    fn add(&mut self, param: Param) {
        if let Some(slot) = self.params.get_mut(self.len) {
            *slot = param;
            self.len += 1;
        }
    }

    /// How many numbers there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// All numbers with their ties.
    pub fn params(&self) -> &[Param] {
        self.params.get(..self.len).unwrap_or_default()
    }

    /// All numbers.
    pub fn values(&self) -> impl Iterator<Item = u16> + '_ {
        self.params().iter().map(|p| p.value)
    }

    /// One number, 0 when absent.
    pub fn value(&self, index: usize) -> u16 {
        self.params().get(index).map_or(0, |p| p.value)
    }

    /// One number as a count or position: at least 1.
    pub fn count(&self, index: usize) -> u16 {
        self.value(index).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_ties_and_marks() {
        let csi = Csi::parse(b"?1;99999:3$", b'p').unwrap();
        assert_eq!((csi.private, csi.intermediate), (b'?', b'$'));
        assert_eq!(csi.values().collect::<Vec<_>>(), [1, u16::MAX, 3]);
        assert!(csi.params()[2].tied && !csi.params()[1].tied);
        assert_eq!(Csi::parse(b";5", b'H').unwrap().values().collect::<Vec<_>>(), [0, 5]);
        assert_eq!(Csi::parse(b"", b'm').unwrap().len(), 0);
        for malformed in [&b"1?"[..], b"1 2", b"$$", b"1<"] {
            assert!(Csi::parse(malformed, b'm').is_none(), "{malformed:?}");
        }
    }
}
