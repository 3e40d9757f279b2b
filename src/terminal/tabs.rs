//! Tab stops. The emulator has those at every eighth column only, so what a program sets is kept here, and its tabs
//! become moves to a column.

use std::collections::BTreeSet;

/// A terminal's tab stops, as columns that count from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tabs {
    /// `None`: every eighth column.
    set: Option<BTreeSet<u16>>,
}

/// What a program does with its tab stops. The column is the cursor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TabChange {
    /// One more, at the cursor.
    Set,
    /// None at the cursor.
    Clear,
    /// None at all.
    ClearAll,
    /// As at the beginning.
    Reset,
}

impl Tabs {
    pub fn change(&mut self, change: TabChange, col: u16, cols: u16) {
        if change == TabChange::Reset {
            self.set = None;
            return;
        }
        let set = self.set.get_or_insert_with(|| (8..cols).step_by(8).collect());
        match change {
            TabChange::Set => {
                set.insert(col);
            }
            TabChange::Clear => {
                set.remove(&col);
            }
            TabChange::ClearAll | TabChange::Reset => set.clear(),
        }
    }

    /// The column of the stop that lies `count` stops after a column; the last column where there are no more.
    pub fn after(&self, col: u16, count: u16, cols: u16) -> u16 {
        let last = cols.saturating_sub(1);
        let nth = usize::from(count.max(1)) - 1;
        let next = match &self.set {
            None => (col / 8).saturating_add(count.max(1)).saturating_mul(8),
            Some(set) => set.range(col.saturating_add(1)..).nth(nth).copied().unwrap_or(last),
        };
        next.min(last)
    }

    /// The column of the stop that lies `count` stops before a column; the first column where there are no more.
    pub fn before(&self, col: u16, count: u16) -> u16 {
        let nth = usize::from(count.max(1)) - 1;
        match &self.set {
            None => col.div_ceil(8).saturating_sub(count.max(1)) * 8,
            Some(set) => set.range(..col).rev().nth(nth).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_where_they_were_set() {
        let mut tabs = Tabs::default();
        assert_eq!((tabs.after(0, 1, 80), tabs.after(8, 2, 80), tabs.after(79, 1, 80)), (8, 24, 79));
        assert_eq!((tabs.before(9, 1), tabs.before(8, 1), tabs.before(3, 5)), (8, 0, 0));
        tabs.change(TabChange::Clear, 8, 80);
        tabs.change(TabChange::Set, 3, 80);
        assert_eq!((tabs.after(0, 1, 80), tabs.after(3, 1, 80), tabs.before(16, 1)), (3, 16, 3));
        tabs.change(TabChange::ClearAll, 0, 80);
        assert_eq!((tabs.after(0, 1, 80), tabs.before(70, 1)), (79, 0));
        tabs.change(TabChange::Reset, 0, 80);
        assert_eq!(tabs, Tabs::default());
    }
}
