//! Listeners in a container's own network, for who passes things through its wall.

use std::net::TcpListener;

use super::calls::{conflict, failed, other};
use super::place::Place;
use super::wire::{Answer, Ask};
use super::{LocalEngine, link};
use crate::bay::container::{ContainerId, NetworkSpec};
use crate::engine::EngineError;

impl LocalEngine {
    pub(super) async fn listen_now(&self, id: &ContainerId, what: &str, port: u16) -> Result<TcpListener, EngineError> {
        let (place, _) = self.find(id, "listen in")?;
        match link::ask(&place, &Ask::Listen(port)).await.map_err(failed(what))? {
            Some((_, Answer::Done, mut fds)) => {
                let listener = fds.pop().ok_or_else(|| conflict(what, "its listener did not come"))?;
                let listener = TcpListener::from(listener);
                listener.set_nonblocking(true).map_err(failed(what))?;
                Ok(listener)
            }
            Some((_, answer, _)) => Err(other(what, answer)),
            None => Err(conflict(what, "it is not running")),
        }
    }

    /// Those that its spec names, before anybody who joins its network may connect: kept by its shim.
    pub(super) async fn listen_first(&self, place: &Place, network: &NetworkSpec) {
        let NetworkSpec::Walled(wall) = network else { return };
        for port in &wall.listen {
            // Asked for again by who accepts, and told then.
            drop(link::ask(place, &Ask::Listen(*port)).await);
        }
    }
}
