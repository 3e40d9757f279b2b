//! A connection to a host outside: asked of the machine, found, checked, made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::asker::Asker;
use crate::bay::outgoing::{Host, leads_back};

/// For a name to be found.
const FIND: Duration = Duration::from_secs(10);
/// For a connection, at each of its addresses.
const CONNECT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a host.
    #[error("{0:?} is neither a name nor an address")]
    Shape(String),
    /// This machine, by name or address.
    #[error("{0} is not outside of the bay")]
    Near(Host),
    /// Nobody allowed it.
    #[error("[network] allow does not name {0}; `podbay network allow {0}` lets it through")]
    Closed(Host),
    /// Its name leads where nothing is let through.
    #[error("{0} leads to {1}, and nothing is let through there")]
    Strayed(Host, IpAddr),
    /// It is not found, or does not answer.
    #[error("{0} is not reached: {1}")]
    Away(Host, String),
}

/// Connects.
pub async fn connect(asker: &Asker, (host, port): (&str, u16), from: u16) -> Result<TcpStream, Refusal> {
    let host: Host = host.parse().map_err(|_| Refusal::Shape(host.chars().take(80).collect()))?;
    if host.is_near() {
        return Err(Refusal::Near(host));
    }
    if !asker.may(&host, port, from).await {
        return Err(Refusal::Closed(host));
    }
    let addresses = find(&host, port).await?;
    // One look for all: what is connected to is what was checked, whatever the name leads to by then.
    // An address that its user listed is what he meant; where a name leads, others decide.
    let by_name = matches!(host, Host::Name(_));
    if let Some(address) = addresses.iter().find(|to| leads_back(to.ip()) || by_name && is_here(to.ip())) {
        let refusal = Refusal::Strayed(host.clone(), address.ip());
        let why = format!("its name leads to {}, which is this machine or its link", address.ip());
        asker.strayed(host, why).await;
        return Err(refusal);
    }
    let mut last = "it has no address".to_owned();
    for address in addresses.into_iter().take(ADDRESSES) {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer within {}s", CONNECT.as_secs()),
        }
    }
    Err(Refusal::Away(host, last))
}

/// Whether this machine has an address: what listens on all of its addresses is not outside of it.
fn is_here(ip: IpAddr) -> bool {
    let may_have = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    // Some machines let everybody have every address: there it says nothing.
    may_have(ip) && !may_have(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)))
}

async fn find(host: &Host, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let away = |why: String| Refusal::Away(host.clone(), why);
    let name = match host {
        Host::Address(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name,
    };
    // With a dot at its end: the machine's own domains are not tried.
    let found = timeout(FIND, tokio::net::lookup_host((format!("{name}."), port))).await;
    let found = found.map_err(|_| away(format!("its name is not found within {}s", FIND.as_secs())))?;
    if let Ok(found) = found {
        return Ok(found.collect());
    }
    // A name of the machine's own list has none.
    let found = timeout(FIND, tokio::net::lookup_host((name.as_str(), port))).await;
    let found = found.map_err(|_| away("its name is not found in time".to_owned()))?;
    Ok(found.map_err(|error| away(error.to_string()))?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        assert!(is_here(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_here(Ipv4Addr::new(198, 51, 100, 7).into()));
    }
}
