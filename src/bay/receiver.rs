//! Who may be told something over HTTP: how a URL is read, and what is allowed of where it leads. Pure.

use std::net::IpAddr;

use http::Uri;

use super::outgoing::{canonical, leads_back};

/// A receiver, its address not found yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Without brackets, in small letters.
    pub host: String,
    /// As the `Host` header has it.
    pub authority: String,
    /// The URL's, or its scheme's.
    pub port: u16,
    /// With the query.
    pub path: String,
    /// Over TLS.
    pub tls: bool,
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

impl Receiver {
    /// Reads a URL that comes from whoever asks: where it leads must be what the configuration meant.
    ///
    /// # Errors
    /// Why nothing is sent there; where it names an address, also because of that.
    pub fn read(url: &str, allowed: &[String]) -> Result<Self, Refusal> {
        let uri: Uri = url.parse().map_err(|_| Refusal::Shape)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Refusal::Shape),
        };
        let authority = uri.authority().ok_or(Refusal::Shape)?;
        if authority.as_str().contains('@') {
            return Err(Refusal::Credentials);
        }
        let named = authority.host().to_ascii_lowercase();
        let host = named.trim_start_matches('[').trim_end_matches(']').to_owned();
        let near = is_near(&host);
        let is_allowed = |one: &String| one.eq_ignore_ascii_case(&named) || one.eq_ignore_ascii_case(&host);
        if !near && !allowed.iter().any(is_allowed) {
            return Err(Refusal::Host(named));
        }
        if !tls && !near {
            return Err(Refusal::Plain);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let receiver = Self { host, authority: authority.as_str().to_owned(), port, path, tls };
        receiver.host.parse().map_or(Ok(()), |ip| receiver.may_be_at(ip))?;
        Ok(receiver)
    }

    /// Whether it may be there. Of a name that is not this machine's own, this machine is no address, or whoever answers
    /// for the name could reach what listens only here.
    ///
    /// # Errors
    /// [`Refusal::Address`].
    pub fn may_be_at(&self, ip: IpAddr) -> Result<(), Refusal> {
        let fits = if canonical(ip).is_loopback() { is_near(&self.host) } else { !leads_back(ip) };
        if fits { Ok(()) } else { Err(Refusal::Address(self.host.clone(), ip)) }
    }
}

/// This machine by a name or an address that nobody else decides about.
fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| canonical(ip).is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, allowed: &[&str]) -> Result<Receiver, Refusal> {
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        Receiver::read(url, &allowed)
    }

    #[test]
    fn s15_only_what_the_configuration_names_is_told() {
        assert_eq!(of("https://evil.example/x", &[]), Err(Refusal::Host("evil.example".to_owned())));
        assert!(matches!(of("https://ok.example.evil.example/x", &["ok.example"]), Err(Refusal::Host(_))));
        assert!(matches!(of("https://evil.example/ok.example", &["ok.example"]), Err(Refusal::Host(_))));
        assert_eq!(of("https://a:b@127.0.0.1/x", &[]), Err(Refusal::Credentials));
        assert_eq!(of("http://192.0.2.1/x", &["192.0.2.1"]), Err(Refusal::Plain));
        for url in ["", "x", "/x", "127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "https:///x"] {
            assert_eq!(of(url, &[]), Err(Refusal::Shape), "{url}");
        }
        let receiver = of("https://192.0.2.1:8443/a?b=c", &["192.0.2.1"]).unwrap();
        assert_eq!((receiver.tls, receiver.path.as_str(), receiver.port), (true, "/a?b=c", 8443));
        let receiver = of("https://Ok.Example?b", &["OK.example"]).unwrap();
        assert_eq!((receiver.host.as_str(), receiver.path.as_str(), receiver.port), ("ok.example", "/?b", 443));
        for near in ["http://127.0.0.1:9/x", "http://[::1]:9/x", "http://localhost:9/x", "https://127.0.0.1/x"] {
            assert!(of(near, &[]).is_ok(), "{near}");
        }
    }

    #[test]
    fn s15_no_allowed_host_leads_to_metadata_or_back_to_this_machine() {
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
            assert!(matches!(of(&url, &[ip]), Err(Refusal::Address(..))), "{ip}");
        }
        let (named, near) =
            (of("https://ok.example/", &["ok.example"]).unwrap(), of("http://localhost/", &[]).unwrap());
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|ip| ip.parse().unwrap()) {
            assert!(named.may_be_at(ip).is_err() && near.may_be_at(ip).is_ok(), "{ip}");
        }
        for ip in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2606:2800::1", "fd12::1"] {
            assert!(named.may_be_at(ip.parse().unwrap()).is_ok(), "{ip}: the configuration named it");
        }
        assert!(named.may_be_at("169.254.169.254".parse().unwrap()).is_err());
    }
}
