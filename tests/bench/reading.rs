//! A log that is read: 1,000,000 lines and one of a megabyte, searched, scrolled, wrapped, filtered. What counts is the
//! longest that keys and screen wait: one `update`, one frame.

use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use podbay::api::types::LogEntry;
use podbay::tui::backend::Frames;
use podbay::tui::effect::Effect;
use podbay::tui::model::Model;
use podbay::tui::msg::{LogsMsg, Msg};
use podbay::tui::update::update;
use podbay::tui::view::view;
use ratatui::Terminal;
use ratatui::layout::{Rect, Size};
use ratatui::{TerminalOptions, Viewport};

use super::redraw::{SIZE, Sink, model};
use super::{Outcome, Plan};

const LINES: usize = 1_000_000;
/// As the executor tells them.
const AT_ONCE: usize = 512;
/// So often a key is pressed where it is held down.
const HELD: usize = 40;

/// The longest that something took, by the clock and of the processor: where others work, too, the two differ.
#[derive(Clone, Copy, Default)]
struct Worst {
    clock: Duration,
    processor: Duration,
}

impl Worst {
    /// Does it once more; how long it took the processor.
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> (T, Duration) {
        let (clock, processor) = (Instant::now(), processor());
        let done = work();
        let took = self::processor().saturating_sub(processor);
        *self = Self { clock: self.clock.max(clock.elapsed()), processor: self.processor.max(took) };
        (done, took)
    }
}

impl std::fmt::Display for Worst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [clock, processor] = [self.clock, self.processor].map(|time| time.as_secs_f64() * 1e3);
        write!(f, "{clock:.1} ms ({processor:.1} of the processor)")
    }
}

/// What this thread has had of the processor.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A dashboard, and the longest that it took for anything since it was last asked.
struct Reader {
    model: Model,
    terminal: Terminal<Frames<Sink>>,
    now: Timestamp,
    update: Worst,
    draw: Worst,
    /// What looking through all lines took, and in how many parts.
    looked: (Duration, u32),
    log: Option<podbay::tui::effect::StreamKey>,
}

pub fn run(plan: Plan) -> Outcome {
    let lines = if plan.quick { LINES / 10 } else { LINES };
    for (name, line) in [("plain", plain as fn(usize) -> String), ("JSON and colours", mixed)] {
        let mut reader = Reader::new()?;
        for from in (0..lines).step_by(AT_ONCE) {
            reader.take((from..(from + AT_ONCE).min(lines)).map(line).collect())?;
        }
        reader.tell(&format!("{lines} lines, {name}, while they come"));
        read(&mut reader, name)?;
    }
    let mut reader = Reader::new()?;
    reader.take((0..1000).map(plain).collect())?;
    for letter in ["x", "好 \u{1b}[31mx\u{1b}[0m "] {
        reader.take(vec![letter.repeat((1 << 20) / letter.len())])?;
        reader.tell(&format!("a line of a megabyte of {letter:?}, as it comes"));
        read(&mut reader, "the same")?;
    }
    Ok(())
}

fn plain(at: usize) -> String {
    format!("2026-03-01T12:00:00Z request {at} of /api/items?page={} served in {} ms", at % 97, at * 7 % 1013)
}

fn mixed(at: usize) -> String {
    if at.is_multiple_of(2) {
        let took = at % 31;
        format!(
            r#"{{"level":"info","msg":"request {at} served","took":{took},"url":"/api/items","user":{{"id":{at}}}}}"#
        )
    } else {
        format!(
            "\u{1b}[2m12:00:00\u{1b}[0m \u{1b}[32mINFO\u{1b}[0m \u{1b}[1mrequest\u{1b}[0m {at} served in {} ms",
            at % 31
        )
    }
}

/// What a person does with a log.
fn read(reader: &mut Reader, name: &str) -> Result<(), String> {
    let scroll = |reader: &mut Reader, what: &str| -> Result<(), String> {
        for key in [KeyCode::Up, KeyCode::PageUp, KeyCode::Char('g'), KeyCode::PageDown, KeyCode::Right, KeyCode::Left]
        {
            for _ in 0..HELD {
                reader.press(key)?;
            }
        }
        reader.press(KeyCode::Char('G'))?;
        reader.tell(&format!("{what}, {name}"));
        Ok(())
    };
    scroll(reader, "scrolling")?;
    reader.press(KeyCode::Char('w'))?;
    scroll(reader, "scrolling, wrapped")?;
    reader.press(KeyCode::Char('w'))?;
    for (key, what) in [('/', "searching"), ('&', "filtering"), ('/', "searching what the filter leaves")] {
        reader.press(KeyCode::Char(key))?;
        for letter in "served in [0-9]*7".chars() {
            reader.press(KeyCode::Char(letter))?;
        }
        reader.press(KeyCode::Enter)?;
        reader.settle()?;
        for _ in 0..HELD {
            reader.press(KeyCode::Char('N'))?;
        }
        reader.tell(&format!("{what}, {name}"));
    }
    scroll(reader, "scrolling through what is filtered")?;
    reader.press(KeyCode::Char('&'))?;
    for _ in 0..20 {
        reader.press(KeyCode::Backspace)?;
    }
    reader.press(KeyCode::Enter)?;
    reader.settle()?;
    reader.tell(&format!("filtering no more, {name}"));
    Ok(())
}

impl Reader {
    fn new() -> Result<Self, String> {
        let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1)) };
        let terminal = Terminal::with_options(Frames::new(Sink(0), || Ok(Size::new(SIZE.0, SIZE.1))), options);
        let terminal = terminal.map_err(|error| error.to_string())?;
        let (update, draw, looked) = (Worst::default(), Worst::default(), (Duration::ZERO, 0));
        let mut reader = Self { model: model()?, terminal, now: Timestamp::now(), update, draw, looked, log: None };
        reader.press(KeyCode::Char('l'))?;
        reader.now += Duration::from_secs(1);
        reader.send(Msg::Wake)?;
        reader.press(KeyCode::Char('5'))?;
        (reader.update, reader.draw) = (Worst::default(), Worst::default());
        Ok(reader)
    }

    fn send(&mut self, msg: Msg) -> Result<(), String> {
        let (effects, _) = self.update.of(|| update(&mut self.model, msg, self.now));
        for effect in effects {
            if let Effect::OpenLogs { key, .. } = effect {
                self.log = Some(key);
            }
        }
        self.frame()
    }

    fn frame(&mut self) -> Result<(), String> {
        let (drawn, _) = self.draw.of(|| self.terminal.draw(|frame| view(&self.model, frame)).map(|_| ()));
        drawn.map_err(|error| error.to_string())
    }

    fn press(&mut self, key: KeyCode) -> Result<(), String> {
        self.send(Msg::Input(Event::Key(KeyEvent::new(key, KeyModifiers::NONE))))
    }

    fn take(&mut self, lines: Vec<String>) -> Result<(), String> {
        let key = self.log.ok_or("no log is followed")?;
        let entry = |line| LogEntry { line, timestamp: Some(self.now.as_millisecond()), stderr: false, raw: None };
        let lines = lines.into_iter().map(entry).collect();
        self.send(Msg::Logs { key, msg: LogsMsg::Lines(lines, None) })
    }

    /// Until nothing waits to be looked at.
    fn settle(&mut self) -> Result<(), String> {
        while self.model.is_busy() {
            let (_, took) = self.update.of(|| update(&mut self.model, Msg::Wake, self.now));
            self.looked = (self.looked.0 + took, self.looked.1 + 1);
            // As the loop does: frames have their pace.
            if self.looked.1.is_multiple_of(4) {
                self.frame()?;
            }
        }
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "figures are its output")]
    fn tell(&mut self, what: &str) {
        let [update, draw] = [&mut self.update, &mut self.draw].map(std::mem::take);
        let (looked, parts) = std::mem::take(&mut self.looked);
        let all = if parts > 0 {
            format!(", all lines {:.2} s in {parts} parts", looked.as_secs_f64())
        } else {
            String::new()
        };
        println!("{what}: an update takes {update} at most, a frame {draw} (goal: 16){all}");
    }
}
