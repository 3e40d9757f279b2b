//! What would be lost with a clone, also when whoever worked in it wishes us ill.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::clones::Yard;
use crate::git_server::{commit, git};

struct Clone {
    yard: Yard,
    worker: PathBuf,
    workspace: PathBuf,
}

impl Clone {
    fn new() -> Self {
        let yard = Yard::new();
        let url = yard.origin("ann/app.git");
        let workspace = yard.fill("fox", &url, None).unwrap();
        Self { worker: yard.worker("fox"), yard, workspace }
    }

    fn unsaved(&self) -> Vec<String> {
        let repositories = self.yard.repositories();
        self.yard.wait(repositories.unsaved(&self.worker))
    }
}

#[test]
fn a_clean_clone_loses_nothing_and_each_kind_of_work_is_named() {
    let clone = Clone::new();
    assert_eq!(clone.unsaved(), Vec::<String>::new());

    fs::write(clone.workspace.join("README"), "changed\n").unwrap();
    fs::create_dir(clone.workspace.join("new dir")).unwrap();
    fs::write(clone.workspace.join("new dir/file"), "x").unwrap();
    assert_eq!(clone.unsaved(), ["2 files that no commit holds: README, new dir/"]);
    git(&clone.workspace, &["add", "-A"]);
    assert_eq!(clone.unsaved(), ["2 files that no commit holds: README, new dir/file"]);

    git(&clone.workspace, &["commit", "-q", "-m", "one"]);
    commit(&clone.workspace, "two", "2");
    assert_eq!(clone.unsaved(), ["2 commits of main that no remote has"]);

    git(&clone.workspace, &["switch", "-q", "-c", "topic"]);
    commit(&clone.workspace, "three", "3");
    git(&clone.workspace, &["push", "-q", "origin", "main"]);
    assert_eq!(clone.unsaved(), ["1 commit of topic that no remote has"]);

    git(&clone.workspace, &["switch", "-q", "--detach"]);
    commit(&clone.workspace, "four", "4");
    let lines = clone.unsaved();
    assert_eq!(lines, ["2 commits of the detached HEAD that no remote has", "1 commit of topic that no remote has"]);
    git(&clone.workspace, &["push", "-q", "origin", "HEAD:refs/heads/all"]);
    assert_eq!(clone.unsaved(), Vec::<String>::new());

    fs::write(clone.workspace.join("README"), "stashed\n").unwrap();
    git(&clone.workspace, &["stash", "-q"]);
    assert_eq!(clone.unsaved(), ["1 stash"]);
    git(&clone.workspace, &["stash", "drop", "-q"]);

    // What git ignores is not work where a tool makes it again.
    fs::create_dir_all(clone.workspace.join(".git/info")).unwrap();
    fs::write(clone.workspace.join(".git/info/exclude"), "node_modules\n*.o\n.env\nkeys/\n").unwrap();
    fs::create_dir_all(clone.workspace.join("web/node_modules")).unwrap();
    fs::write(clone.workspace.join("web/node_modules/.env"), "x").unwrap();
    fs::write(clone.workspace.join("x.o"), "x").unwrap();
    git(&clone.workspace, &["gc", "-q"]);
    assert_eq!(clone.unsaved(), Vec::<String>::new());
    fs::write(clone.workspace.join(".env"), "TOKEN=x").unwrap();
    fs::create_dir(clone.workspace.join("keys")).unwrap();
    fs::write(clone.workspace.join("keys/one"), "x").unwrap();
    assert_eq!(clone.unsaved(), ["2 files that git ignores, perhaps nowhere else: .env, keys/"]);
}

#[test]
fn a_hostile_clone_runs_nothing_of_its_own() {
    let clone = Clone::new();
    let trap = clone.yard.at("trapped");
    let script = clone.yard.at("trap.sh");
    fs::write(&script, format!("#!/bin/sh\ntouch '{}'\ncat\n", trap.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    for (key, value) in [
        ("core.fsmonitor", script),
        ("core.sshCommand", script),
        ("filter.x.clean", script),
        ("filter.x.process", script),
        ("diff.external", script),
        ("core.hooksPath", clone.yard.dir.path().to_str().unwrap()),
        ("core.worktree", "/"),
        ("alias.status", &format!("!{script}")),
        ("include.path", script),
    ] {
        let text = format!("[{}]\n\t{} = {value}\n", section(key).0, section(key).1);
        let config = clone.workspace.join(".git/config");
        fs::write(&config, fs::read_to_string(&config).unwrap() + &text).unwrap();
    }
    for hook in ["post-index-change", "post-checkout", "fsmonitor-watchman"] {
        let hook = clone.workspace.join(".git/hooks").join(hook);
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::copy(script, hook).unwrap();
    }
    fs::write(clone.workspace.join(".gitattributes"), "* filter=x diff=x\n").unwrap();
    fs::write(clone.workspace.join("README"), "changed\n").unwrap();
    assert_eq!(clone.unsaved(), ["2 files that no commit holds: README, .gitattributes"]);
    assert!(!trap.exists(), "something of the clone's was run");
}

fn section(key: &str) -> (String, &str) {
    let (section, name) = key.rsplit_once('.').unwrap();
    match section.split_once('.') {
        Some((section, sub)) => (format!("{section} \"{sub}\""), name),
        None => (section.to_owned(), name),
    }
}

#[test]
fn what_can_not_be_looked_at_counts_as_lost() {
    type Break<'a> = (&'a str, &'a dyn Fn(&Path));
    let break_it: [Break; 4] = [
        ("another .git", &|git_dir| {
            fs::remove_dir_all(git_dir).unwrap();
            fs::write(git_dir, "gitdir: /etc\n").unwrap();
        }),
        ("a .git that leads away", &|git_dir| {
            let aside = git_dir.with_file_name("aside");
            fs::rename(git_dir, &aside).unwrap();
            symlink(aside, git_dir).unwrap();
        }),
        ("a HEAD that is a link", &|git_dir| {
            fs::remove_file(git_dir.join("HEAD")).unwrap();
            symlink("/etc/passwd", git_dir.join("HEAD")).unwrap();
        }),
        ("a broken index", &|git_dir| fs::write(git_dir.join("index"), "DIRCxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").unwrap()),
    ];
    for (what, break_it) in break_it {
        let clone = Clone::new();
        break_it(&clone.workspace.join(".git"));
        let lines = clone.unsaved();
        assert!(lines.len() == 1 && lines[0].contains("it can't be looked at"), "{what}: {lines:?}");
    }
    // A clone that was emptied by hand holds nothing.
    let clone = Clone::new();
    fs::remove_dir_all(&clone.workspace).unwrap();
    fs::create_dir(&clone.workspace).unwrap();
    assert_eq!(clone.unsaved(), Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(clone.yard.at("repos")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ann"]);
}
