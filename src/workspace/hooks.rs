//! The agent's own hooks in the worker's copy of its settings: they tell the supervisor what the agent waits for.
//!
//! Each writes one control string to the worker's main tty, where the supervisor's stream is open anyway: no file to be
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

fn command(words: &str) -> String {
    format!("printf '\\033]777;podbay;%s\\007' \"{words}\" >/dev/console 2>/dev/null || true")
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

    /// What a shell makes of a hook, with the console in a file.
    fn said(hook: &str, input: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let console = directory.path().join("console");
        let command = commands(&added(None).unwrap(), hook).remove(0);
        let command = command.replace("/dev/console", console.to_str().unwrap());
        let mut shell = Command::new("sh").args(["-c", &command]).stdin(Stdio::piped()).spawn().unwrap();
        // A hook that reads nothing may have ended by now.
        let _ = shell.stdin.take().unwrap().write_all(input.as_bytes());
        assert!(shell.wait().unwrap().success());
        std::fs::read_to_string(console).unwrap()
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
        let nowhere = command("idle").replace("/dev/console", "/nowhere/at/all");
        assert!(Command::new("sh").args(["-c", &nowhere]).status().unwrap().success());
    }
}
