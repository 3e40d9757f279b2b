//! Two connections that are one: bytes both ways, until both are at their end or nothing comes for long.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{Instant, timeout, timeout_at};

/// Nothing either way for so long: whoever it was is gone. Agents wait for minutes, and are told of nothing meanwhile.
const IDLE: Duration = Duration::from_mins(30);
/// Taken by the other end within so long.
const WRITE: Duration = Duration::from_mins(5);
const CHUNK: usize = 16 * 1024;

/// Joins them.
pub async fn join(one: impl AsyncRead + AsyncWrite, other: impl AsyncRead + AsyncWrite) {
    join_for(one, other, IDLE).await;
}

async fn join_for(one: impl AsyncRead + AsyncWrite, other: impl AsyncRead + AsyncWrite, idle: Duration) {
    let ((one_reads, one_writes), (other_reads, other_writes)) = (split(one), split(other));
    let beat = Mutex::new(Instant::now());
    let there = pass(one_reads, other_writes, &beat, idle);
    let back = pass(other_reads, one_writes, &beat, idle);
    // An end that breaks takes the other way with it.
    drop(tokio::try_join!(there, back));
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    beat: &Mutex<Instant>,
    idle: Duration,
) -> io::Result<()> {
    let last = || *beat.lock().unwrap_or_else(PoisonError::into_inner);
    let mut space = vec![0; CHUNK];
    loop {
        let until = last() + idle;
        let count = match timeout_at(until, from.read(&mut space)).await {
            Ok(read) => read?,
            // The other way may be alive.
            Err(_) if last() + idle > until => continue,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if count == 0 {
            return to.shutdown().await;
        }
        *beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        timeout(WRITE, to.write_all(space.get(..count).unwrap_or_default())).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn each_end_is_told_of_by_itself() {
        let ((mut near, one), (other, mut far)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(async move { join(one, other).await });
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        text.clear();
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        joined.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_idle_both_ways_is_ended() {
        let ((mut near, one), (other, mut far)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(async move { join_for(one, other, Duration::from_secs(2)).await });
        // One way alone keeps both.
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            near.write_all(b"x").await.unwrap();
            far.read_u8().await.unwrap();
        }
        assert!(!joined.is_finished());
        tokio::time::timeout(Duration::from_secs(20), joined).await.unwrap().unwrap();
        assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
