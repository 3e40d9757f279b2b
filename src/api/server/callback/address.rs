//! Where a callback goes: found once, and judged before anything is sent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::bay::receiver::{Receiver, Refusal};

/// How long a name may take to be found.
const FINDING: Duration = Duration::from_secs(5);

/// A receiver, its address found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) receiver: Receiver,
    /// All that its name led to when it was found; asked for nothing else, whatever the name leads to by then.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Target {
    /// Its host, for people.
    pub fn host(&self) -> &str {
        &self.receiver.host
    }

    /// Finds a receiver's host.
    pub(super) async fn resolve(receiver: Receiver) -> Result<Self, Refusal> {
        let addresses = find(&receiver.host, receiver.port).await?;
        addresses.iter().try_for_each(|address| receiver.may_be_at(address.ip()))?;
        Ok(Self { receiver, addresses })
    }
}

async fn find(host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let unknown = || Refusal::Unknown(host.to_owned());
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::time::timeout(FINDING, tokio::net::lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = found.map_err(|_| unknown())?.map_err(|_| unknown())?.collect();
    if found.is_empty() { Err(unknown()) } else { Ok(found) }
}
