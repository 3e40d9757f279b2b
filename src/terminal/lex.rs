//! Bytes of a program taken apart into text, controls, sequences and control strings.
//!
//! Incremental: a sequence or a character that is cut between two calls is put together again, and only whole ones are
//! told. Memory is bounded whatever comes: a sequence keeps [`MAX_SEQUENCE`] bytes and a control string [`MAX_STRING`],
//! the rest is read and forgotten.

use super::utf8::{Decoder, Unit};

/// Longest parameter part of a CSI sequence that is understood; a longer sequence is passed over.
const MAX_SEQUENCE: usize = 256;
/// So much of a control string is kept.
pub(super) const MAX_STRING: usize = 4096;

/// Which kind of control string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Operating system command.
    Osc,
    /// Device control string.
    Dcs,
    /// APC, PM or SOS: meant for nobody here.
    Other,
}

/// A control string that has come to its end.
#[derive(Debug)]
pub(super) struct ControlString<'a> {
    pub kind: Kind,
    /// Its beginning, at most [`MAX_STRING`] bytes, valid UTF-8.
    pub payload: &'a [u8],
    /// Ended by BEL instead of ST.
    pub bel: bool,
}

/// Who is told what was read, in order.
pub(super) trait Sink {
    /// Printable ASCII.
    fn ascii(&mut self, text: &[u8]);
    /// A character beyond ASCII; U+FFFD for bytes that are none.
    fn character(&mut self, c: char);
    /// A C0 control other than ESC, CAN and SUB.
    fn control(&mut self, byte: u8);
    /// `ESC`, intermediates, final byte.
    fn escape(&mut self, intermediates: &[u8], last: u8);
    /// `CSI`, all between, final byte.
    fn csi(&mut self, between: &[u8], last: u8);
    /// A whole control string. One that is aborted is not told.
    fn string(&mut self, string: &ControlString<'_>);
}

/// A CSI sequence that lies here from its beginning to its end: what is between, the final byte, and what follows.
fn whole_csi(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let [0x1b, b'[', rest @ ..] = bytes else { return None };
    let length = rest.iter().take(MAX_SEQUENCE + 1).position(|byte| !(0x20..0x40).contains(byte))?;
    match rest.split_at_checked(length)? {
        (between, [last @ 0x40..=0x7e, after @ ..]) => Some((between, *last, after)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    String(Kind),
    /// ESC inside a control string: the end, if a backslash follows.
    StringEscape(Kind),
}

/// The lexer. `Default` is the state of a fresh terminal.
#[derive(Debug, Default)]
pub(super) struct Lexer {
    state: State,
    decoder: Decoder,
    held: Vec<u8>,
    overlong: bool,
}

impl Lexer {
    /// Reads on.
    pub fn advance(&mut self, mut bytes: &[u8], sink: &mut impl Sink) {
        while let Some((&first, rest)) = bytes.split_first() {
            // Printable ASCII is nearly all there is: taken in one piece.
            let run = if self.decoder.is_idle() { self.plain_run(bytes) } else { 0 };
            if run > 0 {
                let (plain, after) = bytes.split_at(run);
                if self.state == State::Ground {
                    sink.ascii(plain);
                }
                bytes = after;
                continue;
            }
            if self.state == State::Ground && self.decoder.is_idle() {
                // What is left is mostly the end of a line, or a whole sequence.
                if let Some((between, last, after)) = whole_csi(bytes) {
                    sink.csi(between, last);
                    bytes = after;
                    continue;
                }
                if matches!(first, b'\r' | b'\n') {
                    sink.control(first);
                    bytes = rest;
                    continue;
                }
            }
            bytes = rest;
            let (broken, unit) = self.decoder.push(first);
            if broken {
                self.unit(Unit::Invalid, sink);
            }
            if let Some(unit) = unit {
                self.unit(unit, sink);
            }
        }
    }

    /// Bytes held back until a character or a sequence is whole.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Whether what comes next begins something new.
    pub fn is_idle(&self) -> bool {
        self.state == State::Ground && self.decoder.is_idle()
    }

    /// How many bytes from here on are plain in a state where plain bytes change nothing.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        let skips = match self.state {
            State::Ground => true,
            State::String(_) => self.held.len() >= MAX_STRING,
            _ => false,
        };
        if skips { bytes.iter().take_while(|b| (0x20..0x7f).contains(*b)).count() } else { 0 }
    }

    fn unit(&mut self, unit: Unit, sink: &mut impl Sink) {
        match unit {
            Unit::Ascii(0x1b) => self.begin_escape(),
            Unit::Ascii(0x18 | 0x1a) => self.rest(),
            Unit::C1(byte) => self.c1(byte, sink),
            unit => match self.state {
                State::Ground => Self::ground(unit, sink),
                State::Escape => self.in_escape(unit, sink),
                State::Csi => self.in_csi(unit, sink),
                State::String(kind) => self.in_string(kind, unit, sink),
                State::StringEscape(kind) => self.after_string_escape(kind, unit, sink),
            },
        }
    }

    fn rest(&mut self) {
        self.state = State::Ground;
        self.held.clear();
        self.held.shrink_to(MAX_SEQUENCE);
        self.overlong = false;
    }

    fn enter(&mut self, state: State) {
        self.rest();
        self.state = state;
    }

    fn begin_escape(&mut self) {
        match self.state {
            State::String(kind) | State::StringEscape(kind) => self.state = State::StringEscape(kind),
            _ => self.enter(State::Escape),
        }
    }

    /// The 8-bit controls, raw or as a UTF-8 character: terminals take both.
    fn c1(&mut self, byte: u8, sink: &mut impl Sink) {
        match (byte, self.state) {
            (0x9c, State::String(kind) | State::StringEscape(kind)) => self.finish(kind, false, sink),
            (0x90 | 0x98 | 0x9b | 0x9d..=0x9f, _) => self.open(byte - 0x40),
            (0x80..=0x9f, _) => {
                self.rest();
                sink.escape(&[], byte - 0x40);
            }
            _ => self.rest(),
        }
    }

    /// What the second byte of an escape sequence opens.
    fn open(&mut self, byte: u8) {
        self.enter(match byte {
            b'[' => State::Csi,
            b']' => State::String(Kind::Osc),
            b'P' => State::String(Kind::Dcs),
            _ => State::String(Kind::Other),
        });
    }

    fn ground(unit: Unit, sink: &mut impl Sink) {
        match unit {
            Unit::Ascii(0x7f) => {}
            Unit::Ascii(byte) if byte < 0x20 => sink.control(byte),
            Unit::Ascii(byte) => sink.ascii(&[byte]),
            Unit::Char(c) => sink.character(c),
            Unit::Invalid | Unit::C1(_) => sink.character(char::REPLACEMENT_CHARACTER),
        }
    }

    fn in_escape(&mut self, unit: Unit, sink: &mut impl Sink) {
        match unit {
            Unit::Ascii(0x7f) => {}
            Unit::Ascii(byte) if byte < 0x20 => sink.control(byte),
            Unit::Ascii(byte) if byte < 0x30 => self.hold(byte, 2),
            Unit::Ascii(byte @ (b'[' | b']' | b'P' | b'X' | b'^' | b'_')) if self.held.is_empty() => self.open(byte),
            Unit::Ascii(byte) => {
                if !self.overlong {
                    sink.escape(&self.held, byte);
                }
                self.rest();
            }
            unit => {
                self.rest();
                Self::ground(unit, sink);
            }
        }
    }

    fn in_csi(&mut self, unit: Unit, sink: &mut impl Sink) {
        match unit {
            Unit::Ascii(0x7f) => {}
            Unit::Ascii(byte) if byte < 0x20 => sink.control(byte),
            Unit::Ascii(byte) if byte < 0x40 => self.hold(byte, MAX_SEQUENCE),
            Unit::Ascii(byte) => {
                if !self.overlong {
                    sink.csi(&self.held, byte);
                }
                self.rest();
            }
            unit => {
                self.rest();
                Self::ground(unit, sink);
            }
        }
    }

    fn hold(&mut self, byte: u8, most: usize) {
        if self.held.len() < most {
            self.held.push(byte);
        } else {
            self.overlong = true;
        }
    }

    fn in_string(&mut self, kind: Kind, unit: Unit, sink: &mut impl Sink) {
        match unit {
            Unit::Ascii(0x07) if kind == Kind::Osc => self.finish(kind, true, sink),
            Unit::Ascii(byte) => self.hold(byte, MAX_STRING),
            Unit::Char(c) if self.held.len() + c.len_utf8() <= MAX_STRING => {
                self.held.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            // Nothing shorter may fill the gap that a character leaves at the end.
            Unit::Char(_) => self.held.resize(MAX_STRING, b' '),
            Unit::Invalid | Unit::C1(_) => {}
        }
    }

    fn after_string_escape(&mut self, kind: Kind, unit: Unit, sink: &mut impl Sink) {
        if unit == Unit::Ascii(b'\\') {
            self.finish(kind, false, sink);
        } else {
            // Any other escape sequence aborts the string and is taken for itself.
            self.enter(State::Escape);
            self.in_escape(unit, sink);
        }
    }

    fn finish(&mut self, kind: Kind, bel: bool, sink: &mut impl Sink) {
        sink.string(&ControlString { kind, payload: &self.held, bel });
        self.rest();
    }
}
