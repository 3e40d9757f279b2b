//! What an exit code means, by the shell's rule: 126 and 127 are the shell's own, 128 + n is signal n.

/// Signals that end programs, by their Linux numbers: what runs in a container ends by these wherever podbay runs.
const SIGNALS: [(i64, &str, &str); 18] = [
    (1, "SIGHUP", "its terminal was taken away"),
    (2, "SIGINT", "it was interrupted"),
    (3, "SIGQUIT", "it was told to quit"),
    (4, "SIGILL", "it crashed on an instruction that this CPU does not have"),
    (5, "SIGTRAP", "it crashed on a trap"),
    (6, "SIGABRT", "it ended itself in alarm"),
    (7, "SIGBUS", "it crashed on memory that is not there"),
    (8, "SIGFPE", "it crashed on a calculation"),
    (9, "SIGKILL", "somebody killed it, or the kernel did for memory"),
    (10, "SIGUSR1", "a signal that it did not expect"),
    (11, "SIGSEGV", "it crashed on memory that is not its own"),
    (12, "SIGUSR2", "a signal that it did not expect"),
    (13, "SIGPIPE", "whoever read its output went away"),
    (14, "SIGALRM", "its own alarm went off"),
    (15, "SIGTERM", "it was asked to end"),
    (24, "SIGXCPU", "it used up its CPU time"),
    (25, "SIGXFSZ", "its file grew too large"),
    (31, "SIGSYS", "it made a system call that is forbidden here"),
];

/// The signal's name behind a code above 128.
#[must_use]
pub fn signal(code: i64) -> Option<&'static str> {
    SIGNALS.iter().find(|(number, ..)| *number == code - 128).map(|(_, name, _)| *name)
}

/// The word that stands behind a code, where there is one: `SIGKILL`, `the command was not found`.
#[must_use]
pub fn word(code: i64) -> Option<&'static str> {
    match code {
        0 => Some("done"),
        126 => Some("the command can't be executed"),
        127 => Some("the command was not found"),
        code => signal(code),
    }
}

/// A whole sentence: `exited with code 137 (SIGKILL): somebody killed it, or the kernel did for memory`.
#[must_use]
pub fn sentence(code: i64, out_of_memory: bool) -> String {
    if out_of_memory {
        return "out of memory: the kernel killed it (SIGKILL)".to_owned();
    }
    let word = word(code).map(|word| format!(" ({word})")).unwrap_or_default();
    let meaning = match code {
        126 => ": it is no program, or not for this user or machine",
        127 => ": there is no such program in the image, or not in its PATH",
        code => SIGNALS.iter().find(|(number, ..)| *number == code - 128).map_or("", |(_, _, meaning)| *meaning),
    };
    let colon = if meaning.is_empty() || meaning.starts_with(':') { "" } else { ": " };
    format!("exited with code {code}{word}{colon}{meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_said_in_words() {
        for (code, oom, said) in [
            (0, false, "exited with code 0 (done)"),
            (1, false, "exited with code 1"),
            (
                127,
                false,
                "exited with code 127 (the command was not found): there is no such program in the image, or not in its \
                 PATH",
            ),
            (137, false, "exited with code 137 (SIGKILL): somebody killed it, or the kernel did for memory"),
            (137, true, "out of memory: the kernel killed it (SIGKILL)"),
            (139, false, "exited with code 139 (SIGSEGV): it crashed on memory that is not its own"),
            (200, false, "exited with code 200"),
            (-1, false, "exited with code -1"),
        ] {
            assert_eq!(sentence(code, oom), said);
        }
        assert!((1..=31).filter(|number| signal(128 + number).is_some()).count() == SIGNALS.len());
    }
}
