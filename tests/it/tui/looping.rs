//! The loop itself, with its terminal, its input and its executor as parameters. Row T04 of the catalogue of faults.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossterm::event::Event;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use podbay::api::types::Frame;
use podbay::tui::effect::Effect;
use podbay::tui::model::Model;
use podbay::tui::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};
use podbay::tui::{Execute, run_with};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bay;
use super::driver::{key_event, lines, settings};
use super::robust::Numbers;
use super::screens::log;

/// Every wait ends here.
const DEADLINE: Duration = Duration::from_secs(20);

/// A terminal that can be looked at, and resized, while the loop draws on it.
#[derive(Clone)]
struct Shared {
    screen: Arc<Mutex<TestBackend>>,
    /// Each frame's text, and when it was there.
    frames: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Shared {
    fn new(columns: u16, rows: u16) -> Self {
        Self { screen: Arc::new(Mutex::new(TestBackend::new(columns, rows))), frames: Arc::default() }
    }

    fn frames(&self) -> usize {
        self.frames.lock().unwrap().len()
    }

    /// When a text was on the screen for the first time, also if it is gone by now.
    fn seen(&self, what: &str) -> Option<Instant> {
        let frames = self.frames.lock().unwrap();
        frames.iter().find(|(_, text)| text.contains(what)).map(|(at, _)| *at)
    }

    fn text(&self) -> String {
        lines(self.screen.lock().unwrap().buffer()).join("\n")
    }

    async fn until(&self, what: &str) {
        let seen = timeout(DEADLINE, async {
            while !self.text().contains(what) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(seen.await.is_ok(), "{what:?} never came:\n{}", self.text());
    }
}

type Refused = <TestBackend as Backend>::Error;

impl Backend for Shared {
    type Error = Refused;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Refused>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut screen = self.screen.lock().unwrap();
        // The terminal may have shrunk since the frame was begun, as real ones do.
        let area = screen.buffer().area;
        screen.draw(content.filter(|(x, y, _)| area.contains(Position::new(*x, *y))))
    }

    fn hide_cursor(&mut self) -> Result<(), Refused> {
        self.screen.lock().unwrap().hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Refused> {
        self.screen.lock().unwrap().show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Refused> {
        self.screen.lock().unwrap().get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Refused> {
        self.screen.lock().unwrap().set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), Refused> {
        self.screen.lock().unwrap().clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> Result<(), Refused> {
        self.screen.lock().unwrap().clear_region(clear_type)
    }

    fn size(&self) -> Result<Size, Refused> {
        self.screen.lock().unwrap().size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Refused> {
        self.screen.lock().unwrap().window_size()
    }

    fn flush(&mut self) -> Result<(), Refused> {
        let text = self.text();
        self.frames.lock().unwrap().push((Instant::now(), text));
        self.screen.lock().unwrap().flush()
    }
}

/// Notes what was asked for.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Effect>>>);

impl Execute for Recorder {
    fn execute(&mut self, effect: Effect) {
        self.0.lock().unwrap().push(effect);
    }
}

/// A loop under way.
struct Running {
    shared: Shared,
    asked: Recorder,
    input: mpsc::Sender<io::Result<Event>>,
    messages: mpsc::Sender<Msg>,
    done: tokio::task::JoinHandle<()>,
}

fn start(columns: u16, rows: u16) -> Running {
    let shared = Shared::new(columns, rows);
    let asked = Recorder::default();
    let (input, events) = mpsc::channel(4096);
    let (messages, received) = mpsc::channel(256);
    let (backend, mut executor) = (shared.clone(), asked.clone());
    let done = tokio::spawn(async move {
        let mut terminal = Terminal::new(backend).unwrap();
        let events = stream::unfold(events, |mut events| async { events.recv().await.map(|event| (event, events)) });
        let model = Model::new(settings(), Timestamp::now());
        run_with(&mut terminal, events.boxed(), received, &mut executor, model).await.unwrap();
    });
    Running { shared, asked, input, messages, done }
}

impl Running {
    async fn press(&self, keys: &str) {
        for key in keys.split(' ') {
            self.input.send(Ok(Event::Key(key_event(key)))).await.unwrap();
        }
    }

    async fn hear(&self, snapshot: podbay::api::types::Snapshot) {
        self.messages.send(Msg::Feed(FeedMsg::Snapshot(Box::new(snapshot)))).await.unwrap();
    }

    async fn end(self) {
        let ended = timeout(DEADLINE, self.done).await;
        assert!(ended.is_ok(), "the loop did not end:\n{}", self.shared.text());
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_is_drawn_and_q_ends() {
    let running = start(80, 24);
    running.shared.until("asking the supervisor").await;
    assert_eq!(*running.asked.0.lock().unwrap(), [Effect::Connect]);
    running.hear(bay::running()).await;
    running.shared.until("badger").await;
    running.press("?").await;
    running.shared.until("spawn a worker by a form").await;
    running.press("esc q").await;
    running.end().await;
}

#[tokio::test]
async fn the_end_of_the_input_ends_and_so_do_errors_alone() {
    let running = start(80, 24);
    running.shared.until("asking").await;
    let Running { shared, done, input, messages, .. } = running;
    drop(input);
    assert!(timeout(DEADLINE, done).await.is_ok(), "{}", shared.text());
    drop(messages);

    let running = start(80, 24);
    for _ in 0..20 {
        let _ = running.input.send(Err(io::Error::other("gone"))).await;
    }
    running.end().await;
}

#[tokio::test]
async fn a_burst_costs_few_frames_and_quiet_costs_none() {
    let running = start(80, 24);
    running.hear(bay::running()).await;
    running.shared.until("badger").await;
    let before = running.shared.frames();
    let begun = Instant::now();
    for at in 0..2000_u32 {
        let mut snapshot = bay::running();
        snapshot.status.engine.version = format!("v{at}");
        running.hear(snapshot).await;
    }
    running.shared.until("v1999").await;
    let most = begun.elapsed().as_millis() / 16 + 3;
    let drawn = running.shared.frames() - before;
    // A frame is flushed at most twice: cells, then the cursor.
    assert!(u128::try_from(drawn).unwrap() <= most * 2, "{drawn} flushes in {:?}", begun.elapsed());
    let settled = running.shared.frames();
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(running.shared.frames(), settled, "something is drawn though nothing happens");
    running.press("q").await;
    running.end().await;
}

#[tokio::test]
async fn a_storm_of_sizes_ends_with_the_right_frame() {
    let running = start(80, 24);
    running.hear(bay::mixed()).await;
    running.shared.until("badger").await;
    let mut numbers = Numbers(99);
    let odd = [(0, 0), (1, 1), (2, 1), (500, 200), (65535, 1), (39, 12), (40, 11)];
    for at in 0..2000_u64 {
        let (columns, rows) = match odd.get(usize::try_from(at % 11).unwrap()) {
            Some(size) => *size,
            None => (u16::try_from(numbers.below(160)).unwrap(), u16::try_from(numbers.below(60)).unwrap()),
        };
        running.shared.screen.lock().unwrap().resize(columns, rows);
        running.input.send(Ok(Event::Resize(columns, rows))).await.unwrap();
        if at % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    running.shared.screen.lock().unwrap().resize(30, 10);
    running.input.send(Ok(Event::Resize(30, 10))).await.unwrap();
    running.shared.until("needs 40x12").await;
    running.shared.screen.lock().unwrap().resize(90, 30);
    running.input.send(Ok(Event::Resize(90, 30))).await.unwrap();
    running.shared.until("1 worker cut off").await;
    running.shared.until("owl").await;
    running.press("q").await;
    running.end().await;
}

#[tokio::test]
async fn a_frame_waits_for_a_screen_that_is_not_whole_but_not_for_ever() {
    let running = start(80, 24);
    running.hear(bay::running()).await;
    running.shared.until("opening the terminal").await;
    let key = {
        let asked = running.asked.0.lock().unwrap();
        asked.iter().find_map(|effect| if let Effect::OpenTerminal { key, .. } = effect { Some(*key) } else { None })
    };
    let key = key.unwrap();
    let say = |msg| running.messages.send(Msg::Terminal { key, msg });
    say(TerminalMsg::Frame(Frame::Reset { rows: 20, cols: 48 })).await.unwrap();
    let bytes = |text: &'static str| TerminalMsg::Bytes(Bytes::from_static(text.as_bytes()));
    say(bytes("before")).await.unwrap();
    running.shared.until("before").await;
    // Begun and ended before its time is over: no frame shows the half of it, though there is time for some.
    let mut judged = false;
    for at in 0..20 {
        let begun = Instant::now();
        say(TerminalMsg::Bytes(format!("\x1b[?2026h\x1b[2J\x1b[Hhalf {at}").into())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
        say(TerminalMsg::Bytes(format!("\x1b[2J\x1b[Hwhole {at}\x1b[?2026l").into())).await.unwrap();
        running.shared.until(&format!("whole {at}")).await;
        // A machine that was too busy for this tells nothing.
        if running.shared.seen(&format!("whole {at}")).unwrap() - begun < Duration::from_millis(100) {
            assert_eq!(running.shared.seen(&format!("half {at}")), None, "a frame shows the half");
            judged = true;
        }
    }
    assert!(judged, "no time to see anything");
    // Never ended: shown after a while.
    let begun = Instant::now();
    say(bytes("\x1b[?2026h\x1b[2J\x1b[Hforgotten")).await.unwrap();
    running.shared.until("forgotten").await;
    let kept = running.shared.seen("forgotten").unwrap() - begun;
    assert!((Duration::from_millis(100)..Duration::from_secs(1)).contains(&kept), "{kept:?}");
    running.press("q").await;
    running.end().await;
}

#[tokio::test]
async fn a_search_goes_on_by_itself_and_lets_keys_in() {
    let running = start(80, 24);
    running.hear(bay::running()).await;
    running.shared.until("badger").await;
    running.press("l").await;
    running.shared.until("asking for the log").await;
    let opened = |asked: &[Effect]| {
        let mut keys = asked.iter().filter_map(|effect| match effect {
            Effect::OpenLogs { key, .. } => Some(*key),
            _ => None,
        });
        keys.next()
    };
    let found = timeout(DEADLINE, async {
        loop {
            let key = opened(&running.asked.0.lock().unwrap());
            match key {
                Some(key) => break key,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    });
    let key = found.await.unwrap();
    for from in (0..100_000).step_by(1000) {
        let lines = (from..from + 1000).map(|at| log(at, &format!("line {at} of a log that is searched"))).collect();
        running.messages.send(Msg::Logs { key, msg: LogsMsg::Lines(lines, None) }).await.unwrap();
    }
    running.shared.until("following 100,000 lines").await;
    running.press("/").await;
    for letter in "line 7 of".chars() {
        running.press(&if letter == ' ' { "space".to_owned() } else { letter.to_string() }).await;
    }
    running.shared.until("/line 7 of: 1 of 1 ").await;
    running.press("enter q").await;
    running.end().await;
}
