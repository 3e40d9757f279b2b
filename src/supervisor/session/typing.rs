//! What is typed into a program, held until it reads.

use std::io;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// So much waits for a program that does not read: a paste of 1 MiB with its brackets.
pub(super) const MAX_QUEUED: usize = (1 << 20) + 4096;

/// The way into a program.
#[derive(Default)]
pub(super) struct Typing {
    sink: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    queue: BytesMut,
    unflushed: bool,
    refused: bool,
}

impl Typing {
    /// Another stream; what was not read by then is dropped: it was meant for another moment.
    pub fn open(&mut self, sink: Box<dyn AsyncWrite + Send + Unpin>) {
        *self = Self { sink: Some(sink), ..Self::default() };
    }

    /// The stream is gone, and what it did not take.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Queues bytes: all of them or, when the program does not read or there is none, nothing. Never a part: half a
    /// sequence would be another key.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.sink.is_some() && self.queue.len() + bytes.len() <= MAX_QUEUED;
        if fits {
            self.queue.extend_from_slice(bytes);
        } else {
            self.refused = self.sink.is_some();
        }
        fits
    }

    /// Whether input was dropped because the program does not read.
    pub const fn is_refusing(&self) -> bool {
        self.refused
    }

    /// How much waits, in bytes.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Writes what the program takes without waiting; [`Typing::pump`] writes the rest.
    pub fn write_now(&mut self) -> io::Result<()> {
        while let Some(written) = self.pump().now_or_never() {
            written?;
        }
        Ok(())
    }

    /// Writes on; pending when there is nothing to write. May be dropped at any time.
    pub async fn pump(&mut self) -> io::Result<()> {
        let Some(sink) = &mut self.sink else {
            return std::future::pending().await;
        };
        if !self.queue.is_empty() {
            let count = sink.write(&self.queue).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.queue.advance(count);
            self.unflushed = true;
            if self.queue.is_empty() {
                // The memory of a large paste is given back.
                self.queue = BytesMut::new();
                self.refused = false;
            }
            return Ok(());
        }
        if self.unflushed {
            sink.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_without_waiting_is_written_at_once_and_the_rest_later() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut typing = Typing::default();
        typing.open(Box::new(near));
        assert!(typing.push(b"one two"));
        typing.write_now().unwrap();
        assert_eq!(typing.queued(), 3);
        let mut read = [0; 7];
        let reading = tokio::io::AsyncReadExt::read_exact(&mut far, &mut read);
        let writing = async {
            loop {
                typing.pump().await.unwrap();
            }
        };
        tokio::select! {
            read = reading => assert_eq!(read.unwrap(), 7),
            () = writing => {}
        }
        assert_eq!(&read, b"one two");
        drop(far);
        typing.push(b"gone");
        assert!(typing.write_now().is_err());
    }

    #[tokio::test]
    async fn takes_a_megabyte_and_no_part_of_more() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut typing = Typing::default();
        assert!(!typing.push(b"nobody"), "there is no program");
        typing.open(Box::new(near));
        assert!(typing.push(&vec![b'a'; 1 << 20]));
        assert!(!typing.push(&vec![b'b'; 8192]));
        assert!(typing.is_refusing() && typing.queued() == 1 << 20);
        let mut read = vec![0; 1 << 20];
        let mut count = 0;
        while count < 1 << 20 {
            tokio::select! {
                wrote = typing.pump() => wrote.unwrap(),
                got = tokio::io::AsyncReadExt::read(&mut far, &mut read) => count += got.unwrap(),
            }
        }
        assert!(!typing.is_refusing() && typing.queued() == 0);
        assert!(typing.push(b"more"));
    }
}
