//! What may leave a bay: a list of names, and how a name and an address are judged by it. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The longest name that there is.
const LONGEST: usize = 253;

/// What may be reached from inside of the bay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Everything that the engine's network leads to.
    Open,
    /// Nothing.
    None,
    /// What is listed, and what its user allows when it is asked for.
    Listed,
}

/// One entry of `[network] allow`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rule {
    /// `*`.
    Everything,
    /// Every name below this one, but not itself: `*.example.org`.
    Below(String),
    /// This one: `example.org`, `192.0.2.7`.
    Exactly(Host),
}

/// A host as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// By name, in small letters, without a dot at its end.
    Name(String),
    /// By address.
    Address(IpAddr),
}

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not the shape of one.
    #[error(
        "{0:?} is neither a name nor an address: write it like \"example.org\", \"*.example.org\" or \"192.0.2.7\""
    )]
    Shape(String),
    /// A name of this machine, or an address that only it has.
    #[error(
        "{0:?} is this machine itself or its link: what of it a worker may reach is the port of a [[service]] with run = \
         \"host\""
    )]
    Near(String),
}

impl std::str::FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let shape = || HostError::Shape(text.chars().take(80).collect());
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(canonical(ip)));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            !label.is_empty() && label.len() <= 63 && fits && !label.starts_with('-') && !label.ends_with('-')
        };
        if name.len() > LONGEST || !name.split('.').all(label) {
            return Err(shape());
        }
        // The system takes `127.1` and `0x7f000001` for addresses.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(shape());
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Address(ip) => fmt::Display::fmt(ip, f),
        }
    }
}

impl Host {
    /// This machine by a name that nobody else decides about, or by an address that leads nowhere else.
    #[must_use]
    pub fn is_near(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(ip) => leads_back(*ip),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        let (below, rest) = text.strip_prefix("*.").map_or((false, text.as_str()), |rest| (true, rest));
        match rest.parse::<Host>() {
            Ok(host) if host.is_near() => Err(HostError::Near(text)),
            Ok(Host::Name(name)) if below => Ok(Self::Below(name)),
            Ok(Host::Address(_)) if below => Err(HostError::Shape(text)),
            Ok(host) => Ok(Self::Exactly(host)),
            Err(_) => Err(HostError::Shape(text)),
        }
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.pad("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Exactly(host) => fmt::Display::fmt(host, f),
        }
    }
}

impl Rule {
    /// Whether this host is meant.
    #[must_use]
    pub fn names(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Everything, _) => true,
            (Self::Below(domain), Host::Name(name)) => {
                name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            (Self::Below(_), Host::Address(_)) => false,
            (Self::Exactly(own), host) => own == host,
        }
    }
}

/// What a list comes to.
#[must_use]
pub fn outgoing(allow: &[Rule]) -> Outgoing {
    match allow {
        [] => Outgoing::None,
        [Rule::Everything] => Outgoing::Open,
        _ => Outgoing::Listed,
    }
}

/// Whether a list names this host.
#[must_use]
pub fn is_listed(allow: &[Rule], host: &Host) -> bool {
    allow.iter().any(|rule| rule.names(host))
}

/// Whether an address leads to this machine, to what only its own link has (a cloud's metadata among it), or to nobody
/// in particular. Whoever answers for a name may say any address: none of these is believed.
#[must_use]
pub fn leads_back(ip: IpAddr) -> bool {
    match canonical(ip) {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            // 0.0.0.0/8 is this machine, 240.0.0.0/4 nobody; the last one is a cloud's metadata.
            let odd = first == 0 || first >= 224 || ip == Ipv4Addr::new(100, 100, 100, 200);
            ip.is_loopback() || ip.is_link_local() || odd
        }
        IpAddr::V6(ip) => {
            let metadata = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
            let odd = ip.is_unspecified() || ip.is_multicast() || ip == metadata;
            ip.is_loopback() || ip.is_unicast_link_local() || odd
        }
    }
}

/// An IPv4 address that is written as an IPv6 one, or reached through a translator's, is what it is.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let embedded = |[high, low]: [u16; 2]| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // Mapped, NAT64, 6to4; compatible, but for :: and ::1.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded([high, low])
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded([high, low]),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_list_names_what_it_says_and_nothing_beside() {
        let list = ["example.org", "*.Example.COM", "192.0.2.7", "2001:db8::7"].map(rule);
        for (host, expected) in [
            ("example.org", true),
            ("EXAMPLE.org.", true),
            ("www.example.org", false),
            ("badexample.org", false),
            ("example.org.evil.net", false),
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("notexample.com", false),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("[2001:db8::7]", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(is_listed(&list, &host.parse().unwrap()), expected, "{host}");
        }
        assert!(is_listed(&[Rule::Everything], &"192.0.2.8".parse().unwrap()));
    }

    #[test]
    fn what_is_no_host_is_not_taken_for_one() {
        for text in
            ["", ".", "a..b", "-a.org", "a b", "exa\u{e4}mple.org", "127.1", "0x7f000001", "2130706433", "a.0x1"]
        {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        for text in ["*x.org", "*.", "*.192.0.2.7", "http://x.org", "x.org/path", "x.org:443", "**"] {
            assert!(matches!(Rule::try_from(text.to_owned()), Err(HostError::Shape(_))), "{text}");
        }
        for text in ["localhost", "a.localhost", "127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(matches!(Rule::try_from(text.to_owned()), Err(HostError::Near(_))), "{text}");
        }
    }

    #[test]
    fn addresses_that_lead_back_are_known_in_every_dress() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("127.8.0.1", true),
            ("0.0.0.0", true),
            ("169.254.169.254", true),
            ("100.100.100.200", true),
            ("255.255.255.255", true),
            ("224.0.0.1", true),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("::ffff:127.0.0.1", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("::127.0.0.1", true),
            ("2002:a9fe:a9fe::1", true),
            ("192.0.2.7", false),
            ("10.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(leads_back(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn a_list_comes_to_one_of_three() {
        assert_eq!(outgoing(&[]), Outgoing::None);
        assert_eq!(outgoing(&[Rule::Everything]), Outgoing::Open);
        assert_eq!(outgoing(&[rule("example.org")]), Outgoing::Listed);
    }
}
