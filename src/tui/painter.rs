//! Frames. What programs wrote on their screens is drawn into the last one: a key that is typed into a terminal costs a
//! row then, and not the whole dashboard.

use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};

use super::model::Model;
use super::model::terminals::{TerminalPane, Written};
use super::view::{self, Bare};
use super::widget::screen;
use crate::terminal::emulator::Emulator;

/// Draws on a terminal, and knows what is on it.
pub struct Painter<'t, B: Backend> {
    terminal: &'t mut Terminal<B>,
    shown: Buffer,
    cursor: Option<Position>,
    /// The screens in it that can be drawn anew by themselves.
    screens: Vec<Bare>,
    /// The terminal's own idea of it is an older one.
    ahead: bool,
}

impl<'t, B: Backend> Painter<'t, B> {
    /// On a terminal that shows nothing yet.
    pub fn new(terminal: &'t mut Terminal<B>) -> Self {
        Self { terminal, shown: Buffer::default(), cursor: None, screens: Vec::new(), ahead: false }
    }

    /// The terminal's size.
    ///
    /// # Errors
    /// The terminal's.
    pub fn size(&self) -> Result<Size, B::Error> {
        self.terminal.size()
    }

    /// What it draws on.
    pub fn backend(&self) -> &B {
        self.terminal.backend()
    }

    /// The terminal is empty now, and perhaps of another size: everything is drawn again.
    ///
    /// # Errors
    /// The terminal's.
    pub fn begin_anew(&mut self) -> Result<Size, B::Error> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))?;
        (self.screens, self.ahead) = (Vec::new(), false);
        Ok(size)
    }

    /// Draws what is not on the terminal yet.
    ///
    /// # Errors
    /// The terminal's.
    pub fn paint(&mut self, model: &Model) -> Result<(), B::Error> {
        if !model.dirty
            && let Some(parts) = self.parts(model)?
        {
            return self.repaint(model, &parts);
        }
        if std::mem::take(&mut self.ahead) {
            self.terminal.current_buffer_mut().clone_from(&self.shown);
            self.terminal.swap_buffers();
        }
        let frame = self.terminal.draw(|frame| {
            self.cursor = view::draw(model, frame.buffer_mut());
            if let Some(cursor) = self.cursor {
                frame.set_cursor_position(cursor);
            }
        })?;
        self.screens = view::bare(model, frame.buffer.area);
        if !self.screens.is_empty() {
            self.shown.clone_from(frame.buffer);
        }
        Ok(())
    }

    /// What was written since, where that is all that has changed.
    fn parts<'a>(&self, model: &'a Model) -> Result<Option<Vec<Part<'a>>>, B::Error> {
        if self.screens.is_empty() || self.terminal.size()? != self.shown.area.as_size() {
            return Ok(None);
        }
        let written = model.main.terminals.panes.iter().filter(|pane| pane.written != Written::Nothing);
        Ok(written.map(|pane| self.part(pane)).collect())
    }

    fn part<'a>(&self, pane: &'a TerminalPane) -> Option<Part<'a>> {
        let bare = self.screens.iter().find(|bare| bare.key == pane.key)?;
        let emulator = pane.emulator.as_ref()?;
        let (top, height) = match pane.written {
            Written::Nothing => (0, 0),
            Written::Row(row) => (row.min(bare.area.height), 1),
            Written::All => (0, bare.area.height),
        };
        let height = height.min(bare.area.height - top);
        // Lines that are looked back at move, and their number stands in the frame.
        let live = emulator.screen().scrollback() == 0;
        live.then(|| Part { emulator, top, area: Rect { y: bare.area.y + top, height, ..bare.area } })
    }

    fn repaint(&mut self, model: &Model, parts: &[Part<'_>]) -> Result<(), B::Error> {
        for part in parts {
            let before = self.copy(part.area);
            let mut after = before.clone();
            let colours = model.settings.theme.colours();
            screen::draw_from(part.emulator.screen(), part.top, part.area, &mut after, colours);
            let mut changes = before.diff_iter(&after).peekable();
            if changes.peek().is_some() {
                self.terminal.backend_mut().draw(changes)?;
                self.put(after);
                self.ahead = true;
            }
        }
        if let Some(typed_into) = self.screens.iter().find(|bare| bare.typed_into) {
            let pane = model.main.terminals.panes.iter().find(|pane| pane.key == typed_into.key);
            let emulator = pane.and_then(|pane| pane.emulator.as_ref());
            self.cursor = emulator.and_then(|emulator| screen::cursor(emulator.screen(), typed_into.area));
        }
        match self.cursor {
            Some(cursor) => {
                self.terminal.show_cursor()?;
                self.terminal.set_cursor_position(cursor)?;
            }
            None => self.terminal.hide_cursor()?,
        }
        self.terminal.backend_mut().flush()
    }

    fn rows(&self, area: Rect) -> impl Iterator<Item = usize> {
        (area.y..area.bottom()).map(move |y| self.shown.index_of(area.x, y))
    }

    fn copy(&self, area: Rect) -> Buffer {
        let width = usize::from(area.width);
        let rows = self.rows(area).flat_map(|at| self.shown.content.get(at..at + width).unwrap_or_default());
        Buffer { area, content: rows.cloned().collect() }
    }

    fn put(&mut self, part: Buffer) {
        let width = usize::from(part.area.width);
        let starts: Vec<usize> = self.rows(part.area).collect();
        let mut cells = part.content.into_iter();
        for start in starts {
            let row = self.shown.content.iter_mut().skip(start).take(width);
            row.zip(&mut cells).for_each(|(to, from)| *to = from);
        }
    }
}

/// Rows of a screen, and where they are.
struct Part<'a> {
    emulator: &'a Emulator,
    top: u16,
    area: Rect,
}
