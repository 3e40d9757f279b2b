//! Rows T05 and T07 of the catalogue of faults: every screen at every size, any input in any order.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use podbay::tui::effect::Effect;
use podbay::tui::msg::Msg;

use super::bay;
use super::screens::all;

/// A small generator: the same numbers in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap();
        items.get(at).unwrap()
    }

    fn size(&mut self, limit: u64) -> u16 {
        u16::try_from(self.below(limit)).unwrap()
    }
}

#[test]
fn every_screen_at_every_small_size() {
    for (name, mut driver) in all(80, 24) {
        for columns in 0..=14 {
            for rows in 0..=14 {
                driver.send(Msg::Input(Event::Resize(columns, rows)));
                let shot = driver.shot();
                assert!(columns == 0 || rows == 0 || !shot.is_empty() || columns < 3, "{name} at {columns}x{rows}");
            }
        }
    }
}

#[test]
fn every_screen_at_some_sizes_up_to_120() {
    let mut numbers = Numbers(7);
    for (_, mut driver) in all(120, 40) {
        for _ in 0..120 {
            let (columns, rows) = (numbers.size(121), numbers.size(121));
            driver.send(Msg::Input(Event::Resize(columns, rows)));
            driver.draw();
        }
    }
}

#[test]
fn a_screen_that_is_smaller_than_the_model_thinks_is_drawn() {
    use ratatui::{Terminal, backend::TestBackend};
    for (_, driver) in all(120, 40) {
        for (columns, rows) in [(0, 0), (1, 1), (41, 13), (200, 3), (60, 20)] {
            let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
            terminal.draw(|frame| podbay::tui::view::view(&driver.model, frame)).unwrap();
        }
    }
}

fn event(numbers: &mut Numbers) -> Event {
    const CODES: [KeyCode; 20] = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::Insert,
        KeyCode::F(5),
        KeyCode::Null,
        KeyCode::CapsLock,
        KeyCode::Menu,
        KeyCode::KeypadBegin,
    ];
    const TEXTS: [&str; 7] = ["", "a\r\nb\tc", "漢字", "e\u{301}\u{202e}x", "\u{1b}[201~rm", "⚠️", "🏳️‍🌈"];
    match numbers.below(20) {
        0 => Event::Resize(numbers.size(130), numbers.size(60)),
        1 => Event::Paste(numbers.one_of(&TEXTS).repeat(usize::from(numbers.size(200)))),
        2 => {
            const KINDS: [MouseEventKind; 6] = [
                MouseEventKind::Down(MouseButton::Left),
                MouseEventKind::Up(MouseButton::Left),
                MouseEventKind::Drag(MouseButton::Right),
                MouseEventKind::Moved,
                MouseEventKind::ScrollUp,
                MouseEventKind::ScrollDown,
            ];
            let kind = *numbers.one_of(&KINDS);
            let modifiers = KeyModifiers::NONE;
            Event::Mouse(MouseEvent { kind, column: numbers.size(300), row: numbers.size(300), modifiers })
        }
        3 => numbers.one_of(&[Event::FocusGained, Event::FocusLost]).clone(),
        4..=6 => {
            let code = *numbers.one_of(&CODES);
            Event::Key(KeyEvent::new(code, KeyModifiers::from_bits_truncate(u8::try_from(numbers.below(64)).unwrap())))
        }
        7 => {
            let c = char::from_u32(u32::try_from(numbers.below(0x11_0000)).unwrap()).unwrap_or('x');
            Event::Key(KeyEvent::new(
                KeyCode::Char(c),
                KeyModifiers::from_bits_truncate(u8::try_from(numbers.below(64)).unwrap()),
            ))
        }
        _ => {
            let c = char::from(u8::try_from(0x20 + numbers.below(0x5f)).unwrap());
            Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
        }
    }
}

/// Random input against random screens; what is asked for must be told apart from nothing at all.
fn storm(rounds: u64, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut asked = 0;
    for _ in 0..rounds / 1000 {
        let screens = all(80, 24);
        let at = usize::try_from(numbers.below(screens.len() as u64)).unwrap();
        let (_, mut driver) = screens.into_iter().nth(at).unwrap();
        for step in 0..1000 {
            if numbers.below(97) == 0 {
                driver.hear(numbers.one_of(&[bay::empty(), bay::running(), bay::mixed(), bay::away()]).clone());
            }
            if numbers.below(31) == 0 && driver.model.main.terminals.shown().is_some() {
                driver.screen("\x1b[24;80H\u{26a0}\u{fe0f}\x1b[23;80Hx\u{1f468}\u{200d}\u{1f469}");
            }
            driver.now += std::time::Duration::from_millis(numbers.below(400));
            let event = event(&mut numbers);
            driver.send(Msg::Input(event));
            let effects = driver.taken();
            asked += effects.iter().filter(|effect| !matches!(effect, Effect::TypeInto { .. })).count();
            if step % 10 == 0 {
                driver.draw();
            }
        }
    }
    assert!(asked > 100, "the storm hardly reached anything: {asked} effects");
}

#[test]
fn any_input_in_any_order() {
    crate::terminal::quiet();
    storm(20_000, 0x5eed);
}

#[test]
#[ignore = "the full count of row T07: about two minutes"]
fn any_input_in_any_order_a_million_times() {
    crate::terminal::quiet();
    storm(1_000_000, 0xbeef);
}
