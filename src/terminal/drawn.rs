//! A drawn screen, and what keeps it whole when the library that draws fails.

use std::num::NonZeroU16;

use super::contain::contained;
use super::flow;
use super::modes::Tracked;
use super::snapshot;
use super::still::{self, Still};
use crate::bay::session::TermSize;

/// A screen that was drawn. After a panic of `vt100` there is a fresh one with what could be read of the old one, or at
/// least with its modes.
pub(super) struct Drawn {
    parser: vt100::Parser,
    size: TermSize,
    scrollback: usize,
    /// It had to be made anew since this was last taken.
    pub rebuilt: bool,
}

impl Drawn {
    pub fn new(size: TermSize, scrollback: usize) -> Self {
        Self { parser: fresh(size, scrollback), size, scrollback, rebuilt: false }
    }

    /// `tracked`: the modes that `vt100` does not keep.
    pub fn draw(&mut self, bytes: &[u8], tracked: &Tracked) {
        let parser = &mut self.parser;
        if contained(|| parser.process(bytes)).is_none() {
            self.rebuild(tracked);
        }
    }

    pub fn resize(&mut self, size: TermSize, tracked: &Tracked) {
        let old = std::mem::replace(&mut self.size, size);
        let ((rows, _), (_, cols)) = (sides(size), sides(old));
        let parser = &mut self.parser;
        if contained(|| parser.set_size(rows, cols)).is_none() {
            return self.rebuild(tracked);
        }
        if size.cols == old.cols {
            return;
        }
        let (screen, before) = (self.parser.screen(), TermSize { cols: old.cols, ..size });
        match contained(|| flow::flown(screen, before, size.cols, self.scrollback)) {
            Some(parser) => self.parser = parser,
            None => self.rebuild(tracked),
        }
    }

    pub const fn size(&self) -> TermSize {
        self.size
    }

    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Shows `lines` above the live screen.
    pub fn scroll_to(&mut self, lines: usize, tracked: &Tracked) {
        let parser = &mut self.parser;
        if contained(|| parser.screen_mut().set_scrollback(lines)).is_none() {
            self.rebuild(tracked);
        }
    }

    pub fn snapshot(&self, tracked: &Tracked, above: bool) -> Vec<u8> {
        contained(|| snapshot::write(self.parser.screen(), tracked, self.size, above)).unwrap_or_else(snapshot::blank)
    }

    pub fn still(&self) -> Still {
        contained(|| still::of(self.parser.screen(), self.size)).unwrap_or_default()
    }

    fn rebuild(&mut self, tracked: &Tracked) {
        let old = self.parser.screen();
        let whole = contained(|| snapshot::write(old, tracked, self.size, true));
        // Modes are plain flags: they are sound in a screen whose cells are not.
        let modes = contained(|| snapshot::modes(old));
        self.rebuilt = true;
        for bytes in [whole, modes].into_iter().flatten() {
            let mut parser = fresh(self.size, self.scrollback);
            if contained(|| parser.process(&bytes)).is_some() {
                self.parser = parser;
                return;
            }
        }
        self.parser = fresh(self.size, self.scrollback);
    }
}

fn sides(size: TermSize) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(size.rows).unwrap_or(NonZeroU16::MIN), NonZeroU16::new(size.cols).unwrap_or(NonZeroU16::MIN))
}

fn fresh(size: TermSize, scrollback: usize) -> vt100::Parser {
    let (rows, cols) = sides(size);
    vt100::Parser::new(rows, cols, scrollback)
}
