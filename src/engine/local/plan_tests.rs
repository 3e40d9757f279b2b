use super::*;
use crate::bay::container::ImageRef;
use crate::bay::name::{ContainerName, Name};
use crate::config::Config;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n";

fn spec() -> ContainerSpec {
    let config = Config::defaults().unwrap();
    let name: Name = "fox".parse().unwrap();
    ContainerSpec {
        name: ContainerName::worker(&config.bay, &name),
        image: ImageRef::Host,
        entrypoint: Vec::new(),
        command: vec!["bash".to_owned()],
        user: None,
        hostname: None,
        workdir: Some("/workspace".into()),
        env: BTreeMap::from([("A".to_owned(), "x".to_owned())]),
        labels: BTreeMap::new(),
        network: NetworkSpec::Bridge(Vec::new()),
        mounts: Vec::new(),
        tty: true,
        stop_signal: None,
        limits: config.worker.limits.clone(),
        hardening: config.worker.hardening.clone(),
        health: None,
    }
}

fn planned(spec: &ContainerSpec, own: (u32, u32)) -> Result<Plan, String> {
    let empty = tempfile::tempdir().unwrap();
    std::fs::create_dir(empty.path().join("usr")).unwrap();
    let layout = Layout::of(empty.path());
    let facts = Facts {
        layout: &layout,
        root: "/state/rootfs".into(),
        passwd: PASSWD,
        hosts: "127.0.0.1 localhost",
        resolv: "nameserver 9.9.9.9\n",
        own,
        joined_hostname: Some("bay"),
        joined_proxy: None,
        cgroups: own.0 == 0,
        sys: &|name| name == "class",
    };
    plan(spec, &"ab".repeat(32), facts)
}

#[test]
fn what_the_spec_does_not_say_is_usual() {
    let plan = planned(&spec(), (0, 0)).unwrap();
    assert_eq!((plan.hostname.as_str(), plan.own_network, plan.all_ids), ("bay", false, true));
    let env: Vec<_> = plan.main.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        env,
        ["A=x", "HOME=/root", "HOSTNAME=bay", "LANG=C.UTF-8", &format!("PATH={PATH}"), "TERM=xterm-256color"]
    );
    assert_eq!(plan.files[0].1, "127.0.0.1 localhost\n127.0.1.1\tbay\n");
    assert_eq!(plan.files[2], ("/etc/resolv.conf".into(), "nameserver 9.9.9.9\n".to_owned()));
    assert_eq!(plan.memory.len(), 1, "/tmp outlives a restart, as with any engine");
    let set = |env: &[(&str, &str)]| ContainerSpec {
        env: env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..spec()
    };
    let told = planned(&set(&[("HOME", "/h"), ("TERM", "vt100"), ("PATH", "/p")]), (0, 0)).unwrap();
    assert_eq!((told.main.env["HOME"].as_str(), told.main.env["TERM"].as_str()), ("/h", "vt100"));
    assert_eq!(told.main.env["PATH"], "/p");
}

#[test]
fn what_no_group_holds_is_left_to_the_processes() {
    assert_eq!(planned(&spec(), (0, 0)).unwrap().instead, None);
    let limits = spec().limits;
    let instead = (u64::from(limits.pids), limits.memory.as_u64());
    assert_eq!(planned(&spec(), (1000, 1001)).unwrap().instead, Some(instead));
}

#[test]
fn without_a_network_nothing_of_the_machines_is_written_down() {
    let alone = ContainerSpec { network: NetworkSpec::None, hostname: Some("fox".to_owned()), ..spec() };
    let plan = planned(&alone, (0, 0)).unwrap();
    assert!(plan.own_network);
    assert_eq!(plan.files.len(), 2);
    assert!(plan.files[0].1.starts_with("127.0.0.1\tlocalhost\n") && plan.files[0].1.ends_with("127.0.1.1\tfox\n"));
}

#[test]
fn outer_mounts_come_first_and_a_users_own_wins() {
    let mount = |target: &str| Mount { source: "/src".into(), target: target.into(), read_only: false };
    let mut wanted = spec();
    wanted.mounts = vec![mount("/home/ann/.claude/x"), mount("/usr/local"), mount("/home/ann"), mount("/run")];
    wanted.hardening.read_only = true;
    let plan = planned(&wanted, (0, 0)).unwrap();
    let at = |target: &str| plan.binds.iter().position(|mount| mount.target == Path::new(target)).unwrap();
    assert!(at("/usr") < at("/usr/local") && at("/home/ann") < at("/home/ann/.claude/x"));
    assert!(plan.binds[at("/sys/class")].read_only && plan.binds[at("/usr")].read_only);
    let memory: Vec<_> = plan.memory.iter().map(|(target, _)| target.to_str().unwrap()).collect();
    assert_eq!(memory, ["/tmp"], "/run is a mount of the user's");
}

#[test]
fn capabilities_are_what_is_left() {
    let left = |drop: &[&str], add: &[&str]| {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        capabilities(&text(drop), &text(add))
    };
    assert_eq!(left(&["ALL"], &["KILL"]), Ok(CapabilitySet::KILL));
    assert_eq!(left(&["all"], &["CAP_CHOWN", "kill"]), Ok(CapabilitySet::KILL | CapabilitySet::CHOWN));
    assert_eq!(left(&["ALL"], &[]), Ok(CapabilitySet::empty()));
    let usual = left(&[], &[]).unwrap();
    assert!(usual.contains(CapabilitySet::SETUID) && !usual.contains(CapabilitySet::SYS_ADMIN));
    assert_eq!(left(&["SPEED"], &[]), Err("\"SPEED\" is no capability".to_owned()));
}

#[test]
fn a_user_is_found_or_refused() {
    let (root, ann) = ((0, 0), (1000, 1001));
    for (user, own, found) in [
        (None, root, Some((0, 0))),
        (None, ann, Some(ann)),
        (Some("ann"), root, Some((1000, 1001))),
        (Some("1000"), root, Some((1000, 1001))),
        (Some("7"), root, Some((7, 0))),
        (Some("7:8"), root, Some((7, 8))),
        (Some("root"), root, Some((0, 0))),
        (Some("bob"), root, None),
        (Some("ann:staff"), root, None),
        (Some("1000:1001"), ann, Some(ann)),
        (Some("0:0"), ann, None),
        (Some("1000:7"), ann, None),
    ] {
        assert_eq!(ids(user, PASSWD, own).ok(), found, "{user:?} for {own:?}");
    }
    let error = ids(Some("root"), PASSWD, ann).unwrap_err();
    assert!(error.contains("runs as 1000:1001"), "{error}");
}

#[test]
fn what_has_no_command_is_refused() {
    let empty = ContainerSpec { command: Vec::new(), ..spec() };
    assert!(planned(&empty, (0, 0)).unwrap_err().contains("no command"));
    let both = ContainerSpec { entrypoint: vec!["sh".to_owned(), "-c".to_owned()], ..spec() };
    assert_eq!(planned(&both, (0, 0)).unwrap().main.command, ["sh", "-c", "bash"]);
}

#[test]
fn programs_behind_a_wall_are_told_of_its_proxy() {
    use crate::bay::container::Wall;
    let wall = |proxy| NetworkSpec::Walled(Wall { proxy, ..Wall::default() });
    let mut spec = ContainerSpec { network: wall(Some(3128)), ..spec() };
    spec.env.insert("NO_PROXY".to_owned(), "example.org".to_owned());
    let walled = planned(&spec, (0, 0)).unwrap();
    assert!(walled.own_network);
    for key in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        assert_eq!(walled.main.env[key], "http://127.0.0.1:3128");
    }
    assert_eq!(walled.main.env["NO_PROXY"], "example.org", "what the user says goes first");
    assert_eq!(walled.main.env["no_proxy"], "localhost,127.0.0.1,::1");
    spec.network = wall(None);
    assert!(!planned(&spec, (0, 0)).unwrap().main.env.contains_key("HTTP_PROXY"));
}
