//! Whether the program of a session waits for somebody, by the system's clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::bay::attention::Attention;
use crate::terminal::emulator::{Emulator, Fed};
use crate::terminal::watching;

/// What is known, and when it is looked at again.
#[derive(Default)]
pub(super) struct Watching(watching::Watching);

impl Watching {
    /// Takes in what a piece of output meant.
    pub fn wrote(&mut self, fed: &Fed, title: &str) {
        self.0.wrote(fed, title, Timestamp::now());
    }

    /// What was written before there was anybody to see it.
    pub fn adopted(&mut self, history: &[u8]) {
        self.0.adopted(history, Timestamp::now());
    }

    /// Somebody typed.
    pub fn typed(&mut self) {
        self.0.typed(Timestamp::now());
    }

    /// The time to look again; may be dropped.
    pub async fn due(&self) {
        let now = Timestamp::now();
        match self.0.due(now) {
            Some(at) => sleep(Duration::try_from(at.duration_since(now)).unwrap_or_default() + BEYOND).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the screen when it is time. Whether the state is another one than was last told.
    pub fn look(&mut self, emulator: &Emulator) -> bool {
        self.0.look(emulator, Timestamp::now())
    }

    /// Whether the state is another one than was last told.
    pub fn changed(&mut self) -> bool {
        self.0.changed(Timestamp::now())
    }

    /// The state as it was last told.
    pub fn state(&self) -> Option<Attention> {
        self.0.state().cloned()
    }
}

/// Timers are as fine as a millisecond: one that fires too early would be set again at once.
const BEYOND: Duration = Duration::from_millis(1);
