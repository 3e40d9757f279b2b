use std::path::Path;

use super::*;

fn mount(source: &str, target: &str, read_only: bool) -> Mount {
    Mount { source: source.into(), target: target.into(), read_only }
}

fn plan() -> Plan {
    let env = [
        ("HOME", "/home/ann"),
        ("SSH_AUTH_SOCK", "/run/podbay/agent"),
        ("NOTE", "see /workspace"),
        ("PATH", "/usr/bin"),
    ];
    Plan {
        root: "/s/c/rootfs".into(),
        hostname: "fox".to_owned(),
        binds: vec![mount("/sys/class", "/sys/class", true)],
        files: Vec::new(),
        memory: Vec::new(),
        read_only: false,
        own_network: true,
        all_ids: true,
        capabilities: 0,
        no_new_privileges: false,
        nofile: (0, 0),
        instead: Some((100, 7)),
        bare: None,
        main: Program {
            command: ["sh", "-c", "cd /workspace", "/workspace/a", "/home/ann/.podbay-claim"]
                .map(str::to_owned)
                .to_vec(),
            env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            cwd: "/workspace".into(),
            ids: (1000, 1000),
            tty: None,
        },
    }
}

fn mounts() -> Vec<Mount> {
    vec![
        mount("/p", "/workspace", false),
        mount("/s/w/home", "/home/ann", false),
        mount("/home/ann/.gitconfig", "/home/ann/.gitconfig", true),
        mount("/s/w/secrets/token", "/run/secrets/token", true),
        mount("/tmp/agent", "/run/podbay/agent", false),
    ]
}

fn made(level: Isolation, alone: bool, landlock: i32) -> Plan {
    let mut plan = plan();
    let layout = Layout::of(Path::new("/"));
    let facts = Facts { level, id: "ab", mounts: &mounts(), layout: &layout, alone, landlock, own: (1000, 1000) };
    without_namespaces(&mut plan, &facts).unwrap();
    plan
}

#[test]
fn places_are_where_they_lie() {
    let plan = made(Isolation::Landlock, false, 7);
    let main = &plan.main;
    assert_eq!(main.command, ["sh", "-c", "cd /workspace", "/p/a", "/s/w/home/.podbay-claim"]);
    assert_eq!(main.cwd, Path::new("/p"));
    for (key, value) in [
        ("HOME", "/s/w/home"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("NOTE", "see /workspace"),
        ("PATH", "/usr/bin"),
        ("TMPDIR", "/s/c/rootfs/tmp"),
        ("PODBAY_ROOT", "/s/c/rootfs"),
        ("PODBAY_CONTAINER", "ab"),
    ] {
        assert_eq!(main.env[key], value, "{key}");
    }
    let bare = plan.bare.unwrap();
    let links: Vec<_> = bare.links.iter().map(|(link, to)| (link.to_str().unwrap(), to.to_str().unwrap())).collect();
    for pair in [
        ("/s/c/rootfs/workspace", "/p"),
        ("/s/w/home/.gitconfig", "/home/ann/.gitconfig"),
        ("/s/c/rootfs/run/secrets/token", "/s/w/secrets/token"),
    ] {
        assert!(links.contains(&pair), "{pair:?} in {links:?}");
    }
    let mut more = Program { cwd: "/workspace/src".into(), command: vec!["ls".to_owned()], ..Program::default() };
    bare.place(&mut more);
    assert_eq!((more.cwd.as_path(), more.env[MARK].as_str()), (Path::new("/p/src"), "ab"));
    let mut again = Program { cwd: "/p".into(), ..more };
    bare.place(&mut again);
    assert_eq!(again.cwd, Path::new("/p"), "what is a place of the machine's already stays");
}

#[test]
fn what_may_be_touched_is_a_list() {
    let bare = made(Isolation::Landlock, false, 7).bare.unwrap();
    let allowed = bare.allowed.unwrap();
    let access = |path: &str| allowed.iter().find(|one| one.path == Path::new(path)).map(|one| one.access);
    for (path, expected) in [
        ("/usr", Some(Access::Read)),
        ("/proc", Some(Access::Read)),
        ("/p", Some(Access::Write)),
        ("/s/c/rootfs", Some(Access::Write)),
        ("/s/w/secrets/token", Some(Access::Read)),
        ("/dev/null", Some(Access::Device)),
        ("/sys/class", Some(Access::Read)),
        ("/", None),
        ("/dev", None),
        ("/dev/pts", None),
        ("/dev/ptmx", None),
        ("/etc", None),
        ("/etc/shadow", None),
        ("/tmp", None),
        ("/home/ann", None),
        ("/run", None),
    ] {
        assert_eq!(access(path), expected, "{path}");
    }
    // Nothing that is allowed lies above the bay's files or the user's.
    assert!(allowed.iter().all(|one| !Path::new("/s/c").starts_with(&one.path)), "{allowed:?}");
}

#[test]
fn what_is_refused_depends_on_level_network_and_kernel() {
    let refused = |level, alone, landlock| made(level, alone, landlock).bare.unwrap().refused;
    let (landlock, none) = (Isolation::Landlock, Isolation::None);
    assert_eq!(refused(landlock, false, 7), Refused { dangerous: true, ..Refused::default() });
    assert_eq!(refused(landlock, true, 2), Refused { dangerous: true, network: true, truncate: true });
    assert_eq!(refused(none, false, 7), Refused::default());
    assert_eq!(refused(none, true, 0), Refused { network: true, ..Refused::default() });
    assert_eq!(made(none, false, 0).bare.unwrap().allowed, None);
    assert!(made(landlock, false, 7).no_new_privileges && !made(none, false, 7).no_new_privileges);
    let plan = made(landlock, true, 7);
    assert_eq!((plan.instead, plan.own_network), (Some((0, 7)), false), "a limit of processes would count the user's");
}

#[test]
fn another_user_is_refused() {
    let mut plan = plan();
    let layout = Layout::of(Path::new("/"));
    let facts = Facts {
        level: Isolation::Landlock,
        id: "ab",
        mounts: &[],
        layout: &layout,
        alone: false,
        landlock: 7,
        own: (0, 0),
    };
    let why = without_namespaces(&mut plan, &facts).unwrap_err();
    assert!(why.contains("user 1000 can't be had with isolation landlock"), "{why}");
}
