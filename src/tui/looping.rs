//! The loop: sources become messages, messages become effects, and a frame is drawn when something changed.

use std::io;
use std::pin::pin;
use std::time::Duration;

use crossterm::event::Event;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::layout::{Position, Rect};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::effect::{Effect, StreamKey};
use super::model::Model;
use super::msg::Msg;
use super::update::update;
use super::view::view;

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
    let size = terminal.size().map_err(draw_error)?;
    let mut next = Some(Msg::Start(size.width, size.height));
    loop {
        let begun = Instant::now();
        while let Some(msg) = next.take() {
            typed.hear(&msg);
            if step(&mut model, msg, executor, terminal, &mut typed)? {
                return Ok(());
            }
            // Bursts are taken in before drawing, so that a flood costs one frame and not hundreds.
            next = if begun.elapsed() < BATCH { messages.try_recv().ok() } else { None };
        }
        if std::mem::take(&mut typed.fresh) {
            // On its way before anything is drawn: drawing takes longer than the whole way to the program.
            tokio::task::yield_now().await;
        }
        // Who types waits for no frame of another pane.
        let paced = drawn.filter(|_| !typed.answered);
        let mut due_frame = paced.map_or_else(Instant::now, |at| at + FRAME);
        if model.dirty && model.main.terminals.is_half_drawn() {
            // From the first frame that was kept back, or one that never ends would keep them all back.
            due_frame = due_frame.max(*held.get_or_insert_with(Instant::now) + HELD);
        }
        if model.dirty && due_frame <= Instant::now() {
            terminal.draw(|frame| view(&model, frame)).map_err(draw_error)?;
            model.dirty = false;
            held = None;
            if typed.answered {
                typed = Typed::default();
            }
            // The first frame is the empty house: what fills it comes a millisecond later and must not wait for its turn.
            drawn = if std::mem::take(&mut empty) { None } else { Some(Instant::now()) };
        }
        let wait = until_wake(&model);
        let woken = tokio::select! {
            biased;
            event = input.next() => Woken::Input(event),
            () = sleep_until(due_frame), if model.dirty => Woken::Frame,
            msg = messages.recv() => Woken::Message(msg.map(Box::new)),
            () = sleep_until(Instant::now() + wait) => Woken::Due,
        };
        next = match woken {
            Woken::Input(Some(Ok(event))) => {
                errors = 0;
                Some(Msg::Input(event))
            }
            Woken::Input(Some(Err(_))) if errors < MAX_ERRORS => {
                errors += 1;
                None
            }
            // The terminal is gone: nobody is left to show anything to.
            Woken::Input(_) | Woken::Message(None) => return Ok(()),
            Woken::Message(Some(msg)) => Some(*msg),
            Woken::Due => Some(Msg::Wake),
            Woken::Frame => None,
        };
    }
}

/// One message and its effects. `true`: that was the last.
fn step<B: Backend, X: Execute>(
    model: &mut Model,
    msg: Msg,
    executor: &mut X,
    terminal: &mut Terminal<B>,
    typed: &mut Typed,
) -> Result<bool, LoopError> {
    for effect in update(model, msg, Timestamp::now()) {
        typed.note(&effect);
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Suspend => {
                executor.execute(Effect::Suspend);
                let size = terminal.size().map_err(draw_error)?;
                // The alternate screen is a new one: everything is drawn again.
                terminal.resize(Rect::from((Position::ORIGIN, size))).map_err(draw_error)?;
                model.size = size;
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
