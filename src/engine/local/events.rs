//! Hints: what this engine does is told at once, and each running container's end by its shim.

use std::collections::HashMap;

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
        // How many ends of it are waited for: of a restarted one, for a moment, two.
        let mut awaited: HashMap<_, u32> = running.iter().map(|(id, _)| (id.clone(), 1)).collect();
        let mut ends: FuturesUnordered<_> = running.into_iter().map(end).collect();
        loop {
            let hint = tokio::select! {
                () = to.closed() => return,
                done = done.recv() => match done {
                    Ok(done) if done.bay == bay => {
                        if done.action == "start" {
                            *awaited.entry(done.id.clone()).or_default() += 1;
                            ends.push(end((done.id.clone(), done.place)));
                        }
                        // What is removed has ended before, also when its shim comes to tell that later.
                        if done.action == "destroy"
                            && awaited.remove(&done.id).is_some()
                            && to.send(Ok(died(done.id.clone()))).await.is_err()
                        {
                            return;
                        }
                        Hint { id: done.id, action: done.action.to_owned() }
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    // The engine was exchanged for another.
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(id) = ends.next() => {
                    let Some(left) = awaited.get_mut(&id) else { continue };
                    *left -= 1;
                    if *left == 0 {
                        awaited.remove(&id);
                    }
                    died(id)
                }
            };
            if to.send(Ok(hint)).await.is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(from, |mut from| async { Some((from.recv().await?, from)) }).boxed()
}

fn died(id: ContainerId) -> Hint {
    Hint { id, action: "die".to_owned() }
}

/// Waits for a container's end.
async fn end((id, place): (ContainerId, Place)) -> ContainerId {
    // One whose shim can't be asked, or hangs up, is looked at anew.
    let _ = link::ask(&place, &Ask::Wait).await;
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shim that answers nobody.
    #[tokio::test]
    async fn what_is_removed_has_died_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        let _silent = place.at_socket(|path| std::os::unix::net::UnixListener::bind(path)).unwrap();
        let id = ContainerId::new("fox");
        let to = channel();
        let hints = follow(&"bay".parse().unwrap(), to.subscribe(), vec![(id.clone(), place.clone())]);
        for bay in ["another", "bay"] {
            to.send(Done { bay: bay.to_owned(), id: id.clone(), action: "destroy", place: place.clone() }).unwrap();
        }
        let seen: Vec<String> = hints.take(2).map(|hint| hint.unwrap().action).collect().await;
        assert_eq!(seen, ["die", "destroy"]);
    }
}
