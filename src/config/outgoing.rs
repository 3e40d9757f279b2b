//! What the configuration says of the way out of the bay, and what follows from it.

use super::Config;
use crate::bay::container::{NetworkSpec, Wall};
use crate::bay::outgoing::{Outgoing, outgoing};
use crate::bay::port::{PortMapping, PortRule};
use crate::bay::service::ServicePort;
use crate::bay::template::{ParentSpec, short_hash};

/// Where the proxy is, unless a service is there: what proxies have by custom.
const PROXY: u16 = 3128;

impl Config {
    /// What may be reached from inside of the bay.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        outgoing(&self.network.allow)
    }

    /// The parent's network, with these ports published.
    #[must_use]
    pub fn parent_network(&self, ports: Vec<PortMapping>) -> NetworkSpec {
        if self.outgoing() == Outgoing::Open {
            return NetworkSpec::Bridge(ports);
        }
        let proxy = self.proxy_port();
        let listen = self.native_ports().into_iter().chain(proxy).collect();
        NetworkSpec::Walled(Wall { ports, listen, proxy })
    }

    /// Where workers find the proxy on their loopback; `None`: there is none.
    #[must_use]
    pub fn proxy_port(&self) -> Option<u16> {
        let taken = self.native_ports();
        let published = |port: u16| {
            let mut mappings = self.parent.ports.iter().flat_map(PortRule::mappings);
            mappings.any(|mapping| mapping.container == port)
        };
        let free = || (PROXY..u16::MAX).find(|port| !taken.contains(port) && !published(*port));
        (self.outgoing() == Outgoing::Listed).then(free).flatten()
    }

    /// Ports of this machine that native services have: workers behind a wall find them on their own loopback.
    #[must_use]
    pub fn native_ports(&self) -> Vec<u16> {
        let native = self.services.iter().filter(|service| service.is_native());
        let ports = native.flat_map(|service| &service.ports).filter_map(|port| match port {
            ServicePort::Listens(port) => Some(*port),
            ServicePort::Published(_) => None,
        });
        ports.collect()
    }

    /// Twelve hex digits over what the parent is made of, its network among it.
    #[must_use]
    pub fn parent_hash(&self) -> String {
        let own = ParentSpec::hash(&self.parent);
        match self.parent_network(Vec::new()) {
            // As long as there was no other network.
            NetworkSpec::Bridge(_) => own,
            network => short_hash(format!("{own}{network:?}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("t", text).unwrap()
    }

    #[test]
    fn a_list_makes_a_wall_with_a_proxy_and_the_ports_of_native_services() {
        let service =
            "[[service]]\nname = \"brain\"\nrun = \"host\"\nreason = \"gpu\"\ncommand = [\"x\"]\nports = [3128, 3002]";
        let open = config(service);
        assert!(matches!(open.parent_network(Vec::new()), NetworkSpec::Bridge(_)));
        let listed = config(&format!("[network]\nallow = [\"example.org\"]\n{service}"));
        let NetworkSpec::Walled(wall) = listed.parent_network(Vec::new()) else { panic!("no wall") };
        assert_eq!((wall.proxy, wall.listen), (Some(3129), vec![3128, 3002, 3129]));
        let none = config(&format!("[network]\nallow = []\n{service}"));
        let NetworkSpec::Walled(wall) = none.parent_network(Vec::new()) else { panic!("no wall") };
        assert_eq!((wall.proxy, wall.listen), (None, vec![3128, 3002]));
        let hashes = [&open, &listed, &none].map(Config::parent_hash);
        assert!(hashes[0] == open.parent.hash() && hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    }
}
