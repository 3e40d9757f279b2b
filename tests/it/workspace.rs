//! What a worker finds: on real directories, symlinks, sockets and disks.

mod clones;
mod losses;
mod mounts;
mod ssh;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use podbay::bay::name::Name;
use podbay::bay::template::{SshMode, Template, WorkspaceMode};
use podbay::config::Config;
use podbay::config::env::Env;
use podbay::config::paths::Paths;
use podbay::workspace::{Ground, Prepared, forget, prepare, prepare_parent};

pub use crate::skip::skipped;

/// A small file system, unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount.
    pub fn mount(at: &Path, options: &str) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "podbay-test"]).arg(at).stderr(std::process::Stdio::null());
        mount.status().ok()?.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// Writes until the disk is full.
pub fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 1024]).is_ok() {}
}

/// A user's machine in a temporary directory.
struct Room {
    dir: tempfile::TempDir,
    env: Env,
    paths: Paths,
    socket: Option<PathBuf>,
    template: Template,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for part in ["home/src/app", "home/.claude", "home/.config/podbay/secrets", "state", "run", "data"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        let text = |part: &str| root.join(part).to_str().unwrap().to_owned();
        let vars = [("XDG_STATE_HOME".to_owned(), text("state")), ("XDG_RUNTIME_DIR".to_owned(), text("run"))];
        let env = Env { vars: vars.into(), cwd: root.clone(), home: root.join("home"), ..Env::of_process() };
        let paths = Paths::of(&"bay".parse().unwrap(), &env);
        paths.create().unwrap();
        let template = Template { mounts: Vec::new(), ssh: SshMode::None, ..Config::defaults().unwrap().worker };
        Self { dir, env, paths, socket: None, template }
    }

    fn at(&self, part: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(part)
    }

    fn mounts(&mut self, rules: &[&str]) {
        self.template.mounts = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    }

    fn prepare(&self) -> Result<Prepared, String> {
        let ground = Ground { paths: &self.paths, env: &self.env, engine_socket: self.socket.clone() };
        prepare(&ground, &fox(), &self.template).map_err(|error| error.text)
    }

    fn secret(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.paths.secrets().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Everything below `workers/`.
    fn left(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                found.push(entry.path());
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.paths.state.join("workers"), &mut found);
        found
    }
}

fn fox() -> Name {
    "fox".parse().unwrap()
}

fn source<'a>(prepared: &'a Prepared, target: &str) -> Option<&'a Path> {
    prepared.mounts.iter().find(|m| m.target == Path::new(target)).map(|m| m.source.as_path())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_plain_worker_has_a_home_and_a_workspace_of_its_own() {
    let mut room = Room::new();
    (room.env.uid, room.env.gid) = (room.env.uid.max(1), 7);
    room.template.env.insert("A".to_owned(), "1".to_owned());
    let prepared = room.prepare().unwrap();
    let worker = room.paths.worker(&fox());
    let home = room.env.home.to_str().unwrap();
    assert_eq!(prepared.user, Some(format!("{}:7", room.env.uid)));
    assert_eq!(prepared.workdir.as_deref(), Some(Path::new("/workspace")));
    assert_eq!((prepared.env["HOME"].as_str(), prepared.env["A"].as_str()), (home, "1"));
    assert_eq!(source(&prepared, home), Some(worker.join("home").as_path()));
    assert_eq!(source(&prepared, "/workspace"), Some(worker.join("workspace").as_path()));
    assert_eq!(prepared.mounts.len(), 2);
    for part in ["", "home", "workspace", "home/.claude"] {
        assert_eq!(mode(&worker.join(part)), 0o700, "{part}");
    }
    fs::write(worker.join("workspace/work"), "x").unwrap();
    assert_eq!(room.prepare().unwrap(), prepared);
    assert!(worker.join("workspace/work").exists());
}

#[test]
fn projects_are_bound_or_refused() {
    let mut room = Room::new();
    fs::write(room.at("home/file"), "").unwrap();
    symlink(room.at("home"), room.at("data/to-home")).unwrap();
    symlink(room.at("home/src/app"), room.at("data/to-app")).unwrap();
    room.env.vars.insert("SRC".to_owned(), "src".to_owned());
    let app = room.at("home/src/app");
    for good in ["~/src/app", "~/${SRC}/app", app.to_str().unwrap(), room.at("data/to-app").to_str().unwrap()] {
        room.template.project = good.to_owned();
        assert_eq!(source(&room.prepare().unwrap(), "/workspace"), Some(app.as_path()), "{good}");
    }
    assert!(!room.paths.worker(&fox()).join("workspace").exists());
    forget(&room.paths, &fox()).unwrap();
    for (bad, why) in [
        ("~/none", "/home/none does not exist"),
        ("~/file", "/home/file is not a directory"),
        ("/", "it is the whole machine"),
        ("~", "it is the home directory itself"),
        ("~/src/..", "it is the home directory itself"),
        ("~/..", "it holds the home directory"),
        (room.at("data/to-home").to_str().unwrap(), "it is the home directory itself"),
        ("/etc", "it is a directory of the system"),
        ("/proc/self/root", "it is the whole machine"),
        ("/proc/self/root/etc", "it is a directory of the system"),
        ("/proc/self", "it is the kernel's"),
        (room.paths.state.to_str().unwrap(), "it holds podbay's own state"),
        ("src/app", "src/app must be an absolute path"),
        ("${NOT_SET}/app", "the variable NOT_SET is not set"),
    ] {
        room.template.project = bad.to_owned();
        let said = room.prepare().unwrap_err();
        assert!(said.starts_with("project directory: ") && said.contains(why), "{bad}: {said}");
    }
    room.template.workspace = WorkspaceMode::Clone;
    for (project, why) in
        [("", "needs a repository"), ("/etc", "is not a repository"), ("https://x:y@h/a/b", "[git] tokens")]
    {
        room.template.project = project.to_owned();
        let said = room.prepare().unwrap_err();
        assert!(said.contains(why), "{project}: {said}");
    }
    assert_eq!(room.left(), Vec::<PathBuf>::new());
}

#[test]
fn secrets_are_files_that_nobody_else_reads() {
    let mut room = Room::new();
    room.template.secrets = vec!["token".parse().unwrap()];
    let path = room.paths.secrets().join("token");
    let refused = |room: &Room, why: &str| {
        let said = room.prepare().unwrap_err();
        assert!(said.starts_with("secret \"token\": ") && said.contains(why), "{said}");
        assert_eq!(room.left(), Vec::<PathBuf>::new());
    };
    refused(&room, "does not exist; put the secret there, with mode 0600");
    room.secret("token", "hunter2", 0o640);
    refused(&room, "has mode 0640; make it 0600");
    room.secret("token", "hunter2", 0o604);
    refused(&room, "has mode 0604; make it 0600");
    room.secret("token", &"x".repeat(600 << 10), 0o600);
    refused(&room, "is larger than 500 KiB");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&room, "is not a regular file");
    fs::remove_dir(&path).unwrap();
    room.secret("real", "hunter2", 0o600);
    symlink(room.paths.secrets().join("real"), &path).unwrap();
    refused(&room, "is a symbolic link; a secret is a regular file");
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    refused(&room, "is not a regular file");
    fs::remove_file(&path).unwrap();

    for (content, mode_there) in [("hunter2", 0o400), ("hunter3", 0o600), ("hunter3", 0o600)] {
        room.secret("token", content, mode_there);
        let prepared = room.prepare().unwrap();
        let mount = prepared.mounts.iter().find(|m| m.target == Path::new("/run/secrets/token")).unwrap();
        assert!(mount.read_only);
        assert_eq!(mount.source, room.paths.worker(&fox()).join("secrets/token"));
        assert_eq!((mode(&mount.source), fs::read_to_string(&mount.source).unwrap().as_str()), (0o400, content));
        assert!(!format!("{prepared:?}").contains("hunter"));
    }
}

#[test]
fn the_agent_is_given_a_copy_of_its_settings() {
    let mut room = Room::new();
    (room.env.uid, room.env.gid) = (room.env.uid.max(1), 1);
    fs::write(room.at("home/.claude/settings.json"), "s").unwrap();
    fs::write(room.at("home/.claude/inside"), "i").unwrap();
    fs::write(room.at("home/src/outside"), "o").unwrap();
    fs::create_dir(room.at("home/.claude/config.json")).unwrap();
    symlink("inside", room.at("home/.claude/credentials.json")).unwrap();
    symlink(room.at("home/src/outside"), room.at("home/.claude/.credentials.json")).unwrap();
    let prepared = room.prepare().unwrap();
    let copied = room.paths.worker(&fox()).join("home/.claude");
    let read = |name: &str| fs::read_to_string(copied.join(name)).ok();
    assert_eq!((read("settings.json").as_deref(), read("credentials.json").as_deref()), (Some("s"), Some("i")));
    assert_eq!((read(".credentials.json"), read("config.json")), (None, None));
    assert_eq!(mode(&copied.join("settings.json")), 0o600);
    assert_eq!(prepared.notes.len(), 2);
    assert!(prepared.notes[0].ends_with("config.json was not copied: it is not a file"), "{:?}", prepared.notes);
    assert!(prepared.notes[1].contains(".credentials.json was not copied: it leads out of"), "{:?}", prepared.notes);
    fs::write(copied.join("settings.json"), "the worker's").unwrap();
    room.prepare().unwrap();
    assert_eq!(read("settings.json").as_deref(), Some("the worker's"));

    // The worker can't lead podbay out of its home.
    fs::remove_dir_all(&copied).unwrap();
    symlink(room.at("data"), &copied).unwrap();
    let said = room.prepare().unwrap_err();
    assert!(said.contains("home/.claude: "), "{said}");
    assert_eq!(fs::read_dir(room.at("data")).unwrap().count(), 0);
}

#[test]
fn settings_outside_the_home_are_mounted() {
    let mut room = Room::new();
    fs::write(room.at("home/.claude/settings.json"), "s").unwrap();
    room.template.agent_home.to = "/etc/agent".to_owned();
    let prepared = room.prepare().unwrap();
    let agent = room.paths.worker(&fox()).join("agent");
    assert_eq!(source(&prepared, "/etc/agent"), Some(agent.as_path()));
    assert!(agent.join("settings.json").is_file());
    room.template.agent_home.from = "~/.no-agent".to_owned();
    assert_eq!(room.prepare().unwrap().notes, Vec::<String>::new());
}

#[test]
fn ssh_is_forwarded_or_mounted_or_said() {
    let mut room = Room::new();
    let home = "/root";
    room.template.user = "0:0".to_owned();
    room.template.ssh = SshMode::Agent;
    assert!(room.prepare().unwrap().notes[0].contains("$SSH_AUTH_SOCK is not set"));
    room.env.vars.insert("SSH_AUTH_SOCK".to_owned(), room.at("data/agent.sock").display().to_string());
    assert!(room.prepare().unwrap().notes[0].contains("where no agent listens"));
    let _agent = UnixListener::bind(room.at("data/agent.sock")).unwrap();
    let prepared = room.prepare().unwrap();
    assert_eq!(prepared.env["SSH_AUTH_SOCK"], "/run/podbay/ssh-agent.sock");
    assert_eq!(source(&prepared, "/run/podbay/ssh-agent.sock"), Some(room.at("data/agent.sock").as_path()));
    room.socket = Some(room.at("data/agent.sock"));
    assert!(room.prepare().unwrap_err().starts_with("ssh agent: "));
    room.socket = None;
    room.template.ssh = SshMode::Keys;
    assert!(room.prepare().unwrap().notes[0].contains("no keys are mounted"));
    fs::create_dir(room.at("home/.ssh")).unwrap();
    let prepared = room.prepare().unwrap();
    let keys = prepared.mounts.iter().find(|m| m.target == Path::new(home).join(".ssh")).unwrap();
    assert!(keys.read_only && !prepared.env.contains_key("SSH_AUTH_SOCK"));
}

#[test]
fn environment_comes_from_files_and_table() {
    let mut room = Room::new();
    fs::write(room.at("data/a.env"), "A=file\nB=file\nHOME=/elsewhere\n").unwrap();
    fs::write(room.at("data/b.env"), "B=\"second\"\n").unwrap();
    fs::write(room.at("data/bad.env"), "A=1\nnot a pair\n").unwrap();
    room.template.env_file = ["data/a.env", "data/b.env"].map(|file| room.at(file).display().to_string()).into();
    room.template.env = [("A".to_owned(), "table".to_owned())].into();
    let env = room.prepare().unwrap().env;
    assert_eq!((env["A"].as_str(), env["B"].as_str(), env["HOME"].as_str()), ("table", "\"second\"", "/elsewhere"));
    room.template.env_file = vec![room.at("data/bad.env").display().to_string()];
    assert!(room.prepare().unwrap_err().contains("bad.env\", line 2: \"not a pair\" is not KEY=VALUE"));
    room.template.env_file = vec![room.at("data").display().to_string()];
    assert!(room.prepare().unwrap_err().ends_with("is not a regular file"));
    room.template.env_file = vec!["~/none.env".to_owned()];
    assert!(room.prepare().unwrap_err().contains("\"~/none.env\": can't be read"));
}

#[test]
fn a_failure_takes_back_only_what_is_new() {
    let mut room = Room::new();
    room.prepare().unwrap();
    let before = room.left();
    room.secret("token", "x", 0o600);
    room.template.secrets = vec!["token".parse().unwrap()];
    room.mounts(&["~/src:~/deep/er", "~/none:/none"]);
    room.template.agent_home.to = "/agent".to_owned();
    assert!(room.prepare().is_err());
    assert_eq!(room.left(), before);
}

#[test]
fn directories_belong_to_the_worker_when_root_makes_them() {
    let mut room = Room::new();
    if room.env.uid != 0 {
        return skipped("directories_belong_to_the_worker_when_root_makes_them", "needs root");
    }
    fs::write(room.at("home/.claude/settings.json"), "s").unwrap();
    room.secret("token", "x", 0o600);
    room.template.secrets = vec!["token".parse().unwrap()];
    room.template.user = "12345:54321".to_owned();
    let prepared = room.prepare().unwrap();
    assert_eq!((prepared.user.as_deref(), prepared.env["HOME"].as_str()), (Some("12345:54321"), "/home/podbay"));
    let worker = room.paths.worker(&fox());
    for part in ["home", "home/.claude", "home/.claude/settings.json", "workspace", "secrets/token"] {
        let meta = fs::metadata(worker.join(part)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12345, 54321), "{part}");
    }
    assert_eq!(fs::metadata(&worker).unwrap().uid(), 0);
}

#[test]
fn a_full_or_read_only_disk_is_said_and_nothing_is_left() {
    let room = Room::new();
    fs::write(room.at("home/.claude/settings.json"), vec![b'x'; 1 << 20]).unwrap();
    let workers = room.paths.state.join("workers");
    let Some(disk) = Disk::mount(&workers, "size=64k") else {
        return skipped("a_full_or_read_only_disk_is_said_and_nothing_is_left", "needs the right to mount");
    };
    let said = room.prepare().unwrap_err();
    assert!(said.contains("settings.json: ") && said.ends_with("the disk is full"), "{said}");
    assert_eq!(room.left(), Vec::<PathBuf>::new());
    drop(disk);
    let _disk = Disk::mount(&workers, "ro").expect("mounted before");
    let said = room.prepare().unwrap_err();
    assert!(said.ends_with("the file system is read-only"), "{said}");
}

#[test]
fn a_forgotten_worker_leaves_its_work() {
    let mut room = Room::new();
    room.secret("token", "x", 0o600);
    room.template.secrets = vec!["token".parse().unwrap()];
    room.template.agent_home.to = "/agent".to_owned();
    room.prepare().unwrap();
    let worker = room.paths.worker(&fox());
    symlink(room.at("home"), worker.join("home/out")).unwrap();
    assert_eq!(forget(&room.paths, &fox()).unwrap(), Vec::<String>::new());
    assert!(!worker.exists() && room.at("home/src/app").exists());

    room.prepare().unwrap();
    fs::write(worker.join("workspace/work"), "x").unwrap();
    let kept = worker.join("workspace");
    let said = format!("fox's workspace is not empty and was kept: {}", kept.display());
    assert_eq!(forget(&room.paths, &fox()).unwrap(), [said]);
    assert!(kept.join("work").exists() && !worker.join("home").exists() && !worker.join("secrets").exists());
    assert_eq!(forget(&room.paths, &"owl".parse().unwrap()).unwrap(), Vec::<String>::new());
}

#[test]
fn the_parent_has_its_volumes() {
    let room = Room::new();
    let mut parent = Config::defaults().unwrap().parent;
    parent.volumes = vec![format!("{}:/data:ro", room.at("data").display()).parse().unwrap()];
    parent.env.insert("A".to_owned(), "1".to_owned());
    let ground = Ground { paths: &room.paths, env: &room.env, engine_socket: None };
    let prepared = prepare_parent(&ground, &parent).unwrap();
    assert_eq!(source(&prepared, "/data"), Some(room.at("data").as_path()));
    assert_eq!((prepared.user, prepared.env.len()), (Some(format!("{}:{}", room.env.uid, room.env.gid)), 1));
    parent.image = "nginx".to_owned().into();
    assert_eq!(prepare_parent(&ground, &parent).unwrap().user, None);
    parent.volumes = vec!["/etc:/data".parse().unwrap()];
    assert!(prepare_parent(&ground, &parent).unwrap_err().text.contains("it is a directory of the system"));
}
