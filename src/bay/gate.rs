//! The gate: what the main process of a warm worker does until it is claimed, and what it becomes then.
//!
//! A shell script that needs nothing of an image but a POSIX `sh`: it reads lines from its tty and, once a claim file
//! stands in the worker's private home, takes that: the file holds the claim's environment and command as shell words,
//! and ends with an `exec`. So nothing of a claim passes the tty (no echo, no line limit, no log), an argv or the
//! engine's inspect, and whether it was taken can be seen from outside: the gate empties the file first.

use std::collections::BTreeMap;

use super::template::Template;

/// The gate's first line: seen on the attach stream, the worker is warm.
pub const READY: &str = "podbay: waiting in the pool for a claim";
/// The gate's last bytes: what follows is the command's. It clears the screen.
pub const OPENED: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";
/// The claim file, in the worker's home.
pub const CLAIM: &str = ".podbay-claim";
/// What wakes the gate. Whatever was typed before it belongs to the same line.
pub const WAKE: &[u8] = b"\n";

/// Reads until there is a claim: a line at least, or the one that wakes it would be the command's. A tty that is gone
/// must not make it spin. Its own variables have names that nobody exports: the command would find them changed.
const SCRIPT: &str = r#"trap 'exit 129' HUP
trap 'exit 143' TERM
trap 'exit 130' INT
[ -x "${1%/*}" ] || { echo 'podbay: the gate may not look into its own home'; exit 1; }
echo 'READY'
__podbay_failed=
while :; do
  if read -r __podbay_line; then
    [ -s "$1" ] && break
    __podbay_failed=
  else
    __podbay_failed=.$__podbay_failed
    [ ${#__podbay_failed} -lt 20 ] || exit 1
  fi
done
trap - HUP TERM INT
. "$1"
"#;

/// Names that a shell keeps for itself: it would refuse them or change what they hold.
const SHELL_OWN: [&str; 19] = [
    "_",
    "BASHOPTS",
    "BASHPID",
    "BASH_ENV",
    "BASH_VERSINFO",
    "ENV",
    "EUID",
    "GROUPS",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OPTIND",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "UID",
];

/// The argv of a gate whose claim file stands at `claim` in the container.
#[must_use]
pub fn argv(claim: &str) -> Vec<String> {
    let script = SCRIPT.replace("READY", READY);
    ["sh", "-c", &script, "podbay-gate", claim].into_iter().map(str::to_owned).collect()
}

/// What a claim file holds. `argv` is not empty.
///
/// One group, so that a shell has read it to its end before it runs the first word of it, which empties the file.
#[must_use]
pub fn claim_file(env: &BTreeMap<String, String>, argv: &[String]) -> String {
    let mut text = String::from("{\n: > \"$1\"\n");
    for (key, value) in env {
        text.extend(["export ", key, "=", &quoted(value), "\n"]);
    }
    // The newline completes a line of the engine's log; the screen is cleared after it.
    text.extend(["printf '\\n%s' '", OPENED, "'\n"]);
    text.push_str("exec");
    for word in argv {
        text.push(' ');
        text.push_str(&quoted(word));
    }
    text.push_str("\n}\n");
    text
}

/// Why a shell can't hand on this variable; `None`: it can.
#[must_use]
pub fn refuses(key: &str, value: &str) -> Option<String> {
    let fits = |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    let named = !key.is_empty() && key.chars().enumerate().all(|(at, c)| fits(at, c));
    if !named || SHELL_OWN.contains(&key) {
        return Some(format!("a shell can't hand on the variable {key:?}"));
    }
    value.contains('\0').then(|| format!("the variable {key:?} has a NUL in it"))
}

/// What a warm worker of this template becomes: the image's entrypoint with the template's command, or the image's own.
#[must_use]
pub fn command(template: &Template, entrypoint: &[String], image_command: &[String]) -> Vec<String> {
    let command = if template.command.is_empty() { image_command } else { &template.command };
    [entrypoint, command].concat()
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What is seen of a claim under way: the engine's name, and the private directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The container has its claimer's name.
    pub named: bool,
    /// The private directories have it, too.
    pub moved: bool,
    /// The claim file of this run.
    pub file: File,
}

/// The claim file of one run of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Not written for this run.
    None,
    /// Written, and not taken yet.
    Written,
    /// The gate has taken it.
    Taken,
}

/// What comes next in a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give the container its claimer's name: the commit point.
    Rename,
    /// Give the private directories that name.
    Move,
    /// Fill the workspace, and only then write the claim file: from there on any line lets the command in.
    Write,
    /// Wake the gate.
    Wake,
}

/// The next act of a claim; `None`: it is done. Level-triggered: whoever was killed between two of them, the next one
/// goes on from what is seen, and a gate that has taken its claim is never woken again.
#[must_use]
pub const fn next(sight: Sight) -> Option<Act> {
    match sight {
        Sight { named: false, .. } => Some(Act::Rename),
        Sight { moved: false, .. } => Some(Act::Move),
        Sight { file: File::None, .. } => Some(Act::Write),
        Sight { file: File::Written, .. } => Some(Act::Wake),
        Sight { file: File::Taken, .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_keeps_for_itself_is_no_variable_of_a_claim() {
        for key in ["UID", "_", "IFS", "A-B", "1A", "", "a b", "é"] {
            assert!(refuses(key, "x").is_some(), "{key}");
        }
        assert!(refuses("A", "x\0y").is_some());
        assert_eq!(refuses("ANTHROPIC_API_KEY", "a\nb"), None);
    }

    #[test]
    fn a_claim_takes_its_acts_in_order_from_wherever_it_is() {
        let mut sight = Sight { named: false, moved: false, file: File::None };
        let mut acts = Vec::new();
        while let Some(act) = next(sight) {
            acts.push(act);
            match act {
                Act::Write => sight.file = File::Written,
                Act::Rename => sight.named = true,
                Act::Move => sight.moved = true,
                Act::Wake => sight.file = File::Taken,
            }
        }
        assert_eq!(acts, [Act::Rename, Act::Move, Act::Write, Act::Wake]);
    }
}
