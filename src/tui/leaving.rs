//! Whether the key that leaves a terminal arrives here at all: zellij and tmux take some keys for themselves.

use std::time::Duration;

use super::action::{Action, Context};
use super::keymap::Keymap;
use crate::config::env::Env;

/// tmux answers at once, or is not asked.
const PATIENCE: Duration = Duration::from_millis(500);
/// What zellij takes in its normal mode, as its defaults have it.
const ZELLIJ: &[&str] = &["ctrl-g", "ctrl-p", "ctrl-t", "ctrl-n", "ctrl-h", "ctrl-s", "ctrl-o", "ctrl-q", "ctrl-b"];

/// A warning, where the key would be taken.
pub async fn warning(keymap: &Keymap, env: &Env) -> Option<String> {
    let keys = keymap.keys_of(Action::Leave, Context::Focused);
    if env.get("ZELLIJ").is_some() {
        return of_zellij(&keys);
    }
    env.get("TMUX")?;
    let ask = tokio::process::Command::new("tmux")
        .args(["show-options", "-gv", "prefix", ";", "show-options", "-gv", "prefix2", ";", "list-keys", "-T", "root"])
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null())
        .output();
    let answer = tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()?;
    of_tmux(&keys, &String::from_utf8_lossy(&answer.stdout))
}

fn of_zellij(keys: &[String]) -> Option<String> {
    let taken = keys.iter().find(|key| ZELLIJ.contains(&key.as_str()))?;
    let what = if taken == "ctrl-q" { " and quits" } else { "" };
    Some(told(taken, &format!("zellij takes {taken}{what}, if its keys are the usual ones"), "ctrl-g locks zellij"))
}

/// `said`: tmux's prefixes, a line each, and its bindings without a prefix.
fn of_tmux(keys: &[String], said: &str) -> Option<String> {
    let mut lines = said.lines();
    let prefixes: Vec<&str> = lines.by_ref().take(2).map(str::trim).collect();
    let bound: Vec<&str> = lines.filter_map(bound_key).collect();
    let taken = keys.iter().find(|key| {
        let written = tmux_key(key);
        prefixes.contains(&written.as_str()) || bound.contains(&written.as_str())
    })?;
    let prefix = prefixes.contains(&tmux_key(taken).as_str());
    let instead = if prefix { "pressed twice it may come through" } else { "or unbind it there" };
    Some(told(taken, &format!("tmux takes {taken} for itself"), instead))
}

fn told(key: &str, what: &str, instead: &str) -> String {
    format!(
        "{what}: a terminal could not be left by it. Bind another: [ui.keys.focused] \"ctrl-]\" = \"leave\", {key:?} = false; {instead}"
    )
}

/// The key of `bind-key -r -T root KEY command ...`.
fn bound_key(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" root ")?;
    rest.split_whitespace().next().map(|key| key.trim_matches('"'))
}

/// `ctrl-q` as tmux writes it.
fn tmux_key(key: &str) -> String {
    key.replace("ctrl-", "C-").replace("alt-", "M-").replace("shift-", "S-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn a_key_that_another_program_takes_is_named() {
        let said = |keys: &[&str], tmux: &str| of_tmux(&self::keys(keys), tmux);
        let root = "C-b\nNone\nbind-key -T root MouseDown1Pane select-pane -t =\nbind-key -r -T root C-q kill-pane\n";
        assert!(said(&["ctrl-q"], root).unwrap().starts_with("tmux takes ctrl-q"));
        assert!(said(&["ctrl-b"], root).unwrap().contains("pressed twice"));
        assert_eq!(said(&["ctrl-]"], root), None);
        assert_eq!(said(&["ctrl-q"], ""), None);
        assert!(of_zellij(&keys(&["ctrl-q"])).unwrap().contains("quits"));
        assert_eq!(of_zellij(&keys(&["ctrl-]"])), None);
    }

    #[tokio::test]
    async fn the_environment_tells_of_zellij_and_of_nobody() {
        let keymap = Keymap::new(&super::super::keymap::UserKeys::new()).unwrap();
        let zellij = Env { vars: [("ZELLIJ".to_owned(), "0".to_owned())].into(), ..Env::default() };
        assert!(warning(&keymap, &zellij).await.unwrap().starts_with("zellij takes ctrl-q"));
        assert_eq!(warning(&keymap, &Env::default()).await, None);
    }
}
