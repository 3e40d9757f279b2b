//! What processes use, from `/proc`.

use std::fs;
use std::os::unix::net::UnixStream;

/// CPU seconds of a process, all its threads and the ended ones.
pub fn cpu(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The name stands in parentheses and may hold anything; after it come the state and the figures.
    let (_, rest) = stat.rsplit_once(") ").ok_or_else(|| path.clone())?;
    let ticks: f64 = rest.split(' ').skip(11).take(2).filter_map(|figure| figure.parse::<f64>().ok()).sum();
    // Linux shows a hundred ticks a second to programs, whatever it counts by itself.
    Ok(ticks / 100.0)
}

/// Memory of a process in MB: resident, and its share of what it has in common with others.
pub fn memory(pid: u32) -> Result<(f64, f64), String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let figure = |key: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let megabytes = |key: &str| figure(key).map(|kilobytes| kilobytes / 1024.0).ok_or_else(|| format!("{path}: {key}"));
    Ok((megabytes("Rss:")?, megabytes("Pss:")?))
}

/// The engine's processes: whoever holds the socket, its containerd, and nobody else's.
pub fn engine() -> Result<Vec<u32>, String> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    let stream = UnixStream::connect(socket).map_err(|error| format!("{socket}: {error}"))?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|error| format!("{socket}: {error}"))?;
    let daemon = u32::try_from(peer.pid.as_raw_nonzero().get()).map_err(|error| error.to_string())?;
    let named =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "containerd");
    let all: Vec<u32> = fs::read_dir("/proc")
        .map_err(|error| error.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(named)
        .collect();
    // A daemon has a containerd of its own, or uses the machine's.
    let own: Vec<u32> = all.iter().copied().filter(|pid| parent(*pid) == Some(daemon)).collect();
    let containerd = if own.is_empty() { all } else { own };
    Ok([vec![daemon], containerd].concat())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
