//! How long to wait before the next try.

use std::time::Duration;

/// Exponential waiting: `first`, doubled after each failure up to `cap`, spread by a fifth to each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// How many tries failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Something worked: the next failure starts from `first` again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and says how long to wait. `spread` is any number; it picks the jitter, so that the
    /// rule stays pure: the first wait is `first` in full, later ones lie within 80 to 120 percent.
    pub fn fail(&mut self, spread: u64) -> Duration {
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let plain = self.first.saturating_mul(1 << doublings).min(self.cap);
        if doublings == 0 {
            return plain;
        }
        let percent = 80 + u32::try_from(spread % 41).unwrap_or(20);
        (plain * percent / 100).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_resets() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let waits: Vec<u64> = (0..7).map(|_| backoff.fail(20).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.fail(7), Duration::from_secs(1));
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for spread in 0..200 {
            let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_mins(10));
            backoff.fail(0);
            let wait = backoff.fail(spread).as_millis();
            assert!((16_000..=24_000).contains(&wait), "{wait}");
        }
    }
}
