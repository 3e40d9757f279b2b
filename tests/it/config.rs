//! The configuration: broken files with their exact messages, and where a file is found.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podbay::config::Config;
use podbay::config::env::Env;
use podbay::config::paths::Paths;

use crate::workspace::{Disk, fill, skipped};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/config")
}

/// Every `NAME.toml` is refused with the text of `NAME.err`. `BLESS=1` writes the texts, to be read before they are kept.
#[test]
fn every_broken_file_gets_its_message() {
    let mut files: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    files.sort();
    assert!(files.len() >= 60, "{} fixtures", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let env = Env { cwd: fixtures(), home: "/home/ann".into(), ..Env::default() };
        let said = match Config::load(Some(Path::new(name)), &env) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        let expected_at = file.with_extension("err");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected_at, format!("{said}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected_at).unwrap_or_default();
        if expected.trim_end() != said {
            wrong.push(format!("expected: {}\n    said: {said}", expected.trim_end()));
        }
        assert!(!said.contains('\n') && !said.chars().any(char::is_control), "more than one line: {said:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A machine of its own: nothing is read from the real home.
struct Room {
    dir: tempfile::TempDir,
    env: Env,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["cwd", "home/.config/podbay", "state", "run"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        let at = |part: &str| dir.path().join(part).to_str().unwrap().to_owned();
        let vars = [("XDG_STATE_HOME".to_owned(), at("state")), ("XDG_RUNTIME_DIR".to_owned(), at("run"))];
        let process = Env::of_process();
        let env = Env { vars: vars.into(), cwd: at("cwd").into(), home: at("home").into(), ..process };
        Self { dir, env }
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::write(&path, text).unwrap();
        path
    }

    fn bay(&self, flag: Option<&str>) -> String {
        Config::load(flag.map(Path::new), &self.env).map_or_else(|e| e.to_string(), |config| config.bay.to_string())
    }

    fn paths(&self) -> Paths {
        Paths::of(&"bay".parse().unwrap(), &self.env)
    }
}

#[test]
fn the_nearest_file_wins() {
    let mut room = Room::new();
    assert_eq!(room.bay(None), "podbay");
    assert_eq!(Config::load(None, &room.env).unwrap().source, None);
    room.write("home/.config/podbay/config.toml", "bay.name = 'users'");
    assert_eq!(room.bay(None), "users");
    let here = room.write("cwd/podbay.toml", "bay.name = 'here'");
    assert_eq!(room.bay(None), "here");
    assert_eq!(Config::load(None, &room.env).unwrap().source, Some(here));
    room.write("home/other.toml", "bay.name = 'variable'");
    room.env.vars.insert("PODBAY_CONFIG".to_owned(), "~/other.toml".to_owned());
    assert_eq!(room.bay(None), "variable");
    let flagged = room.write("cwd/flag.toml", "bay.name = 'flag'");
    assert_eq!(room.bay(Some("flag.toml")), "flag");
    assert_eq!(room.bay(flagged.to_str()), "flag");
    room.env.vars.insert("PODBAY_CONFIG".to_owned(), String::new());
    assert_eq!(room.bay(None), "here");
    let config = Config::load(None, &room.env).unwrap();
    assert_eq!(config.with_bay("mine".parse().unwrap()).bay.as_str(), "mine");
}

#[test]
fn a_file_that_is_not_one_is_said() {
    let mut room = Room::new();
    assert_eq!(room.bay(Some("none.toml")), "none.toml: there is no such file");
    assert_eq!(room.bay(Some("${NO}/x")), "${NO}/x: \"${NO}/x\": the variable NO is not set");
    assert_eq!(room.bay(Some("..")), "..: is a directory; name the file in it");
    assert_eq!(room.bay(Some("/dev/zero")), "/dev/zero: is not a regular file");
    room.write("cwd/large.toml", vec![b'#'; 10 << 20]);
    assert_eq!(room.bay(Some("large.toml")), "large.toml: is larger than 1 MiB; that is not a configuration");
    let pipe = room.dir.path().join("cwd/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(room.bay(Some("pipe")), "pipe: is not a regular file");
    room.env.vars.insert("PODBAY_CONFIG".to_owned(), "gone.toml".to_owned());
    assert_eq!(room.bay(None), "gone.toml: there is no such file");
    room.env.vars.clear();
    fs::create_dir(room.dir.path().join("cwd/podbay.toml")).unwrap();
    assert_eq!(room.bay(None), "podbay.toml: is a directory; name the file in it");
    fs::remove_dir(room.dir.path().join("cwd/podbay.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere", room.dir.path().join("cwd/podbay.toml")).unwrap();
    assert_eq!(room.bay(None), "podbay.toml: there is no such file");
}

#[test]
fn templates_lie_over_the_worker() {
    let text = r#"
        [worker]
        env = { A = "1", B = "1" }
        mounts = ["/a:/a", "/b:/b"]
        limits.memory = "2g"
        [[template]]
        name = "small"
        env = { B = "2", C = "2" }
        mounts = []
        limits = { cpus = 1 }
        pool = { target = 0 }
        agent_home = { from = "~/.codex" }
    "#;
    let config = Config::parse("t", text).unwrap();
    let small = config.template(&"small".parse().unwrap()).unwrap();
    let env: Vec<_> = small.env.iter().map(|(key, value)| format!("{key}{value}")).collect();
    assert_eq!(env, ["A1", "B2", "C2"]);
    assert_eq!((small.mounts.len(), small.limits.cpus, small.limits.memory.to_string().as_str()), (0, 1.0, "2g"));
    assert_eq!((small.agent_home.from.as_str(), small.agent_home.to.as_str()), ("~/.codex", "~/.claude"));
    let pool = small.pool.as_ref().unwrap();
    assert_eq!((pool.target, pool.min, pool.max_creating), (0, 0, 2));
    assert_eq!(config.template(&"default".parse().unwrap()).unwrap().mounts.len(), 2);
    assert_eq!(config.template(&"none".parse().unwrap()), None);
}

/// As the README's own example has it: a native service on a port of the parent's usual range.
#[test]
fn the_parent_leaves_out_the_ports_that_a_service_has_on_the_machine() {
    let text = "[parent]\nports = [\"127.0.0.1:3000-3003:3000-3003\", \"3001:3001/udp\", \"9001:3001\"]\n\
                [[service]]\nname = \"near\"\nrun = \"host\"\nreason = \"gpu\"\ncommand = [\"x\"]\nports = [3001]\n\
                [[service]]\nname = \"shared\"\nimage = \"x\"\nports = [3000]\n\
                [[service]]\nname = \"own\"\nimage = \"x\"\nnetwork = \"bridge\"\nports = [\"3003:80\"]\n";
    let config = Config::parse("t", text).unwrap();
    let of = |here: bool| {
        let (ports, left) = config.parent_ports(here);
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let left: Vec<String> = left.iter().map(|(port, name)| format!("{port} {name}")).collect();
        (ports.join(" "), left.join(", "))
    };
    let here = "127.0.0.1:3000:3000 127.0.0.1:3002:3002 3001:3001/udp 9001:3001";
    assert_eq!(of(true), (here.to_owned(), "3001 near, 3003 own".to_owned()));
    // On another machine's engine nothing of this one is in the way.
    let away = "127.0.0.1:3000:3000 127.0.0.1:3001:3001 127.0.0.1:3002:3002 3001:3001/udp 9001:3001";
    assert_eq!(of(false), (away.to_owned(), "3003 own".to_owned()));
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    let plain = Config::parse("t", "[bay]\nname = \"fox\"\n").unwrap();
    assert_eq!(Config::parse("t", "\u{feff}[bay]\r\nname = \"fox\"\r\n").unwrap(), plain);
}

/// Bytes changed, cut and doubled: each file is read or refused in one line, soon.
#[test]
fn no_file_ends_it() {
    let seed = include_str!("../../config.example.toml").replace("\n#[[", "\n[[").replace("\n#", "\n");
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    let bytes =
        [b"\"".as_slice(), b"[", b"]", b"{", b"}", b"=", b"\n", b".", b"\\", b"\0", b"-", b"9", b"\xc3", b"'''"];
    for _ in 0..1500 {
        let mut text = seed.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let from = next(text.len());
            let to = (from + next(40)).min(text.len());
            let piece = match next(3) {
                0 => bytes[next(bytes.len())].to_vec(),
                1 => Vec::new(),
                _ => text[from..to].repeat(2),
            };
            text.splice(from..to, piece);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        match Config::parse("t", &text) {
            Ok(config) => assert_eq!(Config::parse("shown", &config.to_toml()), Ok(config)),
            Err(error) => assert!(!error.to_string().chars().any(char::is_control), "{error:?}"),
        }
    }
}

/// The time that this thread has had a processor: what else the machine does is none of it.
fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

#[test]
fn a_hostile_megabyte_is_answered_soon() {
    let link = |n: usize| format!("[[service]]\nname='s{n}'\nimage='x'\ndepends_on.s{} = 'ready'\n", n + 1);
    let chain: String = (10..1009).map(link).collect();
    let mib = 1 << 20;
    for (what, text) in [
        ("a chain of services", format!("{chain}[[service]]\nname='s1009'\nimage='x'\n")),
        ("a cycle of services", format!("{chain}[[service]]\nname='s1009'\nimage='x'\ndepends_on.s10='ready'\n")),
        ("a key", format!("[worker]\n{} = 1\n", "k".repeat(mib - 20))),
        ("a value", format!("[worker]\nimage = '{}'\n", "-".repeat(mib - 30))),
        ("brackets", "[".repeat(mib)),
        ("dots", "a.".repeat(mib / 2)),
        ("tables", "[[template]]\n".repeat(mib / 13)),
        ("services", (10..14_000).map(link).collect()),
        ("keys", (0..60_000).map(|n| format!("k{n} = 1\n")).collect::<Vec<_>>().concat()),
    ] {
        let start = own_time();
        let said = Config::parse("t", &text).map(|config| config.services.len()).map_err(|e| e.to_string());
        let took = own_time().saturating_sub(start);
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
        match said {
            Ok(services) => assert_eq!((what, services), ("a chain of services", 1000)),
            Err(said) => assert!(said.chars().count() < 700 && !said.contains('\n'), "{what}: {} long", said.len()),
        }
    }
}

#[test]
fn the_state_is_closed_to_others() {
    let room = Room::new();
    let paths = room.paths();
    paths.create().unwrap();
    paths.create().unwrap();
    for part in ["", "sessions", "logs", "workers", "services", "repos"] {
        let mode = fs::metadata(paths.state.join(part)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{part}");
    }
    assert_eq!(fs::read_dir(&paths.state).unwrap().count(), 5);
    assert_eq!(fs::metadata(paths.runtime()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(paths.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    paths.create().unwrap();
    assert_eq!(fs::metadata(paths.runtime()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_runtime_directory_of_somebody_else_is_refused() {
    let room = Room::new();
    let paths = room.paths();
    let run = paths.runtime().to_owned();
    std::os::unix::fs::symlink(room.dir.path().join("state"), &run).unwrap();
    let said = paths.create().unwrap_err().to_string();
    let link = "it is a symbolic link; it must be a directory of your own";
    assert_eq!(said, format!("refused to use {}: {link}", run.display()));
    fs::remove_file(&run).unwrap();
    fs::write(&run, "").unwrap();
    let said = paths.create().unwrap_err().to_string();
    assert!(said.ends_with("something that is not a directory is in the way"), "{said}");
    fs::remove_file(&run).unwrap();
    if room.env.uid != 0 {
        return skipped("a_runtime_directory_of_somebody_else_is_refused (owner)", "needs root");
    }
    fs::create_dir(&run).unwrap();
    std::os::unix::fs::chown(&run, Some(12345), None).unwrap();
    let said = paths.create().unwrap_err().to_string();
    assert_eq!(said, format!("refused to use {}: it belongs to user 12345, not to you (0)", run.display()));
}

#[test]
fn what_may_not_be_read_or_written_is_said() {
    let room = Room::new();
    if room.env.uid == 0 {
        return skipped("what_may_not_be_read_or_written_is_said", "root may read and write everything");
    }
    let file = room.write("cwd/closed.toml", "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(room.bay(Some("closed.toml")), "closed.toml: no permission to read it");
    let state = room.dir.path().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    let said = room.paths().create().unwrap_err().to_string();
    let below = state.join("podbay/bay");
    assert_eq!(said, format!("can't make the directory {}: no permission to write there", below.display()));
}

#[test]
fn a_state_directory_that_can_not_be_written_is_said() {
    for (options, why) in [("size=64k", "the disk is full"), ("ro", "the file system is read-only")] {
        let room = Room::new();
        let state = room.dir.path().join("state");
        let Some(_disk) = Disk::mount(&state, options) else {
            return skipped("a_state_directory_that_can_not_be_written_is_said", "needs the right to mount");
        };
        if options != "ro" {
            fill(&state.join("filler"));
        }
        let said = room.paths().create().unwrap_err().to_string();
        assert!(said.contains(state.to_str().unwrap()) && said.ends_with(why), "{said}");
    }
}
