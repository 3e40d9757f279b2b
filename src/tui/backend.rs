//! What frames are drawn on: each goes to the terminal as one piece.

use std::io::{self, BufWriter, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

/// Room for a frame: a full one of a large screen goes in several pieces.
const FRAME: usize = 64 << 10;

/// crossterm's backend writes and flushes the cursor by itself, three times a frame, and opens the terminal's device
/// before each to ask for its size.
#[derive(Debug)]
pub struct Frames<W: Write> {
    inner: CrosstermBackend<BufWriter<W>>,
    size: fn() -> io::Result<Size>,
}

impl<W: Write> Frames<W> {
    /// On nothing drawn yet; `size` asks the terminal.
    pub fn new(out: W, size: fn() -> io::Result<Size>) -> Self {
        Self { inner: CrosstermBackend::new(BufWriter::with_capacity(FRAME, out)), size }
    }
}

impl<W: Write> Backend for Frames<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        queue!(self.inner, Hide)
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        queue!(self.inner, Show)
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        queue!(self.inner, MoveTo(x, y))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.inner.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.inner.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        (self.size)()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use ratatui::layout::Rect;
    use ratatui::{Terminal, TerminalOptions, Viewport};

    use super::*;

    /// Keeps what is written, piece by piece.
    #[derive(Clone, Default)]
    struct Pieces(Rc<RefCell<Vec<Vec<u8>>>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_is_one_piece_with_its_cursor() {
        let pieces = Pieces::default();
        let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 20, 4)) };
        let mut terminal =
            Terminal::with_options(Frames::new(pieces.clone(), || Ok(Size::new(20, 4))), options).unwrap();
        for text in ["one", "two"] {
            let drawn = terminal.draw(|frame| {
                frame.render_widget(text, frame.area());
                frame.set_cursor_position((3, 0));
            });
            drawn.unwrap();
        }
        let written: Vec<String> =
            pieces.0.borrow().iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
        assert_eq!(written.len(), 2, "{written:?}");
        assert!(written[1].contains("tw") && written[1].contains("\u{1b}[?25h\u{1b}[1;4H"), "{written:?}");
    }
}
