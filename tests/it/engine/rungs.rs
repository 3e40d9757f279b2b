//! The rungs below own namespaces: what each refuses from inside, what it says that it does not, and who opens namespaces
//! where podbay may not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use podbay::bay::container::{ContainerSpec, NetworkSpec, Status};
use podbay::bay::isolation::Isolation;
use podbay::bay::mount::Mount;
use podbay::bay::session::TermSize;
use podbay::engine::{ExecIo, ExecSpec, LogQuery};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use tokio::io::AsyncWriteExt as _;

use super::bed::{Bed, read_until, texts, until};
use super::local::{OTHER, open_copies};
use crate::skip::{Need, lacks, skipped};

/// Set for a run that may make no user namespaces by itself.
const NO_UNSHARE: &str = "PODBAY_TEST_NO_UNSHARE";

fn worker(bed: &Bed, name: &str, command: &[&str]) -> ContainerSpec {
    let mut spec = bed.spec(name, command);
    spec.network = NetworkSpec::Bridge(Vec::new());
    spec.user = Some(format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    spec
}

/// What the probe says at the level of Landlock, as `KEY=WORD` lines.
async fn probed(bed: &Bed, network: NetworkSpec, env: &[(&str, String)]) -> BTreeMap<String, String> {
    let mut spec = worker(bed, "fox", &["/probe", "--exact", "engine::bare_probe::probe", "--ignored", "--nocapture"]);
    let binary = std::env::current_exe().unwrap().canonicalize().unwrap();
    spec.mounts.push(Mount { source: binary, target: "/probe".into(), read_only: true });
    spec.env = env.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    spec.env.insert("PROBE".to_owned(), "1".to_owned());
    spec.network = network;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = bed.exit(&id).await;
    let log = bed.log(&id, LogQuery::default()).await;
    let lines: Vec<String> = texts(&log).into_iter().map(|(_, line)| line).collect();
    assert!(matches!(ended.status, Status::Exited { code: 0, .. }), "{ended:?}\n{}", lines.join("\n"));
    bed.engine.remove(&id).await.unwrap();
    let said = lines.iter().filter_map(|line| line.split_once('='));
    said.map(|(key, word)| (key.trim().to_owned(), word.trim().to_owned())).collect()
}

fn all_refused(said: &BTreeMap<String, String>, keys: &[&str]) {
    for key in keys {
        let word = said.get(*key).unwrap_or_else(|| panic!("{key} in {said:?}"));
        assert!(["PERM", "ACCESS"].contains(&word.as_str()), "{key}: {word} in {said:?}");
    }
}

fn all_done(said: &BTreeMap<String, String>, keys: &[&str]) {
    for key in keys {
        assert_eq!(said.get(*key).map(String::as_str), Some("done"), "{key} in {said:?}");
    }
}

async fn landlock(test: &str) -> Option<Bed> {
    Bed::rung(test, Some(Isolation::Landlock)).await
}

fn shared() -> NetworkSpec {
    NetworkSpec::Bridge(Vec::new())
}

#[tokio::test]
async fn landlock_closes_the_users_files_and_the_machines() {
    let Some(bed) = landlock("landlock_closes_the_users_files_and_the_machines").await else { return };
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    fs::write(&secret, "mine").unwrap();
    let env = [("SECRET", secret.display().to_string()), ("OUTSIDE", home.path().display().to_string())];
    let said = probed(&bed, shared(), &env).await;
    all_refused(&said, &["secret", "list", "write", "cut", "make", "link", "rename", "state", "shm"]);
    // Inside of a container, that one's own walls may be first.
    for (key, other) in [("usr", "ROFS"), ("sysctl", "ROFS"), ("shadow", "NOENT")] {
        assert!(["ACCESS", "PERM", other].contains(&said[key].as_str()), "{key} in {said:?}");
    }
    all_refused(&said, &["device", "pts", "ptmx"]);
    all_done(&said, &["own-tmp", "own-home", "own-root", "run", "null", "proc-self"]);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "mine");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    assert!(!Path::new("/usr/podbay-was-here").exists());
}

#[tokio::test]
async fn landlock_refuses_mounts_namespaces_and_modules() {
    let Some(bed) = landlock("landlock_refuses_mounts_namespaces_and_modules").await else { return };
    let said = probed(&bed, shared(), &[]).await;
    let keys =
        ["tmpfs", "bind", "chroot", "unshare-user", "unshare-mount", "unshare-net", "clone-user", "setns", "module"];
    all_refused(&said, &keys);
    all_refused(&said, &["bpf", "keyring", "shm-sysv"]);
    for key in ["clone3", "uring"] {
        assert_eq!(said[key], "NOSYS", "{said:?}");
    }
    assert!(["NOSYS", "none"].contains(&said["x32"].as_str()), "{said:?}");
}

#[tokio::test]
async fn landlock_keeps_from_the_machines_processes() {
    let Some(bed) = landlock("landlock_keeps_from_the_machines_processes").await else { return };
    let mut victim = Command::new("sleep").arg("300").spawn().unwrap();
    let owl = bed.create(&worker(&bed, "owl", &["sleep", "infinity"])).await;
    bed.engine.start(&owl).await.unwrap();
    let Status::Running { pid: first, .. } = bed.engine.inspect(&owl).await.unwrap().status else { panic!("it runs") };
    let other = podbay::service::process::descendants(first).first().unwrap().id.pid;
    for pid in [victim.id(), other] {
        let said = probed(&bed, shared(), &[("HOST_PID", pid.to_string())]).await;
        all_refused(&said, &["trace", "environ", "memory", "root", "steal", "signal"]);
        all_done(&said, &["own-signal", "own-trace"]);
        // Not walled, and said: see `every_level_says_what_it_leaves_open`.
        assert_eq!(said["seen"], "done", "{said:?}");
    }
    assert!(victim.try_wait().unwrap().is_none(), "it was signalled");
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(bed.engine.inspect(&owl).await.unwrap().status.is_running());
}

#[tokio::test]
async fn landlock_keeps_from_every_unix_socket() {
    let Some(bed) = landlock("landlock_keeps_from_every_unix_socket").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("supervisor.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let said = probed(&bed, shared(), &[("SOCKET", path.display().to_string())]).await;
    all_refused(&said, &["socket", "packet"]);
    all_done(&said, &["pair"]);
}

#[tokio::test]
async fn landlocks_network_is_the_machines_or_none() {
    let Some(bed) = landlock("landlocks_network_is_the_machines_or_none").await else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let said = probed(&bed, shared(), &[("PORT", port.clone())]).await;
    all_done(&said, &["tcp", "udp"]);
    let said = probed(&bed, NetworkSpec::None, &[("PORT", port)]).await;
    all_refused(&said, &["tcp", "udp", "socket"]);
    let limits = bed.engine.identify().await.unwrap().limits;
    assert!(limits.iter().any(|limit| limit.what == "shared namespace" && limit.why.starts_with("not isolated")));
}

#[tokio::test]
async fn landlock_leaves_nothing_to_be_gained() {
    let Some(bed) = landlock("landlock_leaves_nothing_to_be_gained").await else { return };
    let said = probed(&bed, shared(), &[]).await;
    // KILL alone is left to root, which no signal leaves the walls by.
    let left = if rustix::process::geteuid().is_root() { "0000000000000020" } else { "0000000000000000" };
    assert_eq!(
        (said["NoNewPrivs"].as_str(), said["CapEff"].as_str(), said["Seccomp"].as_str()),
        ("1", left, "2"),
        "{said:?}"
    );
}

/// At every rung without namespaces, and by bwrap: the terminal is podbay's own work.
async fn a_shell(bed: &Bed) {
    let (id, mut tty) = bed.shell(worker(bed, "fox", &["bash", "--norc"])).await;
    tty.input
        .write_all(
            b"echo to > /dev/tty; stty size; sleep 100 & jobs; exec 3<$(tty) && echo by-name; kill %1; wait; exit 7\n",
        )
        .await
        .unwrap();
    let seen = read_until(&mut tty.output, b"exit\r\n").await;
    let text = String::from_utf8_lossy(&seen);
    for words in ["to\r\n33 99", "Running", "by-name"] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    let ended = bed.exit(&id).await;
    assert!(matches!(ended.status, Status::Exited { code: 7, .. }), "{ended:?}");
}

#[tokio::test]
async fn a_shell_has_its_terminal_at_landlock() {
    if let Some(bed) = landlock("a_shell_has_its_terminal_at_landlock").await {
        a_shell(&bed).await;
    }
}

#[tokio::test]
async fn a_shell_has_its_terminal_at_none() {
    if let Some(bed) = Bed::rung("a_shell_has_its_terminal_at_none", Some(Isolation::None)).await {
        a_shell(&bed).await;
    }
}

#[tokio::test]
async fn a_shell_has_its_terminal_by_bwrap() {
    if let Some(bed) = Bed::rung("a_shell_has_its_terminal_by_bwrap", None).await {
        a_shell(&bed).await;
    }
}

/// One more shell may end what the main one began, and has the same places.
async fn more_shells(bed: &Bed) {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("note"), "of the project").unwrap();
    let mut spec = worker(bed, "fox", &["sh", "-c", "sleep 300; echo ended; sleep 300"]);
    spec.workdir = Some("/workspace".into());
    spec.mounts.push(Mount {
        source: project.path().canonicalize().unwrap(),
        target: "/workspace".into(),
        read_only: false,
    });
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let script = "cat note $PODBAY_ROOT/workspace/note; echo more > made; \
                  for p in /proc/[0-9]*; do case $(cat $p/stat) in *'(sleep)'*\" $1 \"*) kill ${p#/proc/};; esac; done; tty && echo up";
    let main = until("its main process runs", async || {
        let Status::Running { pid, .. } = bed.engine.inspect(&id).await.unwrap().status else {
            return Err("ended".to_owned());
        };
        let below = podbay::service::process::descendants(pid);
        let main = below.iter().find(|process| process.parent == pid).map(|process| process.id.pid);
        main.filter(|_| below.len() > 1).ok_or_else(|| format!("{below:?}"))
    })
    .await;
    let command = ["sh", "-c", script, "sh", &main.to_string()].map(str::to_owned).to_vec();
    let exec = ExecSpec { command, tty: Some(TermSize::default()), ..ExecSpec::default() };
    let exec = bed.engine.exec(&id, &exec).await.unwrap();
    let ExecIo::Tty(mut tty) = exec.io else { panic!("not a terminal") };
    let seen = read_until(&mut tty.output, b"up\r\n").await;
    let text = String::from_utf8_lossy(&seen);
    assert_eq!(text.matches("of the project").count(), 2, "{text}");
    assert_eq!(fs::read_to_string(project.path().join("made")).unwrap(), "more\n");
    until("what it ended has ended", async || {
        let log = texts(&bed.log(&id, LogQuery::default()).await);
        if log.iter().any(|(_, line)| line == "ended") { Ok(()) } else { Err(format!("{log:?}")) }
    })
    .await;
}

#[tokio::test]
async fn more_shells_share_the_walls_of_landlock() {
    if let Some(bed) = landlock("more_shells_share_the_walls_of_landlock").await {
        more_shells(&bed).await;
    }
}

#[tokio::test]
async fn more_shells_find_their_places_at_none() {
    if let Some(bed) = Bed::rung("more_shells_find_their_places_at_none", Some(Isolation::None)).await {
        more_shells(&bed).await;
    }
}

fn marked(id: &str) -> Vec<u32> {
    let found = podbay::service::process::with_variable("PODBAY_CONTAINER", id);
    found.into_iter().map(|id| id.pid).collect()
}

/// Without a pid namespace, what runs away is ended all the same: with a stop, with its main process, and after a shim
/// that was killed.
async fn nothing_is_left(bed: &Bed) {
    let script = "setsid sh -c 'sleep 300' & (setsid nohup sleep 301 >/dev/null 2>&1 &); ";
    for end in ["sleep 302", "exit 3", "sleep 303"] {
        let id = bed.create(&worker(bed, "fox", &["sh", "-c", &format!("{script}{end}")])).await;
        bed.engine.start(&id).await.unwrap();
        let Status::Running { pid, .. } = bed.engine.inspect(&id).await.unwrap().status else {
            assert!(end.starts_with("exit"));
            until(
                "nothing is left",
                async || if marked(id.as_str()).is_empty() { Ok(()) } else { Err("some".to_owned()) },
            )
            .await;
            bed.engine.remove(&id).await.unwrap();
            continue;
        };
        until("all of it runs", async || {
            let count = marked(id.as_str()).len();
            if count >= 3 || end.starts_with("exit") { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
        match end {
            "sleep 302" => bed.engine.stop(&id, Duration::from_secs(1)).await.unwrap(),
            "sleep 303" => {
                let shim = podbay::service::process::look(pid).unwrap().parent;
                let shim = rustix::process::Pid::from_raw(i32::try_from(shim).unwrap()).unwrap();
                rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
                bed.exit(&id).await;
                // Whoever comes next finds it.
                drop(bed.another().unwrap().identify().await);
            }
            _ => drop(bed.exit(&id).await),
        }
        let left = marked(id.as_str());
        assert!(left.is_empty(), "after {end}: {left:?}");
        bed.engine.remove(&id).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_left_at_landlock() {
    if let Some(bed) = landlock("nothing_is_left_at_landlock").await {
        nothing_is_left(&bed).await;
    }
}

#[tokio::test]
async fn nothing_is_left_at_none() {
    if let Some(bed) = Bed::rung("nothing_is_left_at_none", Some(Isolation::None)).await {
        nothing_is_left(&bed).await;
    }
}

/// User namespaces are refused to this call, as where the system refuses them to unknown programs. bwrap makes them by
/// `clone`, podbay by `unshare`.
fn refusing(calls: &[i64]) -> BpfProgram {
    let flag = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let asks = || SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag).unwrap();
    let rules = calls.iter().map(|call| (*call, vec![SeccompRule::new(vec![asks()]).unwrap()])).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap()
}

/// The variable that names what [`run_without_namespaces`] runs, its words apart by a line feed.
pub const RUN: &str = "PODBAY_TEST_RUN";

#[test]
#[ignore = "runs another program, for the tests that say which"]
fn run_without_namespaces() {
    let Ok(words) = std::env::var(RUN) else { return };
    let words: Vec<&str> = words.lines().collect();
    seccompiler::apply_filter(&refusing(&[libc::SYS_unshare, libc::SYS_clone])).unwrap();
    let error = Command::new(words[0]).args(&words[1..]).env_remove(RUN).exec();
    panic!("{words:?}: {error}");
}

#[test]
#[expect(unsafe_code, reason = "the filter is taken between fork and exec: two system calls")]
fn bwrap_opens_what_is_refused() {
    let test = "bwrap_opens_what_is_refused";
    if !rustix::process::geteuid().is_root() || std::env::var_os(OTHER).is_some() {
        return skipped(test, "only root can run it as somebody else");
    }
    if !Path::new("/usr/bin/bwrap").exists() {
        return lacks(Need::Rung("bwrap"), test, "no bwrap");
    }
    let folder = open_copies();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).unwrap();
    let mut command = Command::new(folder.path().join("it"));
    command.args(["--exact", "engine::rungs::refused_here", "--ignored", "--nocapture"]).env_clear().current_dir("/");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", &home).env("HOME", &home).env(NO_UNSHARE, "1");
    command.env("PODBAY_TEST_PROGRAM", folder.path().join("podbay")).uid(65_534).gid(65_534);
    let filter = refusing(&[libc::SYS_unshare]);
    // SAFETY: the filter is made before; what is left are two system calls.
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&filter).map_err(|_| std::io::Error::last_os_error()))
    };
    let output = command.output().unwrap();
    let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("refused_here ... ok"), "{text}");
}

#[tokio::test]
#[ignore = "run without unshare by the test beside it"]
async fn refused_here() {
    if std::env::var_os(NO_UNSHARE).is_none() {
        return;
    }
    let bed = Bed::rung("refused_here", Some(Isolation::Namespaces)).await.expect("bwrap opens namespaces");
    let identity = bed.engine.identify().await.unwrap();
    assert_eq!(identity.isolation, Isolation::Namespaces);
    let limits: Vec<String> = identity.limits.iter().map(|limit| format!("{}: {}", limit.what, limit.why)).collect();
    assert!(limits.iter().any(|limit| limit.contains("opened by /usr/bin/bwrap")), "{limits:?}");
    a_shell(&bed).await;
    let below = podbay::service::process::descendants(std::process::id());
    let lines = below.iter().map(|process| fs::read_to_string(format!("/proc/{}/cmdline", process.id.pid)));
    let left: Vec<String> = lines.flatten().filter(|line| line.starts_with("/usr/bin/bwrap")).collect();
    assert_eq!(left, Vec::<String>::new(), "it ends when the namespace is entered");
}

#[tokio::test]
async fn inside_of_a_container_landlock_passes() {
    let Some(bed) = Bed::docker("inside_of_a_container_landlock_passes").await else { return };
    if landlock("inside_of_a_container_landlock_passes").await.is_none() {
        return;
    }
    let script = "mkdir /tmp/h && TMPDIR=/tmp/h HOME=/tmp/h /it engine::contract::local_landlock engine::rungs::landlock \
                  engine::rungs::a_shell_has_its_terminal_at_landlock engine::rungs::nothing_is_left_at_landlock \
                  --nocapture --test-threads 2";
    let mut spec = bed.spec("fox", &["sh", "-c", script]);
    spec.env = [("PODBAY_TEST_PROGRAM", "/podbay"), ("PODBAY_REQUIRE_RUNGS", "landlock"), (OTHER, "1")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    spec.limits.pids = 1000;
    // What an engine leaves to root when nothing else is said.
    spec.hardening.cap_drop = Vec::new();
    let own = std::env::current_exe().unwrap();
    let given = [(own, "/it"), (PathBuf::from(env!("CARGO_BIN_EXE_podbay")), "/podbay")];
    let given = given.map(|(source, target)| Mount {
        source: source.canonicalize().unwrap(),
        target: target.into(),
        read_only: true,
    });
    spec.mounts = given.to_vec();
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = until("its tests end", async || {
        let deadline = std::time::Instant::now() + Duration::from_mins(2);
        loop {
            let seen = bed.engine.inspect(&id).await.unwrap();
            if matches!(seen.status, Status::Exited { .. }) {
                return Ok(seen);
            }
            assert!(std::time::Instant::now() < deadline, "{seen:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let lines: Vec<String> =
        texts(&bed.log(&id, LogQuery::default()).await).into_iter().map(|(_, line)| line).collect();
    let text = lines.join("\n");
    assert!(matches!(ended.status, Status::Exited { code: 0, .. }), "{ended:?}\n{text}");
    assert!(
        text.contains("local_landlock::a_terminal_is_raw_both_ways ... ok") && !text.contains("skipped:"),
        "{text}"
    );
}
