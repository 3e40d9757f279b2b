//! Makes the pictures: `cargo test -- --ignored picture`.

#[path = "../../bench/pty.rs"]
mod pty;

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
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

/// A dashboard that is photographed.
struct Studio {
    stage: Stage,
    pty: Pty,
}

impl Studio {
    /// Keys, then a picture as soon as all these texts are on the screen.
    fn take(&self, name: &str, title: &str, keys: &str, wanted: &[&str]) {
        self.press(keys);
        let drawn = RefCell::new(String::new());
        let done = self.pty.wait(PATIENCE, |screen| {
            *drawn.borrow_mut() = svg::draw(screen, &format!("podbay: {title}"));
            let text = screen.contents();
            wanted.iter().all(|wanted| text.contains(wanted))
        });
        assert!(done.is_ok(), "{name}: {wanted:?} never came:\n{}", done.unwrap_err());
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
        fs::create_dir_all(&dir).unwrap();
        let (vector, pixels) = (dir.join(format!("{name}.svg")), dir.join(format!("{name}.png")));
        fs::write(&vector, drawn.take()).unwrap();
        let converted = Command::new("rsvg-convert").arg("-o").arg(&pixels).arg(&vector).status();
        if !converted.is_ok_and(|status| status.success()) {
            let _ = writeln!(std::io::stderr(), "skipped: {}: rsvg-convert is needed", pixels.display());
        }
    }

    fn press(&self, keys: &str) {
        for key in keys.split_inclusive(|_| true) {
            self.pty.type_in(key).unwrap();
            // As fast as somebody types: an Escape and the key after it are no Alt.
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    fn wait_for(&self, text: &str) {
        self.pty.wait_for(text, PATIENCE).unwrap();
    }

    /// Leaves a terminal, and waits until the leaving key means nothing else.
    fn leave(&self) {
        self.press("\x11");
        std::thread::sleep(Duration::from_millis(1300));
    }

    fn send(&self, worker: &str, text: &str) {
        self.stage.podbay(&["send", worker, text]);
    }
}

#[test]
#[ignore = "writes screenshots/*.svg and *.png, of a real bay"]
fn picture() {
    let stage = Stage::new();
    let server = "python3 -m http.server 3000 --bind 127.0.0.1";
    stage.podbay(&["spawn", "web", "-d", "--", "sh", "-c", server]);
    stage.podbay(&["spawn", "fix-login", "-d"]);
    stage.podbay(&["spawn", "docs", "-d"]);
    let pty = Pty::start(&[env!("CARGO_BIN_EXE_podbay")], &stage.vars, 32, 120).unwrap();
    let studio = Studio { stage, pty };
    for name in ["web", "fix-login", "docs"] {
        studio.wait_for(name);
    }
    // To the second row, then into its terminal.
    studio.press("2gj\r");
    studio.send("fix-login", "curl -sI localhost:3000 | head -n 2");
    studio.wait_for("SimpleHTTP");
    studio.send("fix-login", "git init -q . && git status | head -n 3");
    studio.take("dashboard", "the dashboard of a bay with three workers", "", &["No commits yet", "TERMINAL"]);

    studio.leave();
    // All three in sight. What was drawn for a wider screen is cut, so all begin anew.
    studio.press("2g|j|j");
    std::thread::sleep(Duration::from_millis(500));
    let chapters =
        "clear; for c in 1 2 3 4 5 6; do echo; printf \"\\033[1;3${c}mchapter $c\\033[0m \"; seq -s ' ' $((c*2)); done";
    studio.send("docs", chapters);
    let ask =
        "clear; for at in 1 2 3 4 5 6; do curl -s -o /dev/null localhost:3000/page-$at; sleep 0.2; done; echo asked";
    studio.send("fix-login", ask);
    studio.wait_for("GET /page-6");
    studio.take(
        "terminals",
        "three terminals in sight, one has the keys",
        "2gj\r",
        &["TERMINAL", "chapter 6", "asked"],
    );

    studio.leave();
    studio.take("logs", "a log that is searched", "2Gl/page-[35]\r", &["page-3", "2 of 2"]);

    studio.press("\x1b\x1b");
    studio.send("docs", "sleep 1; printf '\\033]9;needs your permission to run make\\007'");
    studio.send("fix-login", "sleep 1; printf '\\033]777;notify;tests;finished\\007'");
    studio.take("inbox", "who needs somebody", "2g[", &["2 need you", "asks permission", "finished"]);

    studio.send("fix-login", "timeout 40 sh -c 'while :; do :; done'");
    studio.press("2gj%");
    std::thread::sleep(Duration::from_secs(24));
    studio.take("figures", "what it all uses", "", &["the machine", "of", "pids"]);
}
