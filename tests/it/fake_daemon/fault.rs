//! What can go wrong on purpose.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A fault of one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with this message; nothing is done.
    Status(u16, &'static str),
    /// Late, but right.
    Delay(Duration),
    /// Nothing is done and nothing comes.
    HangBeforeHead,
    /// It is done; the head comes, its body never.
    HangAfterHead,
    /// It is done, and the connection ends without an answer.
    LoseAnswer,
    /// It is done, and no answer ever comes.
    HoldAnswer,
    /// Nothing is done, and the connection ends.
    Cut,
    /// The connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The body ends, properly, after so many bytes.
    EndAfter(usize),
    /// 200 with this body instead of the right one.
    Body(&'static str),
    /// No HTTP at all.
    Garbage,
}

/// What happens to events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFault {
    /// They come as they should.
    #[default]
    None,
    /// None comes.
    Lose,
    /// Each comes twice.
    Double,
    /// Each pair comes in the wrong order.
    Reorder,
    /// A line that is no JSON comes with each.
    Garble,
}

/// The script: faults by route, in order.
#[derive(Default)]
pub struct Faults(HashMap<String, VecDeque<Fault>>);

impl Faults {
    pub fn add(&mut self, route: &str, count: usize, fault: Fault) {
        self.0.entry(route.to_owned()).or_default().extend(std::iter::repeat_n(fault, count));
    }

    pub fn take(&mut self, route: &str) -> Option<Fault> {
        self.0.get_mut(route)?.pop_front()
    }
}
