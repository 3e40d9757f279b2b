//! Where a callback may go. A URL comes from whoever asks; where it leads must be what the configuration meant.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;

use crate::bay::outgoing::{canonical, leads_back};

/// How long a name may take to be found.
const FINDING: Duration = Duration::from_secs(5);

/// A receiver, its address found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) host: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) tls: bool,
    /// All that its name led to when it was found; asked for nothing else, whatever the name leads to by then.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Why nothing is sent there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a URL that can be used.
    #[error("it is not a URL: write https://HOST/PATH, or http:// to this machine")]
    Shape,
    /// A user name or a password is in it.
    #[error("it must have no user name or password in it")]
    Credentials,
    /// Not in the configuration.
    #[error("{0:?} is not in [api] callback_hosts")]
    Host(String),
    /// A plain connection to another machine.
    #[error("another machine is told over https:// only")]
    Plain,
    /// It can't be found.
    #[error("{0:?} is not found")]
    Unknown(String),
    /// It leads where no receiver is.
    #[error("{0:?} leads to {1}, and nothing is sent there")]
    Address(String, IpAddr),
}

impl Target {
    /// Its host, for people.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Checks a URL and finds its host.
    pub(super) async fn resolve(uri: &Uri, allowed: &[String]) -> Result<Self, Refusal> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Refusal::Shape),
        };
        let authority = uri.authority().ok_or(Refusal::Shape)?;
        if authority.as_str().contains('@') {
            return Err(Refusal::Credentials);
        }
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let near = is_near(&bare);
        let named = |allowed: &String| allowed.eq_ignore_ascii_case(&host) || allowed.eq_ignore_ascii_case(&bare);
        if !near && !allowed.iter().any(named) {
            return Err(Refusal::Host(host));
        }
        if !tls && !near {
            return Err(Refusal::Plain);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let addresses = find(&bare, port).await?;
        if let Some(address) = addresses.iter().find(|address| !may_be_sent_to(address.ip(), near)) {
            return Err(Refusal::Address(host, address.ip()));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host: bare, authority: authority.as_str().to_owned(), path, tls, addresses })
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

/// This machine by a name or an address that nobody else decides about.
fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| canonical(ip).is_loopback())
}

/// Whether a receiver may be there. Of a name that is not this machine's own, this machine is no address, or whoever
/// answers for the name could reach what listens only here.
fn may_be_sent_to(ip: IpAddr, near: bool) -> bool {
    if canonical(ip).is_loopback() { near } else { !leads_back(ip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(url: &str, allowed: &[&str]) -> Result<Target, Refusal> {
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        super::super::target(url, &allowed).await
    }

    #[tokio::test]
    async fn s15_only_what_the_configuration_names_is_told() {
        assert_eq!(of("https://evil.example/x", &[]).await, Err(Refusal::Host("evil.example".to_owned())));
        assert!(matches!(of("https://ok.example.evil.example/x", &["ok.example"]).await, Err(Refusal::Host(_))));
        assert!(matches!(of("https://evil.example/ok.example", &["ok.example"]).await, Err(Refusal::Host(_))));
        assert_eq!(of("https://a:b@127.0.0.1/x", &[]).await, Err(Refusal::Credentials));
        assert_eq!(of("http://192.0.2.1/x", &["192.0.2.1"]).await, Err(Refusal::Plain));
        for url in ["", "x", "/x", "127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "https:///x"] {
            assert!(matches!(of(url, &[]).await, Err(Refusal::Shape)), "{url}: {:?}", of(url, &[]).await);
        }
        let target = of("https://192.0.2.1:8443/a?b=c", &["192.0.2.1"]).await.unwrap();
        assert_eq!((target.tls, target.path.as_str(), target.addresses[0].port()), (true, "/a?b=c", 8443));
        for near in ["http://127.0.0.1:9/x", "http://[::1]:9/x", "http://localhost:9/x", "https://127.0.0.1/x"] {
            assert!(of(near, &[]).await.is_ok(), "{near}");
        }
    }

    #[tokio::test]
    async fn s15_no_allowed_name_leads_to_metadata_or_back_to_this_machine() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::]",
            "[ff02::1]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::1]",
        ] {
            let url = format!("https://{ip}/latest/meta-data");
            assert!(matches!(of(&url, &[ip]).await, Err(Refusal::Address(..))), "{ip}");
        }
        let loopback: [IpAddr; 3] = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|ip| ip.parse().unwrap());
        for ip in loopback {
            assert!(!may_be_sent_to(ip, false) && may_be_sent_to(ip, true), "{ip}");
        }
        for ip in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2606:2800::1", "fd12::1"] {
            assert!(may_be_sent_to(ip.parse().unwrap(), false), "{ip}: the configuration named it");
        }
    }
}
