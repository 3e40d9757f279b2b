//! Which ports a program was refused because somebody has them. The kernel tells nobody but the program, so it is read off
//! what that prints.

use std::collections::BTreeSet;

/// What systems and tools say of an address that is taken, in small letters.
const SAID: [&str; 3] = ["already in use", "eaddrinuse", "in use by another"];

/// The ports of `text`, a screen, that its program was refused: those of lines that say so and that `held` knows. Where
/// such a line names none of them (`OSError: [Errno 98] Address already in use`), what was asked for stands elsewhere on
/// the screen.
#[must_use]
pub fn refused(text: &str, held: impl Fn(u16) -> bool) -> BTreeSet<u16> {
    let said: Vec<&str> = text.lines().filter(|line| tells(line)).collect();
    let of = |lines: &mut dyn Iterator<Item = &str>| -> BTreeSet<u16> {
        lines.flat_map(numbers).filter(|port| held(*port)).collect()
    };
    let named = of(&mut said.iter().copied());
    if said.is_empty() || !named.is_empty() { named } else { of(&mut text.lines()) }
}

/// Whether a screen says of any port that somebody has it.
#[must_use]
pub fn is_said(text: &str) -> bool {
    text.lines().any(tells)
}

fn tells(line: &str) -> bool {
    let line = line.to_lowercase();
    // `Port 5173 is in use, trying another one`.
    SAID.iter().any(|said| line.contains(said)) || (line.contains("port ") && line.contains(" is in use"))
}

/// Numbers that stand alone: not a part of a word, a version or a larger number.
fn numbers(line: &str) -> Vec<u16> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let words = line.split(|c: char| !word(c)).map(|word| word.trim_end_matches('.'));
    words.filter_map(|word| word.parse().ok()).filter(|port| *port > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_port_is_read_off_what_programs_say() {
        for (text, found) in [
            ("Error: listen EADDRINUSE: address already in use :::3000\n    at Server.setupListenHandle", &[3000][..]),
            ("listen tcp 127.0.0.1:3000: bind: address already in use", &[3000]),
            ("error while attempting to bind on address ('127.0.0.1', 3000): address already in use", &[3000]),
            ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", &[80]),
            ("Port 3000 is in use, trying another one...", &[3000]),
            ("Address already in use\nPort 3000 is in use by another program.", &[3000]),
            ("$ python3 -m http.server 3000\nOSError: [Errno 98] Address already in use", &[3000]),
            ("Error: Address already in use (os error 98)", &[]),
            ("$ curl localhost:3000\nServing HTTP on 0.0.0.0 port 3000", &[]),
            ("address already in use: :13000 v3000 3000.1", &[]),
            ("", &[]),
        ] {
            let held = |port: u16| matches!(port, 80 | 3000);
            assert_eq!(refused(text, held).into_iter().collect::<Vec<_>>(), found, "{text:?}");
        }
    }
}
