//! What a terminal sends for keys, pastes, mouse and focus, as events. Bytes that mean nothing are passed over.

use std::collections::VecDeque;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

/// A longer sequence is none.
const LONGEST: usize = 64;
/// More of a paste comes as another one.
const PASTE: usize = 8 << 20;
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// Puts together what comes in pieces.
#[derive(Debug, Default)]
pub struct Parser {
    /// The beginning of a sequence or of a character.
    held: Vec<u8>,
    paste: Option<Vec<u8>>,
    events: VecDeque<Event>,
}

/// What some bytes are.
enum Read {
    Event(Event),
    /// More than one byte of them has to come yet.
    Partial,
    Nothing,
    PasteBegins,
}

impl Parser {
    /// Takes what came. `more`: there is more, so that an escape at the end begins a sequence and is no key.
    pub fn take(&mut self, bytes: &[u8], more: bool) {
        for (at, byte) in bytes.iter().enumerate() {
            self.push(*byte, more || at + 1 < bytes.len());
        }
    }

    /// The next event.
    pub fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn push(&mut self, byte: u8, more: bool) {
        if let Some(paste) = &mut self.paste {
            paste.push(byte);
            let ends = byte == b'~' && paste.ends_with(PASTE_ENDS);
            if ends {
                paste.truncate(paste.len() - PASTE_ENDS.len());
            }
            // Never cut where its end, or a character, may have begun.
            if ends || (paste.len() >= PASTE && byte.is_ascii_graphic() && !is_in_the_end(paste)) {
                let text = String::from_utf8_lossy(paste).into_owned();
                self.paste = if ends { None } else { Some(Vec::new()) };
                self.events.push_back(Event::Paste(text));
            }
            return;
        }
        if breaks_off(&self.held, byte) {
            // What was begun is given up: this byte is a key, or begins something. A lone escape was a key.
            let begun = std::mem::take(&mut self.held);
            if begun == [0x1b] && byte == 0x1b {
                self.events.push_back(key(KeyCode::Esc, KeyModifiers::NONE));
            } else if begun == [0x1b] {
                self.held = begun;
            }
        }
        self.held.push(byte);
        match read(&self.held, more) {
            Read::Partial if self.held.len() < LONGEST => return,
            Read::Event(event) => self.events.push_back(event),
            Read::PasteBegins => self.paste = Some(Vec::new()),
            Read::Partial | Read::Nothing => {}
        }
        self.held.clear();
    }
}

/// Whether this byte is no part of what was begun. A place of the mouse may be written as DEL.
fn breaks_off(begun: &[u8], byte: u8) -> bool {
    !begun.is_empty() && (byte < 0x20 || (byte == 0x7f && !begun.starts_with(b"\x1b[M")))
}

/// Whether the last bytes of a paste may be the first ones of its end.
fn is_in_the_end(paste: &[u8]) -> bool {
    (1..PASTE_ENDS.len()).any(|count| PASTE_ENDS.get(..count).is_some_and(|begun| paste.ends_with(begun)))
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

fn read(bytes: &[u8], more: bool) -> Read {
    match bytes {
        [0x1b] if more => Read::Partial,
        [0x1b] => Read::Event(key(KeyCode::Esc, KeyModifiers::NONE)),
        [0x1b, b'[', rest @ ..] => csi(rest),
        [0x1b, b'O'] => Read::Partial,
        [0x1b, b'O', last] => {
            cursor_key(*last).map_or(Read::Nothing, |code| Read::Event(key(code, KeyModifiers::NONE)))
        }
        [0x1b, rest @ ..] => match character(rest) {
            Read::Event(Event::Key(event)) => Read::Event(key(event.code, event.modifiers | KeyModifiers::ALT)),
            other => other,
        },
        rest => character(rest),
    }
}

/// A control byte or a character.
fn character(bytes: &[u8]) -> Read {
    let control = |from: u8, to: u8, byte: u8| key(KeyCode::Char(char::from(byte - from + to)), KeyModifiers::CONTROL);
    let event = match bytes {
        [b'\r'] => key(KeyCode::Enter, KeyModifiers::NONE),
        [b'\t'] => key(KeyCode::Tab, KeyModifiers::NONE),
        [0x7f] => key(KeyCode::Backspace, KeyModifiers::NONE),
        [0] => key(KeyCode::Char(' '), KeyModifiers::CONTROL),
        [byte @ 0x01..=0x1a] => control(0x01, b'a', *byte),
        [byte @ 0x1c..=0x1f] => control(0x1c, b'4', *byte),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => match text.chars().next() {
                Some(c) => typed(c),
                None => return Read::Nothing,
            },
            Err(error) if error.error_len().is_none() => return Read::Partial,
            Err(_) => return Read::Nothing,
        },
    };
    Read::Event(event)
}

fn typed(c: char) -> Event {
    key(KeyCode::Char(c), if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE })
}

/// The keys whose sequence ends with a letter.
const fn cursor_key(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        _ => return None,
    })
}

/// What follows `CSI`.
fn csi(rest: &[u8]) -> Read {
    match rest {
        [] | [b'[' | b'M'] | [b'M', _] | [b'M', _, _] => return Read::Partial,
        // The Linux console's first function keys.
        [b'[', last @ b'A'..=b'E'] => return Read::Event(key(KeyCode::F(last - b'A' + 1), KeyModifiers::NONE)),
        [b'[', _] => return Read::Nothing,
        [b'M', button, column, row] => {
            let from = |byte: u8| u16::from(byte).checked_sub(33);
            return button.checked_sub(32).zip(from(*column).zip(from(*row))).map_or(Read::Nothing, mouse);
        }
        _ => {}
    }
    let Some((last, between)) = rest.split_last() else { return Read::Partial };
    match last {
        0x40..=0x7e => {}
        0x20..=0x3f => return Read::Partial,
        _ => return Read::Nothing,
    }
    let Ok(between) = std::str::from_utf8(between) else { return Read::Nothing };
    if let Some(report) = between.strip_prefix('<') {
        return sgr_mouse(report, *last);
    }
    let fields = Fields::of(between);
    let modifiers = fields.modifiers();
    let code = match last {
        b'I' => return Read::Event(Event::FocusGained),
        b'O' => return Read::Event(Event::FocusLost),
        b'Z' => return Read::Event(key(KeyCode::BackTab, KeyModifiers::SHIFT)),
        b'~' if fields.first == Some(200) => return Read::PasteBegins,
        b'~' => numbered_key(fields.first),
        b'u' => return encoded(&fields, between),
        // The place of the cursor, which nobody asked for.
        b'R' if fields.first != Some(1) => None,
        last => cursor_key(*last),
    };
    let event = |code| Event::Key(KeyEvent::new_with_kind_and_state(code, modifiers, fields.kind(), fields.locks()));
    code.map_or(Read::Nothing, |code| Read::Event(event(code)))
}

/// `1;5:2`: the first number, and of the second one its parts.
struct Fields {
    first: Option<u32>,
    mask: u8,
    kind: u8,
}

impl Fields {
    fn of(text: &str) -> Self {
        let mut fields = text.split(';');
        let first = fields.next().and_then(|field| field.split(':').next()?.parse().ok());
        let mut second = fields.next().unwrap_or_default().split(':').map(str::parse);
        let mut part = || second.next().and_then(Result::ok).unwrap_or(1);
        Self { first, mask: part(), kind: part() }
    }

    fn modifiers(&self) -> KeyModifiers {
        const BITS: [KeyModifiers; 6] = [
            KeyModifiers::SHIFT,
            KeyModifiers::ALT,
            KeyModifiers::CONTROL,
            KeyModifiers::SUPER,
            KeyModifiers::HYPER,
            KeyModifiers::META,
        ];
        let mask = self.mask.saturating_sub(1);
        let held = (0..).zip(BITS).filter(|(bit, _)| mask & (1 << bit) != 0);
        held.map(|(_, modifier)| modifier).collect()
    }

    const fn kind(&self) -> KeyEventKind {
        match self.kind {
            2 => KeyEventKind::Repeat,
            3 => KeyEventKind::Release,
            _ => KeyEventKind::Press,
        }
    }

    fn locks(&self) -> KeyEventState {
        let mask = self.mask.saturating_sub(1);
        let locks = [(64, KeyEventState::CAPS_LOCK), (128, KeyEventState::NUM_LOCK)];
        locks.into_iter().filter(|(bit, _)| mask & bit != 0).map(|(_, lock)| lock).collect()
    }
}

/// The keys whose sequence ends with `~`.
fn numbered_key(number: Option<u32>) -> Option<KeyCode> {
    let number = u8::try_from(number?).ok()?;
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F(number - 10),
        17..=21 => KeyCode::F(number - 11),
        23..=26 => KeyCode::F(number - 12),
        28 | 29 => KeyCode::F(number - 15),
        31..=34 => KeyCode::F(number - 17),
        _ => return None,
    })
}

/// `CSI 97:65;5:1u`: keys told apart.
fn encoded(fields: &Fields, between: &str) -> Read {
    let Some(number) = fields.first else { return Read::Nothing };
    let mut modifiers = fields.modifiers();
    let mut state = fields.locks();
    let mut code = match (number, char::from_u32(number)) {
        (57_344..=63_743, _) => {
            let Some((code, keypad)) = private_key(number) else { return Read::Nothing };
            state |= if keypad { KeyEventState::KEYPAD } else { KeyEventState::NONE };
            code
        }
        (0x1b, _) => KeyCode::Esc,
        (0x0d, _) => KeyCode::Enter,
        (0x09, _) if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        (0x09, _) => KeyCode::Tab,
        (0x7f, _) => KeyCode::Backspace,
        (_, Some(c)) => KeyCode::Char(c),
        (_, None) => return Read::Nothing,
    };
    // The letter that shift makes of it on this keyboard.
    let shifted = between.split(';').next().and_then(|first| first.split(':').nth(1)?.parse().ok());
    if let Some(shifted) = shifted.and_then(char::from_u32).filter(|_| modifiers.contains(KeyModifiers::SHIFT)) {
        code = KeyCode::Char(shifted);
        modifiers.remove(KeyModifiers::SHIFT);
    }
    Read::Event(Event::Key(KeyEvent::new_with_kind_and_state(code, modifiers, fields.kind(), state)))
}

/// Keys without a character, and whether they are the keypad's.
fn private_key(number: u32) -> Option<(KeyCode, bool)> {
    const KEYPAD: [KeyCode; 18] = [
        KeyCode::Char('.'),
        KeyCode::Char('/'),
        KeyCode::Char('*'),
        KeyCode::Char('-'),
        KeyCode::Char('+'),
        KeyCode::Enter,
        KeyCode::Char('='),
        KeyCode::Char(','),
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Insert,
        KeyCode::Delete,
    ];
    let after = |first: u32| u8::try_from(number - first).unwrap_or(0);
    Some(match number {
        57_358 => (KeyCode::CapsLock, false),
        57_359 => (KeyCode::ScrollLock, false),
        57_360 => (KeyCode::NumLock, false),
        57_361 => (KeyCode::PrintScreen, false),
        57_362 => (KeyCode::Pause, false),
        57_363 => (KeyCode::Menu, false),
        57_376..=57_398 => (KeyCode::F(after(57_376) + 13), false),
        57_399..=57_408 => (KeyCode::Char(char::from(b'0' + after(57_399))), true),
        57_409..=57_426 => (*KEYPAD.get(usize::from(after(57_409)))?, true),
        57_427 => (KeyCode::KeypadBegin, true),
        _ => return None,
    })
}

/// `CSI < button ; column ; row M`, or `m` where it is let go.
fn sgr_mouse(report: &str, last: u8) -> Read {
    let mut numbers = report.split(';').map(|number| number.parse::<u16>().ok());
    let mut next = || numbers.next().flatten();
    let (Some(button), Some(column), Some(row)) = (next(), next(), next()) else { return Read::Nothing };
    let place = column.checked_sub(1).zip(row.checked_sub(1));
    let Some(at) = u8::try_from(button).ok().zip(place) else { return Read::Nothing };
    match mouse(at) {
        Read::Event(Event::Mouse(MouseEvent { kind: MouseEventKind::Down(button), column, row, modifiers }))
            if last == b'm' =>
        {
            Read::Event(Event::Mouse(MouseEvent { kind: MouseEventKind::Up(button), column, row, modifiers }))
        }
        other => other,
    }
}

fn mouse((button, (column, row)): (u8, (u16, u16))) -> Read {
    const HELD: [(u8, KeyModifiers); 3] =
        [(4, KeyModifiers::SHIFT), (8, KeyModifiers::ALT), (16, KeyModifiers::CONTROL)];
    let kind = match ((button & 3) | ((button & 0xc0) >> 4), button & 32 != 0) {
        (0, false) => MouseEventKind::Down(MouseButton::Left),
        (1, false) => MouseEventKind::Down(MouseButton::Middle),
        (2, false) => MouseEventKind::Down(MouseButton::Right),
        (0, true) => MouseEventKind::Drag(MouseButton::Left),
        (1, true) => MouseEventKind::Drag(MouseButton::Middle),
        (2, true) => MouseEventKind::Drag(MouseButton::Right),
        (3, false) => MouseEventKind::Up(MouseButton::Left),
        (3..=5, true) => MouseEventKind::Moved,
        (4, false) => MouseEventKind::ScrollUp,
        (5, false) => MouseEventKind::ScrollDown,
        (6, false) => MouseEventKind::ScrollLeft,
        (7, false) => MouseEventKind::ScrollRight,
        _ => return Read::Nothing,
    };
    let modifiers = HELD.into_iter().filter(|(bit, _)| button & bit != 0).map(|(_, modifier)| modifier).collect();
    Read::Event(Event::Mouse(MouseEvent { kind, column, row, modifiers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::default();
        for (at, piece) in pieces.iter().enumerate() {
            parser.take(piece, at + 1 < pieces.len());
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    fn one(bytes: &str) -> (KeyCode, KeyModifiers) {
        match parsed(&[bytes.as_bytes()]).as_slice() {
            [Event::Key(event)] => (event.code, event.modifiers),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn keys() {
        use KeyCode::{BackTab, Backspace, Char, Delete, Down, Enter, Esc, F, Home, Left, PageUp, Tab, Up};
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const SHIFT: KeyModifiers = KeyModifiers::SHIFT;
        const ALT: KeyModifiers = KeyModifiers::ALT;
        const CTRL: KeyModifiers = KeyModifiers::CONTROL;
        let all = [
            ("a", Char('a'), NONE),
            ("A", Char('A'), SHIFT),
            ("ä", Char('ä'), NONE),
            ("漢", Char('漢'), NONE),
            ("\r", Enter, NONE),
            ("\n", Char('j'), CTRL),
            ("\t", Tab, NONE),
            ("\x7f", Backspace, NONE),
            ("\x00", Char(' '), CTRL),
            ("\x11", Char('q'), CTRL),
            ("\x1c", Char('4'), CTRL),
            ("\x1b", Esc, NONE),
            ("\x1bx", Char('x'), ALT),
            ("\x1bX", Char('X'), ALT | SHIFT),
            ("\x1bé", Char('é'), ALT),
            ("\x1b\r", Enter, ALT),
            ("\x1b\x01", Char('a'), ALT | CTRL),
            ("\x1bOA", Up, NONE),
            ("\x1bOP", F(1), NONE),
            ("\x1b[B", Down, NONE),
            ("\x1b[1;5D", Left, CTRL),
            ("\x1b[;3H", Home, ALT),
            ("\x1b[1;2R", F(3), SHIFT),
            ("\x1b[[B", F(2), NONE),
            ("\x1b[Z", BackTab, SHIFT),
            ("\x1b[3~", Delete, NONE),
            ("\x1b[5;6~", PageUp, SHIFT | CTRL),
            ("\x1b[15~", F(5), NONE),
            ("\x1b[24;5~", F(12), CTRL),
            ("\x1b[97;5u", Char('a'), CTRL),
            ("\x1b[27u", Esc, NONE),
            ("\x1b[9;2u", BackTab, SHIFT),
            ("\x1b[13;3u", Enter, ALT),
            ("\x1b[97:65;2u", Char('A'), NONE),
            ("\x1b[57376u", F(13), NONE),
            ("\x1b[57400u", Char('1'), NONE),
            ("\x1b[57414;5u", Enter, CTRL),
        ];
        for (bytes, code, modifiers) in all {
            assert_eq!(one(bytes), (code, modifiers), "{bytes:?}");
        }
    }

    #[test]
    fn releases_repeats_and_locks_are_told() {
        let events = parsed(&[b"\x1b[97;1:3u\x1b[1;1:2A\x1b[98;65u\x1b[57399;129u"]);
        let keys: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Key(event) => (event.kind, event.state),
                other => panic!("{other:?}"),
            })
            .collect();
        let (none, press) = (KeyEventState::NONE, KeyEventKind::Press);
        let number = KeyEventState::KEYPAD | KeyEventState::NUM_LOCK;
        assert_eq!(
            keys,
            [
                (KeyEventKind::Release, none),
                (KeyEventKind::Repeat, none),
                (press, KeyEventState::CAPS_LOCK),
                (press, number)
            ]
        );
    }

    #[test]
    fn the_mouse_and_the_focus() {
        let mouse = |kind, column, row, modifiers| Event::Mouse(MouseEvent { kind, column, row, modifiers });
        let none = KeyModifiers::NONE;
        assert_eq!(
            parsed(&[b"\x1b[<0;3;4M\x1b[<0;3;4m\x1b[<64;1;1M\x1b[<36;9;9M\x1b[I\x1b[O\x1b[M !\""]),
            [
                mouse(MouseEventKind::Down(MouseButton::Left), 2, 3, none),
                mouse(MouseEventKind::Up(MouseButton::Left), 2, 3, none),
                mouse(MouseEventKind::ScrollUp, 0, 0, none),
                mouse(MouseEventKind::Drag(MouseButton::Left), 8, 8, KeyModifiers::SHIFT),
                Event::FocusGained,
                Event::FocusLost,
                mouse(MouseEventKind::Down(MouseButton::Left), 0, 1, none),
            ]
        );
    }

    #[test]
    fn a_paste_is_one_event_whatever_is_in_it() {
        let text = "one\r\ntwo \x1b[A \x1b[200~ \u{e4}";
        let events = parsed(&[b"\x1b[200~", text.as_bytes(), b"\x1b[20", b"1~x"]);
        assert_eq!(events, [Event::Paste(text.to_owned()), key(KeyCode::Char('x'), KeyModifiers::NONE)]);
    }

    #[test]
    fn where_it_is_cut_does_not_matter() {
        let bytes = "a\x1b[1;5Dä\x1b[<0;3;4M\x1b[200~p\x1b[201~\x1bOA漢\x1b[97;5u\x1b\x1b[A".as_bytes();
        let whole = parsed(&[bytes]);
        assert_eq!(whole.len(), 10, "{whole:?}");
        for at in 1..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(parsed(&[one, other]), whole, "cut at {at}");
        }
        // Nothing else is there: it is the key.
        let mut parser = Parser::default();
        parser.take(b"\x1b", false);
        assert_eq!(parser.next(), Some(key(KeyCode::Esc, KeyModifiers::NONE)));
    }

    #[test]
    fn what_is_begun_and_left_swallows_nothing() {
        let paste = Event::Paste("p ".to_owned());
        for begun in ["\x1b[", "\x1bO", "\x1b[1", "\x1b[1;", "\x1b[M", "\x1b[M!", "\x1b[<0;3"] {
            let parsed = |then: &[u8]| {
                let mut parser = Parser::default();
                parser.take(begun.as_bytes(), false);
                parser.take(then, false);
                std::iter::from_fn(|| parser.next()).collect::<Vec<_>>()
            };
            assert_eq!(parsed(b"\x1b[200~p \x1b[201~"), std::slice::from_ref(&paste), "{begun:?}");
            assert_eq!(parsed(b"\x03"), [key(KeyCode::Char('c'), KeyModifiers::CONTROL)], "{begun:?}");
            assert_eq!(parsed(b"\x1b[A"), [key(KeyCode::Up, KeyModifiers::NONE)], "{begun:?}");
            assert_eq!(parsed(b"\r"), [key(KeyCode::Enter, KeyModifiers::NONE)], "{begun:?}");
        }
        let mut parser = Parser::default();
        parser.take(b"\xc3", false);
        parser.take(b"\x1b[200~p \x1b[201~", false);
        assert_eq!(std::iter::from_fn(|| parser.next()).collect::<Vec<_>>(), [paste]);
    }

    #[test]
    fn a_paste_of_any_length_ends() {
        for length in PASTE - 8..PASTE + 8 {
            let mut parser = Parser::default();
            parser.take(b"\x1b[200~", true);
            parser.take(&vec![b'x'; length], true);
            parser.take(b"\x1b[201~k", false);
            let events: Vec<_> = std::iter::from_fn(|| parser.next()).collect();
            let text = |event: &Event| if let Event::Paste(text) = event { text.len() } else { 0 };
            assert_eq!(events.iter().map(text).sum::<usize>(), length);
            assert_eq!(events.last(), Some(&key(KeyCode::Char('k'), KeyModifiers::NONE)));
        }
    }

    #[test]
    fn nonsense_is_passed_over() {
        for nonsense in
            ["\x1b[?64;1c", "\x1b[?1u", "\x1b[5;7R", "\x1b[=x", "\x1bOz", "\x1b[999~", "\x1b[<1;0;1M", "\x1b[57500u"]
        {
            let events = parsed(&[nonsense.as_bytes(), b"k"]);
            assert_eq!(events, [key(KeyCode::Char('k'), KeyModifiers::NONE)], "{nonsense:?}");
        }
        assert_eq!(parsed(&[b"\xff\xc3(\x80k"]).len(), 1);
        let mut numbers: u32 = 7;
        let mut parser = Parser::default();
        for _ in 0..200_000 {
            numbers = numbers.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = *b"\x1b[<O200~;:Mm\xc3\xa4u".get((numbers >> 20) as usize % 17).unwrap_or(&0);
            parser.take(&[byte], false);
            assert!(parser.held.len() < LONGEST);
            while parser.next().is_some() {}
        }
    }
}
