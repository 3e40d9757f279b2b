//! Whether the program of a terminal waits for somebody: what it writes, what is typed into it, and what its screen
//! looks like once it is still. Reads no clock: time is an argument, so that a recorded hour is judged in a moment.

use std::time::Duration;

use jiff::Timestamp;

use super::attention;
use super::emulator::{Emulator, Fed};
use crate::bay::attention::{Attention, Sign, Watch};

/// A screen is looked at when nothing was written for so long: what is still being drawn looks like anything.
const STILL: Duration = Duration::from_millis(600);
/// So much at the end of a history may still be on the screen.
const ADOPTED: usize = 16 << 10;

/// What is known, and when it is looked at again.
#[derive(Debug, Default)]
pub struct Watching {
    watch: Watch,
    look_at: Option<Timestamp>,
    told: Option<Attention>,
}

impl Watching {
    /// Takes in what a piece of output meant.
    pub fn wrote(&mut self, fed: &Fed, title: &str, now: Timestamp) {
        self.watch.heed(Sign::Wrote, now);
        for sign in &fed.signs {
            self.watch.heed(*sign, now);
        }
        if let Some(sign) = attention::title(title).filter(|_| fed.title_changed) {
            self.watch.heed(sign, now);
        }
        // To look means to draw the screen: only where there is a chance to see something.
        if self.look_at.is_some() || self.watch.is_an_agent() || attention::may_tell(&fed.forward) {
            self.look_at = Some(now + STILL);
        }
    }

    /// What was written before there was anybody to see it: its signs are old, its screen still stands.
    pub fn adopted(&mut self, history: &[u8], now: Timestamp) {
        let last = history.get(history.len().saturating_sub(ADOPTED)..).unwrap_or_default();
        if attention::may_tell(last) {
            self.look_at = Some(now + STILL);
        }
    }

    /// Somebody typed.
    pub fn typed(&mut self, now: Timestamp) {
        self.watch.heed(Sign::Typed, now);
        if self.watch.is_an_agent() {
            self.look_at = Some(now + STILL);
        }
    }

    /// When to look again. A clock that was set back holds up no look.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let look = self.look_at.map(|at| at.min(now + STILL));
        [look, self.watch.due(now)].into_iter().flatten().min()
    }

    /// Looks at the screen when it is time. Whether the state is another one than was last told.
    pub fn look(&mut self, emulator: &Emulator, now: Timestamp) -> bool {
        if self.look_at.is_some_and(|at| at <= now || at > now + STILL) {
            self.look_at = None;
            let looks = attention::looks(&emulator.text());
            self.watch.heed(Sign::Looks(looks), now);
        }
        self.changed(now)
    }

    /// Whether the state is another one than was last told.
    pub fn changed(&mut self, now: Timestamp) -> bool {
        let state = self.watch.state(now);
        let changed = state != self.told;
        self.told = state;
        changed
    }

    /// The state as it was last told.
    #[must_use]
    pub const fn state(&self) -> Option<&Attention> {
        self.told.as_ref()
    }
}
