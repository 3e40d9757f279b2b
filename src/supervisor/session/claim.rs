//! What a session notes for the pool: the first bytes of a warm worker, and the first of a claimed one's command.

use std::time::{Duration, Instant};

use super::Peek;
use crate::bay::gate::{OPENED, READY};

/// First bytes that are kept.
const EARLY: usize = 256;

/// What was shown so far.
#[derive(Default)]
pub(super) struct Shown {
    peek: Peek,
    opening: Option<Opening>,
}

/// A gate that was woken, and has not let its command speak yet.
struct Opening {
    began: Instant,
    /// The end of what came before the gate's last bytes.
    tail: Vec<u8>,
}

/// Whether this history is that of a gate that waits: it has nothing to draw anew, and a late size would be the one
/// before its claim.
pub(super) fn waits(history: &[u8]) -> bool {
    history.trim_ascii_end().ends_with(READY.as_bytes())
}

impl Shown {
    /// A stream was opened, with this history.
    pub fn begin(&mut self, history: &[u8]) {
        let from = history.len().saturating_sub(EARLY);
        self.peek = Peek { early: history.get(from..).unwrap_or_default().to_vec(), output: 0 };
    }

    /// What was shown so far.
    pub fn peek(&self) -> Peek {
        self.peek.clone()
    }

    /// A gate was woken: for a claim of then, or (`None`) once more for a claimed one that runs anew.
    pub fn woken(&mut self, began: Option<Instant>) {
        self.opening = began.map(|began| Opening { began, tail: Vec::new() });
    }

    /// Takes output; the time since the claim if it is the first of a claimed worker's command.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Duration> {
        self.peek.output += bytes.len() as u64;
        let room = EARLY.saturating_sub(self.peek.early.len());
        self.peek.early.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        let opening = self.opening.as_mut()?;
        opening.tail.extend_from_slice(bytes);
        let mark = OPENED.as_bytes();
        match opening.tail.windows(mark.len()).position(|window| window == mark) {
            Some(at) if opening.tail.len() > at + mark.len() => {
                let took = opening.began.elapsed();
                self.opening = None;
                Some(took)
            }
            Some(_) => None,
            None => {
                let surplus = opening.tail.len().saturating_sub(mark.len());
                opening.tail.drain(..surplus);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_after_the_gate_is_the_commands() {
        let mut shown = Shown::default();
        shown.begin(b"");
        assert_eq!(shown.take(b"ready\r\n"), None);
        shown.woken(Some(Instant::now()));
        let text = format!("\r\n\r\n{OPENED}");
        for byte in text.as_bytes() {
            assert_eq!(shown.take(&[*byte]), None);
        }
        assert!(shown.take(b"$").is_some());
        assert_eq!(shown.take(b" "), None, "once");
        assert!(shown.peek().early.starts_with(b"ready\r\n\r\n"));
        shown.woken(Some(Instant::now()));
        assert!(shown.take(format!("\r\n{OPENED}x").as_bytes()).is_some());
    }

    #[test]
    fn a_restart_is_no_claim() {
        let mut shown = Shown::default();
        shown.begin(b"");
        shown.woken(None);
        assert_eq!(shown.take(format!("\r\n{OPENED}x").as_bytes()), None, "nobody claimed it");
    }
}
