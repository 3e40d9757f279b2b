//! Accepting, and one task a connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::Line;
use super::{Door, Guard};
use crate::api::server::requests::Counted;

/// Connections at once, streams among them. Those beyond are closed at once: the client tries again.
const CONNECTIONS: usize = 2048;
/// Of them, from one other machine.
const OF_ONE: usize = 256;
/// Until a request's head must be there, also the next one of an idle connection, and a handshake done.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// After the system could not accept.
const PAUSE: Duration = Duration::from_millis(100);

impl Door {
    /// Serves until the supervisor ends; then answers on their way go out.
    pub(super) async fn serve(self, routes: Counted, ending: &CancellationToken) {
        let desk = Desk { guard: self.guard.clone(), routes };
        let places = Places::default();
        let tracker = TaskTracker::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = ending.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors: waiting is all that helps.
                        tracing::warn!(%error, "a client could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(place) = places.of(peer.ip()) else {
                tracing::warn!(peer = %peer.ip(), "too many connections: one was turned away");
                continue;
            };
            // A connection is as good as the token that is good when it begins.
            let cut = self.guard.tokens().reign().child_token();
            let (desk, tls, ending) = (desk.clone(), self.tls.clone(), ending.clone());
            tracker.spawn(async move {
                if prepare(&stream).is_err() {
                    return;
                }
                let Some(tls) = tls else { return talk(Line::new(stream, cut, place), &desk, &ending).await };
                if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.accept(stream)).await {
                    talk(Line::new(stream, cut, place), &desk, &ending).await;
                }
            });
        }
        tracker.close();
        tracker.wait().await;
    }
}

/// Where every request comes to.
#[derive(Clone)]
struct Desk {
    guard: Arc<Guard>,
    routes: Counted,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        // A body that is not there needs no room of its own.
        let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
        let count = self.routes.requests().begin(&request);
        let response = match self.guard.admit(request).await {
            Ok(request) => self.routes.route(request).await,
            Err(refusal) => refusal,
        };
        count.end(response.status());
        response
    }
}

/// A client that has gone without a word is found out, also where nothing is sent to it.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    line: Line<S>,
    desk: &Desk,
    ending: &CancellationToken,
) {
    let answer = service_fn(async |request| Ok::<_, Infallible>(desk.answer(request).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(line), answer)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // How a client goes is its own affair: nothing of it is worth a line in the log.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Who is connected.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

impl Places {
    /// A place for a client of this address, while there is one.
    pub fn of(&self, ip: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let own = taken.get(&ip).copied().unwrap_or(0);
        if all >= CONNECTIONS || (own >= OF_ONE && !ip.is_loopback()) {
            return None;
        }
        taken.insert(ip, own + 1);
        Some(Place { places: self.clone(), ip })
    }

    #[cfg(test)]
    pub fn any(&self) -> Option<Place> {
        self.of(IpAddr::from([127, 0, 0, 1]))
    }

    /// Held for a moment, never across an await. A panic elsewhere leaves it as good as it was.
    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place.
pub struct Place {
    places: Places,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.ip) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_one_machine_does_not_take_all_places() {
        let places = Places::default();
        let far = IpAddr::from([192, 0, 2, 1]);
        let held: Vec<Place> = std::iter::from_fn(|| places.of(far)).collect();
        assert_eq!(held.len(), OF_ONE);
        let near: Vec<Place> = std::iter::from_fn(|| places.any()).collect();
        assert_eq!(near.len(), CONNECTIONS - OF_ONE);
        drop(held);
        assert!(places.of(far).is_some());
        drop(near);
        assert!(places.taken().is_empty());
    }
}
