//! Logs: followed, read in full, written to a file.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::effect::{LogsFrom, SavedLines, StreamKey};
use super::super::model::logs::TAIL;
use super::super::model::logs::store::{Line, Store};
use super::super::msg::{LogsMsg, Msg};
use crate::api::client::{Client, LogsRequest};
use crate::terminal::plain;
use crate::terminal::safe::Safe;

/// Lines that are given on in one message.
const LINES: usize = 512;
/// Lines between two words about how far a reading is.
const TOLD: usize = 20_000;

/// The way of one log's messages.
#[derive(Clone)]
pub struct LogSender {
    /// The stream.
    pub key: StreamKey,
    /// To the loop.
    pub messages: mpsc::Sender<Msg>,
}

impl LogSender {
    /// `false`: nobody reads any more.
    pub async fn send(&self, msg: LogsMsg) -> bool {
        self.messages.send(Msg::Logs { key: self.key, msg }).await.is_ok()
    }
}

/// Gives a log on, many lines at a time; returns how it ended.
pub async fn follow(client: &Client, name: &str, from: LogsFrom, to: &LogSender) -> LogsMsg {
    let all = LogsRequest { follow: true, ..LogsRequest::default() };
    let request = match from {
        LogsFrom::Tail => LogsRequest { tail: Some(TAIL), ..all },
        LogsFrom::Since(at) => LogsRequest { since: Some(at), ..all },
        LogsFrom::After(id) => LogsRequest { after: Some(id), ..all },
    };
    let lines = match client.logs(name, &request).await {
        Ok(lines) => lines,
        Err(error) => return LogsMsg::Lost(error.to_string()),
    };
    // The stream is open, so that an empty log is known to be empty.
    to.send(LogsMsg::Lines(Vec::new(), None)).await;
    let mut lines = lines.ready_chunks(LINES);
    while let Some(chunk) = lines.next().await {
        let mut good = Vec::with_capacity(chunk.len());
        let mut lost = None;
        for line in chunk {
            match line {
                Ok(line) => good.push(line),
                Err(error) => lost = Some(error.to_string()),
            }
        }
        // Of all lines that were taken from it, and those are the chunk's.
        let last = lines.get_ref().last().map(str::to_owned);
        if !to.send(LogsMsg::Lines(good, last)).await {
            return LogsMsg::Ended;
        }
        if let Some(reason) = lost {
            return LogsMsg::Lost(reason);
        }
    }
    LogsMsg::Ended
}

/// Reads all that the engine has of a log.
pub async fn read(client: &Client, name: &str, to: &LogSender) -> LogsMsg {
    let mut lines = match client.logs(name, &LogsRequest::default()).await {
        Ok(lines) => lines.ready_chunks(LINES),
        Err(error) => return LogsMsg::Lost(error.to_string()),
    };
    let mut store = Store::default();
    let mut told = 0;
    while let Some(chunk) = lines.next().await {
        for line in chunk {
            match line {
                Ok(line) => store.push(&line, 0),
                Err(error) => return LogsMsg::Lost(error.to_string()),
            }
        }
        if store.len() >= told + TOLD {
            told = store.len();
            to.send(LogsMsg::Counted(told)).await;
        }
    }
    LogsMsg::Whole(Box::new(store))
}

/// Writes lines to a file that is not there yet. What was written, in words; or why not.
pub async fn save(path: PathBuf, lines: SavedLines) -> Result<String, String> {
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || write(&path, &lines)).await;
    match written {
        Ok(Ok(count)) => Ok(format!("saved {count} lines to {shown}")),
        Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => Err(format!("{shown} is there already")),
        Ok(Err(error)) => Err(format!("{shown}: {error}")),
        Err(_) => Err(format!("{shown}: writing it failed; podbay's log has more")),
    }
}

fn write(path: &Path, lines: &SavedLines) -> io::Result<usize> {
    // What workers write may be secret.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut only = lines.only.as_ref().map(|numbers| numbers.iter().copied().peekable());
    let mut count = 0;
    for line in lines.blocks.iter().flat_map(|block| block.lines()) {
        let wanted = only.as_mut().is_none_or(|only| {
            while only.next_if(|number| *number < line.number).is_some() {}
            only.next_if_eq(&line.number).is_some()
        });
        if wanted {
            put(&mut out, &line, &lines.names)?;
            count += 1;
        }
    }
    out.flush()?;
    Ok(count)
}

fn put(out: &mut impl Write, line: &Line<'_>, names: &[String]) -> io::Result<()> {
    if let Some(at) = line.at.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        write!(out, "{at:.3} ")?;
    }
    if let Some(name) = names.get(usize::from(line.source)) {
        write!(out, "{} ", Safe::new(name))?;
    }
    writeln!(out, "{}", plain::line(line.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::LogEntry;

    #[tokio::test]
    async fn lines_are_written_plain_and_nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fox.log");
        let mut store = Store::default();
        for (at, line) in ["\u{1b}[31mred\u{1b}[0m", "forged\r\n2026 fox line", "third"].iter().enumerate() {
            let timestamp = Some(1_772_366_400_000 + i64::try_from(at).unwrap());
            store.push(&LogEntry { line: (*line).to_owned(), timestamp, stderr: false, raw: None }, 0);
        }
        let numbers = vec![store.start(), store.start() + 1];
        let lines = SavedLines { blocks: store.blocks(), only: Some(numbers), names: vec!["fox".to_owned()] };
        let told = save(path.clone(), lines.clone()).await.unwrap();
        assert_eq!(told, format!("saved 2 lines to {}", path.display()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("2026-03-01T12:00:00.000Z fox red\n"), "{text}");
        assert!(save(path.clone(), lines).await.unwrap_err().ends_with("is there already"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
