//! Who holds a port that an engine could not take.

use std::fs;
use std::path::Path;

use crate::bay::port::PortMapping;

/// The port of an engine's message about a port that is taken: `0.0.0.0:3000`, as the engine names it.
pub fn taken_port(message: &str) -> Option<String> {
    let marks = ["port is already allocated", "address already in use"];
    let end = marks.iter().find_map(|mark| message.find(mark))?;
    let words = message.get(..end)?.split_whitespace().rev();
    let candidates = words.map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '['));
    candidates.into_iter().find(|word| port_of(word).is_some()).map(str::to_owned)
}

/// The number in `0.0.0.0:3000`, `[::]:3000`.
pub fn port_of(text: &str) -> Option<u16> {
    text.rsplit_once(':')?.1.parse().ok()
}

/// The container that publishes the port, by name.
pub fn holding_container(port: u16, published: &[(PortMapping, String)]) -> Option<String> {
    published.iter().find(|(mapping, _)| mapping.host == port).map(|(_, name)| format!("container {name}"))
}

/// The process of this machine that listens on a TCP port, or has a UDP socket on it: `nginx (pid 42)`. Blocking.
pub fn holding_process(port: u16, proc: &Path) -> Option<String> {
    let inodes: Vec<String> = ["net/tcp", "net/tcp6", "net/udp", "net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc.join(table)).ok().map(|text| (table.contains("tcp"), text)))
        .flat_map(|(tcp, text)| listening(&text, port, tcp))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut processes = fs::read_dir(proc).ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let holds = files.any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| links.iter().any(|name| link.as_os_str() == name.as_str()))
        });
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("{} (pid {pid})", name.trim()))
    });
    // The socket is there; whose it is can be seen of one's own processes only.
    processes.next().or_else(|| Some("a process of another user".to_owned()))
}

/// The inodes of sockets on a port in a table of `/proc/net`.
fn listening(table: &str, port: u16, tcp: bool) -> Vec<String> {
    let rows = table.lines().skip(1).filter_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let found = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        // 0A is LISTEN; UDP sockets do not listen.
        (found == port && (!tcp || *state == "0A")).then(|| (*inode).to_owned())
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_name_the_port_in_many_ways() {
        let table = [
            (
                "driver failed programming external connectivity on endpoint b (ab12): Bind for 0.0.0.0:18080 failed: \
                 port is already allocated",
                Some("0.0.0.0:18080"),
            ),
            (
                "driver failed: Error starting userland proxy: listen tcp4 127.0.0.1:3000: bind: address already in \
                 use",
                Some("127.0.0.1:3000"),
            ),
            ("rootlessport listen tcp [::]:8080: bind: address already in use", Some("[::]:8080")),
            ("no space left on device", None),
            ("port is already allocated", None),
        ];
        for (message, port) in table {
            assert_eq!(taken_port(message).as_deref(), port, "{message}");
        }
    }

    #[test]
    fn a_listening_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = holding_process(port, Path::new("/proc")).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(holding_process(port, Path::new("/proc")), None);
    }
}
