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
    /// The one that the configuration asks for, or that the environment tells of.
    #[must_use]
    pub fn of(notify: Notify, env: &Env) -> Self {
        match notify {
            Notify::Osc9 => Self::Osc9,
            Notify::Osc777 => Self::Osc777,
            Notify::Bell => Self::Bell,
            Notify::Command | Notify::Off => Self::Silent,
            Notify::Auto => Self::of_terminal(env),
        }
    }

    /// By what terminals say of themselves. Over SSH only TERM comes along, and what begins with `LC_`; inside tmux TERM
    /// and `TERM_PROGRAM` are tmux's, and the marks of the terminal that it was started in are all there is: the outer
    /// terminal is then not known for certain, and what it does not know, it ignores.
    fn of_terminal(env: &Env) -> Self {
        let word = |key: &str| env.get(key).unwrap_or_default().to_lowercase();
        let (term, program) = (word("TERM"), word("TERM_PROGRAM"));
        let by_term = [
            ("xterm-kitty", Self::Osc99),
            ("foot", Self::Osc777),
            ("rxvt", Self::Osc777),
            ("xterm-ghostty", Self::Osc9),
            ("ghostty", Self::Osc9),
            ("wezterm", Self::Osc9),
        ];
        let by_program =
            [("iterm.app", Self::Osc9), ("wezterm", Self::Osc9), ("ghostty", Self::Osc9), ("kitty", Self::Osc99)];
        // A terminal that was started from another one has the marks of both: these come last.
        let by_mark = [
            ("KITTY_WINDOW_ID", Self::Osc99),
            ("GHOSTTY_RESOURCES_DIR", Self::Osc9),
            ("WEZTERM_PANE", Self::Osc9),
            ("KONSOLE_VERSION", Self::Osc777),
            ("WT_SESSION", Self::Osc9),
        ];
        let term = by_term.into_iter().find(|(known, _)| term.starts_with(known));
        let program = by_program.into_iter().find(|(known, _)| program == *known);
        let far = (word("LC_TERMINAL") == "iterm2").then_some(("", Self::Osc9));
        let mark = by_mark.into_iter().find(|(key, _)| env.get(key).is_some());
        term.or(program).or(far).or(mark).map_or(Self::Bell, |(_, way)| way)
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
        let env = |vars: &[(&str, &str)]| Env {
            vars: vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Env::default()
        };
        let tmux = [("TERM", "tmux-256color"), ("TERM_PROGRAM", "tmux")];
        for (vars, way) in [
            // On the machine itself.
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")][..], Way::Osc9),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")], Way::Osc9),
            (&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "230400")], Way::Osc777),
            (&[("TERM", "xterm-256color"), ("WT_SESSION", "1")], Way::Osc9),
            (&[("TERM", "xterm-256color")], Way::Bell),
            (&[], Way::Bell),
            // Over SSH.
            (&[("TERM", "xterm-kitty")], Way::Osc99),
            (&[("TERM", "xterm-ghostty")], Way::Osc9),
            (&[("TERM", "wezterm")], Way::Osc9),
            (&[("TERM", "foot-extra")], Way::Osc777),
            (&[("TERM", "rxvt-unicode-256color")], Way::Osc777),
            (&[("TERM", "xterm-256color"), ("LC_TERMINAL", "iTerm2")], Way::Osc9),
            // Inside tmux.
            (&[tmux[0], tmux[1]], Way::Bell),
            (&[tmux[0], tmux[1], ("KITTY_WINDOW_ID", "3")], Way::Osc99),
            (&[tmux[0], tmux[1], ("WEZTERM_PANE", "0")], Way::Osc9),
            (&[tmux[0], tmux[1], ("GHOSTTY_RESOURCES_DIR", "/usr/share/ghostty")], Way::Osc9),
            (&[tmux[0], tmux[1], ("LC_TERMINAL", "iTerm2")], Way::Osc9),
            // Started from a shell in another terminal.
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm"), ("KITTY_WINDOW_ID", "3")], Way::Osc9),
        ] {
            assert_eq!(Way::of(Notify::Auto, &env(vars)), way, "{vars:?}");
        }
        assert_eq!(Way::of(Notify::Off, &env(&[("TERM", "foot")])), Way::Silent);
        let hostile = "fox\u{7}\u{1b}]52;c;aGk=\u{7};x";
        assert_eq!(Way::Osc9.sequence(hostile, false).matches(['\u{1b}', '\u{7}']).count(), 2);
        assert!(Way::Osc777.sequence("a", true).starts_with("\u{1b}Ptmux;\u{1b}\u{1b}]777;notify;podbay;a"));
        assert!(Way::Osc9.sequence(&"x".repeat(9999), false).len() < 300);
        assert_eq!(title("(2) podbay"), "\u{1b}]2;(2) podbay\u{7}");
    }
}
