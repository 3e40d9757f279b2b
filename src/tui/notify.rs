//! How a person is called through the terminal: the sequences, as text. `tty` writes them.

use crate::config::Notify;
use crate::config::env::Env;
use crate::terminal::safe::Safe;

/// Longest notice, in bytes.
const MAX_TEXT: usize = 256;

/// The way that this terminal takes notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// OSC 9: `iTerm2`, `WezTerm`, Ghostty, Windows Terminal.
    Osc9,
    /// OSC 777: rxvt, foot, Konsole.
    Osc777,
    /// OSC 99: kitty.
    Osc99,
    /// BEL.
    Bell,
    /// Not by the terminal.
    Silent,
}

impl Way {
    /// The one that the configuration asks for, or that the environment tells of. Inside tmux the outer terminal is not
    /// known for certain: what it does not know, it ignores.
    #[must_use]
    pub fn of(notify: Notify, env: &Env) -> Self {
        match notify {
            Notify::Osc9 => Self::Osc9,
            Notify::Osc777 => Self::Osc777,
            Notify::Bell => Self::Bell,
            Notify::Command | Notify::Off => Self::Silent,
            Notify::Auto => {
                let program = env.get("TERM_PROGRAM").unwrap_or_default().to_lowercase();
                let term = env.get("TERM").unwrap_or_default();
                if env.get("KITTY_WINDOW_ID").is_some() || term.contains("kitty") {
                    Self::Osc99
                } else if term.starts_with("foot") || term.starts_with("rxvt") || env.get("KONSOLE_VERSION").is_some() {
                    Self::Osc777
                } else if env.get("WT_SESSION").is_some()
                    || ["iterm.app", "wezterm", "ghostty"].contains(&program.as_str())
                {
                    Self::Osc9
                } else {
                    Self::Bell
                }
            }
        }
    }

    /// What is written for a notice.
    #[must_use]
    pub fn sequence(self, text: &str, tmux: bool) -> String {
        let text = Safe::new(text).cut(MAX_TEXT);
        let text = text.as_str().replace(';', ",");
        let sequence = match self {
            Self::Osc9 => format!("\u{1b}]9;{text}\u{7}"),
            Self::Osc777 => format!("\u{1b}]777;notify;podbay;{text}\u{7}"),
            Self::Osc99 => format!("\u{1b}]99;i=podbay:d=1;{text}\u{1b}\\"),
            Self::Bell => return "\u{7}".to_owned(),
            Self::Silent => return String::new(),
        };
        // tmux marks the window by the bell, and gives on what it is told to.
        if tmux { format!("{}\u{7}", passed_through(&sequence)) } else { sequence }
    }
}

/// A sequence that tmux gives on to the terminal around it.
#[must_use]
pub fn passed_through(sequence: &str) -> String {
    format!("\u{1b}Ptmux;{}\u{1b}\\", sequence.replace('\u{1b}', "\u{1b}\u{1b}"))
}

/// The window's title.
#[must_use]
pub fn title(text: &str) -> String {
    format!("\u{1b}]2;{}\u{7}", Safe::new(text).cut(MAX_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_terminal_is_told_in_its_way_and_nothing_is_forged() {
        let env = |key: &str, value: &str| Env { vars: [(key.to_owned(), value.to_owned())].into(), ..Env::default() };
        for (key, value, way) in [
            ("TERM_PROGRAM", "WezTerm", Way::Osc9),
            ("TERM", "xterm-kitty", Way::Osc99),
            ("TERM", "foot", Way::Osc777),
            ("TERM", "xterm-256color", Way::Bell),
        ] {
            assert_eq!(Way::of(Notify::Auto, &env(key, value)), way);
        }
        assert_eq!(Way::of(Notify::Off, &env("TERM", "foot")), Way::Silent);
        let hostile = "fox\u{7}\u{1b}]52;c;aGk=\u{7};x";
        assert_eq!(Way::Osc9.sequence(hostile, false).matches(['\u{1b}', '\u{7}']).count(), 2);
        assert!(Way::Osc777.sequence("a", true).starts_with("\u{1b}Ptmux;\u{1b}\u{1b}]777;notify;podbay;a"));
        assert!(Way::Osc9.sequence(&"x".repeat(9999), false).len() < 300);
        assert_eq!(title("(2) podbay"), "\u{1b}]2;(2) podbay\u{7}");
    }
}
