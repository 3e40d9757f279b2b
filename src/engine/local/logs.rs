//! A container's log: files that its shim writes. Followed by looking at them, which costs nothing but while somebody
//! reads.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::place::Place;
use crate::engine::{EngineError, LogLine, LogQuery, LogStream};
use crate::service::log::{Entry, Position, Reader};

/// Lines that wait for the reader.
const AHEAD: usize = 256;
/// Lines that are read at once.
const MOST: usize = 1024;
/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a log.
///
/// # Errors
/// The system's.
pub async fn open(place: Place, what: String, query: &LogQuery) -> Result<LogStream, EngineError> {
    let failed = move |error: std::io::Error| EngineError::Failed { what: what.clone(), message: error.to_string() };
    let (tail, dir) = (query.tail, place.log());
    let began = tokio::task::spawn_blocking(move || begin(&dir, tail)).await;
    let reader = began.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(&failed)?;
    let (to, from) = mpsc::channel(AHEAD);
    let (follow, since) = (query.follow, query.since);
    tokio::spawn(async move {
        if let Err(error) = pass(place, reader, (follow, since), &to).await {
            // Nobody is there to be told when this fails.
            let _ = to.send(Err(failed(error))).await;
        }
    });
    Ok(futures_util::stream::unfold(from, |mut from| async { Some((from.recv().await?, from)) }).boxed())
}

fn begin(dir: &Path, tail: Option<u64>) -> std::io::Result<Reader> {
    match tail {
        Some(count) => Reader::tail(dir, count),
        None => Ok(Reader::new(dir, Position::default())),
    }
}

async fn pass(
    place: Place,
    mut reader: Reader,
    (follow, since): (bool, Option<Timestamp>),
    to: &mpsc::Sender<Result<LogLine, EngineError>>,
) -> std::io::Result<()> {
    loop {
        // Looked at before the reading: what is written until the end is read by it.
        let ended = !follow || !place.status().is_running();
        loop {
            let read = tokio::task::spawn_blocking(move || (reader.read(MOST), reader)).await;
            let (lines, back) = read.map_err(std::io::Error::other)?;
            reader = back;
            let lines = lines?;
            if lines.is_empty() {
                break;
            }
            for Entry { at, stderr, bytes } in lines {
                if since.is_some_and(|since| at.is_some_and(|at| at < since)) {
                    continue;
                }
                for bytes in pieces(Bytes::from(bytes)) {
                    if to.send(Ok(LogLine { at, stderr, bytes })).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        if ended {
            return Ok(());
        }
        tokio::select! {
            () = to.closed() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// A line without an end is cut.
fn pieces(mut line: Bytes) -> Vec<Bytes> {
    let most = crate::engine::docker::MAX_LINE;
    let mut pieces = Vec::new();
    while line.len() > most {
        pieces.push(line.split_to(most));
    }
    pieces.push(line);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_cut() {
        let most = crate::engine::docker::MAX_LINE;
        let sizes = |size: usize| pieces(Bytes::from(vec![b'x'; size])).iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!((sizes(0), sizes(most)), (vec![0], vec![most]));
        assert_eq!(sizes(2 * most + 1), [most, most, 1]);
    }
}
