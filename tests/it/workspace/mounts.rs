//! Mounts: what they must not lead to, and where they may stand.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::{Room, fox, source};

/// S12: what a mount must not lead to, by every name that it has.
#[test]
fn sources_are_refused_by_any_name() {
    let mut room = Room::new();
    fs::create_dir_all(room.at("engine/deep")).unwrap();
    fs::create_dir_all(room.at("run/podman")).unwrap();
    let socket = room.at("engine/deep/docker.sock");
    let _docker = UnixListener::bind(&socket).unwrap();
    let _podman = UnixListener::bind(room.at("run/podman/podman.sock")).unwrap();
    let _named = UnixListener::bind(room.at("data/named.sock")).unwrap();
    let _supervisor = UnixListener::bind(&room.paths.socket).unwrap();
    let _other = UnixListener::bind(room.at("data/other.sock")).unwrap();
    room.socket = Some(socket.clone());
    room.env.vars.insert("DOCKER_HOST".to_owned(), format!("unix://{}", room.at("data/named.sock").display()));
    room.env.vars.insert("ENGINE".to_owned(), room.at("engine").display().to_string());
    fs::hard_link(&socket, room.at("data/hard.sock")).unwrap();
    let links = [
        ("data/soft.sock", socket.clone()),
        ("data/soft-dir", room.at("engine/deep")),
        ("data/twice", room.at("data/soft-dir")),
        ("data/root", PathBuf::from("/")),
        ("data/etc", PathBuf::from("/etc")),
        ("data/home", room.at("home")),
        ("data/proc", PathBuf::from("/proc/self/root")),
        ("data/state", room.paths.state.clone()),
        ("data/loop", room.at("data/loop")),
    ];
    for (name, to) in &links {
        symlink(to, room.at(name)).unwrap();
    }
    let engine = "the engine's socket is root on the machine";
    let (whole, system, kernel) = ("it is the whole machine", "it is a directory of the system", "it is the kernel's");
    let (home, state) = ("it is the home directory itself", "it holds podbay's own state");
    let top = room.at("").display().to_string();
    let table = [
        ("{}engine/deep/docker.sock", engine),
        ("{}engine/deep", engine),
        ("{}engine", engine),
        ("{}engine/../engine/deep/./docker.sock", engine),
        ("${ENGINE}/deep/docker.sock", engine),
        ("{}data/soft.sock", engine),
        ("{}data/soft-dir", engine),
        ("{}data/soft-dir/docker.sock", engine),
        ("{}data/twice/docker.sock", engine),
        ("{}data/hard.sock", engine),
        ("/proc/self/root{}engine/deep/docker.sock", engine),
        ("{}run/podman/podman.sock", engine),
        ("{}run/podman", engine),
        ("{}data/named.sock", engine),
        ("{}run/podbay/bay.sock", engine),
        ("{}run/podbay", engine),
        ("{}run", engine),
        ("{}data", engine),
        ("/", whole),
        ("//", whole),
        ("/..", whole),
        ("/proc/self/root", whole),
        ("/proc/1/root", ""),
        ("{}data/root", whole),
        ("{}data/proc", whole),
        ("/etc", system),
        ("/etc/", system),
        ("/usr/../etc", system),
        ("{}data/etc", system),
        ("/proc/self/root/etc", system),
        ("/proc", system),
        ("/proc/self/environ", kernel),
        ("/sys", system),
        ("/dev", system),
        ("/dev/null", kernel),
        ("~", home),
        ("~/", home),
        ("{}data/home", home),
        ("~/..", "it holds the home directory"),
        ("{}state", state),
        ("{}state/podbay/bay/workers", state),
        ("{}data/state", state),
        ("{}data/loop", "can't open"),
        ("~/none", "does not exist; make it, or add \"optional\" to the rule"),
        ("${NOT_SET}/x", "the variable NOT_SET is not set"),
        ("data", "must be an absolute path"),
    ];
    assert!(table.len() >= 40);
    for (written, why) in table {
        let written = written.replace("/{}", &top).replace("{}", &top);
        room.mounts(&[&format!("{written}:/mnt")]);
        let said = room.prepare().expect_err(&written);
        assert!(said.starts_with("mount ") && said.contains(why), "{written}: {said}");
    }
    assert_eq!(room.left(), Vec::<PathBuf>::new());
    room.mounts(&[&format!("{top}data/other.sock:/run/other.sock")]);
    assert!(room.prepare().is_ok(), "a socket that is no engine's may be mounted");
}

#[test]
fn a_symlink_that_is_swapped_after_the_check_changes_nothing() {
    let mut room = Room::new();
    symlink(room.at("home/src"), room.at("data/link")).unwrap();
    let rule = format!("{}:/mnt", room.at("data/link").display());
    room.mounts(&[&rule]);
    let prepared = room.prepare().unwrap();
    fs::remove_file(room.at("data/link")).unwrap();
    symlink("/etc", room.at("data/link")).unwrap();
    assert_eq!(source(&prepared, "/mnt"), Some(room.at("home/src").as_path()));
    assert!(room.prepare().unwrap_err().contains("it is a directory of the system"));
}

#[test]
fn targets_are_checked_and_stand_once() {
    let mut room = Room::new();
    let home = room.env.home.display().to_string();
    for (rules, why) in [
        (vec!["~/src:/workspace"], "/workspace is mounted twice"),
        (vec!["~/src:/workspace/"], "/workspace is mounted twice"),
        (vec!["~/src:~"], "is mounted twice"),
        (vec!["~/src:/a", "~/src/app:/a/."], "/a is mounted twice"),
        (vec!["~/src:/"], "must be an absolute path without \"..\""),
        (vec!["~/src:/a/../etc"], "must be an absolute path without \"..\""),
        (vec!["~/src:a"], "must be an absolute path without \"..\""),
    ] {
        room.mounts(&rules);
        let said = room.prepare().unwrap_err();
        assert!(said.contains(why), "{rules:?}: {said}");
    }
    assert_eq!(room.left(), Vec::<PathBuf>::new());
    fs::write(room.at("home/.gitconfig"), "").unwrap();
    // As another user than root, `~` is the same path on both sides.
    (room.env.uid, room.template.user) = (room.env.uid.max(1), String::new());
    room.mounts(&["~/.gitconfig:~/.gitconfig:ro,optional", "~/src:~/a/b/src", "~/.none:~/.none:optional"]);
    let prepared = room.prepare().unwrap();
    assert_eq!(source(&prepared, &format!("{home}/.gitconfig")), Some(room.at("home/.gitconfig").as_path()));
    assert_eq!(prepared.notes, [format!("mount \"~/.none:~/.none:optional\" skipped: {home}/.none does not exist")]);
    let worker = room.paths.worker(&fox());
    assert!(worker.join("home/.gitconfig").is_file() && worker.join("home/a/b/src").is_dir());
}
