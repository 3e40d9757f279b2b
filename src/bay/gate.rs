//! The gate: what the main process of a warm worker does until it is claimed, and what it becomes then.
//!
//! A shell script that needs nothing of an image but a POSIX `sh`: it reads lines from its tty and, once a claim file
//! stands in the worker's private home, takes that: the file holds the claim's environment and command as shell words,
//! and ends with an `exec`. So nothing of a claim passes the tty (no echo, no line limit, no log), an argv or the
//! engine's inspect, and whether it was taken can be seen from outside: the gate empties the file first.
//!
//! The line that wakes the gate must never be the command's, though nobody who comes after a killed supervisor can tell
//! whether one is on its way. So each wake of a run has a turn of its own, and a claim is for one turn: the gate takes it
//! only at that turn's line, and only by making a file that nobody else has made. Who wants to wake it once more makes
//! that file first, which ends the turn for ever, and gives the claim to the next one: lines of turns that ended are read
//! by the gate and lead nowhere.

use std::collections::BTreeMap;

use super::template::Template;

/// The gate's first line: seen on the attach stream, the worker is warm.
pub const READY: &str = "podbay: waiting in the pool for a claim";
/// The gate's last bytes: what follows is the command's. It clears the screen.
pub const OPENED: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";
/// What the gate prints in place of that when the command is not there; the program's name follows.
pub const MISSING: &str = "podbay: there is no program ";
/// The claim file, in the worker's home.
pub const CLAIM: &str = ".podbay-claim";
/// Reads lines until a claim is for the turn of one of them. A tty that is gone must not make it spin. Its own variables
/// have names that nobody exports: the command would find them changed.
const SCRIPT: &str = r#"trap 'exit 129' HUP
trap 'exit 143' TERM
trap 'exit 130' INT
[ -x "${1%/*}" ] || { echo 'podbay: the gate may not look into its own home'; exit 1; }
echo 'READY'
__podbay_failed=
while :; do
  if read -r __podbay_line; then
    __podbay_failed=
    [ -s "$1" ] && . "$1"
  else
    __podbay_failed=.$__podbay_failed
    [ ${#__podbay_failed} -lt 20 ] || exit 1
  fi
done
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

/// What wakes the gate at this turn: the first one opens at any line, whatever was typed before it.
#[must_use]
pub fn wake(turn: u32) -> Vec<u8> {
    if turn == 0 { b"\n".to_vec() } else { format!("{}\n", word(turn)).into_bytes() }
}

/// What stands at the end of the line of a later turn.
fn word(turn: u32) -> String {
    format!("podbay-wake-{turn}")
}

/// Beside the claim file: whoever makes this file has the turn.
#[must_use]
pub fn turn_file(run: &str, turn: u32) -> String {
    let run: String = run.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{CLAIM}-{run}-{turn}")
}

/// What the gate does with a claim that it takes. `argv` is not empty.
#[must_use]
pub fn claim(env: &BTreeMap<String, String>, argv: &[String]) -> String {
    let mut text = String::from("trap - HUP TERM INT\n: > \"$1\"\n");
    for (key, value) in env {
        text.extend(["export ", key, "=", &quoted(value), "\n"]);
    }
    // A word like an option's would mean something else to `command`; a shell's own words are found here and fail below.
    if let Some(program) = argv.first().filter(|program| !program.starts_with('-')) {
        let program = quoted(program);
        text.extend(["command -v ", &program, " >/dev/null 2>&1 || { printf '\\n%s%s\\n' '", MISSING, "' ", &program]);
        text.push_str("; exit 127; }\n");
    }
    // The newline completes a line of the engine's log; the screen is cleared after it.
    text.extend(["printf '\\n%s' '", OPENED, "'\n"]);
    text.push_str("exec");
    for word in argv {
        text.push(' ');
        text.push_str(&quoted(word));
    }
    text.push('\n');
    text
}

/// What a claim file holds: a claim for this turn of this run.
///
/// One group, so that a shell has read it to its end before it runs the first word of it, which empties the file.
#[must_use]
pub fn claim_file(run: &str, turn: u32, claim: &str) -> String {
    let line = if turn == 0 { String::new() } else { quoted(&word(turn)) };
    let file = quoted(&turn_file(run, turn));
    // A redirection that fails must be no special builtin's: those end the shell.
    format!(
        "{{\ncase $__podbay_line in *{line})\nset -C\nif true 2>/dev/null >\"${{1%/*}}\"/{file}; then\nset +C\n{claim}fi\nset \
         +C\nesac\n}}\n"
    )
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

/// What is seen of a claim under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The private directories have the claimer's name.
    pub moved: bool,
    /// The claim file of this run.
    pub file: File,
}

/// The claim file of one run of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Not written for this run.
    None,
    /// Written for this turn, and not taken yet.
    Written(u32),
    /// The gate has taken it.
    Taken,
}

/// What comes next in a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give the private directories the claimer's name.
    Move,
    /// Fill the workspace, and only then write the claim file: from there on any line lets the command in.
    Write,
    /// Wake the gate; if that may have been done already, at a turn of its own. Where nothing is to be filled, the
    /// directories get their name after it.
    Wake,
}

/// The next act of a claim; `None`: it is done. Level-triggered: whoever was killed between two of them, the next one
/// goes on from what is seen, and a gate that has taken its claim is never woken again.
#[must_use]
pub const fn next(sight: Sight) -> Option<Act> {
    match sight {
        // Somebody waits for the command; nobody sees the directories until the claim is answered.
        Sight { file: File::Written(_), .. } => Some(Act::Wake),
        Sight { moved: false, .. } => Some(Act::Move),
        Sight { file: File::None, .. } => Some(Act::Write),
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
        let mut sight = Sight { moved: false, file: File::None };
        let mut acts = Vec::new();
        while let Some(act) = next(sight) {
            acts.push(act);
            match act {
                Act::Write => sight.file = File::Written(0),
                Act::Move => sight.moved = true,
                Act::Wake => sight.file = File::Taken,
            }
        }
        assert_eq!(acts, [Act::Move, Act::Write, Act::Wake]);
        let written = Sight { moved: false, file: File::Written(0) };
        assert_eq!(next(written), Some(Act::Wake));
        assert_eq!(next(Sight { file: File::Taken, ..written }), Some(Act::Move));
    }
}
