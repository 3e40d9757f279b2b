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
pub struct Frames<W: Write>(CrosstermBackend<BufWriter<W>>);

impl<W: Write> Frames<W> {
    /// On nothing drawn yet.
    pub fn new(out: W) -> Self {
        Self(CrosstermBackend::new(BufWriter::with_capacity(FRAME, out)))
    }
}

impl<W: Write> Backend for Frames<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        self.0.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        queue!(self.0, Hide)
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        queue!(self.0, Show)
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.0.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        queue!(self.0, MoveTo(x, y))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.0.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Ok(Size::new(size.ws_col, size.ws_row)),
            _ => self.0.size(),
        }
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
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
        let mut terminal = Terminal::with_options(Frames::new(pieces.clone()), options).unwrap();
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
