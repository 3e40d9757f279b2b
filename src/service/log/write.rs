//! Writing it: lines with their time, bounded files, nothing lost silently.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use regex::bytes::Regex;

use super::{PART, Position, numbers, path_of};

/// How far a stream is in its line.
#[derive(Debug, Default)]
struct Stream {
    /// The line's bytes so far, fewer than [`PART`].
    rest: Vec<u8>,
}

/// The writing end of a log. One a directory: the shim's lock sees to that.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    file: Option<File>,
    at: Position,
    max_bytes: u64,
    max_files: u64,
    streams: [Stream; 2],
    /// What is written next, in one call.
    buffer: Vec<u8>,
    /// Lines in it.
    buffered: u64,
    stamp: String,
    /// The last part of a line that was written is not its end.
    mid_line: bool,
    /// The same, of what is in the file.
    was_mid_line: bool,
    dropped: u64,
    /// Dropped, and not told of in the log yet.
    untold: u64,
    /// A line that is waited for. Looked for here, where every line passes: a file may be rotated away before it is read.
    sought: Option<Regex>,
}

/// One write is at most this much, so that memory stays bounded however much comes at once.
const FLUSH: usize = 512 * 1024;

impl Writer {
    /// Opens the log, goes on after what is there.
    ///
    /// # Errors
    /// The directory's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let last = numbers(dir).last().copied().unwrap_or(0);
        Ok(Self {
            dir: dir.to_owned(),
            file: None,
            at: Position { file: last, offset: 0 },
            max_bytes: 50 << 20,
            max_files: 10,
            streams: [Stream::default(), Stream::default()],
            buffer: Vec::new(),
            buffered: 0,
            stamp: String::new(),
            mid_line: false,
            was_mid_line: false,
            dropped: 0,
            untold: 0,
            sought: None,
        })
    }

    /// Waits for a line like this.
    pub fn seek(&mut self, sought: Option<Regex>) {
        self.sought = sought;
    }

    /// Whether a line is waited for that has not come yet.
    #[must_use]
    pub const fn is_seeking(&self) -> bool {
        self.sought.is_some()
    }

    /// How much is kept.
    pub fn set_limits(&mut self, max_bytes: u64, max_files: u32) {
        self.max_bytes = if max_bytes == 0 { u64::MAX } else { max_bytes };
        self.max_files = u64::from(max_files.max(1));
    }

    /// Where the next line begins.
    pub fn position(&mut self) -> Position {
        // A file that can't be opened now is opened with the first line.
        let _ = self.ready();
        self.at
    }

    /// Lines that could not be written.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes what a stream wrote, at this time.
    pub fn take(&mut self, stderr: bool, bytes: &[u8], at: Timestamp) {
        self.stamp.clear();
        // Writing to a String can't fail.
        let _ = std::fmt::Write::write_fmt(&mut self.stamp, format_args!("{at:.9}"));
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = PART - self.stream(stderr).rest.len();
            let window = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', window) {
                let (line, rest) = bytes.split_at(end);
                bytes = rest.get(1..).unwrap_or_default();
                self.line(stderr, line, b'F');
            } else if window.len() == room {
                let (part, rest) = bytes.split_at(room);
                bytes = rest;
                self.line(stderr, part, b'P');
            } else {
                self.stream(stderr).rest.extend_from_slice(bytes);
                break;
            }
        }
        self.flush();
    }

    /// A run has ended: what it wrote without an end of line is a line, too.
    pub fn finish(&mut self, at: Timestamp) {
        for stderr in [false, true] {
            if !self.stream(stderr).rest.is_empty() {
                self.take(stderr, b"\n", at);
            }
            // A quiet service holds no buffers.
            *self.stream(stderr) = Stream::default();
        }
        self.buffer = Vec::new();
    }

    /// A line of podbay's own.
    pub fn note(&mut self, text: &str, at: Timestamp) {
        self.take(true, format!("[podbay] {text}\n").as_bytes(), at);
    }

    fn stream(&mut self, stderr: bool) -> &mut Stream {
        let [out, err] = &mut self.streams;
        if stderr { err } else { out }
    }

    fn line(&mut self, stderr: bool, end: &[u8], tag: u8) {
        let [out, err] = &mut self.streams;
        let stream = if stderr { err } else { out };
        let buffer = &mut self.buffer;
        buffer.extend_from_slice(self.stamp.as_bytes());
        buffer.extend_from_slice(if stderr { b" stderr " } else { b" stdout " });
        buffer.extend_from_slice(&[tag, b' ']);
        let text = buffer.len();
        buffer.extend_from_slice(&stream.rest);
        buffer.extend_from_slice(end);
        if self.sought.as_ref().is_some_and(|sought| sought.is_match(buffer.get(text..).unwrap_or_default())) {
            self.sought = None;
        }
        buffer.push(b'\n');
        stream.rest.clear();
        self.buffered += 1;
        self.mid_line = tag == b'P';
        if self.buffer.len() >= FLUSH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.buffered);
        let buffer = std::mem::take(&mut self.buffer);
        let whole = !std::mem::take(&mut self.was_mid_line);
        self.was_mid_line = self.mid_line;
        if self.write(&buffer, whole).is_ok() {
            self.tell_dropped();
        } else {
            self.dropped += lines;
            self.untold += lines;
        }
        self.buffer = buffer;
        self.buffer.clear();
        self.buffer.shrink_to(PART);
    }

    /// Says in the log itself what is missing in it, as soon as it can be written again.
    fn tell_dropped(&mut self) {
        if self.untold == 0 {
            return;
        }
        let text = format!(
            "{} stderr F [podbay] {} lines could not be written here before this one\n",
            self.stamp, self.untold
        );
        if self.write(text.as_bytes(), !self.was_mid_line).is_ok() {
            self.untold = 0;
        }
    }

    /// A line of parts is kept in one file, unless it is very long.
    fn write(&mut self, bytes: &[u8], whole: bool) -> io::Result<()> {
        if whole || self.file.is_none() || self.at.offset >= self.max_bytes.saturating_mul(2) {
            self.ready()?;
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no log file"))?;
        if let Err(error) = file.write_all(bytes) {
            // A half line at the end would swallow the next one's head.
            let _ = file.set_len(self.at.offset);
            return Err(error);
        }
        self.at.offset += bytes.len() as u64;
        Ok(())
    }

    /// A file that may be written to: the present one, or the next when it is full.
    fn ready(&mut self) -> io::Result<()> {
        if self.file.is_some() && self.at.offset < self.max_bytes {
            return Ok(());
        }
        if self.file.is_none() && self.at.file > 0 && self.at.offset == 0 {
            let length = std::fs::metadata(path_of(&self.dir, self.at.file)).map_or(u64::MAX, |meta| meta.len());
            if length < self.max_bytes {
                self.open_file(self.at.file, length)?;
                return self.end_half_line();
            }
        }
        self.open_file(self.at.file + 1, 0)?;
        let oldest = self.at.file.saturating_sub(self.max_files);
        for number in numbers(&self.dir).into_iter().filter(|number| *number <= oldest) {
            // One that can't be removed is tried again with the next.
            let _ = std::fs::remove_file(path_of(&self.dir, number));
        }
        Ok(())
    }

    /// A shim that was killed while it wrote may have left half a line.
    fn end_half_line(&mut self) -> io::Result<()> {
        let Some(last) = self.at.offset.checked_sub(1) else { return Ok(()) };
        let mut byte = [0];
        File::open(path_of(&self.dir, self.at.file))?.read_at(&mut byte, last)?;
        if byte == *b"\n" {
            return Ok(());
        }
        if let Some(file) = &mut self.file {
            file.write_all(b"\n")?;
            self.at.offset += 1;
        }
        Ok(())
    }

    fn open_file(&mut self, number: u64, offset: u64) -> io::Result<()> {
        let path = path_of(&self.dir, number);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        self.file = Some(file);
        self.at = Position { file: number, offset };
        Ok(())
    }
}
