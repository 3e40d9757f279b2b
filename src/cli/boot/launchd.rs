//! The `LaunchAgent`. Pure: says what is written and run.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{MARK, Plan, Start};

/// What makes the supervisor start with the user's session.
pub(super) fn install(start: &Start) -> Plan {
    let path = path(start);
    let shown = path.to_string_lossy().into_owned();
    Plan {
        path,
        text: text(start),
        before: Vec::new(),
        // One that is loaded already keeps its old file until it is thrown out; `carry_out` lets that one fail.
        after: vec![
            launchctl(&["bootout", &format!("{}/{}", domain(start), label(start))]),
            launchctl(&["bootstrap", &domain(start), &shown]),
        ],
        notes: vec![
            format!("the supervisor of bay {} starts when you log in; `podbay boot remove` undoes it", start.bay),
            format!("`launchctl print {}/{}` shows it; what it says is in {}", domain(start), label(start), log(start)),
            "a Mac that nobody logs in to starts it only with automatic login".to_owned(),
        ],
    }
}

/// What undoes it.
pub(super) fn remove(start: &Start) -> Plan {
    Plan {
        path: path(start),
        text: String::new(),
        before: vec![launchctl(&["bootout", &format!("{}/{}", domain(start), label(start))])],
        after: Vec::new(),
        notes: vec![
            "its containers and native services go on; the next verb starts a supervisor for them in the background"
                .to_owned(),
        ],
    }
}

fn label(start: &Start) -> String {
    format!("podbay.{}", start.bay)
}

fn domain(start: &Start) -> String {
    format!("gui/{}", start.uid)
}

fn path(start: &Start) -> PathBuf {
    start.home.join("Library/LaunchAgents").join(format!("{}.plist", label(start)))
}

fn log(start: &Start) -> String {
    start.logs.join("boot.log").to_string_lossy().into_owned()
}

fn launchctl(words: &[&str]) -> Vec<String> {
    std::iter::once("launchctl").chain(words.iter().copied()).map(str::to_owned).collect()
}

fn text(start: &Start) -> String {
    let mut command = vec![start.program.to_string_lossy().into_owned(), "--bay".to_owned(), start.bay.to_string()];
    if let Some(config) = &start.config {
        command.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
    }
    command.push("serve".to_owned());
    let mut words = String::new();
    for word in &command {
        // Writing to a String can't fail.
        let _ = writeln!(words, "    <string>{}</string>", escaped(word));
    }
    let mut env = String::new();
    for (key, value) in &start.env {
        let _ = writeln!(env, "    <key>{}</key>\n    <string>{}</string>", escaped(key), escaped(value));
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- {MARK} -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{label}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>EnvironmentVariables</key>
  <dict>
{env}  </dict>
  <key>WorkingDirectory</key>
  <string>{home}</string>
  <key>RunAtLoad</key>
  <true/>
  <!-- `podbay down` ends well and stays down; a crash does not. -->
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <!-- Native services and their shims outlive the supervisor. -->
  <key>AbandonProcessGroup</key>
  <true/>
  <key>StandardOutPath</key>
  <string>{log}</string>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"#,
        label = escaped(&label(start)),
        home = escaped(&start.home.to_string_lossy()),
        log = escaped(&log(start)),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_agent_says_all_that_the_supervisor_needs() {
        insta::assert_snapshot!(install(&example()).text, @r##"
        <?xml version="1.0" encoding="UTF-8"?>
        <!-- Written by `podbay boot install`; `podbay boot remove` takes it away. -->
        <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
        <plist version="1.0">
        <dict>
          <key>Label</key>
          <string>podbay.lab</string>
          <key>ProgramArguments</key>
          <array>
            <string>/opt/pod bay/50%/podbay</string>
            <string>--bay</string>
            <string>lab</string>
            <string>--config</string>
            <string>/home/ann/a &quot;b&quot; $HOME &amp; &lt;c&gt;.toml</string>
            <string>serve</string>
          </array>
          <key>EnvironmentVariables</key>
          <dict>
            <key>PATH</key>
            <string>/usr/bin:/bin</string>
            <key>DOCKER_HOST</key>
            <string>unix:///x y%z</string>
          </dict>
          <key>WorkingDirectory</key>
          <string>/home/ann</string>
          <key>RunAtLoad</key>
          <true/>
          <!-- `podbay down` ends well and stays down; a crash does not. -->
          <key>KeepAlive</key>
          <dict>
            <key>SuccessfulExit</key>
            <false/>
          </dict>
          <!-- Native services and their shims outlive the supervisor. -->
          <key>AbandonProcessGroup</key>
          <true/>
          <key>StandardOutPath</key>
          <string>/home/ann/.local/state/podbay/lab/logs/boot.log</string>
          <key>StandardErrorPath</key>
          <string>/home/ann/.local/state/podbay/lab/logs/boot.log</string>
        </dict>
        </plist>
        "##);
    }

    #[test]
    fn what_is_run_and_said() {
        let plan = install(&example());
        assert_eq!(plan.path.to_str(), Some("/home/ann/Library/LaunchAgents/podbay.lab.plist"));
        let run: Vec<String> = plan.after.iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            run,
            [
                "launchctl bootout gui/501/podbay.lab",
                "launchctl bootstrap gui/501 /home/ann/Library/LaunchAgents/podbay.lab.plist"
            ]
        );
        assert!(plan.notes.iter().any(|note| note.contains("podbay boot remove")));
        assert_eq!(remove(&example()).text, "");
    }
}
