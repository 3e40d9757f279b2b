//! The end of a session's stream, of its program, and of itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Sent;
use super::super::link::{self, Look};
use super::super::table::Fate;
use super::{Session, State};
use crate::bay::backoff::Backoff;

/// A stream that was open for so long was a good one.
const LASTING: Duration = Duration::from_secs(5);
/// How long a program's last words may take after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The question to the engine that is under way, and how often the answer was no help.
pub(super) struct Looking {
    under_way: Option<Pin<Box<dyn Future<Output = Look> + Send>>>,
    backoff: Backoff,
    linked_at: Option<Instant>,
}

impl Default for Looking {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        Self { under_way: None, backoff, linked_at: None }
    }
}

impl Looking {
    /// The answer; pending while nothing is asked. May be dropped at any time.
    pub async fn next(&mut self) -> Look {
        match &mut self.under_way {
            Some(looking) => looking.await,
            None => std::future::pending().await,
        }
    }

    pub fn begin(&mut self, looking: impl Future<Output = Look> + Send + 'static) {
        self.under_way = Some(Box::pin(looking));
    }

    pub fn stop(&mut self) {
        self.under_way = None;
    }

    /// There is a stream again.
    pub fn linked(&mut self) {
        self.linked_at = Some(Instant::now());
    }

    /// Whether there was no stream yet.
    pub const fn is_first(&self) -> bool {
        self.linked_at.is_none()
    }

    /// Somebody knows better: tries are counted anew.
    pub const fn forget_failures(&mut self) {
        self.backoff.reset();
    }
}

impl Session {
    /// Whether the program is known to be gone, not only its stream.
    pub(super) fn has_exited(&self) -> bool {
        match &self.state {
            State::Ending { last, .. } | State::Ended(last) => matches!(last, Sent::Ended { code: Some(_), .. }),
            State::Open | State::Away => false,
        }
    }

    /// The end of a stream says nothing: the engine does.
    pub(super) fn stream_ended(&mut self) {
        self.line.close();
        self.typing.close();
        if matches!(self.state, State::Ending { .. }) {
            self.finish();
            return;
        }
        if self.looking.linked_at.is_some_and(|at| at.elapsed() >= LASTING) {
            self.looking.forget_failures();
        }
        let first = self.looking.backoff.failures() == 0;
        let wait = if first { Duration::ZERO } else { self.looking.backoff.fail(self.id.0) };
        self.look_after(wait);
        self.publish();
    }

    pub(super) fn look_after(&mut self, wait: Duration) {
        let tries = self.looking.backoff.failures();
        self.looking.begin(link::look(Arc::clone(&self.engine), self.target.clone(), wait, tries));
    }

    pub(super) fn looked(&mut self, look: Look) {
        self.looking.stop();
        match look {
            Look::Back(link) => {
                self.link(*link);
                // Not a success yet: a stream that ends at once must not be asked for without pause.
                self.looking.backoff.fail(self.id.0);
            }
            Look::Ended { reason, code } => self.end(reason, code),
            Look::Away | Look::Again => {
                self.state = if matches!(look, Look::Away) { State::Away } else { State::Open };
                let wait = self.looking.backoff.fail(self.id.0);
                self.look_after(wait);
                self.publish();
            }
        }
    }

    pub(super) fn ordered(&mut self) -> bool {
        let orders = self.orders.borrow_and_update().clone();
        if orders.starts != self.starts {
            self.starts = orders.starts;
            self.sizing.told().forget();
            self.sizing.tell();
        }
        match orders.fate {
            Fate::Alive => {}
            Fate::Ended { reason, code } => self.end(reason, code),
            Fate::Forgotten => {
                self.finish_now("the container is gone", None);
                return false;
            }
        }
        true
    }

    pub(super) fn end(&mut self, reason: String, code: Option<i64>) {
        if matches!(self.state, State::Ended(_) | State::Ending { .. }) {
            return;
        }
        self.looking.stop();
        self.state = State::Ending { until: Instant::now() + LAST_WORDS, last: Sent::Ended { reason, code } };
        if !self.line.is_open() {
            self.finish();
        }
    }

    pub(super) fn finish_now(&mut self, reason: &str, code: Option<i64>) {
        self.end(reason.to_owned(), code);
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        self.line.close();
        self.typing.close();
        self.looking.stop();
        if let State::Ending { last, .. } = &self.state {
            let last = last.clone();
            self.clients.farewell(&last);
            self.state = State::Ended(last);
            if let Some(ring) = &self.ring {
                ring.ended();
            }
            self.catch_up();
        }
        self.publish();
    }
}
