//! Panics of a library that must not reach anybody.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would be caught and dealt with: a panic hook prints nothing then.
#[must_use]
pub fn panic_is_contained() -> bool {
    CONTAINED.get()
}

/// Runs `work`; `None` when it panicked. What it touched must be thrown away then.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_only_contained_inside() {
        assert!(!panic_is_contained());
        assert_eq!(contained(|| contained(|| 1).map(|_| panic_is_contained())), Some(Some(true)));
        assert!(!panic_is_contained());
    }
}
