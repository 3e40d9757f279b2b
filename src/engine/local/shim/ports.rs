//! Published ports. A container that shares the machine's network listens on the machine itself: only where its port
//! has another number outside does somebody have to pass connections on. Into a network of its own, all are passed on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::inside::Dial;
use crate::bay::container::NetworkSpec;
use crate::bay::port::{PortMapping, Protocol};
use crate::engine::listeners::{Listener, listeners};
use crate::engine::local::place::Place;

/// Connections that are passed on at a time, for one port.
const MOST: usize = 1024;

/// A port that is held, and where its connections go.
pub struct Held {
    listener: TcpListener,
    to: u16,
}

/// Takes the ports that a container publishes; an error: that port is another's. In the machine's network those that share
/// it may have one already, by which `is_the_bays` knows it: they outlive the container that publishes it.
pub fn hold(network: &NetworkSpec, is_the_bays: impl Fn(u16) -> bool) -> Result<Vec<Held>, u16> {
    let alone = network.is_alone();
    let tcp = network.published().iter().filter(|mapping| mapping.protocol == Protocol::Tcp);
    let held = tcp.map(|mapping| {
        let listener = match bind(mapping) {
            Ok(listener) => listener,
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && !alone
                    && mapping.host == mapping.container
                    && is_the_bays(mapping.host) =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(mapping.host),
            // An address that this machine does not have, or a port that is not this user's: nobody else's either.
            Err(_) => return Ok(None),
        };
        // With the same number inside, the program of the container listens there itself.
        Ok((alone || mapping.host != mapping.container).then_some(Held { listener, to: mapping.container }))
    });
    held.filter_map(Result::transpose).collect()
}

/// Whether a container that lies beside this one listens on a port of the machine.
pub fn is_the_bays(place: &Place, port: u16) -> bool {
    let mut found = listeners(Path::new("/proc"), None, |listener| listener == port);
    found.retain(|listener| listener.protocol == Protocol::Tcp);
    let is_beside = |listener: &Listener| {
        let id = listener.holder.as_ref().and_then(|holder| holder.container.as_ref());
        id.is_some_and(|id| place.dir().with_file_name(id.as_str()).is_dir())
    };
    !found.is_empty() && found.iter().all(is_beside)
}

fn bind(mapping: &PortMapping) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((mapping.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), mapping.host))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// To the loopback that the container listens on: the machine's, or its own.
async fn connect(to: SocketAddr, dial: Option<&Dial>) -> io::Result<TcpStream> {
    let Some(dial) = dial else { return TcpStream::connect(to).await };
    let gone = || io::Error::from(io::ErrorKind::NotConnected);
    let (sender, socket) = oneshot::channel();
    dial.send(sender).await.map_err(|_| gone())?;
    let socket = socket.await.map_err(|_| gone())?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

/// Passes connections on, for ever.
pub async fn pass_on(held: Held, dial: Option<Dial>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(held.listener) else { return };
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, held.to));
    let mut passing = JoinSet::new();
    loop {
        while passing.try_join_next().is_some() {}
        if passing.len() >= MOST {
            passing.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((mut from, _)) => {
                let dial = dial.clone();
                passing.spawn(async move {
                    // Nobody listens inside: the connection is closed, as it would be there.
                    if let Ok(mut inside) = connect(to, dial.as_ref()).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut inside).await;
                    }
                });
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn mapping(host: u16, container: u16) -> PortMapping {
        PortMapping { ip: Some(Ipv4Addr::LOCALHOST.into()), host, container, protocol: Protocol::Tcp }
    }

    #[tokio::test]
    async fn a_port_leads_to_another() {
        let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut held =
            hold(&NetworkSpec::Bridge(vec![mapping(free, inside.local_addr().unwrap().port())]), |_| false).unwrap();
        let passing = tokio::spawn(pass_on(held.pop().unwrap(), None));
        let mut outside = TcpStream::connect(("127.0.0.1", free)).await.unwrap();
        let (mut taken, _) = inside.accept().await.unwrap();
        outside.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        taken.read_exact(&mut bytes).await.unwrap();
        taken.write_all(b"pong").await.unwrap();
        outside.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"pong");
        passing.abort();
    }

    #[test]
    fn a_port_of_another_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let held = |inside, bays: bool| hold(&NetworkSpec::Bridge(vec![mapping(port, inside)]), |_| bays);
        assert_eq!((held(80, false).err(), held(port, false).err()), (Some(port), Some(port)));
        assert!(held(port, true).unwrap().is_empty(), "a program of the bay has it already");
        assert_eq!(held(80, true).err(), Some(port), "what it listens on is not what would be passed on");
        drop(taken);
        assert!(held(port, false).unwrap().is_empty(), "the program has it itself");
    }
}
