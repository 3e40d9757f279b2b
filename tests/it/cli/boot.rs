//! `boot`, against a systemctl that writes down what it is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::fake::{House, Ran};

/// A house with a systemctl of its own, first in the path.
struct Booted {
    house: House,
    path: String,
}

impl Booted {
    /// The script's last word decides: what it prints, and how it ends.
    fn new(house: House, end: &str) -> Self {
        let bin = house.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let asked = house.dir.path().join("asked");
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n{end}\n", asked.display());
        fs::write(bin.join("systemctl"), script).unwrap();
        fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        Self { house, path }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        self.house.run_with(args, &[("PATH", &self.path)], "").await
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.house.dir.path().join("asked")).unwrap_or_default()
    }

    fn unit(&self) -> PathBuf {
        self.house.dir.path().join("config/systemd/user/podbay-podbay.service")
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn boot_installs_once_and_removes_what_it_installed() {
    let booted = Booted::new(House::empty(), "exit 0");
    let dry = booted.run(&["boot", "install", "--dry-run"]).await;
    assert!(
        dry.code == 0 && dry.out.contains("KillMode=process") && dry.out.contains("would run: systemctl"),
        "{dry:?}"
    );
    assert!(!booted.unit().exists() && booted.asked().is_empty(), "a dry run does nothing: {dry:?}");

    fs::write(booted.house.dir.path().join("podbay.toml"), "").unwrap();
    let ran = booted.run(&["boot", "install"]).await;
    assert!(ran.code == 0 && ran.out.contains("installed") && ran.err.contains("podbay boot remove"), "{ran:?}");
    assert!(ran.err.contains("loginctl enable-linger"), "{ran:?}");
    let text = fs::read_to_string(booted.unit()).unwrap();
    let config = booted.house.dir.path().join("podbay.toml");
    let program = env!("CARGO_BIN_EXE_podbay");
    let line = format!("ExecStart=\"{program}\" \"--bay\" \"podbay\" \"--config\" \"{}\" \"serve\"", config.display());
    assert!(text.contains(&line), "{text}");
    assert!(text.contains(&format!("XDG_STATE_HOME={}", booted.house.dir.path().join("state").display())), "{text}");
    let asked = "--user show-environment\n--user daemon-reload\n--user enable podbay-podbay.service\n\
                 --user restart podbay-podbay.service\n";
    assert_eq!(booted.asked(), asked);
    assert_eq!(booted.run(&["boot", "install"]).await.code, 0);

    let gone = booted.run(&["boot", "remove"]).await;
    assert!(gone.code == 0 && !booted.unit().exists() && gone.out.contains("removed"), "{gone:?}");
    assert!(booted.asked().ends_with("--user disable --now podbay-podbay.service\n--user daemon-reload\n"));
    let again = booted.run(&["boot", "remove"]).await;
    assert!(again.code == 0 && again.out.contains("nothing to remove"), "{again:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn boot_says_what_is_missing_and_changes_nothing() {
    let house = House::empty();
    let nothing = house.dir.path().join("nothing").display().to_string();
    let ran = house.run_with(&["boot", "install"], &[("PATH", &nothing)], "").await;
    assert!(ran.code == 1 && ran.err.contains("there is no systemctl") && ran.err.contains("podbay serve"), "{ran:?}");
    assert!(!house.dir.path().join("config/systemd").exists());

    let booted = Booted::new(house, "echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let ran = booted.run(&["boot", "install"]).await;
    assert!(ran.code == 1 && ran.err.contains("connect to bus") && ran.err.contains("enable-linger"), "{ran:?}");
    assert!(!booted.unit().exists());

    fs::create_dir_all(booted.unit().parent().unwrap()).unwrap();
    fs::write(booted.unit(), "[Service]\nExecStart=/somebody/elses\n").unwrap();
    for verb in ["install", "remove"] {
        let ran = booted.run(&["boot", verb]).await;
        assert!(ran.code == 1 && ran.err.contains("podbay did not write it"), "{ran:?}");
    }
    assert!(fs::read_to_string(booted.unit()).unwrap().contains("elses"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_that_runs_hands_over_to_the_one_of_the_boot() {
    let booted = Booted::new(House::open(), "exit 0");
    let ran = booted.run(&["boot", "install", "--json"]).await;
    assert_eq!(ran.json()["after"][2][2], "restart");
    let asked = booted.house.seen.all();
    let down: Vec<&String> = asked.iter().filter(|request| request.starts_with("POST /api/down")).collect();
    assert!(matches!(down.as_slice(), [one] if one.contains("\"supervisor_only\":true")), "{asked:?}");
}
