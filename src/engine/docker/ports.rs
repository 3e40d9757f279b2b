//! Who holds a port that an engine could not take.

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
}
