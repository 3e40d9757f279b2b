//! Those who look at a session.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
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
    /// Was sent the screen alone: the lines above it are for when the flood is over.
    short: bool,
    /// Said when all else is.
    farewell: Option<Sent>,
    typed: mpsc::Receiver<Typed>,
    /// Its own half is dropped.
    gone: BoxFuture<'static, ()>,
}

/// All clients of a session.
#[derive(Default)]
pub(super) struct Clients {
    list: Vec<Client>,
    /// Who is heard first next time.
    turn: usize,
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
        let kept = output.clone();
        let gone = async move { kept.closed().await }.boxed();
        let size = TermSize::new(size.rows, size.cols);
        self.list.push(Client {
            id,
            size,
            flood: Flood::new(pace),
            output,
            backlog: BytesMut::new(),
            lost: false,
            short: false,
            farewell: None,
            typed,
            gone,
        });
        Attachment { output: receiver, input }
    }

    /// What one of them did next; pending while there are none. May be dropped at any time.
    pub async fn next(&mut self) -> (ClientId, Said) {
        poll_fn(|cx| {
            let count = self.list.len();
            for at in (0..count).map(|step| (self.turn + step) % count) {
                let Some(client) = self.list.get_mut(at) else { continue };
                if let Poll::Ready(said) = client.poll_said(cx) {
                    // The others are heard before this one is again.
                    self.turn = at + 1;
                    return Poll::Ready((client.id, said));
                }
            }
            Poll::Pending
        })
        .await
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
        self.list.iter().any(|c| c.lost || c.short || !c.backlog.is_empty() || c.farewell.is_some())
    }

    /// Sends what waits, as far as the clients have read. `reset` is made once at most with the lines above the screen,
    /// and once without.
    pub fn catch_up(&mut self, reset: impl Fn(bool) -> Sent) {
        let (mut made, mut short): (Option<Sent>, Option<Sent>) = (None, None);
        let may_reset = self.last_reset.is_none_or(|last| last.elapsed() >= RESET_PACE);
        for client in &mut self.list {
            let above = client.farewell.is_some() || !client.flood.goes_on();
            client.lost |= client.short && above;
            if client.lost && may_reset && client.output.capacity() >= OUTPUT / 2 {
                let made = if above { &mut made } else { &mut short };
                let reset = made.get_or_insert_with(|| reset(above));
                client.lost = client.output.try_send(reset.clone()).is_err();
                client.short = !above;
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
        if made.is_some() || short.is_some() {
            self.last_reset = Some(Instant::now());
        }
        self.list.retain(|client| !client.output.is_closed());
    }
}

impl Client {
    /// What it did; it is gone when it drops either half.
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        if let Poll::Ready(typed) = self.typed.poll_recv(cx) {
            return Poll::Ready(typed.map_or(Said::Gone, Said::Typed));
        }
        self.gone.poll_unpin(cx).map(|()| Said::Gone)
    }

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a client is sent after so much, and whether more is to come.
    fn caught_up(clients: &mut Clients, looks: &mut Attachment) -> Option<Sent> {
        let size = TermSize::default();
        let screen = |above| Sent::Reset(size, Bytes::from_static(if above { b"all" } else { b"screen" }));
        clients.last_reset = None;
        clients.catch_up(screen);
        looks.output.try_recv().ok()
    }

    /// A task that wakes itself is given to another thread, which has to be woken for it: for each key.
    #[tokio::test]
    async fn who_waits_for_clients_does_not_wake_itself_and_hears_all_of_them() {
        let size = TermSize::default();
        let mut clients = Clients::default();
        let one = clients.attach(size, Pace::Bytes, Sent::Size(size));
        let other = clients.attach(size, Pace::Bytes, Sent::Size(size));
        let typed = || Typed::Bytes(Bytes::from_static(b"x"));
        for attachment in [&one, &one, &one, &other] {
            attachment.input.try_send(typed()).unwrap();
        }
        let heard: Vec<u64> = std::iter::from_fn(|| Some(clients.next().now_or_never()?.0.0)).collect();
        assert_eq!(heard, [1, 2, 1, 1]);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(Box::pin(clients.next()).poll_unpin(&mut cx).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        drop(one.output);
        assert!(matches!(clients.next().await, (ClientId(1), Said::Gone)));
    }

    #[test]
    fn the_lines_above_a_flood_come_when_it_is_over() {
        let size = TermSize::default();
        let reset = |text: &'static [u8]| Some(Sent::Reset(size, Bytes::from_static(text)));
        let mut clients = Clients::default();
        let mut looks = clients.attach(size, Pace::Frames, Sent::Size(size));
        assert_eq!(looks.output.try_recv(), Ok(Sent::Size(size)));
        let flood = Bytes::from(vec![b'x'; 100_000]);
        // A machine that is too busy for a flood is asked again.
        let short = (0..100).any(|_| {
            clients.live(&flood);
            caught_up(&mut clients, &mut looks) == reset(b"screen")
        });
        assert!(short && clients.are_behind());
        std::thread::sleep(3 * RESET_PACE);
        assert_eq!(caught_up(&mut clients, &mut looks), reset(b"all"));
        assert!(!clients.are_behind());
        assert_eq!(caught_up(&mut clients, &mut looks), None);
    }
}
