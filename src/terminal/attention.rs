//! Signs that a program waits for somebody, in what it writes: notices, titles, and what its screen looks like.

use crate::bay::attention::{Need, Sign, Source};

/// Lines at the end of the screen that are looked at.
const LAST_LINES: usize = 24;
/// Bytes of a notice that are read.
const MAX_NOTICE: usize = 1024;

/// Words of agents' questions for leave.
const PERMISSION: &[&str] = &[
    "do you want to proceed",
    "do you want to make this edit",
    "do you want to create",
    "do you want to run",
    "do you want to allow",
    "allow this command",
    "allow command",
    "allow execution",
    "approve this",
    "needs your permission",
    "needs your approval",
    "requires approval",
    "do you trust the files",
    "do you trust the contents",
    "grant access",
];
/// Words of other questions, and of what stops an agent before its work: logins, first choices.
const QUESTION: &[&str] = &[
    "(y/n)",
    "[y/n]",
    "(yes/no)",
    "(yes/no/[fingerprint])",
    "press enter to continue",
    "select login method",
    "paste code here",
    "choose the text style",
    "enter to confirm",
    "enter to select",
    "overwrite?",
];
/// What an agent shows while it works.
const WORKING: &[&str] = &["esc to interrupt", "esc to cancel", "ctrl+c to interrupt", "ctrl-c to interrupt"];
/// What an agent shows while it waits to be told something.
const IDLE: &[&str] = &["? for shortcuts", "/help for help", "ctrl+j newline", "send a message"];

/// Whether a piece of output may make a screen that is worth a look. Cheap: most output is none.
#[must_use]
pub fn may_tell(bytes: &[u8]) -> bool {
    // Each of the phrases has one of these words.
    const WORDS: [&[u8]; 13] = [
        b"o you",
        b"llow",
        b"pprov",
        b"permission",
        b"rust",
        b"/n",
        b"/N",
        b"nter to",
        b"ogin",
        b"interrupt",
        b"cancel",
        b"shortcuts",
        b"verwrite",
    ];
    WORDS.iter().any(|word| memchr::memmem::find(bytes, word).is_some())
}

/// What a screen looks like, given as text.
#[must_use]
pub fn looks(screen: &str) -> Option<Need> {
    let lines: Vec<&str> = screen.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    let text = last.join("\n").to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let chooses = text.contains("❯ 1.") || text.contains("› 1.") || text.contains("> 1.") || text.contains("1. yes");
    let end = last.last().map(|line| line.to_lowercase()).unwrap_or_default();
    let asked_last = QUESTION.iter().any(|phrase| end.contains(phrase));
    if has(PERMISSION) && (chooses || asked_last || text.contains("(y)") || text.contains("yes")) {
        Some(Need::Permission)
    } else if asked_last || (chooses && has(QUESTION)) {
        Some(Need::Question)
    } else if has(WORKING) {
        Some(Need::Working)
    } else if has(IDLE) {
        Some(Need::Idle)
    } else {
        None
    }
}

/// What a notice says (the payload of OSC 9, 777 or 99, or of podbay's own hook). `None`: it is none, or only a
/// progress bar.
#[must_use]
pub fn notice(payload: &[u8]) -> Option<Sign> {
    let payload = payload.get(..MAX_NOTICE).unwrap_or(payload);
    let text = String::from_utf8_lossy(payload);
    let (kind, rest) = text.split_once(';')?;
    match kind {
        "777" if rest.starts_with("podbay;") => hook(rest.trim_start_matches("podbay;")),
        "777" => rest.strip_prefix("notify;").map(|text| Sign::Said(Source::Notice, said(text))),
        // 9;4 is a progress bar; 9 and other numbers are settings of one terminal.
        "9" if rest.split(';').next().is_some_and(|first| first.len() <= 2 && first.parse::<u8>().is_ok()) => None,
        "9" => Some(Sign::Said(Source::Notice, said(rest))),
        "99" => rest.split_once(';').map(|(_, text)| Sign::Said(Source::Notice, said(text))),
        _ => None,
    }
}

/// What podbay's hook in an agent's settings says.
fn hook(word: &str) -> Option<Sign> {
    let need = match word.trim() {
        "permission" => Need::Permission,
        "question" => Need::Question,
        "failed" => Need::Failed,
        "finished" => Need::Finished,
        "idle" => Need::Idle,
        "working" => Need::Working,
        _ => return None,
    };
    Some(Sign::Said(Source::Hook, need))
}

/// What the words of a notice mean.
fn said(text: &str) -> Need {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["permission", "approv", "allow", "confirm"]) {
        Need::Permission
    } else if has(&["fail", "error"]) {
        Need::Failed
    } else if has(&["waiting for your input", "waiting for input", "idle"]) {
        Need::Idle
    } else if has(&["finish", "complete", "done", "turn ended", "ready"]) {
        Need::Finished
    } else {
        Need::Question
    }
}

/// What a title says: a spinner works, the star of an agent at rest waits.
#[must_use]
pub fn title(title: &str) -> Option<Sign> {
    let first = title.chars().next()?;
    let need = match first {
        '\u{2801}'..='\u{28ff}' => Need::Working,
        '✳' => Need::Idle,
        _ => return None,
    };
    Some(Sign::Said(Source::Title, need))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_of_agents_are_told_apart() {
        for (screen, need) in [
            ("$ ls\nsrc\n$", None),
            (
                "Bash command\n\n  rm -rf build\n\nDo you want to proceed?\n❯ 1. Yes\n  2. No, and tell it why",
                Some(Need::Permission),
            ),
            ("Do you trust the files in this folder?\n\n❯ 1. Yes, proceed\n  2. No, exit", Some(Need::Permission)),
            ("Select login method:\n ❯ 1. Account\n   2. Console", Some(Need::Question)),
            ("After this operation, 12 MB will be used.\nDo you want to continue? [Y/n]", Some(Need::Question)),
            ("fatal: x\nAre you sure (yes/no/[fingerprint])?", Some(Need::Question)),
            ("✻ Cooking… (12s · esc to interrupt)\n\n> ", Some(Need::Working)),
            ("╭──╮\n│ > │\n╰──╯\n  ? for shortcuts", Some(Need::Idle)),
            ("grep: (y/n) is asked here\nand more text\n$ ", None),
        ] {
            assert_eq!(looks(screen), need, "{screen}");
            assert!(need.is_none() || may_tell(screen.as_bytes()), "{screen}");
        }
    }

    #[test]
    fn notices_of_three_terminals_and_of_our_hook_are_read() {
        let said = |source, need| Some(Sign::Said(source, need));
        for (payload, sign) in [
            ("9;Claude needs your permission to use Bash", said(Source::Notice, Need::Permission)),
            ("9;4;1;50", None),
            ("777;notify;Claude Code;Claude is waiting for your input", said(Source::Notice, Need::Idle)),
            ("777;precmd", None),
            ("99;i=1:d=0;Build failed", said(Source::Notice, Need::Failed)),
            ("777;podbay;finished", said(Source::Hook, Need::Finished)),
            ("777;podbay;rm -rf", None),
            ("8;;http://x", None),
            ("9", None),
        ] {
            assert_eq!(notice(payload.as_bytes()), sign, "{payload}");
        }
        assert_eq!(title("⠂ fixing tests"), said(Source::Title, Need::Working));
        assert_eq!((title("✳ done"), title("bash")), (said(Source::Title, Need::Idle), None));
    }
}
