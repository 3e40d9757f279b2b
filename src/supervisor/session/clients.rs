//! Those who look at a session.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Attachment, Flood, Pace, RESET_PACE, Sent, Typed};
use crate::bay::session::TermSize;

/// Messages to a client that are on their way.
const OUTPUT: usize = 64;
/// Messages of a client that are on their way; then it waits.
const INPUT: usize = 64;
/// Live bytes that wait for a client beyond that; one that is further behind gets the whole screen instead.
const MAX_BACKLOG: usize = 256 * 1024;
/// A client within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientId(u64);

/// What a client did.
pub(super) enum Said {
    Typed(Typed),
    Gone,
}

struct Client {
    id: ClientId,
    size: TermSize,
    flood: Flood,
    output: mpsc::Sender<Sent>,
    backlog: BytesMut,
    /// Has missed something: only a reset helps.
    lost: bool,
    /// Said when all else is.
    farewell: Option<Sent>,
    /// Dropped with the client: its input is not read any more.
    _alive: oneshot::Sender<()>,
}

/// All clients of a session.
#[derive(Default)]
pub(super) struct Clients {
    list: Vec<Client>,
    inputs: SelectAll<BoxStream<'static, (ClientId, Said)>>,
    last: u64,
    typed_last: Option<ClientId>,
    last_reset: Option<Instant>,
}

impl Clients {
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// A new client, and the first that it is sent.
    pub fn attach(&mut self, size: TermSize, pace: Pace, reset: Sent) -> Attachment {
        self.last += 1;
        let id = ClientId(self.last);
        let (output, receiver) = mpsc::channel(OUTPUT);
        let (input, typed) = mpsc::channel(INPUT);
        // The queue is empty: this can't fail.
        let _ = output.try_send(reset);
        let (alive, gone) = oneshot::channel();
        self.inputs.push(said(id, typed, output.clone(), gone));
        let size = TermSize::new(size.rows, size.cols);
        self.list.push(Client {
            id,
            size,
            flood: Flood::new(pace),
            output,
            backlog: BytesMut::new(),
            lost: false,
            farewell: None,
            _alive: alive,
        });
        Attachment { output: receiver, input }
    }

    /// What one of them did next; pending while there are none. May be dropped at any time.
    pub async fn next(&mut self) -> (ClientId, Said) {
        match self.inputs.next().await {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }

    pub fn remove(&mut self, id: ClientId) {
        self.list.retain(|client| client.id != id);
        if self.typed_last == Some(id) {
            self.typed_last = None;
        }
    }

    pub fn resized(&mut self, id: ClientId, size: TermSize) {
        if let Some(client) = self.list.iter_mut().find(|client| client.id == id) {
            client.size = TermSize::new(size.rows, size.cols);
        }
    }

    pub const fn typed(&mut self, id: ClientId) {
        self.typed_last = Some(id);
    }

    /// Whose size counts: the only one's, else that of the one who typed last.
    pub fn size(&self) -> Option<TermSize> {
        match self.list.as_slice() {
            [only] => Some(only.size),
            several => several.iter().find(|client| Some(client.id) == self.typed_last).map(|client| client.size),
        }
    }

    /// Live bytes to all, waiting for none of them.
    pub fn live(&mut self, bytes: &Bytes) {
        for client in &mut self.list {
            client.live(bytes);
        }
    }

    /// The new size to all.
    pub fn tell_size(&mut self, size: TermSize) {
        for client in &mut self.list {
            // Behind: the reset that it will get has the size.
            let sent = client.backlog.is_empty() && client.output.try_send(Sent::Size(size)).is_ok();
            client.lost |= !sent;
        }
    }

    /// All get the whole screen as soon as they can take it.
    pub fn reset(&mut self) {
        for client in &mut self.list {
            client.lose();
        }
    }

    pub fn farewell(&mut self, last: &Sent) {
        for client in &mut self.list {
            client.farewell = Some(last.clone());
        }
    }

    /// Whether something waits for a client to read.
    pub fn are_behind(&self) -> bool {
        self.list.iter().any(|c| c.lost || !c.backlog.is_empty() || c.farewell.is_some())
    }

    /// Sends what waits, as far as the clients have read. `reset` is made once at most.
    pub fn catch_up(&mut self, reset: impl Fn() -> Sent) {
        let mut made: Option<Sent> = None;
        let may_reset = self.last_reset.is_none_or(|last| last.elapsed() >= RESET_PACE);
        for client in &mut self.list {
            if client.lost && may_reset && client.output.capacity() >= OUTPUT / 2 {
                let reset = made.get_or_insert_with(&reset);
                client.lost = client.output.try_send(reset.clone()).is_err();
            }
            if !client.lost && !client.backlog.is_empty() {
                client.send_backlog();
            }
            if !client.lost
                && client.backlog.is_empty()
                && let Some(last) = &client.farewell
                && client.output.try_send(last.clone()).is_ok()
            {
                client.farewell = None;
                // Nothing follows: its end of the stream closes.
                client.output = mpsc::channel(1).0;
            }
        }
        if made.is_some() {
            self.last_reset = Some(Instant::now());
        }
        self.list.retain(|client| !client.output.is_closed());
    }
}

impl Client {
    fn live(&mut self, bytes: &Bytes) {
        let flooded = self.flood.takes(bytes.len());
        if self.lost {
            return;
        }
        if flooded {
            return self.lose();
        }
        if self.backlog.is_empty() {
            match self.output.try_send(Sent::Live(bytes.clone())) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(_)) => {}
            }
        }
        if self.backlog.len() + bytes.len() > MAX_BACKLOG {
            self.lose();
        } else {
            self.backlog.extend_from_slice(bytes);
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.backlog = BytesMut::new();
    }

    fn send_backlog(&mut self) {
        if let Ok(permit) = self.output.try_reserve() {
            permit.send(Sent::Live(std::mem::take(&mut self.backlog).freeze()));
        }
    }
}

/// What a client does, until it is gone: when it drops either half.
fn said(
    id: ClientId,
    typed: mpsc::Receiver<Typed>,
    output: mpsc::Sender<Sent>,
    gone: oneshot::Receiver<()>,
) -> BoxStream<'static, (ClientId, Said)> {
    stream::unfold(Some((typed, output, gone)), move |state| async move {
        let (mut typed, output, mut gone) = state?;
        tokio::select! {
            biased;
            what = typed.recv() => match what {
                Some(what) => Some(((id, Said::Typed(what)), Some((typed, output, gone)))),
                None => Some(((id, Said::Gone), None)),
            },
            () = output.closed() => Some(((id, Said::Gone), None)),
            _ = &mut gone => None,
        }
    })
    .boxed()
}
