//! What goes through the wall of a bay whose network is its own: a proxy for what is allowed outside, and the native
//! services of this machine.
//!
//! Listens where the engine lets it, on the loopback of the parent's network. Decides nothing: the machine does. The
//! listeners are kept by the parent's shim, so who connects while no supervisor is there waits for the next one.

mod asker;
mod proxy;
mod reach;
mod tunnel;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::asker::{Asker, Whole};
use super::executor::Asked;
use crate::api::types::{Snapshot, State};
use crate::bay::container::{ContainerId, NetworkSpec, Status};
use crate::config::Config;
use crate::engine::SharedEngine;

/// Connections through the wall at a time; who comes then waits in the listener's queue.
const MOST: usize = 1024;
/// Until it is tried again to listen.
const AGAIN: Duration = Duration::from_millis(500);
/// Out of descriptors, most likely: some will be free again.
const PAUSE: Duration = Duration::from_millis(50);
/// For a connection to a native service.
const NEAR: Duration = Duration::from_secs(5);

/// What it needs to know and whom it asks.
pub struct Ground {
    /// How things are.
    pub view: watch::Receiver<Arc<Snapshot>>,
    /// The engine, while there is one to talk to.
    pub engine: watch::Receiver<Option<SharedEngine>>,
    /// The configuration.
    pub config: watch::Receiver<Arc<Config>>,
    /// The machine.
    pub machine: mpsc::Sender<Asked>,
    /// Cancelled when the supervisor ends.
    pub ending: CancellationToken,
}

/// A run of the parent, and the ports of it that are listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    parent: ContainerId,
    since: Option<Timestamp>,
    ports: Vec<u16>,
    proxy: Option<u16>,
}

/// Listens for as long as the supervisor runs.
pub async fn keep(mut ground: Ground) {
    let slots = Arc::new(Semaphore::new(MOST));
    let whole = Whole { machine: ground.machine.clone(), view: ground.view.clone(), config: ground.config.clone() };
    let mut accepting = JoinSet::new();
    let mut standing = None;
    loop {
        let wanted = wanted(&ground.view.borrow_and_update(), &ground.config.borrow_and_update());
        let engine = ground.engine.borrow_and_update().clone();
        let mut again = false;
        if wanted != standing
            && let Some(engine) = engine
        {
            // Connections under way go on; only the accepting begins anew.
            accepting.shutdown().await;
            again = match &wanted {
                Some(wanted) => !begin(&engine, wanted, (&whole, &slots), &mut accepting).await,
                None => false,
            };
            standing = if again { None } else { wanted };
        }
        tokio::select! {
            () = ground.ending.cancelled() => return,
            changed = ground.view.changed() => if changed.is_err() { return },
            changed = ground.engine.changed() => if changed.is_err() { return },
            changed = ground.config.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if again => {}
        }
    }
}

fn wanted(view: &Snapshot, config: &Config) -> Option<Standing> {
    let NetworkSpec::Walled(wall) = config.parent_network(Vec::new()) else { return None };
    let parent = view.status.parent.as_ref().filter(|row| row.state == State::Running)?;
    let (parent, since) = (ContainerId::new(parent.id.clone()), parent.started_at);
    Some(Standing { parent, since, ports: wall.listen, proxy: wall.proxy })
}

/// `false`: not all of them are had.
async fn begin(
    engine: &SharedEngine,
    standing: &Standing,
    (whole, slots): (&Whole, &Arc<Semaphore>),
    accepting: &mut JoinSet<()>,
) -> bool {
    let status = engine.inspect(&standing.parent).await.map(|seen| seen.status);
    let Ok(Status::Running { pid, .. }) = status else { return false };
    let mut all = true;
    for port in &standing.ports {
        let listener = engine.listen(&standing.parent, *port).await.map_err(|error| error.to_string());
        let listener = listener.and_then(|given| TcpListener::from_std(given).map_err(|error| error.to_string()));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(port, "nobody is heard on the parent's loopback: {error}");
                all = false;
                continue;
            }
        };
        let asker = || Arc::new(Asker::new(whole.clone(), (pid, *port)));
        let to = if standing.proxy == Some(*port) { To::Proxy(asker()) } else { To::Native(*port) };
        accepting.spawn(accept(listener, to, slots.clone()));
    }
    all
}

/// Where what is accepted goes.
#[derive(Clone)]
enum To {
    Proxy(Arc<Asker>),
    Native(u16),
}

async fn accept(listener: TcpListener, to: To, slots: Arc<Semaphore>) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let to = to.clone();
        tokio::spawn(async move {
            match to {
                To::Proxy(asker) => proxy::serve(stream, from.port(), asker).await,
                To::Native(port) => native(stream, port).await,
            }
            drop(slot);
        });
    }
}

/// Nobody listens there: the connection is closed, as it would be outside.
async fn native(inside: TcpStream, port: u16) {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Ok(Ok(outside)) = tokio::time::timeout(NEAR, TcpStream::connect(to)).await {
        tunnel::join(inside, outside).await;
    }
}
