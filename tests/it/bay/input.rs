//! Bad input through the real binary: one clear message each, and nothing half-done stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::den::{Conf, Den, text};
use super::process::{Ran, finish};
use super::{skip, until};

fn refused(ran: &Ran, code: i32, message: &str) {
    assert_eq!(ran.code, code, "{message:?} was expected: {ran:?}");
    let said = ran.stderr.lines().any(|line| line == format!("podbay: {message}"));
    assert!(said, "{message:?} was expected: {ran:?}");
}

#[test]
fn names_that_mean_nothing_or_too_much() {
    let den = Den::fake();
    den.spawn_all(&["fox", "foxglove", "foxtail"].map(str::to_owned));
    for verb in [&["stop"][..], &["why"], &["logs"], &["rm", "-f"], &["restart"], &["refresh"], &["start"]] {
        refused(&den.run(&[verb, &["elk"]].concat()), 5, "no such name: \"elk\"");
    }
    refused(&den.run(&["exec", "elk", "--", "true"]), 5, "no such name: \"elk\"");
    refused(&den.run(&["send", "elk", "hi"]), 5, "no such name: \"elk\"");
    refused(&den.run(&["stop", "foxy"]), 5, "no such name: \"foxy\"; did you mean \"fox\"?");
    refused(&den.run(&["stop", "foxg*x"]), 5, "no such name: \"foxg*x\"; did you mean \"fox\"?");
    refused(&den.run(&["stop", "fo"]), 5, "\"fo\" is ambiguous: fox, foxglove, foxtail");
    den.ok(&["stop", "foxg"]);
    assert_eq!(den.row("foxglove").unwrap().state.as_str(), "exited");
    assert_eq!(den.row("fox").unwrap().state.as_str(), "running");
    refused(&den.run(&["spawn", "fox", "-d"]), 1, "there is a worker \"fox\" already");
    for name in ["parent", "../x", "-rf", "x", "a b", "x?force=1", "caf\u{e9}", ""] {
        assert_eq!(den.run(&["spawn", name, "-d"]).code, 2, "{name:?}");
    }
    assert_eq!(den.in_engine(), ["fox", "foxglove", "foxtail", "parent"]);
}

#[test]
fn project_directories_that_can_not_be_one() {
    let den = Den::fake();
    let home = text(&fs::canonicalize(den.path("h")).unwrap());
    fs::write(den.path("h/file"), "").unwrap();
    let spawn = |project: &str| den.run(&["spawn", "fox", "-d", "-p", project]);
    for (project, why) in [
        ("/no/such/dir", "No such file or directory (os error 2)"),
        ("file", "it is not a directory"),
        ("/dev/null", "it is not a directory"),
    ] {
        refused(&spawn(project), 2, &format!("project directory {project:?}: {why}"));
    }
    let forbidden = [
        ("/", "/", "it is the whole machine"),
        ("/etc", "/etc", "it is a directory of the system"),
        (&*home, &*home, "it is the home directory itself; mount a directory below it"),
        ("~", &*home, "it is the home directory itself; mount a directory below it"),
        ("..", &*text(den.path("h").parent().unwrap()), "it holds the home directory"),
        (&*text(&den.path("s")), &*text(&den.path("s")), "it holds podbay's own state"),
    ];
    for (project, path, why) in forbidden {
        let message = format!("project directory: mount source {path:?} is refused: {why}");
        refused(&spawn(project), 2, &message);
    }
    assert_eq!(den.in_engine(), ["parent"], "nothing half-done stays");
    until("its directories are gone", || {
        if den.state().join("workers/fox").exists() { Err("they are there".to_owned()) } else { Ok(()) }
    });
    fs::create_dir(den.path("h/project")).unwrap();
    den.ok(&["spawn", "fox", "-d", "-p", "project"]);
    assert_eq!(den.row("fox").unwrap().project, Some(text(&fs::canonicalize(den.path("h/project")).unwrap())));
}

#[test]
fn mounts_that_are_refused() {
    let den = Den::fake();
    let socket = text(&fs::canonicalize(&den.docker.socket).unwrap());
    let home = text(&fs::canonicalize(den.path("h")).unwrap());
    std::os::unix::fs::symlink("/etc", den.path("h/link")).unwrap();
    let root = "the engine's socket is root on the machine";
    let table = [
        ("/no/such/source:/x", "/no/such/source does not exist; make it, or add \"optional\" to the rule".to_owned()),
        ("/:/x", "mount source \"/\" is refused: it is the whole machine".to_owned()),
        ("/etc:/x", "mount source \"/etc\" is refused: it is a directory of the system".to_owned()),
        ("~/link:/x", "mount source \"/etc\" is refused: it is a directory of the system".to_owned()),
        ("/proc/1:/x", "mount source \"/proc/1\" is refused: it is the kernel's".to_owned()),
        (
            "~:/x",
            format!("mount source {home:?} is refused: it is the home directory itself; mount a directory below it"),
        ),
        (&*format!("{socket}:/x"), format!("mount source {socket:?} is refused: {root}")),
    ];
    for (rule, why) in &table {
        den.configure(Conf { worker: &format!("mounts = [{rule:?}]"), ..Conf::default() });
        refused(&den.run(&["spawn", "fox", "-d"]), 2, &format!("mount {rule:?}: {why}"));
        assert!(!den.in_engine().contains(&"fox".to_owned()), "{rule}");
        den.ok(&["down", "-y"]);
    }
    den.configure(Conf { worker: "mounts = [\"/no/such/source:/x:optional\"]", ..Conf::default() });
    // A verb that follows a `down` at once gets a supervisor of its own.
    let ran = den.run(&["spawn", "fox", "-d"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("/no/such/source does not exist"), "what was skipped is said: {ran:?}");
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let den = Den::fake();
    den.spawn("fox");
    let file = den.path("c/podbay/config.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}\n[worker.limits]\nmemroy = \"8g\"\n")).unwrap();
    let line = good.lines().count() + 3;
    // Who only asks the supervisor is answered: workers can be looked at and stopped meanwhile.
    let verbs: [(&[&str], i32); 6] = [
        (&["up"], 2),
        (&["config", "check"], 2),
        (&["spawn", "owl", "-d"], 2),
        (&["ls"], 0),
        (&["status"], 0),
        (&["stop", "fox"], 0),
    ];
    for (args, code) in verbs {
        let ran = den.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        for part in [&*format!("{}:{line}", file.display()), "memroy", "\"memory\""] {
            assert!(ran.stderr.contains(part), "{part:?} in {args:?}: {ran:?}");
        }
    }
    den.kill_supervisor();
    let ran = den.run(&["ls"]);
    assert_eq!(ran.code, 2, "nobody knows better: {ran:?}");
    assert!(ran.stderr.contains("memroy"), "{ran:?}");
    fs::write(&file, good).unwrap();
    den.ok(&["start", "fox"]);
    den.until_state(&["fox"], "running");
    let ran = den.run(&["--config", "/no/such.toml", "ls"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("/no/such.toml"), "{ran:?}");
}

#[test]
fn an_engine_that_is_away_is_said_with_its_place() {
    let mut den = Den::fake();
    let real = den.docker.clone();
    den.docker.socket = den.path("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&den.docker.socket).unwrap());
    den.configure(Conf::default());
    let dead = text(&den.docker.socket);
    den.docker = real;
    assert_eq!(den.ok(&["ls", "-q"]), "");
    until("the engine counts as away", || match den.json(&["status"]) {
        status if status["engine"]["state"] == "away" => Ok(()),
        status => Err(status.to_string()),
    });
    let why = format!(
        "unix://{dead} can't be reached: Connection refused (os error 111); the socket is there but nobody listens: \
         start the engine (systemctl start docker) (endpoint from "
    );
    let ran = den.run(&["spawn", "fox", "-d"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains(&why), "{why:?} in {ran:?}");
    let status = den.json(&["status"]);
    assert!(status["engine"]["reason"].as_str().is_some_and(|reason| reason.starts_with(&why)), "{status}");
    assert!(den.ok(&["status"]).contains("nobody listens"));
    assert_eq!(den.run(&["doctor"]).code, 1);
}

/// A verb as user 65534, who has a home of its own; `None` where that can't be.
fn as_nobody(den: &Den, args: &[&str]) -> Option<Command> {
    let uid = rustix::process::getuid();
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
    let (true, Some(setpriv)) = (uid.is_root(), setpriv) else { return None };
    let home = den.path("n");
    fs::create_dir_all(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    // A copy, so that the build directory need not be open to everybody.
    let binary = den.path("podbay");
    super::process::copy_program(&den.binary, &binary);
    for (path, mode) in [(".", 0o711), ("h", 0o755), ("c", 0o755), ("r", 0o711), ("podbay", 0o755)] {
        fs::set_permissions(den.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut nobody = Command::new(setpriv);
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary).args(args).env_clear();
    nobody.envs(den.variables()).current_dir("/").stdin(std::process::Stdio::null());
    Some(nobody)
}

#[test]
fn sockets_of_another_user_are_said_to_be() {
    let test = "sockets_of_another_user_are_said_to_be";
    let den = Den::fake();
    den.spawn("fox");
    if as_nobody(&den, &["ls"]).is_none() {
        return skip(test, "changing the user needs root");
    }
    // podbay's own socket: first its directory, then the socket itself keeps others out.
    for mode in [0o700, 0o711] {
        fs::set_permissions(den.path("r/podbay"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = finish(as_nobody(&den, &["ls"]).unwrap(), &["ls"]);
        refused(&ran, 3, &format!("no permission to use the socket {}", den.socket().display()));
    }
    // The engine's.
    let home = text(&den.path("n"));
    let parent = den.docker.socket.parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&den.docker.socket, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = as_nobody(&den, &["spawn", "owl", "-d"]).unwrap();
    for key in ["HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(key, &home);
    }
    let ran = finish(command, &["spawn", "owl", "-d"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let why = "Permission denied (os error 13); this user may not open it: join its group";
    assert!(ran.stderr.contains(why), "{ran:?}");
}

#[test]
fn a_state_directory_without_write_permission_is_said() {
    let test = "a_state_directory_without_write_permission_is_said";
    let den = Den::fake();
    let Some(mut command) = as_nobody(&den, &["ls"]) else { return skip(test, "changing the user needs root") };
    fs::set_permissions(den.path("s"), fs::Permissions::from_mode(0o755)).unwrap();
    command.env("XDG_RUNTIME_DIR", den.path("n"));
    let ran = finish(command, &["ls"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = format!("can't make the directory {}: no permission to write there", text(&den.state()));
    assert!(ran.stderr.contains(&said), "{said:?} in {ran:?}");
}
