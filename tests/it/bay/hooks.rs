//! An agent's hooks, as podbay writes them into its settings, from inside of a worker to the row that everybody sees.

use std::path::Path;

use serde_json::Value;

use super::den::{Conf, Den};
use super::until;

/// The command of a hook in a worker's settings.
fn hook(home: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(home.join(".claude/settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&text).unwrap();
    settings["hooks"][name][0]["hooks"][0]["command"].as_str().unwrap().to_owned()
}

/// Runs hooks in a worker as its agent would, and reads of each what `ls --json` says.
pub fn are_seen(home: &Path, exec: impl Fn(&[&str]), attention: impl Fn() -> Value) {
    for (name, input, said) in [
        ("SessionStart", "{}", "idle (hook)"),
        ("Notification", r#"{"message":"Claude needs your permission to use Bash"}"#, "asks permission (hook)"),
        ("UserPromptSubmit", "{}", ""),
        ("Stop", "{}", "finished (hook)"),
        ("Notification", r#"{"message":"Claude is waiting for your input"}"#, "idle (hook)"),
    ] {
        exec(&["sh", "-c", "printf %s \"$1\" | sh -c \"$2\"", "hook", input, &hook(home, name)]);
        until(&format!("{name} with {input} is seen"), || {
            let told = attention();
            if told.as_str().unwrap_or_default() == said { Ok(()) } else { Err(told.to_string()) }
        });
    }
}

/// Also without an agent's settings on this machine, as whoever the worker runs as.
#[test]
fn x09_a_hook_in_a_container_reaches_the_row() {
    let other = "[[template]]\nname = \"other\"\nuser = \"4321:4321\"\n";
    let conf = Conf { rest: other, ..Conf::default() };
    let Some(den) = Den::docker_with("x09_a_hook_in_a_container_reaches_the_row", conf) else { return };
    den.spawn("fox");
    den.ok(&["spawn", "owl", "-d", "-t", "other"]);
    let home = den.state().join("workers/fox/home");
    for name in ["fox", "owl"] {
        let exec = |command: &[&str]| drop(den.ok(&[&["exec", name, "--"], command].concat()));
        let attention = || {
            let rows = den.json(&["ls"]);
            let rows = rows.as_array().unwrap();
            rows.iter().find(|row| row["name"] == name).map(|row| row["attention"].clone()).unwrap()
        };
        are_seen(&home, exec, attention);
    }
}
