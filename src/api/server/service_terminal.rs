//! The terminal of a native service: its shim keeps the newest output, each client has a screen of its own over it.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::bay::session::TermSize;
use crate::service::link::{self, Link};
use crate::service::protocol::{Order, Place, Told};
use crate::stream::Stream;
use crate::supervisor::session::{Attachment, Flood, Pace, RESET_PACE, Sent, Typed};
use crate::terminal::emulator::Emulator;
use crate::terminal::keys;

/// Messages on their way to a client. Full: the shim waits for a moment, then cuts this reader off, which comes again.
const OUTPUT: usize = 64;
/// Messages of a client. Full: it waits.
const INPUT: usize = 64;
const CHUNK: usize = 64 * 1024;
const SCROLLBACK: usize = 1000;
/// How long the newest output may take to come; then the screen begins empty.
const NEWEST: Duration = Duration::from_millis(50);

/// Looks at it. `None`: it has no shim, so it does not run.
pub(super) async fn attach(place: Place, size: TermSize, pace: Pace) -> Option<Attachment> {
    let stream = link::attach(&place).await.ok()?;
    resize(&place, size).await;
    let (output, receiver) = mpsc::channel(OUTPUT);
    let (input, typed) = mpsc::channel(INPUT);
    let flood = Flood::new(pace);
    let viewer = Viewer { place, emulator: Emulator::new(size, SCROLLBACK), output, flood, missed: None, short: None };
    tokio::spawn(viewer.run(stream, typed));
    Some(Attachment { output: receiver, input })
}

/// The program is told by SIGWINCH. The one who looked or resized last counts.
async fn resize(place: &Place, size: TermSize) {
    if let Ok(Some((mut link, _))) = Link::connect(place).await {
        // One that ends at this moment has no size.
        drop(link.tell(&Told::new(0, Order::Resize(size))).await);
    }
}

struct Viewer {
    place: Place,
    emulator: Emulator,
    output: mpsc::Sender<Sent>,
    flood: Flood,
    /// The client was not sent all: it gets the screen then.
    missed: Option<Instant>,
    /// It got the screen alone: it gets the lines above it then, too, if the flood is over.
    short: Option<Instant>,
}

impl Viewer {
    async fn run(mut self, mut stream: Stream, mut typed: mpsc::Receiver<Typed>) {
        loop {
            if !self.begin(&mut stream).await || !self.carry(&mut stream, &mut typed).await {
                return;
            }
            // Cut off for being slow, or the shim has ended.
            let Ok(again) = link::attach(&self.place).await else {
                let reason = "the service does not run any more".to_owned();
                // The client may have gone already.
                drop(self.output.send(Sent::Ended { reason, code: None }).await);
                return;
            };
            stream = again;
            self.emulator = Emulator::new(self.emulator.size(), SCROLLBACK);
        }
    }

    /// The screen as it is; `false`: the client is gone.
    async fn begin(&mut self, stream: &mut Stream) -> bool {
        let mut chunk = vec![0; CHUNK];
        while let Ok(Ok(count @ 1..)) = tokio::time::timeout(NEWEST, stream.read(&mut chunk)).await {
            // Questions in it were answered long ago.
            self.emulator.feed(chunk.get(..count).unwrap_or_default());
            if count < CHUNK {
                break;
            }
        }
        self.reset().await
    }

    /// The whole screen; `false`: the client is gone.
    async fn reset(&mut self) -> bool {
        self.missed = None;
        self.short = self.flood.goes_on().then(|| Instant::now() + 2 * RESET_PACE);
        let bytes = if self.short.is_some() { self.emulator.snapshot_of_screen() } else { self.emulator.snapshot() };
        let reset = Sent::Reset(self.emulator.size(), Bytes::from(bytes));
        self.output.send(reset).await.is_ok()
    }

    /// What was printed, or that it is to be looked at later; `false`: the client is gone.
    async fn live(&mut self, bytes: Vec<u8>) -> bool {
        let flooded = self.flood.takes(bytes.len());
        if flooded && self.missed.is_none() {
            self.missed = Some(Instant::now() + RESET_PACE);
        }
        bytes.is_empty() || self.missed.is_some() || self.output.send(Sent::Live(Bytes::from(bytes))).await.is_ok()
    }

    /// Both ways until one ends; `false`: the client is gone.
    async fn carry(&mut self, stream: &mut Stream, typed: &mut mpsc::Receiver<Typed>) -> bool {
        let mut chunk = vec![0; CHUNK];
        loop {
            tokio::select! {
                read = stream.read(&mut chunk) => {
                    let Ok(count @ 1..) = read else { return true };
                    let fed = self.emulator.feed(chunk.get(..count).unwrap_or_default());
                    if !fed.replies.is_empty() && stream.write_all(&fed.replies).await.is_err() {
                        return true;
                    }
                    if !self.live(fed.forward).await {
                        return false;
                    }
                }
                () = sleep_until(self.missed.unwrap_or_else(Instant::now)), if self.missed.is_some() => {
                    if !self.reset().await {
                        return false;
                    }
                }
                () = sleep_until(self.short.unwrap_or_else(Instant::now)), if self.short.is_some() => {
                    if self.flood.goes_on() {
                        self.short = Some(Instant::now() + RESET_PACE);
                    } else if !self.reset().await {
                        return false;
                    }
                }
                typed = typed.recv() => {
                    let Some(typed) = typed else { return false };
                    let bytes = match typed {
                        Typed::Bytes(bytes) => bytes,
                        Typed::Paste(text) => Bytes::from(keys::paste(&text, self.emulator.modes())),
                        Typed::Size(size) => {
                            self.emulator.resize(size);
                            resize(&self.place, size).await;
                            if self.output.send(Sent::Size(size)).await.is_err() {
                                return false;
                            }
                            continue;
                        }
                    };
                    if stream.write_all(&bytes).await.is_err() {
                        return true;
                    }
                }
            }
        }
    }
}
