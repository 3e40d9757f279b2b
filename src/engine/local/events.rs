//! Hints: what this engine does is told at once, and each running container's end by its shim.

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, FuturesUnordered};
use tokio::sync::{broadcast, mpsc};

use super::link;
use super::place::Place;
use super::wire::Ask;
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::engine::{EngineError, Hint};

/// Hints that wait for a reader; more are lost, and hints may be.
const AHEAD: usize = 256;

/// Something that this engine did.
#[derive(Clone, Debug)]
pub struct Done {
    pub bay: String,
    pub id: ContainerId,
    pub action: &'static str,
    pub place: Place,
}

/// A sender of them.
#[must_use]
pub fn channel() -> broadcast::Sender<Done> {
    broadcast::channel(AHEAD).0
}

/// The hints of one bay, whose containers that run now are given.
pub fn follow(
    bay: &Name,
    mut done: broadcast::Receiver<Done>,
    running: Vec<(ContainerId, Place)>,
) -> BoxStream<'static, Result<Hint, EngineError>> {
    let bay = bay.to_string();
    let (to, from) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut ends: FuturesUnordered<_> = running.into_iter().map(end).collect();
        loop {
            let hint = tokio::select! {
                () = to.closed() => return,
                done = done.recv() => match done {
                    Ok(done) if done.bay == bay => {
                        if done.action == "start" {
                            ends.push(end((done.id.clone(), done.place)));
                        }
                        Hint { id: done.id, action: done.action.to_owned() }
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    // The engine was exchanged for another.
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(id) = ends.next() => Hint { id, action: "die".to_owned() },
            };
            if to.send(Ok(hint)).await.is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(from, |mut from| async { Some((from.recv().await?, from)) }).boxed()
}

/// Waits for a container's end.
async fn end((id, place): (ContainerId, Place)) -> ContainerId {
    // One whose shim can't be asked, or hangs up, is looked at anew.
    let _ = link::ask(&place, &Ask::Wait).await;
    id
}
