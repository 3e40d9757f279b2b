//! From a log's bytes to lines: time stamps off, pieces of long lines joined, lines without an end cut.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::MAX_LINE;
use super::frames::Part;
use crate::engine::LogLine;

/// What an engine writes in front of each message: RFC 3339 with nine digits, and a blank.
const SHORTEST_STAMP: usize = "2024-01-02T03:04:05Z ".len();
const STAMP: usize = "2024-01-02T03:04:05.123456789Z ".len();
const LONGEST_STAMP: usize = "2024-01-02T03:04:05.123456789+00:00 ".len();

/// The engine cuts a long line into messages of this size, each with a stamp of its own.
const MESSAGE: usize = 16 * 1024;

/// After so long without another byte, a line without an end is shown as far as it goes.
pub const QUIET: Duration = Duration::from_millis(100);

/// Puts lines together, for one connection.
pub struct Lines {
    streams: [Stream; 2],
    tty: bool,
}

/// The line that is being put together, of one stream.
#[derive(Default)]
struct Stream {
    /// Bytes that may still turn out to be a stamp.
    stamp: BytesMut,
    /// Whether there are no stamps at all.
    plain: bool,
    /// Whether nothing but stamps tells messages apart.
    tty: bool,
    /// Whether a message begins: then a stamp may come.
    fresh: bool,
    /// Content bytes of the message so far (tty only: there nothing else tells messages apart).
    in_message: usize,
    at: Option<Timestamp>,
    /// The line so far, up to [`MAX_LINE`].
    line: BytesMut,
    /// How much of it was given out already.
    given: usize,
}

/// A line, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When the line's first message was taken.
    pub at: Option<Timestamp>,
    /// Whether it came by stderr.
    pub stderr: bool,
    /// All of the line, given out or not.
    pub whole: Bytes,
    /// From here on it is new.
    pub new_from: usize,
    /// Whether more may come.
    pub open: bool,
}

impl Piece {
    /// What is new of it; nothing when its end alone is.
    pub fn line(&self) -> Option<LogLine> {
        let bytes = self.whole.slice(self.new_from.min(self.whole.len())..);
        let bare_end = self.new_from > 0 && bytes.is_empty();
        (!bare_end).then_some(LogLine { at: self.at, stderr: self.stderr, bytes })
    }
}

impl Lines {
    /// For a log that is multiplexed, or a tty's, which is not.
    pub fn new(tty: bool) -> Self {
        let fresh = || Stream { fresh: true, tty, ..Stream::default() };
        Self { streams: [fresh(), fresh()], tty }
    }

    /// For a tty's log that was asked for without time stamps.
    pub fn plain() -> Self {
        let plain = || Stream { plain: true, ..Stream::default() };
        Self { streams: [plain(), plain()], tty: false }
    }

    /// Takes a part of a frame, or of a tty's log (then `last` says nothing).
    pub fn push(&mut self, part: &Part, out: &mut Vec<Piece>) {
        let [stdout, stderr] = &mut self.streams;
        let stream = if part.stderr { stderr } else { stdout };
        stream.push(&part.bytes, part.stderr, self.tty, out);
        if part.last && !self.tty {
            stream.end_message(part.stderr, out);
        }
    }

    /// What stands there without an end, for whoever should not wait for one.
    pub fn flush(&mut self, out: &mut Vec<Piece>) {
        for (stream, stderr) in self.streams.iter_mut().zip([false, true]) {
            stream.flush(stderr, out);
        }
    }

    /// Whether something stands there that was not given out.
    pub fn is_open(&self) -> bool {
        self.streams.iter().any(|stream| stream.line.len() > stream.given || !stream.stamp.is_empty())
    }
}

impl Stream {
    fn push(&mut self, bytes: &[u8], stderr: bool, tty: bool, out: &mut Vec<Piece>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if tty && self.in_message == MESSAGE {
                // An exactly full message without an end: the next one goes on with the line.
                self.fresh = true;
            }
            if self.fresh && !self.plain {
                rest = self.take_stamp(rest, stderr, out);
                continue;
            }
            let room = if tty { MESSAGE.saturating_sub(self.in_message).max(1) } else { usize::MAX };
            let chunk = rest.get(..room.min(rest.len())).unwrap_or(rest);
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |at| at + 1);
            self.add(chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default(), stderr, out);
            if end.is_some() {
                self.end_line(stderr, out);
            } else if tty {
                self.in_message += taken;
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Collects bytes until they are a stamp or can't become one.
    fn take_stamp<'a>(&mut self, bytes: &'a [u8], stderr: bool, out: &mut Vec<Piece>) -> &'a [u8] {
        let blank = bytes.iter().position(|byte| *byte == b' ').map(|at| at + 1);
        let wanted = LONGEST_STAMP.saturating_sub(self.stamp.len());
        let taken = blank.unwrap_or(bytes.len()).min(wanted);
        self.stamp.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let begins = self.stamp.iter().take(4).all(u8::is_ascii_digit);
        let done = self.stamp.ends_with(b" ") || self.stamp.len() >= LONGEST_STAMP || !begins;
        if done {
            self.resolve_stamp(stderr, out);
        }
        bytes.get(taken..).unwrap_or_default()
    }

    fn resolve_stamp(&mut self, stderr: bool, out: &mut Vec<Piece>) {
        let held = self.stamp.split();
        self.fresh = false;
        self.in_message = 0;
        if let Some(at) = stamp(&held) {
            if self.line.is_empty() && self.given == 0 {
                self.at = Some(at);
            }
        } else {
            // No stamp after all: content, which may hold a line's end.
            let content = held.freeze();
            let mut rest = &content[..];
            while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                self.add(rest.get(..at).unwrap_or_default(), stderr, out);
                self.end_line(stderr, out);
                self.fresh = false;
                rest = rest.get(at + 1..).unwrap_or_default();
            }
            self.add(rest, stderr, out);
        }
    }

    fn add(&mut self, bytes: &[u8], stderr: bool, out: &mut Vec<Piece>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = MAX_LINE.saturating_sub(self.line.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.line.extend_from_slice(now);
            rest = later;
            if self.line.len() >= MAX_LINE {
                // The line goes on under the same time.
                self.give(stderr, false, out);
            }
        }
    }

    /// A program may end with a line that has no end, a prompt for one: the stamp of what the next one wrote then stands
    /// in the middle of this line.
    fn split_runs(&mut self, stderr: bool, out: &mut Vec<Piece>) {
        while self.tty
            && self.given == 0
            && let Some((at, begin, end)) = self.at.and_then(|before| later_stamp(&self.line, before))
        {
            let rest = self.line.split_off(end);
            self.line.truncate(begin);
            self.give(stderr, false, out);
            (self.line, self.at) = (rest, Some(at));
        }
    }

    fn end_line(&mut self, stderr: bool, out: &mut Vec<Piece>) {
        self.split_runs(stderr, out);
        // A line that was just cut at the limit has nothing left to say.
        if !(self.line.is_empty() && self.given == usize::MAX) {
            self.give(stderr, false, out);
        }
        self.given = 0;
        self.at = None;
        self.fresh = true;
        self.in_message = 0;
    }

    /// A whole frame was taken: the next one begins with a stamp, though the line may go on.
    fn end_message(&mut self, stderr: bool, out: &mut Vec<Piece>) {
        if !self.stamp.is_empty() {
            self.resolve_stamp(stderr, out);
        }
        self.fresh = true;
    }

    fn give(&mut self, stderr: bool, open: bool, out: &mut Vec<Piece>) {
        let new_from = if self.given == usize::MAX { 0 } else { self.given };
        if open {
            let whole = Bytes::copy_from_slice(&self.line);
            self.given = whole.len();
            out.push(Piece { at: self.at, stderr, whole, new_from, open });
            return;
        }
        let cut = self.line.len() >= MAX_LINE;
        let whole = self.line.split().freeze();
        self.given = if cut { usize::MAX } else { 0 };
        out.push(Piece { at: self.at, stderr, whole, new_from, open });
    }

    fn flush(&mut self, stderr: bool, out: &mut Vec<Piece>) {
        if !self.stamp.is_empty() && !maybe_stamp(&self.stamp) {
            self.resolve_stamp(stderr, out);
        }
        self.split_runs(stderr, out);
        let given = if self.given == usize::MAX { 0 } else { self.given };
        if self.line.len() > given {
            self.give(stderr, true, out);
        }
    }
}

fn stamp(bytes: &[u8]) -> Option<Timestamp> {
    if bytes.len() < SHORTEST_STAMP {
        return None;
    }
    std::str::from_utf8(bytes.strip_suffix(b" ")?).ok()?.parse().ok()
}

/// A stamp within a line that was taken before that, and where it stands. What a program writes of times itself is not
/// later than the engine's own stamp, or still to come.
fn later_stamp(line: &[u8], before: Timestamp) -> Option<(Timestamp, usize, usize)> {
    let now = Timestamp::now();
    let ends = memchr::memmem::find_iter(line, b"Z ").map(|at| at + 2);
    let found = ends.filter_map(|end| {
        let begin = end.checked_sub(STAMP)?;
        let at = line.get(begin..end).filter(|bytes| maybe_stamp(bytes)).and_then(stamp)?;
        Some((at, begin, end))
    });
    found.into_iter().find(|(at, ..)| *at > before && *at <= now)
}

/// Whether the bytes can be the beginning of a stamp.
fn maybe_stamp(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::frames::{Frames, encode};
    use tokio_util::codec::Decoder;

    const T1: &str = "2024-01-02T03:04:05.000000001Z ";
    const T2: &str = "2024-01-02T03:04:05.000000002Z ";

    fn texts(pieces: &[Piece]) -> Vec<(bool, String)> {
        let lines = pieces.iter().filter_map(Piece::line);
        lines.map(|line| (line.stderr, String::from_utf8_lossy(&line.bytes).into_owned())).collect()
    }

    fn multiplexed(wire: &[u8], cut: usize) -> Vec<Piece> {
        let (mut buf, mut frames, mut lines, mut out) =
            (BytesMut::new(), Frames::default(), Lines::new(false), Vec::new());
        for chunk in wire.chunks(cut) {
            buf.extend_from_slice(chunk);
            while let Some(part) = frames.decode(&mut buf).unwrap() {
                lines.push(&part, &mut out);
            }
        }
        lines.flush(&mut out);
        out
    }

    fn raw(wire: &[u8], cut: usize) -> Vec<Piece> {
        let (mut lines, mut out) = (Lines::new(true), Vec::new());
        for chunk in wire.chunks(cut) {
            let part = Part { stderr: false, bytes: Bytes::copy_from_slice(chunk), last: false };
            lines.push(&part, &mut out);
        }
        lines.flush(&mut out);
        out
    }

    #[test]
    fn g02_interleaved_messages_become_lines_at_every_cut() {
        let mut wire = encode(false, format!("{T1}out é😀").as_bytes());
        wire.extend(encode(true, format!("{T1}err\n").as_bytes()));
        wire.extend(encode(false, format!("{T2} goes on\n").as_bytes()));
        wire.extend(encode(false, format!("{T2}\n").as_bytes()));
        wire.extend(encode(false, b"no stamp\n"));
        for cut in 1..=wire.len() {
            let pieces = multiplexed(&wire, cut);
            let expected = [(true, "err"), (false, "out é😀 goes on"), (false, ""), (false, "no stamp")]
                .map(|(e, t)| (e, t.into()));
            assert_eq!(texts(&pieces), expected, "cut {cut}");
            assert_eq!(pieces[1].at.unwrap().as_nanosecond() % 1000, 1);
        }
    }

    #[test]
    fn a_tty_log_loses_its_stamps_also_inside_long_lines() {
        let long = "x".repeat(MESSAGE);
        let wire = format!("{T1}\x00\x01\x02first\r\n{T1}{long}{T2}{long}{T2}end\n{T2}2024-not a stamp\n");
        for cut in [1, 7, 31, 1000, wire.len()] {
            let found = texts(&raw(wire.as_bytes(), cut));
            assert_eq!(found[0].1, "\x00\x01\x02first\r");
            assert_eq!(found[1].1.len(), 2 * MESSAGE + 3, "cut {cut}");
            assert_eq!(found[2].1, "2024-not a stamp");
            assert_eq!(found.len(), 3);
        }
    }

    /// As it is after restarts of a program that asks something and waits.
    #[test]
    fn what_one_run_left_without_an_end_is_no_beginning_of_the_next_ones_line() {
        let wire = format!("{T1}go on? {T2}go on? \r\n{T2}time={T1}x\r\n{T1}next 2999-01-02T03:04:05.000000000Z y\r\n");
        for cut in 1..=wire.len() {
            let pieces = raw(wire.as_bytes(), cut);
            let found: Vec<String> = texts(&pieces).into_iter().map(|(_, text)| text).collect();
            let own = format!("time={T1}x\r");
            let expected = ["go on? ", "go on? \r", &own, "next 2999-01-02T03:04:05.000000000Z y\r"];
            assert_eq!(found, expected, "cut {cut}");
            assert!(pieces[0].at < pieces[1].at);
        }
        let asks = raw(format!("{T1}go on? {T2}go on? ").as_bytes(), 9);
        assert_eq!(texts(&asks).len(), 2);
        assert_eq!((asks[0].open, asks[1].open, &asks[1].whole[..]), (false, true, &b"go on? "[..]));
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_shown() {
        let wire = vec![b'y'; 3 * MAX_LINE + 5];
        let pieces = raw(&wire, 10_000);
        let sizes: Vec<_> = texts(&pieces).iter().map(|(_, text)| text.len()).collect();
        assert_eq!(sizes, [MAX_LINE, MAX_LINE, MAX_LINE, 5]);
        let (mut lines, mut out) = (Lines::new(true), Vec::new());
        let mut push = |bytes: &'static str, out: &mut Vec<Piece>| {
            lines.push(&Part { stderr: false, bytes: bytes.into(), last: false }, out);
            lines.flush(out);
        };
        push("50%\r", &mut out);
        push("60%", &mut out);
        push("\n", &mut out);
        push("next\n", &mut out);
        assert_eq!(texts(&out).iter().map(|(_, t)| t.as_str()).collect::<Vec<_>>(), ["50%\r", "60%", "next"]);
        assert_eq!(out[2].whole, "50%\r60%");
    }

    #[test]
    fn exact_limits_give_no_empty_line() {
        let mut wire = vec![b'z'; MAX_LINE];
        wire.extend(b"\nlast\n");
        let sizes: Vec<_> = texts(&raw(&wire, 4096)).iter().map(|(_, text)| text.len()).collect();
        assert_eq!(sizes, [MAX_LINE, 4]);
    }
}
