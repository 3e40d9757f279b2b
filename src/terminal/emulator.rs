//! The emulator: bytes in, a screen kept.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use unicode_width::UnicodeWidthChar;

use super::aside::Aside;
use super::drawn::Drawn;
use super::filter::{Filter, Mark};
use super::lex::Lexer;
use super::modes::Tracked;
use super::query::{Answerer, Query};
use super::safe::Safe;
use super::snapshot;
use super::still::Still;
use super::tabs::{TabChange, Tabs};
use crate::bay::attention::{Need, Sign, Source};
use crate::bay::session::TermSize;

/// Longest title, in bytes.
const MAX_TITLE: usize = 256;
/// Answers to one piece of output, at most: a program that asks faster than that reads none of them.
const MAX_REPLIES: usize = 8 * 1024;
/// Signs that are taken from one piece of output.
const MAX_SIGNS: usize = 16;
/// So many bytes are kept undrawn while nobody asks for the screen: less than its cells take.
const MAX_UNDRAWN: usize = 8 * 1024;
/// A piece of output as large as this is one of many: it is put aside until somebody asks for the screen.
const FLOOD: usize = 4 * 1024;
/// So much of a flood is put aside at most: what is drawn at once must not hold up others.
const MAX_ASIDE: usize = 256 * 1024;

/// One terminal's screen with its scrollback.
///
/// `vt100` panics on ordinary output now and then (an emoji that widens in the last column is enough), and leaves a
/// screen behind that panics again. So every call that could is contained; after a panic there is a fresh screen with
/// what could be read of the old one, or at least with its modes.
///
/// Most terminals show a prompt and are looked at by nobody: the screen is drawn when it is first asked for, or when
/// what would be drawn takes more memory than the cells. A flood is drawn when somebody asks for the screen, or when too
/// much has come; lines that nobody can see any more by then are not drawn at all.
pub struct Emulator {
    drawn: OnceLock<Drawn>,
    /// While nothing is `drawn`: what comes upon `under`.
    undrawn: Aside,
    /// `None`: an empty screen.
    under: Mutex<Option<Drawn>>,
    /// Not all rows scrolled when `undrawn` began, as far as is known.
    framed: bool,
    lexer: Lexer,
    filter: Filter,
    size: TermSize,
    scrollback: usize,
    title: String,
    tabs: Tabs,
}

/// What a piece of output meant beside drawing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// The same bytes without control strings (OSC, DCS, APC, PM, SOS) and queries: fit for a user's terminal, and whole:
    /// a sequence or a character that is cut comes with the piece that ends it. [`RESTORE`](super::RESTORE) undoes all.
    pub forward: Vec<u8>,
    /// Answers to the program's queries (DA, DSR, ...), to be typed into the program.
    pub replies: Vec<u8>,
    /// Bare BELs (one that ends an OSC is none).
    pub bells: u32,
    /// What notices and bells say of the program.
    pub signs: Vec<Sign>,
    /// The title changed.
    pub title_changed: bool,
    /// The emulator failed and was rebuilt: part of this piece was not drawn, perhaps the whole screen is lost; what
    /// follows is drawn.
    pub rebuilt: bool,
}

/// The modes that a program has asked of its terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Cursor keys send SS3.
    pub application_cursor: bool,
    /// The keypad sends SS3.
    pub application_keypad: bool,
    /// Pastes are bracketed.
    pub bracketed_paste: bool,
    /// The alternate screen is shown.
    pub alternate_screen: bool,
    /// Focus changes are reported.
    pub focus_events: bool,
    /// Any mouse reporting is on.
    pub mouse: bool,
    /// The cursor is hidden.
    pub cursor_hidden: bool,
    /// The cursor's shape, as DECSCUSR numbers it; 0: the terminal's own.
    pub cursor_shape: u8,
    /// Keys that are one byte otherwise are told apart.
    pub disambiguate: bool,
    /// What is drawn now is not whole: mode 2026.
    pub synchronised: bool,
}

impl Emulator {
    /// An empty screen; at most `scrollback` lines are kept above it.
    #[must_use]
    pub fn new(size: TermSize, scrollback: usize) -> Self {
        let size = TermSize::new(size.rows, size.cols);
        Self {
            drawn: OnceLock::new(),
            undrawn: Aside::default(),
            under: Mutex::new(None),
            framed: false,
            lexer: Lexer::default(),
            filter: Filter::new(size),
            size,
            scrollback,
            title: String::new(),
            tabs: Tabs::default(),
        }
    }

    /// Takes what the program wrote. Never panics, whatever the bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        if self.drawn.get().is_some() || self.undrawn.is_empty() {
            self.framed = self.filter.tracked.region().is_some();
        }
        self.filter.out.reserve(bytes.len());
        self.lexer.advance(bytes, &mut self.filter);
        let clean = std::mem::take(&mut self.filter.out);
        let marks = std::mem::take(&mut self.filter.marks);
        let mut fed = Fed::default();
        if marks.is_empty() {
            self.draw(&clean);
            fed.forward = clean;
        } else {
            self.draw_between(&clean, marks, &mut fed);
        }
        fed.rebuilt = self.drawn.get_mut().is_some_and(|drawn| std::mem::take(&mut drawn.rebuilt));
        fed
    }

    /// Whether a flood was put aside: [`Emulator::settle`] draws what is left of it.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.drawn.get().is_none() && self.undrawn.len() > MAX_UNDRAWN
    }

    /// Draws what was put aside. `true`: the emulator failed at that and was rebuilt, as in [`Fed::rebuilt`].
    pub fn settle(&mut self) -> bool {
        self.on_drawn(|_, _| {});
        self.drawn.get_mut().is_some_and(|drawn| std::mem::take(&mut drawn.rebuilt))
    }

    /// Another size. Lines that the old edge had broken are put together and broken at the new one; an alternate screen
    /// is cut: its program draws again.
    pub fn resize(&mut self, size: TermSize) {
        let size = TermSize::new(size.rows, size.cols);
        if size == self.size {
            return;
        }
        // What was written for the old size is drawn at the old size.
        let nothing_yet = self.drawn.get().is_none() && self.undrawn.is_empty();
        if !nothing_yet {
            self.on_drawn(|drawn, tracked| drawn.resize(size, tracked));
        }
        self.size = size;
        self.tabs = Tabs::default();
        self.filter.resize(size);
    }

    /// The present size.
    #[must_use]
    pub const fn size(&self) -> TermSize {
        self.size
    }

    /// The screen, for drawing: cells, cursor, colours. Of its methods only those that can't panic may be called:
    /// `cell`, `cursor_position`, `row_wrapped` and the modes.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.drawn().screen()
    }

    /// Shows `lines` above the live screen; 0: the live screen. Returns what it is now.
    pub fn scroll_to(&mut self, lines: usize) -> usize {
        self.on_drawn(|drawn, tracked| drawn.scroll_to(lines, tracked));
        self.screen().scrollback()
    }

    /// The visible text, one line a row, without trailing spaces.
    #[must_use]
    pub fn text(&self) -> String {
        let rows = 0..self.size.rows;
        let lines: Vec<String> = rows.map(|row| snapshot::plain_row(self.screen(), row, self.size.cols)).collect();
        lines.join("\n")
    }

    /// All rows as they are now, with those above the screen.
    #[must_use]
    pub fn still(&self) -> Still {
        self.drawn().still()
    }

    /// The modes.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let screen = self.screen();
        Modes {
            application_cursor: screen.application_cursor(),
            application_keypad: screen.application_keypad(),
            bracketed_paste: screen.bracketed_paste(),
            alternate_screen: screen.alternate_screen(),
            focus_events: self.filter.tracked.focus,
            mouse: screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None,
            cursor_hidden: screen.hide_cursor(),
            cursor_shape: self.filter.tracked.cursor_shape,
            disambiguate: self.filter.tracked.keyboard().flags() & 1 != 0,
            synchronised: self.filter.tracked.synchronised,
        }
    }

    /// Whether what is drawn now is not whole: mode 2026. Draws nothing to find out.
    #[must_use]
    pub const fn is_synchronised(&self) -> bool {
        self.filter.tracked.synchronised
    }

    /// The title that the program gave, at most 256 bytes, harmless; empty without one.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Bytes that bring a terminal of the same size to this screen, whatever it showed before: scrollback, cells, cursor
    /// and modes; of a program on the alternate screen also the main screen beneath. Not in it: the cursor that `ESC 7`
    /// saved, and the scroll region of the screen that is not shown. Lines of the scrollback that are wider than the
    /// terminal, kept from before a resize, are wrapped.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.drawn().snapshot(&self.filter.tracked, true)
    }

    /// The same without the lines above the screen.
    #[must_use]
    pub fn snapshot_of_screen(&self) -> Vec<u8> {
        self.drawn().snapshot(&self.filter.tracked, false)
    }

    /// Whether the output so far ends with a whole sequence or character.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lexer.is_idle()
    }

    /// How much memory incomplete input holds, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lexer.held()
    }

    fn heed(&mut self, mark: Mark, fed: &mut Fed) {
        match mark {
            Mark::Bell => {
                fed.bells = fed.bells.saturating_add(1);
                if fed.bells == 1 {
                    fed.signs.push(Sign::Said(Source::Bell, Need::Question));
                }
            }
            // A flood of them says no more than the last ones.
            Mark::Notice(sign) if fed.signs.len() < MAX_SIGNS => fed.signs.push(sign),
            Mark::Notice(_) => {}
            Mark::Title(raw) => {
                let title = Safe::from_bytes(&raw).cut(MAX_TITLE).into_string();
                fed.title_changed |= title != self.title;
                self.title = title;
            }
            Mark::Ask(query) => {
                let answer = self.answer(query);
                if fed.replies.len() + answer.len() <= MAX_REPLIES {
                    fed.replies.extend_from_slice(answer.as_bytes());
                }
            }
            Mark::BackTab(count) => self.move_to(self.tabs.before(self.col(), count), fed),
            Mark::Tab(count) => self.move_to(self.tabs.after(self.col(), count, self.size.cols), fed),
            Mark::Tabs(TabChange::Reset) => self.tabs = Tabs::default(),
            Mark::Tabs(change) => self.tabs.change(change, self.col(), self.size.cols),
            Mark::Unwrapped(text) => self.unwrapped(&text, fed),
        }
    }

    /// The cursor's column; past the last one it is on it.
    fn col(&self) -> u16 {
        let (_, col) = self.screen().cursor_position();
        col.min(self.size.cols - 1)
    }

    fn move_to(&mut self, col: u16, fed: &mut Fed) {
        self.add(format!("\x1b[{}G", col + 1).as_bytes(), fed);
    }

    /// Draws what is not the program's own bytes, but what they mean.
    fn add(&mut self, bytes: &[u8], fed: &mut Fed) {
        self.draw(bytes);
        fed.forward.extend_from_slice(bytes);
    }

    /// What does not fit into the row is written over and over into its last cell; of wide characters nothing is.
    fn unwrapped(&mut self, text: &str, fed: &mut Fed) {
        let cols = usize::from(self.size.cols);
        let (_, col) = self.screen().cursor_position();
        let mut col = usize::from(col);
        let mut fits = String::new();
        let mut over = None;
        for c in text.chars() {
            let width = c.width().unwrap_or(0);
            if col + width <= cols {
                fits.push(c);
                col += width;
            } else if width == 1 {
                over = Some(c);
            }
        }
        if let Some(c) = over {
            let _ = write!(fits, "\x1b[{cols}G{c}");
        }
        if col == cols {
            // It stays in the last column, and does not wait to wrap.
            let _ = write!(fits, "\x1b[{cols}G");
        }
        self.add(fits.as_bytes(), fed);
    }

    fn answer(&self, query: Query) -> String {
        let screen = self.screen();
        Answerer { screen, tracked: &self.filter.tracked, size: self.size }.answer(query)
    }

    /// Draws piece by piece, so that each mark finds the screen as it is at its place.
    fn draw_between(&mut self, clean: &[u8], marks: Vec<(usize, Mark)>, fed: &mut Fed) {
        let mut rest = clean;
        let mut drawn = 0;
        for (at, mark) in marks {
            let (piece, after) = rest.split_at_checked(at - drawn).unwrap_or((rest, &[]));
            self.draw(piece);
            fed.forward.extend_from_slice(piece);
            (rest, drawn) = (after, at);
            self.heed(mark, fed);
        }
        self.draw(rest);
        fed.forward.extend_from_slice(rest);
    }

    fn draw(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.drawn.get().is_some() {
            if bytes.len() < FLOOD {
                return self.on_drawn(|drawn, tracked| drawn.draw(bytes, tracked));
            }
            *self.under.get_mut().unwrap_or_else(PoisonError::into_inner) = self.drawn.take();
            self.undrawn = Aside::default();
        }
        self.undrawn.push(bytes);
        let flooded = self.under.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        let most = if flooded { MAX_ASIDE } else { MAX_UNDRAWN };
        if self.undrawn.len() > most && (self.framed || !self.undrawn.pass_over(self.size, self.scrollback)) {
            self.on_drawn(|_, _| {});
        }
    }

    fn drawn(&self) -> &Drawn {
        self.drawn.get_or_init(|| self.draw_all())
    }

    fn on_drawn(&mut self, work: impl FnOnce(&mut Drawn, &Tracked)) {
        let mut drawn = self.drawn.take().unwrap_or_else(|| self.draw_all());
        self.undrawn = Aside::default();
        self.framed = true;
        work(&mut drawn, &self.filter.tracked);
        self.drawn = OnceLock::from(drawn);
    }

    fn draw_all(&self) -> Drawn {
        let tracked = &self.filter.tracked;
        let under = self.under.lock().unwrap_or_else(PoisonError::into_inner).take();
        let begun = under.is_none();
        let mut drawn = under.unwrap_or_else(|| Drawn::new(self.size, self.scrollback));
        self.undrawn.draw_on(&mut drawn, tracked);
        if drawn.rebuilt && begun {
            // Once more, so that the failure costs one byte and not what follows it.
            drawn = Drawn::new(self.size, self.scrollback);
            self.undrawn.draw_slowly_on(&mut drawn, tracked);
        }
        drawn
    }
}
