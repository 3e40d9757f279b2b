//! Which `Host` and `Origin` a request may carry. A page of another site can make a browser send requests here, and by
//! a name of its own that it points at this machine it can read the answers: what it can't do is choose these headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Uri};

/// What a browser says about where a request comes from.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names under which the API may be asked for.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The one that it listens on.
    own: IpAddr,
    /// What the configuration names.
    named: Vec<String>,
}

/// Why a request is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// There is no `Host`, or more than one.
    NoHost,
    /// Another one.
    Host,
    /// It comes from a page of another origin.
    Origin,
}

impl Hosts {
    pub fn new(address: SocketAddr, named: &[String]) -> Self {
        Self { own: address.ip(), named: named.to_vec() }
    }

    /// Whether a request may be looked at.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Foreign::NoHost) };
        let host = host.to_str().map_err(|_| Foreign::Host)?;
        // A request for `http://other/path` means that one, whatever its header says.
        if uri.authority().is_some_and(|named| !named.as_str().eq_ignore_ascii_case(host)) || !self.is_ours(host) {
            return Err(Foreign::Host);
        }
        let same = |origin: &str| {
            let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        };
        let mut origins = headers.get_all(ORIGIN).iter();
        if !origins.all(|origin| origin.to_str().is_ok_and(same)) {
            return Err(Foreign::Origin);
        }
        let mut sites = headers.get_all(SITE).iter();
        if !sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none")) {
            return Err(Foreign::Origin);
        }
        Ok(())
    }

    /// Any port: a forwarded one is another than ours. What matters is that nobody can point a name of theirs at it.
    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if let Ok(ip) = address.parse::<IpAddr>() {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&ip);
            // Behind `0.0.0.0` it has addresses that nobody has listed; no name is in them to be pointed elsewhere.
            return loopback || ip == self.own || self.own.is_unspecified();
        }
        name.eq_ignore_ascii_case("localhost") || self.named.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// `host`, `host:port`, `[v6]:port`.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rfind(':') {
        Some(at) if !host.ends_with(']') => (host.get(..at)?, host.get(at + 1..)?),
        _ => (host, "80"),
    };
    let v6 = name.starts_with('[') && name.ends_with(']');
    let fits = !name.is_empty() && (v6 || !name.contains(':')) && port.parse::<u16>().is_ok();
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts::new(listen.parse().unwrap(), &["Bay.Example".to_owned()])
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn s09_only_our_own_names_are_hosts() {
        let check = |listen: &str, host: &str| hosts(listen).check(&"/x".parse().unwrap(), &headers(&[("host", host)]));
        for host in
            ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]", "bay.example:443", "127.0.0.1"]
        {
            assert_eq!(check("127.0.0.1:8080", host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "192.168.1.7:8080",
            "localhost:x",
            "localhost:99999",
            "",
            ":8080",
            "::1",
            "a@localhost",
            "localhost/",
            "0x7f000001",
        ] {
            assert_eq!(check("127.0.0.1:8080", host), Err(Foreign::Host), "{host}");
        }
        assert_eq!(check("192.168.1.7:8080", "192.168.1.7:8080"), Ok(()));
        assert_eq!(check("192.168.1.7:8080", "192.168.1.8"), Err(Foreign::Host));
        assert_eq!(check("0.0.0.0:8080", "192.168.1.8"), Ok(()));
        assert_eq!(check("0.0.0.0:8080", "evil.example"), Err(Foreign::Host));
    }

    #[test]
    fn s09_there_is_exactly_one_host() {
        let check = |uri: &str, pairs: &[(&'static str, &str)]| {
            hosts("127.0.0.1:8080").check(&uri.parse().unwrap(), &headers(pairs))
        };
        assert_eq!(check("/x", &[]), Err(Foreign::NoHost));
        assert_eq!(check("/x", &[("host", "localhost"), ("host", "localhost")]), Err(Foreign::NoHost));
        assert_eq!(check("http://evil.example/x", &[("host", "localhost")]), Err(Foreign::Host));
        assert_eq!(check("http://localhost/x", &[("host", "localhost")]), Ok(()));
    }

    #[test]
    fn s09_no_other_origin_is_let_in() {
        let check = |header: &'static str, value: &str| {
            let pairs = [("host", "127.0.0.1:8080"), (header, value)];
            hosts("127.0.0.1:8080").check(&"/x".parse().unwrap(), &headers(&pairs))
        };
        assert_eq!(check("origin", "http://127.0.0.1:8080"), Ok(()));
        assert_eq!(check("origin", "https://127.0.0.1:8080"), Ok(()));
        for origin in
            ["http://127.0.0.1:3000", "http://localhost:8080", "https://evil.example", "null", "", "127.0.0.1:8080"]
        {
            assert_eq!(check("origin", origin), Err(Foreign::Origin), "{origin}");
        }
        for (site, fits) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            assert_eq!(check("sec-fetch-site", site).is_ok(), fits, "{site}");
        }
    }
}
