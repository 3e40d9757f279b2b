//! Whether a worker may be taken away for a moment without anybody noticing.

use std::time::Duration;

/// Output this recent counts as work.
pub const QUIET: Duration = Duration::from_mins(5);

/// What is known of the people and programs at a worker's terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Clients that look at one of them.
    pub clients: u32,
    /// How long none of them has printed anything.
    pub quiet: Duration,
}

/// Nobody looks, and nothing was printed for some minutes. What is not known is not idle.
#[must_use]
pub fn is_idle(activity: Option<Activity>) -> bool {
    activity.is_some_and(|activity| activity.clients == 0 && activity.quiet >= QUIET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_nobody_there_and_nothing_said() {
        let at = |clients, minutes| is_idle(Some(Activity { clients, quiet: Duration::from_mins(minutes) }));
        assert!(at(0, 5) && at(0, 500));
        assert!(!at(0, 4) && !at(1, 500) && !is_idle(None));
    }
}
