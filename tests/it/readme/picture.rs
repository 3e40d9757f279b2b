//! Makes the README's picture: `cargo test -- --ignored picture`.

#[path = "../../bench/pty.rs"]
mod pty;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pty::Pty;

use super::svg;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A bay with a home of its own; it goes with all that it made.
struct Stage {
    vars: Vec<(String, String)>,
    _home: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |part: &str| home.path().join(part).to_str().unwrap().to_owned();
        let vars = [
            ("HOME", at("")),
            ("XDG_STATE_HOME", at("state")),
            ("XDG_CONFIG_HOME", at("config")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("PATH", std::env::var("PATH").unwrap()),
            ("TERM", "xterm-256color".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PODBAY_BAY", "demo".to_owned()),
        ];
        for part in ["state", "config/podbay", "run"] {
            fs::create_dir_all(home.path().join(part)).unwrap();
        }
        // Any port would do; those of the default may be in use on this machine.
        fs::write(home.path().join("config/podbay/config.toml"), "[parent]\nports = []\n").unwrap();
        let vars = vars.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Self { vars, _home: home }
    }

    fn podbay(&self, args: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podbay"));
        let output = command.args(args).env_clear().envs(self.vars.iter().cloned()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for args in [&["rm", "--all", "--force", "--yes"][..], &["down", "--yes"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_podbay"));
            let _ = command.args(args).env_clear().envs(self.vars.iter().cloned()).output();
        }
        // What is down is kept to be brought up again, and nobody will.
        let _ = Command::new("docker").args(["rm", "-f", "demo-parent"]).output();
    }
}

#[test]
#[ignore = "writes screenshots/dashboard.svg"]
fn picture() {
    let stage = Stage::new();
    let server = "python3 -m http.server 3000 --bind 127.0.0.1";
    stage.podbay(&["spawn", "web", "-d", "--", "sh", "-c", server]);
    stage.podbay(&["spawn", "fix-login", "-d"]);
    stage.podbay(&["spawn", "docs", "-d"]);
    let pty = Pty::start(&[env!("CARGO_BIN_EXE_podbay")], &stage.vars, 26, 104).unwrap();
    for name in ["web", "fix-login", "docs"] {
        pty.wait_for(name, PATIENCE).unwrap();
    }
    // To the second row, then into its terminal.
    pty.type_in("2gj\r").unwrap();
    stage.podbay(&["send", "fix-login", "curl -sI localhost:3000 | head -n 2"]);
    pty.wait_for("SimpleHTTP", PATIENCE).unwrap();
    stage.podbay(&["send", "fix-login", "git init -q . && git status | head -n 3"]);
    let drawn = RefCell::new(String::new());
    let done = pty.wait(PATIENCE, |screen| {
        *drawn.borrow_mut() = svg::draw(screen, "podbay: the dashboard of a bay with three workers");
        let text = screen.contents();
        text.contains("No commits yet") && text.contains("TERMINAL")
    });
    done.unwrap();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots/dashboard.svg");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, drawn.take()).unwrap();
}
