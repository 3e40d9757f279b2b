//! The log of a native service: numbered files in a directory, the highest one is written.
//!
//! A line of a file is `TIME STREAM TAG TEXT`, as containerd and Kubernetes write it: RFC 3339 time, `stdout` or
//! `stderr`, `F` for a full line or the end of one, `P` for a part of a longer one. TEXT is what the service wrote, any
//! bytes. Files are never renamed: who reads one to its end goes on with the next number and loses nothing.

mod read;
mod write;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use read::{Entry, Reader};
pub use write::Writer;

/// A longer line is kept in parts of this size.
pub const PART: usize = 64 * 1024;

/// A place in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The file's number; 0: before the first.
    pub file: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// A file's path.
fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log"))
}

/// The numbers of all files, in order. Empty when there is no directory.
fn numbers(dir: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests;
