//! What the user types, as events: read by one thread, for crossterm's reading can only wait.

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::mpsc;

/// Events that wait for the loop; then the reading does.
const EVENTS: usize = 256;
/// How long one wait for an event lasts.
const LONG: Duration = Duration::from_hours(1);
/// A read that fails so often in a row fails for ever: the terminal is gone.
const MAX_ERRORS: u32 = 10;

/// The events of the terminal. crossterm's own stream costs two threads' turns an event, and one for each event of a
/// burst.
///
/// # Errors
/// The system has no thread left.
pub fn events() -> io::Result<impl Stream<Item = io::Result<Event>>> {
    let (sender, events) = mpsc::channel(EVENTS);
    // It waits for a key when the dashboard ends, and ends with the process.
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender, next))?;
    Ok(stream::unfold(events, async |mut events| events.recv().await.map(|event| (event, events))))
}

fn next() -> io::Result<Event> {
    while !event::poll(LONG)? {}
    event::read()
}

/// Gives events on until nobody takes them any more, or nothing but errors comes.
fn read(to: &mpsc::Sender<io::Result<Event>>, mut next: impl FnMut() -> io::Result<Event>) {
    let mut errors = 0;
    while errors < MAX_ERRORS {
        let event = next();
        errors = if event.is_err() { errors + 1 } else { 0 };
        if to.blocking_send(event).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_only_fails_is_left() {
        let (sender, mut events) = mpsc::channel(64);
        let mut turn = 0;
        read(&sender, || {
            turn += 1;
            if turn == 5 { Ok(Event::FocusGained) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
        assert_eq!(turn, 5 + MAX_ERRORS, "an event in between begins the count anew");
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).flatten().count(), 1);
    }

    #[test]
    fn reading_ends_with_the_loop() {
        let (sender, events) = mpsc::channel(1);
        drop(events);
        let mut turns = 0;
        read(&sender, || {
            turns += 1;
            Ok(Event::FocusGained)
        });
        assert_eq!(turns, 1);
    }
}
