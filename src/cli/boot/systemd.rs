//! The systemd user unit. Pure: says what is written and run.

use std::fmt::Write as _;
use std::path::Path;

use super::{MARK, Plan, Start};

/// What takes the supervisor to its place in the boot.
pub(super) fn install(start: &Start, lingers: bool) -> Plan {
    let unit = unit(start);
    let mut notes = vec![
        format!("the supervisor of bay {} starts with your systemd session; `podbay boot remove` undoes it", start.bay),
        format!("`systemctl --user status {unit}` shows it, `journalctl --user -u {unit}` what it says"),
    ];
    if !lingers {
        notes.push(
            "without a login it does not start yet: `loginctl enable-linger` lets your units run from boot on"
                .to_owned(),
        );
    }
    Plan {
        path: path(start),
        text: text(start),
        before: vec![systemctl(&["show-environment"])],
        after: vec![systemctl(&["daemon-reload"]), systemctl(&["enable", &unit]), systemctl(&["restart", &unit])],
        notes,
    }
}

/// What takes it back.
pub(super) fn remove(start: &Start) -> Plan {
    let unit = unit(start);
    Plan {
        path: path(start),
        text: String::new(),
        before: vec![systemctl(&["disable", "--now", &unit])],
        after: vec![systemctl(&["daemon-reload"])],
        notes: vec![
            "its containers and native services go on; the next verb starts a supervisor for them in the background"
                .to_owned(),
            "if nothing else of yours needs it: `loginctl disable-linger`".to_owned(),
        ],
    }
}

fn unit(start: &Start) -> String {
    format!("podbay-{}.service", start.bay)
}

fn path(start: &Start) -> std::path::PathBuf {
    let own = start.env.iter().find(|(key, _)| key == "XDG_CONFIG_HOME").map(|(_, value)| Path::new(value));
    let config = own.filter(|path| path.is_absolute()).map_or_else(|| start.home.join(".config"), Path::to_owned);
    config.join("systemd/user").join(unit(start))
}

fn systemctl(words: &[&str]) -> Vec<String> {
    ["systemctl", "--user"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn text(start: &Start) -> String {
    let mut command = vec![start.program.to_string_lossy().into_owned(), "--bay".to_owned(), start.bay.to_string()];
    if let Some(config) = &start.config {
        command.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
    }
    command.push("serve".to_owned());
    let command: Vec<String> = command.iter().map(|word| argument(word)).collect();
    let mut env = String::new();
    for (key, value) in &start.env {
        // Writing to a String can't fail.
        let _ = writeln!(env, "Environment={}", quoted(&format!("{key}={value}")));
    }
    format!(
        "# {MARK}
[Unit]
Description=podbay, the supervisor of bay {bay}
# A crash is answered every time, however often.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory=-{home}
{env}# Native services and their shims outlive the supervisor: only its own process is ended with the unit.
KillMode=process
# `podbay down` ends well and stays down; a crash does not.
Restart=on-failure
RestartSec=1
# 2: the configuration can't be used. 3: another supervisor has the bay. Trying again changes neither.
RestartPreventExitStatus=2 3
TimeoutStopSec=30

[Install]
WantedBy=default.target
",
        bay = start.bay,
        command = command.join(" "),
        home = start.home.to_string_lossy().replace('%', "%%"),
    )
}

/// In double quotes, with C escapes; `%` begins a specifier of systemd's.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%"))
}

/// In a command line `$` begins a variable, too.
fn argument(text: &str) -> String {
    quoted(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_unit_says_all_that_the_supervisor_needs() {
        insta::assert_snapshot!(install(&example(), true).text, @r##"
        # Written by `podbay boot install`; `podbay boot remove` takes it away.
        [Unit]
        Description=podbay, the supervisor of bay lab
        # A crash is answered every time, however often.
        StartLimitIntervalSec=0

        [Service]
        Type=exec
        ExecStart="/opt/pod bay/50%%/podbay" "--bay" "lab" "--config" "/home/ann/a \"b\" $$HOME & <c>.toml" "serve"
        ExecReload=/bin/kill -HUP $MAINPID
        WorkingDirectory=-/home/ann
        Environment="PATH=/usr/bin:/bin"
        Environment="DOCKER_HOST=unix:///x y%%z"
        # Native services and their shims outlive the supervisor: only its own process is ended with the unit.
        KillMode=process
        # `podbay down` ends well and stays down; a crash does not.
        Restart=on-failure
        RestartSec=1
        # 2: the configuration can't be used. 3: another supervisor has the bay. Trying again changes neither.
        RestartPreventExitStatus=2 3
        TimeoutStopSec=30

        [Install]
        WantedBy=default.target
        "##);
    }

    #[test]
    fn what_is_run_and_said() {
        let plan = install(&example(), false);
        assert_eq!(plan.path.to_str(), Some("/home/ann/.config/systemd/user/podbay-lab.service"));
        let run = |commands: &[Vec<String>]| commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(run(&plan.before), ["systemctl --user show-environment"]);
        assert_eq!(
            run(&plan.after),
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable podbay-lab.service",
                "systemctl --user restart podbay-lab.service"
            ]
        );
        assert!(plan.notes.iter().any(|note| note.contains("loginctl enable-linger")), "{:?}", plan.notes);
        assert!(!install(&example(), true).notes.iter().any(|note| note.contains("linger")));
        let gone = remove(&example());
        assert_eq!((gone.path, gone.text), (plan.path, String::new()));
        assert_eq!(run(&gone.before), ["systemctl --user disable --now podbay-lab.service"]);
    }

    #[test]
    fn units_lie_where_the_user_keeps_his_configuration() {
        let mut start = example();
        start.env.push(("XDG_CONFIG_HOME".to_owned(), "/conf".to_owned()));
        assert_eq!(path(&start).to_str(), Some("/conf/systemd/user/podbay-lab.service"));
    }
}
