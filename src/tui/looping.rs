//! The loop: sources become messages, messages become effects, and a frame is drawn when something changed.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use crossterm::event::Event;
use futures_util::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::effect::{Effect, StreamKey};
use super::model::Model;
use super::msg::{Msg, TerminalMsg};
use super::painter::Painter;
use super::update::update;

/// Two frames are at least this far apart.
const FRAME: Duration = Duration::from_millis(16);
/// Errors of the input in a row after which the terminal counts as gone.
const MAX_ERRORS: u32 = 10;
/// A frame is kept back for this long at most while a program says that its screen is not whole.
const HELD: Duration = Duration::from_millis(100);
/// Messages are taken in for this long before the keys and the screen have their turn again.
const BATCH: Duration = Duration::from_millis(8);
/// How long the loop sleeps when nothing is due.
const LONG: Duration = Duration::from_hours(1);

/// What comes from a program so soon after a key is taken for the answer to it, and shown at once.
const ANSWER: Duration = Duration::from_millis(100);

/// A key that was typed into a terminal, until its answer is on the screen.
#[derive(Default)]
struct Typed {
    into: Option<(StreamKey, Instant)>,
    answered: bool,
    /// It is not on its way yet.
    fresh: bool,
}

impl Typed {
    fn hear(&mut self, msg: &Msg) {
        if let (Msg::Terminal { key, .. }, Some((into, at))) = (msg, self.into) {
            self.answered |= *key == into && at.elapsed() < ANSWER;
        }
    }

    fn note(&mut self, effect: &Effect) {
        if let Effect::TypeInto { key, .. } = effect {
            *self = Self { into: Some((*key, Instant::now())), answered: false, fresh: true };
        }
    }
}

/// What does the effects. The answers come back through the channel that [`run_with`] reads.
pub trait Execute {
    /// Starts an effect; must not block. [`Effect::Quit`] never comes here.
    fn execute(&mut self, effect: Effect);
}

/// Why the loop ended in disorder.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The terminal can't be drawn on.
    #[error("drawing on the terminal failed: {0}")]
    Draw(String),
}

/// What came first.
enum Woken {
    Input(Option<io::Result<Event>>),
    Message(Option<Box<Msg>>),
    Due,
    Frame,
}

/// Runs until [`Effect::Quit`], or until the input ends or does nothing but fail.
///
/// # Errors
/// [`LoopError::Draw`].
pub async fn run_with<B, I, X>(
    terminal: &mut Terminal<B>,
    input: I,
    mut messages: mpsc::Receiver<Msg>,
    executor: &mut X,
    mut model: Model,
) -> Result<(), LoopError>
where
    B: Backend,
    I: Stream<Item = io::Result<Event>>,
    X: Execute,
{
    let mut input = pin!(input);
    let mut errors = 0;
    let mut drawn: Option<Instant> = None;
    let mut held: Option<Instant> = None;
    let mut empty = true;
    let mut typed = Typed::default();
    let mut painter = Painter::new(terminal);
    let size = painter.size().map_err(draw_error)?;
    let mut alarm = pin!(sleep_until(Instant::now()));
    // Something beside screens may have changed, and with it what is due next.
    let mut moved = true;
    let mut next = Some(Msg::Start(size.width, size.height));
    loop {
        let begun = Instant::now();
        while let Some(msg) = next.take() {
            moved |= !matches!(&msg, Msg::Terminal { msg: TerminalMsg::Bytes(_), .. });
            typed.hear(&msg);
            if step(&mut model, msg, executor, &mut painter, &mut typed)? {
                return Ok(());
            }
            moved |= model.dirty;
            if typed.fresh || begun.elapsed() >= BATCH {
                break;
            }
            // Bursts are taken in before drawing, so that a flood costs one frame and not hundreds. Who types waits for
            // none of them.
            next = match input.next().now_or_never() {
                Some(event) => match heard(event, &mut errors) {
                    ControlFlow::Continue(msg) => msg,
                    ControlFlow::Break(()) => return Ok(()),
                },
                None => messages.try_recv().ok(),
            };
        }
        if std::mem::take(&mut typed.fresh) {
            // On its way before anything is drawn: drawing takes longer than the whole way to the program.
            tokio::task::yield_now().await;
        }
        // Who types waits for no frame of another pane.
        let paced = drawn.filter(|_| !typed.answered);
        let mut due_frame = paced.map_or_else(Instant::now, |at| at + FRAME);
        let stale = model.wants_frame();
        if stale && model.main.terminals.is_half_drawn() {
            // From the first frame that was kept back, or one that never ends would keep them all back.
            due_frame = due_frame.max(*held.get_or_insert_with(Instant::now) + HELD);
        }
        if stale && due_frame <= Instant::now() {
            painter.paint(&model).map_err(draw_error)?;
            model.drawn();
            held = None;
            if typed.answered {
                typed = Typed::default();
            }
            // The first frame is the empty house: what fills it comes a millisecond later and must not wait for its turn.
            drawn = if std::mem::take(&mut empty) { None } else { Some(Instant::now()) };
        }
        if std::mem::take(&mut moved) {
            alarm.as_mut().reset(Instant::now() + until_wake(&model));
        }
        let woken = tokio::select! {
            biased;
            event = input.next() => Woken::Input(event),
            () = sleep_until(due_frame), if model.wants_frame() => Woken::Frame,
            msg = messages.recv() => Woken::Message(msg.map(Box::new)),
            // Only after those who feed this loop had a chance to run.
            () = tokio::task::yield_now(), if model.is_busy() => Woken::Due,
            () = alarm.as_mut() => Woken::Due,
        };
        next = match woken {
            Woken::Input(event) => match heard(event, &mut errors) {
                ControlFlow::Continue(msg) => msg,
                ControlFlow::Break(()) => return Ok(()),
            },
            Woken::Message(None) => return Ok(()),
            Woken::Message(Some(msg)) => Some(*msg),
            Woken::Due => Some(Msg::Wake),
            Woken::Frame => None,
        };
    }
}

/// What was typed, if it can be read. The end of the input, or nothing but errors: the terminal is gone, and nobody is
/// left to show anything to.
fn heard(event: Option<io::Result<Event>>, errors: &mut u32) -> ControlFlow<(), Option<Msg>> {
    match event {
        Some(Ok(event)) => {
            *errors = 0;
            ControlFlow::Continue(Some(Msg::Input(event)))
        }
        Some(Err(_)) if *errors < MAX_ERRORS => {
            *errors += 1;
            ControlFlow::Continue(None)
        }
        Some(Err(_)) | None => ControlFlow::Break(()),
    }
}

/// One message and its effects. `true`: that was the last.
fn step<B: Backend, X: Execute>(
    model: &mut Model,
    msg: Msg,
    executor: &mut X,
    painter: &mut Painter<'_, B>,
    typed: &mut Typed,
) -> Result<bool, LoopError> {
    for effect in update(model, msg, Timestamp::now()) {
        typed.note(&effect);
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Suspend => {
                executor.execute(Effect::Suspend);
                // The alternate screen is a new one.
                model.size = painter.begin_anew().map_err(draw_error)?;
                model.dirty = true;
            }
            other => executor.execute(other),
        }
    }
    Ok(false)
}

fn until_wake(model: &Model) -> Duration {
    let Some(at) = model.next_wake() else { return LONG };
    let left = at.duration_since(Timestamp::now());
    // A wake that lies in the past would spin if nothing came of it.
    Duration::try_from(left).unwrap_or_default().max(Duration::from_millis(10)).min(LONG)
}

fn draw_error(error: impl std::error::Error) -> LoopError {
    LoopError::Draw(error.to_string())
}
