//! Reading it: from a place on, across rotation, lines put together again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{PART, Position, numbers, path_of};

/// A longer line is given in pieces of about this size.
const LONGEST: usize = 16 << 20;
/// So many bytes are given at once, and what was read with the last of them: lines may be long.
const MUCH: usize = 4 << 20;
/// Read at once.
const CHUNK: usize = 256 * 1024;

/// One line of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its end was read from the service.
    pub at: Option<Timestamp>,
    /// It came by stderr.
    pub stderr: bool,
    /// The line, without its end. Any bytes.
    pub bytes: Vec<u8>,
}

/// The reading end of a log. Needs no writer: files are enough.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    file: Option<File>,
    /// Where the next bytes are read.
    at: Position,
    /// Read, and not a whole line yet.
    raw: Vec<u8>,
    parts: [Vec<u8>; 2],
    ready: VecDeque<Entry>,
    /// Bytes of the lines in it.
    ready_bytes: usize,
}

impl Reader {
    /// Begins at this place.
    #[must_use]
    pub fn new(dir: &Path, from: Position) -> Self {
        Self {
            dir: dir.to_owned(),
            file: None,
            at: from,
            raw: Vec::new(),
            parts: [Vec::new(), Vec::new()],
            ready: VecDeque::new(),
            ready_bytes: 0,
        }
    }

    /// Begins with the last `count` lines of what is there.
    ///
    /// # Errors
    /// The system's.
    pub fn tail(dir: &Path, count: u64) -> io::Result<Self> {
        let mut wanted = count;
        let all = numbers(dir);
        let mut from = Position { file: all.last().copied().unwrap_or(0), offset: 0 };
        if count == 0 {
            let offset = std::fs::metadata(path_of(dir, from.file)).map_or(0, |meta| meta.len());
            return Ok(Self::new(dir, Position { offset, ..from }));
        }
        for number in all.into_iter().rev() {
            let (offset, found) = match last_lines(&path_of(dir, number), wanted) {
                // Removed by the rotation, meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            from = Position { file: number, offset };
            wanted -= found.min(wanted);
            if wanted == 0 {
                break;
            }
        }
        Ok(Self::new(dir, from))
    }

    /// The next lines, at most `most` of them, and fewer when they are long; none: there are no more at present.
    ///
    /// # Errors
    /// The system's. The next call goes on where this one failed.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<Entry>> {
        while self.ready.len() < most && self.ready_bytes < MUCH {
            if !self.fill()? {
                break;
            }
        }
        let count = self.ready.len().min(most);
        let lines: Vec<Entry> = self.ready.drain(..count).collect();
        self.ready_bytes = self.ready.iter().map(|entry| entry.bytes.len()).sum();
        Ok(lines)
    }

    /// Reads some more; `false`: there is no more at present.
    fn fill(&mut self) -> io::Result<bool> {
        if self.file.is_none() && !self.open()? {
            return Ok(false);
        }
        // Looked for before the last read: when there is a next file, this one does not grow any more.
        let next = numbers(&self.dir).into_iter().find(|number| *number > self.at.file);
        if self.read_chunk()? > 0 {
            return Ok(true);
        }
        let Some(next) = next else { return Ok(false) };
        if next > self.at.file + 1 {
            self.say_gap(next - self.at.file - 1);
        }
        self.file = None;
        self.raw.clear();
        self.at = Position { file: next, offset: 0 };
        Ok(true)
    }

    fn open(&mut self) -> io::Result<bool> {
        if self.at.file > 0 {
            match File::open(path_of(&self.dir, self.at.file)) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(self.at.offset))?;
                    self.file = Some(file);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let Some(next) = numbers(&self.dir).into_iter().find(|number| *number > self.at.file) else { return Ok(false) };
        if self.at.file > 0 {
            self.say_gap(next - self.at.file);
        }
        self.at = Position { file: next, offset: 0 };
        self.file = Some(File::open(path_of(&self.dir, next))?);
        Ok(true)
    }

    fn say_gap(&mut self, files: u64) {
        let text = format!("[podbay] {files} log files were rotated away before they were read");
        self.ready.push_back(Entry { at: None, stderr: true, bytes: text.into_bytes() });
        self.parts = [Vec::new(), Vec::new()];
    }

    fn read_chunk(&mut self) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let start = self.raw.len();
        self.raw.resize(start + CHUNK, 0);
        let count = file.read(self.raw.get_mut(start..).unwrap_or_default());
        self.raw.truncate(start + count.as_ref().copied().unwrap_or(0));
        let count = count?;
        self.at.offset += count as u64;
        let raw = std::mem::take(&mut self.raw);
        let mut rest = raw.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.take_line(line);
            rest = after.get(1..).unwrap_or_default();
        }
        // What is no line after this much is no log of ours; it is passed over.
        if rest.len() <= 2 * PART {
            self.raw.extend_from_slice(rest);
        }
        Ok(count)
    }

    fn take_line(&mut self, line: &[u8]) {
        let Some((at, stderr, whole, text)) = split(line) else { return };
        let [out, err] = &mut self.parts;
        let part = if stderr { err } else { out };
        part.extend_from_slice(text);
        if whole || part.len() >= LONGEST {
            let bytes = std::mem::take(part);
            self.ready_bytes += bytes.len();
            self.ready.push_back(Entry { at, stderr, bytes });
        }
    }
}

/// Time, stderr, whole, text. `None`: half a line, from a shim that was killed while it wrote.
fn split(line: &[u8]) -> Option<(Option<Timestamp>, bool, bool, &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    let (stamp, rest) = line.split_at(space);
    let at = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    let stderr = match rest.get(..8)? {
        b" stdout " => false,
        b" stderr " => true,
        _ => return None,
    };
    let whole = match rest.get(8..10)? {
        b"F " => true,
        b"P " => false,
        _ => return None,
    };
    Some((Some(at), stderr, whole, rest.get(10..)?))
}

/// Where the last `count` lines of a file begin, and how many it has of them. A line begins after one that is whole.
fn last_lines(path: &Path, count: u64) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    let (mut end, mut next, mut found) = (length, length, 0);
    while end > 0 {
        let begin = end.saturating_sub(CHUNK as u64);
        let window = chunk.get_mut(..usize::try_from(end - begin).unwrap_or(CHUNK)).unwrap_or_default();
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(window)?;
        let starts: Vec<u64> = memchr::memrchr_iter(b'\n', window).map(|at| begin + at as u64 + 1).collect();
        let first = (begin == 0).then_some(0);
        for start in starts.into_iter().chain(first).filter(|start| *start < length) {
            if next < length && is_whole(&mut file, start)? {
                found += 1;
                if found == count {
                    return Ok((next, found));
                }
            }
            next = start;
        }
        end = begin;
    }
    Ok((0, found + u64::from(length > 0)))
}

/// Whether the physical line at this place ends one of the service's.
fn is_whole(file: &mut File, start: u64) -> io::Result<bool> {
    let mut head = [0; 64];
    file.seek(SeekFrom::Start(start))?;
    let count = file.read(&mut head)?;
    let head = head.get(..count).unwrap_or_default();
    Ok(split(head).is_none_or(|(_, _, whole, _)| whole))
}
