//! What reads from the engine, once for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::super::line_id::Numbering;
use super::super::lines::{LineEvent, entry, write_event};
use super::{PIECES, Piece, Told};
use crate::bay::container::ContainerId;
use crate::engine::{EngineError, LogLine, LogQuery, LogStream, SharedEngine};

/// A piece has at most so many lines, and so many bytes but for its last line: so many times that is what a ring holds.
const LINES: usize = 512;
const BYTES: usize = 32 << 10;
/// So long in all the slowest are waited for; what is still behind then catches up by itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at how far they are.
const LOOK: Duration = Duration::from_millis(5);

/// One follow of a log.
pub struct Hub {
    told: broadcast::Sender<Arc<Told>>,
    ended: Arc<AtomicBool>,
    /// Ends with the hub, and the engine's follow with it.
    _reading: AbortOnDropHandle<()>,
}

impl Hub {
    /// Follows from the last line on: what was before is each follower's own to read. That line itself comes again, so
    /// that the lines of one moment are numbered as in a reading of the whole.
    pub async fn open(engine: &SharedEngine, id: &ContainerId) -> Result<Self, EngineError> {
        let mut last = engine.logs(id, &LogQuery { follow: false, tail: Some(1), since: None }).await?;
        let mut since = None;
        while let Some(line) = last.next().await {
            since = line?.at.or(since);
        }
        let lines = engine.logs(id, &LogQuery { follow: true, tail: None, since }).await?;
        let told = broadcast::Sender::new(PIECES);
        let ended = Arc::new(AtomicBool::new(false));
        let reading = tokio::spawn(pass_on(lines, told.clone(), ended.clone()));
        Ok(Self { told, ended, _reading: AbortOnDropHandle::new(reading) })
    }

    /// All that is passed on from here on; `None`: it has ended.
    pub fn subscribe(&self) -> Option<broadcast::Receiver<Arc<Told>>> {
        let told = self.told.subscribe();
        // Asked after that: an end that is still to come will be heard.
        (!self.has_ended()).then_some(told)
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

async fn pass_on(lines: LogStream, told: broadcast::Sender<Arc<Told>>, ended: Arc<AtomicBool>) {
    let mut together = lines.ready_chunks(LINES);
    let mut numbering = Numbering::default();
    let mut patience = PATIENCE;
    let mut last = Told::End;
    while let Some(lines) = together.next().await {
        let (pieces, error) = pieces(&lines, &mut numbering);
        for piece in pieces {
            patience = wait_for_the_slowest(&told, patience).await;
            // Nobody hears it only when the hub itself is about to go.
            let _ = told.send(Arc::new(Told::Piece(piece)));
        }
        if let Some(error) = error {
            last = Told::Failed(error);
            break;
        }
    }
    ended.store(true, Ordering::Release);
    let _ = told.send(Arc::new(last));
}

/// A burst is not to leave behind whoever reads as fast as it can; somebody who reads nothing is not to hold up the rest
/// for longer than once. What is left of the patience.
async fn wait_for_the_slowest(told: &broadcast::Sender<Arc<Told>>, mut patience: Duration) -> Duration {
    while told.len() >= PIECES && !patience.is_zero() {
        tokio::time::sleep(LOOK).await;
        patience = patience.saturating_sub(LOOK);
    }
    if told.len() < PIECES / 2 { PATIENCE } else { patience }
}

/// Lines as pieces, and why no more come.
fn pieces(lines: &[Result<LogLine, EngineError>], numbering: &mut Numbering) -> (Vec<Piece>, Option<String>) {
    let mut pieces = Vec::new();
    let (mut bytes, mut ends) = (BytesMut::new(), Vec::new());
    let mut cut = |bytes: &mut BytesMut, ends: &mut Vec<_>| {
        if !ends.is_empty() {
            pieces.push(Piece { ends: std::mem::take(ends), bytes: Bytes::from(bytes.split().to_vec()) });
        }
    };
    let mut error = None;
    for line in lines {
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                error = Some(why.to_string());
                break;
            }
        };
        // All lines of an engine whose logs are shared have a time.
        let Ok(Some(id)) = numbering.next(line.at) else { continue };
        write_event(&mut bytes, &LineEvent::Line(entry(line), Some(id)));
        ends.push(((id, line.bytes.len()), bytes.len()));
        if bytes.len() >= BYTES {
            cut(&mut bytes, &mut ends);
        }
    }
    cut(&mut bytes, &mut ends);
    (pieces, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, text: &str) -> LogLine {
        let at = jiff::Timestamp::from_nanosecond(at.into()).ok();
        LogLine { at, stderr: false, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn pieces_have_all_lines_and_an_end_in_size() {
        let long = "x".repeat(BYTES / 2);
        let lines: Vec<_> = (0..9).map(|n| Ok(line(n, &long))).collect();
        let (pieces, error) = pieces(&lines, &mut Numbering::default());
        assert!(error.is_none());
        assert_eq!(pieces.iter().map(|piece| piece.ends.len()).sum::<usize>(), 9);
        assert!(pieces.iter().all(|piece| piece.bytes.len() < BYTES * 2), "{pieces:?}");
        let (_, error) =
            super::pieces(&[Ok(line(1, "a")), Err(EngineError::NameTaken("x".to_owned()))], &mut Numbering::default());
        assert!(error.is_some());
    }

    #[tokio::test]
    async fn who_reads_nothing_holds_up_the_rest_once() {
        let told = broadcast::Sender::new(PIECES);
        let _stuck = told.subscribe();
        let mut patience = PATIENCE;
        let begun = tokio::time::Instant::now();
        for _ in 0..PIECES * 3 {
            patience = wait_for_the_slowest(&told, patience).await;
            let _ = told.send(Arc::new(Told::End));
        }
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
    }
}
