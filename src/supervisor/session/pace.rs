//! How much a client is sent of a program that prints faster than anybody reads.

use std::time::Duration;

use tokio::time::Instant;

/// Between two resets: a screen is not drawn for clients that are behind more often than they could look at it.
pub const RESET_PACE: Duration = Duration::from_millis(50);
/// What a client that draws frames is sent of live bytes in that time at most: more than a screen of text has.
const MOST: usize = 64 * 1024;
/// The same while a flood lasts.
const GOES_ON: usize = 4 * 1024;

/// How much a client wants of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Every byte, as long as it keeps up: a terminal with a scrollback of its own.
    #[default]
    Bytes,
    /// The screen as it is, some times a second: it only draws.
    Frames,
}

/// How much a program prints.
#[derive(Debug)]
pub struct Flood {
    pace: Pace,
    since: Instant,
    bytes: usize,
    goes_on: bool,
}

impl Flood {
    /// Nothing yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, since: Instant::now(), bytes: 0, goes_on: false }
    }

    /// So much more was printed. Whether the client had better be sent the screen instead.
    pub fn takes(&mut self, bytes: usize) -> bool {
        if self.pace == Pace::Bytes {
            return false;
        }
        if self.since.elapsed() >= RESET_PACE {
            self.goes_on = self.bytes > self.most();
            self.since = Instant::now();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.bytes > self.most()
    }

    /// Whether it goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let much = self.goes_on || self.bytes > self.most();
        self.pace == Pace::Frames && much && self.since.elapsed() < 2 * RESET_PACE
    }

    const fn most(&self) -> usize {
        if self.goes_on { GOES_ON } else { MOST }
    }
}
