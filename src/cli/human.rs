//! Times, sizes and ports as people read them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::bay::port::{PortMapping, Protocol};

/// A length of time in its largest unit, as `docker ps` has it: `5s`, `3m`, `7h`, `4d`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago; a time that lies ahead (the engine's clock may) counts as now.
pub fn since(then: Timestamp, now: Timestamp) -> String {
    span(now.as_second().saturating_sub(then.as_second()))
}

/// `512 B`, `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths, in whole numbers: a float would round 1023.96 KiB up to 1024.0.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if tenths < 100 { format!("{}.{} {unit}", tenths / 10, tenths % 10) } else { format!("{} {unit}", tenths / 10) }
}

/// Published ports as `docker ps` has them, neighbours joined: `127.0.0.1:3000-3009->3000-3009/tcp`.
pub fn ports(mappings: &[PortMapping]) -> String {
    let mut runs: Vec<Run> = Vec::new();
    let sorted: BTreeSet<(Protocol, Option<IpAddr>, u16, u16)> =
        mappings.iter().map(|port| (port.protocol, port.ip, port.host, port.container)).collect();
    for (protocol, ip, host, container) in sorted {
        match runs.last_mut() {
            Some(run) if run.takes(protocol, ip, host, container) => run.length += 1,
            _ => runs.push(Run { protocol, ip, host, container, length: 0 }),
        }
    }
    let words: Vec<String> = runs.iter().map(Run::text).collect();
    words.join(", ")
}

struct Run {
    protocol: Protocol,
    ip: Option<IpAddr>,
    host: u16,
    container: u16,
    /// Ports after the first.
    length: u16,
}

impl Run {
    fn takes(&self, protocol: Protocol, ip: Option<IpAddr>, host: u16, container: u16) -> bool {
        let next = |first: u16| first.checked_add(self.length).and_then(|last| last.checked_add(1));
        protocol == self.protocol
            && ip == self.ip
            && next(self.host) == Some(host)
            && next(self.container) == Some(container)
    }

    fn text(&self) -> String {
        let range = |first: u16| match self.length {
            0 => first.to_string(),
            more => format!("{first}-{}", first.saturating_add(more)),
        };
        let ip = match self.ip {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
            Some(ip) => format!("{ip}:"),
            None => String::new(),
        };
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        format!("{ip}{}->{}/{protocol}", range(self.host), range(self.container))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::port::PortRule;

    #[test]
    fn spans_have_one_unit() {
        let table = [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_200, "2h"),
            (172_800, "2d"),
            (i64::MAX, "106751991167300d"),
        ];
        for (seconds, text) in table {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn sizes_have_two_digits() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (8 << 30, "8.0 GiB"),
            (u64::MAX, "16383 PiB"),
        ];
        for (count, text) in table {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn neighbouring_ports_are_one_run() {
        let of = |rules: &[&str]| {
            let mappings: Vec<PortMapping> =
                rules.iter().flat_map(|rule| rule.parse::<PortRule>().unwrap().mappings().to_vec()).collect();
            ports(&mappings)
        };
        assert_eq!(of(&["127.0.0.1:3000-3009:3000-3009"]), "127.0.0.1:3000-3009->3000-3009/tcp");
        assert_eq!(of(&["80:8080", "81:8082"]), "80->8080/tcp, 81->8082/tcp");
        assert_eq!(of(&["[::1]:53:53/udp", "53:53"]), "53->53/tcp, [::1]:53->53/udp");
        assert_eq!(of(&["65534-65535:65534-65535"]), "65534-65535->65534-65535/tcp");
        assert_eq!(of(&[]), "");
    }
}
