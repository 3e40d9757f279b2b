//! Published ports: `[HOST_IP:]HOST[-HOST]:CONTAINER[-CONTAINER][/udp]`, and the range that workers draw from.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The transport of a published port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The default.
    #[default]
    Tcp,
    /// Written `/udp`.
    Udp,
}

/// One port of the engine's machine that leads to one port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PortMapping {
    /// The address that listens; `None`: all of them.
    pub ip: Option<IpAddr>,
    /// The port on the engine's machine.
    pub host: u16,
    /// The port in the container's namespace.
    pub container: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(ip) => write!(f, "{ip}:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host, self.container)?;
        if self.protocol == Protocol::Udp { f.write_str("/udp") } else { Ok(()) }
    }
}

/// Ports as a user writes them: one mapping, or two ranges of equal length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRule {
    text: String,
    mappings: Vec<PortMapping>,
}

/// A range of ports of the engine's machine, both ends included: `10000-20000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is not a port, a rule or a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not `[IP:]HOST:CONTAINER[/udp]`.
    #[error("{0:?} is not a published port: write [IP:]HOST:CONTAINER, like \"127.0.0.1:3000:3000\"")]
    Rule(String),
    /// Not `FIRST-LAST`.
    #[error("{0:?} is not a range of ports: write FIRST-LAST, like \"10000-20000\"")]
    Range(String),
    /// The two ranges of a rule differ in length.
    #[error("{0:?} publishes ranges of different length")]
    Uneven(String),
}

impl PortRule {
    /// Every single mapping of the rule.
    #[must_use]
    pub fn mappings(&self) -> &[PortMapping] {
        &self.mappings
    }
}

impl FromStr for PortRule {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let wrong = || PortError::Rule(text.to_owned());
        let (body, protocol) = match text.rsplit_once('/') {
            Some((body, "udp")) => (body, Protocol::Udp),
            Some((body, "tcp")) => (body, Protocol::Tcp),
            Some(_) => return Err(wrong()),
            None => (text, Protocol::Tcp),
        };
        let (head, container) = body.rsplit_once(':').ok_or_else(wrong)?;
        let (ip, host) = match head.rsplit_once(':') {
            Some((ip, host)) => {
                let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
                (Some(bare.parse().map_err(|_| wrong())?), host)
            }
            None => (None, head),
        };
        let hosts = span(host).ok_or_else(wrong)?;
        let containers = span(container).ok_or_else(wrong)?;
        if hosts.last - hosts.first != containers.last - containers.first {
            return Err(PortError::Uneven(text.to_owned()));
        }
        let mappings = (hosts.first..=hosts.last)
            .zip(containers.first..=containers.last)
            .map(|(host, container)| PortMapping { ip, host, container, protocol })
            .collect();
        Ok(Self { text: text.to_owned(), mappings })
    }
}

/// `N` or `N-M` with 0 < N <= M.
fn span(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(PortRange { first, last })
}

impl TryFrom<String> for PortRule {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        text.parse()
    }
}

impl From<PortRule> for String {
    fn from(rule: PortRule) -> Self {
        rule.text
    }
}

impl PortRange {
    /// The lowest port of the range that is not in `used`.
    #[must_use]
    pub fn first_free(self, used: &BTreeSet<u16>) -> Option<u16> {
        (self.first..=self.last).find(|port| !used.contains(port))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        let range = text.contains('-').then(|| span(&text)).flatten();
        range.ok_or(PortError::Range(text))
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_expand() {
        let rule: PortRule = "127.0.0.1:3000-3009:3000-3009".parse().unwrap();
        assert_eq!(rule.mappings().len(), 10);
        assert_eq!(rule.mappings().last().unwrap().to_string(), "127.0.0.1:3009:3009");
        let rule: PortRule = "[::1]:53:5353/udp".parse().unwrap();
        assert_eq!(rule.mappings().first().unwrap().to_string(), "[::1]:53:5353/udp");
        for bad in ["", "3000", "a:b", "0:1", "1:70000", "x:1:2", "5-4:5-4", "1:2/sctp"] {
            assert!(bad.parse::<PortRule>().is_err(), "{bad:?}");
        }
        assert_eq!("1-2:1-3".parse::<PortRule>(), Err(PortError::Uneven("1-2:1-3".to_owned())));
    }

    #[test]
    fn a_range_gives_its_lowest_free_port() {
        let range = PortRange::try_from("10-12".to_owned()).unwrap();
        assert_eq!(range.first_free(&BTreeSet::new()), Some(10));
        assert_eq!(range.first_free(&BTreeSet::from([10, 11])), Some(12));
        assert_eq!(range.first_free(&BTreeSet::from([10, 11, 12])), None);
        assert!(PortRange::try_from("10".to_owned()).is_err());
    }
}
