//! The agent's own hooks in the worker's copy of its settings: they tell the supervisor what the agent waits for.
//!
//! Each writes one control string to its terminal, where the supervisor's stream is open anyway: no file to be
//! watched, nothing to be mounted, the same with an engine on another machine. It never fails the agent.

use serde_json::{Map, Value, json};

/// The file that the agent reads its hooks from.
pub const FILE: &str = "settings.json";

/// What an agent's hook is called, and the shell's words for what it says. What kind a notification is stands in its text.
const HOOKS: &[(&str, &str)] = &[
    ("UserPromptSubmit", "working"),
    ("PostToolUse", "working"),
    (
        "Notification",
        "$(case \"$(cat)\" in *ermission*) echo permission;; *waiting*) echo idle;; *) echo question;; esac)",
    ),
    ("Stop", "finished"),
    ("SessionStart", "idle"),
];

/// The settings with podbay's hooks behind the user's own. What is no JSON object is left as it is.
#[must_use]
pub fn added(settings: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut settings = match settings {
        None => Map::new(),
        Some(bytes) => match serde_json::from_slice(bytes) {
            Ok(Value::Object(settings)) => settings,
            _ => return None,
        },
    };
    let hooks = settings.entry("hooks").or_insert_with(|| json!({})).as_object_mut()?;
    for (name, words) in HOOKS {
        let list = hooks.entry(*name).or_insert_with(|| json!([])).as_array_mut()?;
        list.push(json!({ "hooks": [{ "type": "command", "command": command(words) }] }));
    }
    serde_json::to_vec_pretty(&settings).ok()
}

/// By the agent's own terminal, so that an agent in another shell of the worker speaks for that shell; by the main one
/// where it has none, or where a program in between would keep the string for itself.
fn command(words: &str) -> String {
    format!(
        "w=\"{words}\"; t=/dev/tty; [ -z \"$TMUX$STY$ZELLIJ\" ] || t=/dev/console; \
         say() {{ printf '\\033]777;podbay;%s\\007' \"$w\" >\"$1\"; }}; \
         {{ say $t || say /dev/console; }} 2>/dev/null || true"
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn commands(settings: &[u8], hook: &str) -> Vec<String> {
        let settings: Value = serde_json::from_slice(settings).unwrap();
        let list = settings["hooks"][hook].as_array().unwrap().clone();
        list.iter().map(|one| one["hooks"][0]["command"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_users_own_hooks_stay_and_come_first() {
        let own = br#"{"model":"opus","hooks":{"Stop":[{"hooks":[{"type":"command","command":"true"}]}]}}"#;
        let settings = added(Some(own)).unwrap();
        let stop = commands(&settings, "Stop");
        assert_eq!((stop.len(), stop[0].as_str()), (2, "true"));
        assert!(String::from_utf8(settings).unwrap().contains("\"model\": \"opus\""));
        assert!(added(Some(b"s")).is_none() && added(Some(br#"{"hooks":[]}"#)).is_none());
    }

    /// What a shell makes of a hook, with the console and its own terminal in files: what is in each of them.
    fn told(hook: &str, input: &str, tty: bool, vars: &[(&str, &str)]) -> (String, String) {
        let directory = tempfile::tempdir().unwrap();
        let [console, own] = ["console", "tty"].map(|name| directory.path().join(name));
        let nowhere = directory.path().join("nowhere/tty");
        let command = commands(&added(None).unwrap(), hook).remove(0);
        let command = command.replace("/dev/console", console.to_str().unwrap());
        let command = command.replace("/dev/tty", if tty { &own } else { &nowhere }.to_str().unwrap());
        let mut shell = Command::new("sh");
        shell.env_remove("TMUX").env_remove("STY").env_remove("ZELLIJ").envs(vars.iter().copied());
        let mut shell = shell.args(["-c", &command]).stdin(Stdio::piped()).spawn().unwrap();
        // A hook that reads nothing may have ended by now.
        let _ = shell.stdin.take().unwrap().write_all(input.as_bytes());
        assert!(shell.wait().unwrap().success());
        let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
        (read(&console), read(&own))
    }

    fn said(hook: &str, input: &str) -> String {
        told(hook, input, false, &[]).0
    }

    #[test]
    fn a_hook_speaks_for_its_own_terminal_where_it_has_one() {
        let finished = "\u{1b}]777;podbay;finished\u{7}".to_owned();
        assert_eq!(told("Stop", "{}", true, &[]), (String::new(), finished.clone()));
        assert_eq!(told("Stop", "{}", false, &[]), (finished.clone(), String::new()));
        // tmux in the worker keeps the string for itself.
        assert_eq!(told("Stop", "{}", true, &[("TMUX", "/tmp/tmux-0/default,1,0")]), (finished, String::new()));
    }

    #[test]
    fn a_shell_says_what_is_meant_and_nothing_fails() {
        let text = |word: &str| format!("\u{1b}]777;podbay;{word}\u{7}");
        assert_eq!(said("Stop", "{}"), text("finished"));
        assert_eq!(
            said("Notification", r#"{"message":"Claude needs your permission to use Bash"}"#),
            text("permission")
        );
        assert_eq!(said("Notification", r#"{"message":"Claude is waiting for your input"}"#), text("idle"));
        assert_eq!(said("Notification", r#"{"message":"x"}"#), text("question"));
        let nowhere = command("idle").replace("/dev/console", "/nowhere/at/all").replace("/dev/tty", "/nowhere/tty");
        assert!(Command::new("sh").args(["-c", &nowhere]).status().unwrap().success());
    }
}
