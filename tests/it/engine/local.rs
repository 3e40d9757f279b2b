//! What only the engine without a daemon can show: its walls from inside, its processes from outside, and the same as an
//! ordinary user.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use podbay::bay::container::{ContainerSpec, NetworkSpec, Role, Status, label};
use podbay::bay::isolation::Isolation;
use podbay::bay::mount::Mount;
use podbay::bay::port::{PortMapping, Protocol};
use podbay::bay::session::TermSize;
use podbay::engine::{ExecIo, ExecSpec, LogQuery};
use tokio::io::AsyncWriteExt as _;

use super::bed::{Bed, read_until, refused, texts, until};
use super::spare;
use crate::skip::skipped;

/// Set for the run as another user.
pub const OTHER: &str = "PODBAY_TEST_OTHER_USER";
/// Where the probe stands in a container.
const PROBE: &str = "/probe";

/// This binary and podbay's, where everybody may run them.
pub fn open_copies() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let own = std::env::current_exe().unwrap();
    for (name, from) in [("it", own.as_path()), ("podbay", Path::new(env!("CARGO_BIN_EXE_podbay")))] {
        let to = folder.path().join(name);
        if std::fs::hard_link(from, &to).is_err() {
            std::fs::copy(from, &to).unwrap();
        }
    }
    folder
}

#[test]
fn the_contract_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() || std::env::var_os(OTHER).is_some() {
        // Then every test of it is one already.
        return skipped("the_contract_holds_for_an_ordinary_user", "only root can run it as somebody else");
    }
    let folder = open_copies();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).unwrap();
    let mut command = Command::new(folder.path().join("it"));
    command
        .args([
            "engine::contract::local",
            "engine::local",
            "engine::network",
            "engine::left",
            "engine::rungs",
            "engine::spare",
            "--nocapture",
        ])
        .env_clear()
        .current_dir("/");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", &home).env("HOME", &home).env(OTHER, "1");
    command.env("PODBAY_TEST_PROGRAM", folder.path().join("podbay"));
    let output = command.uid(65_534).gid(65_534).output().unwrap();
    let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("skipped: local::"), "{text}");
    // Where root has Landlock, everybody has.
    let landlock = podbay::engine::local::landlock::version().is_ok();
    assert!(!landlock || !text.contains("skipped: landlock::"), "{text}");
    assert!(text.contains("test engine::contract::local::a_terminal_is_raw_both_ways ... ok"), "{text}");
}

#[tokio::test]
async fn inside_of_a_container_the_remedy_is_named() {
    let Some(bed) = Bed::docker("inside_of_a_container_the_remedy_is_named").await else { return };
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("c/podbay")).unwrap();
    std::fs::write(home.path().join("c/podbay/config.toml"), "[engine]\nkind = \"local\"\n").unwrap();
    let script = "cp -r /given /tmp/x; cd /tmp/x; mkdir -m 700 s r; /podbay doctor";
    let mut spec = bed.spec("fox", &["sh", "-c", script]);
    let home_of = |part: &str| format!("/tmp/x{part}");
    spec.env = [("HOME", ""), ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/r")]
        .map(|(key, part)| (key.to_owned(), home_of(part)))
        .into();
    let given = [(PathBuf::from(env!("CARGO_BIN_EXE_podbay")), "/podbay"), (home.path().to_owned(), "/given")];
    spec.mounts = given
        .map(|(source, target)| Mount {
            source: source.canonicalize().unwrap(),
            target: target.into(),
            read_only: true,
        })
        .to_vec();
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = bed.exit(&id).await;
    let lines: Vec<String> =
        texts(&bed.log(&id, LogQuery::default()).await).into_iter().map(|(_, line)| line).collect();
    let text = lines.join("\n");
    assert!(text.contains("make a user namespace: Operation not permitted"), "{ended:?} {text}");
    assert!(text.contains("--security-opt seccomp=unconfined"), "{text}");
}

/// A worker as the bay makes them: this user's, with a tty of no importance here.
pub fn worker(bed: &Bed, name: &str, command: &[&str]) -> ContainerSpec {
    let mut spec = bed.spec(name, command);
    spec.network = NetworkSpec::Bridge(Vec::new());
    spec.user = Some(format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    let binary = std::env::current_exe().unwrap().canonicalize().unwrap();
    spec.mounts.push(Mount { source: binary, target: PROBE.into(), read_only: true });
    spec
}

/// What the probe says inside of a worker, with this environment: the same in a world that was made for it, and in one
/// that was made ahead.
async fn probed(bed: &Bed, env: &[(&str, String)]) -> String {
    let text = probed_once(bed, worker(bed, "hen", &[]), env).await;
    let cock = bed.create(&worker(bed, "cock", &["sleep", "4711"])).await;
    bed.engine.start(&cock).await.unwrap();
    let spare = spare::waits(&bed.state().unwrap()).await;
    let mut spec = worker(bed, "fox", &[]);
    spec.tty = true;
    let ahead = probed_once(bed, spec, env).await;
    assert!(!spare::is_there(&spare), "it was not used");
    let answers = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains('=')).map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(answers(&text), answers(&ahead));
    text
}

async fn probed_once(bed: &Bed, mut spec: ContainerSpec, env: &[(&str, String)]) -> String {
    spec.command = [PROBE, "--exact", "engine::probe::probe", "--ignored", "--nocapture"].map(str::to_owned).to_vec();
    spec.env = env.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    spec.env.insert("PROBE".to_owned(), "1".to_owned());
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = bed.exit(&id).await;
    let log = bed.log(&id, LogQuery::default()).await;
    let text = texts(&log).into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    assert!(matches!(ended.status, Status::Exited { code: 0, .. }), "{ended:?}\n{text}");
    text
}

fn said(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.split_once(&format!("{key}="))?.1.split_whitespace().next());
    line.unwrap_or_else(|| panic!("{key} in {text}")).to_owned()
}

#[tokio::test]
async fn the_users_home_is_not_there() {
    let Some(bed) = Bed::local("the_users_home_is_not_there") else { return };
    let home = tempfile::tempdir_in(std::env::var("HOME").unwrap_or_else(|_| "/tmp".to_owned())).unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "mine").unwrap();
    let text = probed(&bed, &[("SECRET", secret.display().to_string())]).await;
    assert_eq!((said(&text, "secret").as_str(), said(&text, "homes").as_str()), ("NOENT", "0"), "{text}");
}

#[tokio::test]
async fn the_machine_can_not_be_written() {
    let Some(bed) = Bed::local("the_machine_can_not_be_written") else { return };
    let text = probed(&bed, &[]).await;
    for key in ["usr", "sysctl"] {
        assert!(["ROFS", "ACCESS", "PERM"].contains(&said(&text, key).as_str()), "{key}: {text}");
    }
    assert!(!Path::new("/usr/podbay-was-here").exists());
}

#[tokio::test]
async fn nothing_can_be_mounted_or_unshared() {
    let Some(bed) = Bed::local("nothing_can_be_mounted_or_unshared") else { return };
    let text = probed(&bed, &[]).await;
    for key in ["tmpfs", "bind", "root", "chroot", "enter"] {
        assert!(["PERM", "ACCESS"].contains(&said(&text, key).as_str()), "{key}: {text}");
    }
    for key in ["unshare-user", "unshare-mount", "unshare-pid", "unshare-net"] {
        assert_eq!(said(&text, key), "false", "{key}: {text}");
    }
}

#[tokio::test]
async fn no_module_can_be_loaded() {
    let Some(bed) = Bed::local("no_module_can_be_loaded") else { return };
    let text = probed(&bed, &[]).await;
    // A kernel without modules has no such call.
    assert!(["PERM", "NOSYS"].contains(&said(&text, "module").as_str()), "{text}");
}

#[tokio::test]
async fn no_process_of_the_machine_can_be_reached() {
    let Some(bed) = Bed::local("no_process_of_the_machine_can_be_reached") else { return };
    let mut victim = Command::new("sleep").arg("300").spawn().unwrap();
    let text = probed(&bed, &[("HOST_PID", victim.id().to_string())]).await;
    let lives = victim.try_wait().unwrap().is_none();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(lives, "it was signalled: {text}");
    for key in ["signal", "handle", "trace"] {
        assert_eq!(said(&text, key), "SRCH", "{key}: {text}");
    }
    assert_eq!(said(&text, "memory"), "NOENT", "{text}");
    assert_eq!(said(&text, "environ"), "false");
}

#[tokio::test]
async fn the_first_process_can_not_be_looked_into() {
    let Some(bed) = Bed::local("the_first_process_can_not_be_looked_into") else { return };
    let text = probed(&bed, &[]).await;
    for key in ["first-fd", "first-mem", "first-trace"] {
        assert!(["PERM", "ACCESS"].contains(&said(&text, key).as_str()), "{key}: {text}");
    }
    // It hears no signal that it does not ask for: were it killed, nothing would have been said after this.
    assert!(["done", "PERM"].contains(&said(&text, "first-kill").as_str()), "{text}");
}

#[tokio::test]
async fn other_workers_can_not_be_seen() {
    let Some(bed) = Bed::local("other_workers_can_not_be_seen") else { return };
    let owl = bed.create(&worker(&bed, "owl", &["sleep", "infinity"])).await;
    bed.engine.start(&owl).await.unwrap();
    let text = probed(&bed, &[]).await;
    assert_eq!(said(&text, "others"), "0", "{text}");
}

#[tokio::test]
async fn no_socket_of_the_machine_can_be_reached() {
    let Some(bed) = Bed::local("no_socket_of_the_machine_can_be_reached") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("supervisor.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let text = probed(&bed, &[("SOCKET", path.display().to_string())]).await;
    assert_eq!(said(&text, "socket"), "NOENT", "{text}");
}

#[tokio::test]
async fn nothing_is_left_to_be_gained() {
    let Some(bed) = Bed::local("nothing_is_left_to_be_gained") else { return };
    let text = probed(&bed, &[]).await;
    // KILL alone is left to root, and nothing to anybody else.
    let left = if rustix::process::geteuid().is_root() { "0000000000000020" } else { "0000000000000000" };
    let facts = ["NoNewPrivs", "CapBnd", "CapEff", "CapAmb"].map(|key| said(&text, key));
    assert_eq!(facts, ["1", "0000000000000020", left, "0000000000000000"], "{text}");
}

#[tokio::test]
async fn a_root_that_is_read_only_takes_no_files() {
    let Some(bed) = Bed::local("a_root_that_is_read_only_takes_no_files") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "touch /x 2>/dev/null || echo closed; touch /tmp/x /run/x /workspace/made && echo open; \
                  cp /usr/bin/env /tmp/run && /tmp/run true && echo runs; ulimit -n";
    let mut spec = worker(&bed, "fox", &["sh", "-c", script]);
    spec.hardening.read_only = true;
    spec.workdir = Some("/workspace".into());
    spec.mounts.push(Mount { source: folder.path().into(), target: "/workspace".into(), read_only: false });
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    let lines: Vec<String> =
        texts(&bed.log(&id, LogQuery::default()).await).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["closed", "open", "runs", "1024"]);
    assert!(folder.path().join("made").exists());
}

#[tokio::test]
async fn a_link_that_a_program_left_leads_nothing_out() {
    let Some(bed) = Bed::local("a_link_that_a_program_left_leads_nothing_out") else { return };
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().display();
    let script = format!(
        "grep -c localhost /etc/hosts; rm /etc/hosts /etc/hostname; ln -s {out}/hosts /etc/hosts; \
         ln -s {out} /etc/hostname; ln -s {out} /.left"
    );
    let mut spec = worker(&bed, "fox", &["sh", "-c", &script]);
    spec.workdir = Some("/work/deep".into());
    let id = bed.create(&spec).await;
    for _ in 0..2 {
        bed.engine.start(&id).await.unwrap();
        let ended = bed.exit(&id).await;
        assert!(matches!(ended.status, Status::Exited { code: 0, .. }), "{ended:?}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    let said = texts(&bed.log(&id, LogQuery::default()).await);
    assert!(said.len() == 2 && said.iter().all(|(error, line)| !error && line != "0"), "{said:?}");
}

#[tokio::test]
async fn nothing_is_made_below_what_is_only_shown() {
    let Some(bed) = Bed::local("nothing_is_made_below_what_is_only_shown") else { return };
    let folder = tempfile::tempdir().unwrap();
    let name = format!("podbay-{}", bed.bay);
    // The second one leads there by a link of the root's.
    for (number, top) in ["/usr", "/lib"].into_iter().enumerate() {
        let target = Path::new(top).join(&name);
        for is_mount in [true, false] {
            let mut spec = worker(&bed, &format!("fox-{number}-{is_mount}"), &["true"]);
            if is_mount {
                spec.mounts.push(Mount { source: folder.path().into(), target: target.clone(), read_only: true });
            } else {
                spec.workdir = Some(target.clone());
            }
            let id = bed.create(&spec).await;
            let error = bed.engine.start(&id).await.unwrap_err().to_string();
            let made = std::fs::remove_dir(&target).is_ok();
            assert!(error.contains("/usr is shown, and may not be written") && !made, "{made} {error}");
        }
    }
}

#[tokio::test]
async fn a_shell_has_a_terminal_of_its_own() {
    let Some(bed) = Bed::local("a_shell_has_a_terminal_of_its_own") else { return };
    let (id, mut tty) = bed.shell(worker(&bed, "fox", &["bash", "--norc"])).await;
    tty.input.write_all(b"tty; stty size; git --version; sleep 100 & jobs; exit 7\n").await.unwrap();
    let seen = read_until(&mut tty.output, b"exit\r\n").await;
    let text = String::from_utf8_lossy(&seen);
    for words in ["/dev/pts/0", "33 99", "git version", "Running"] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    let ended = bed.exit(&id).await;
    assert!(matches!(ended.status, Status::Exited { code: 7, .. }), "{ended:?}");
}

#[tokio::test]
async fn what_is_left_behind_is_reaped() {
    let Some(bed) = Bed::local("what_is_left_behind_is_reaped") else { return };
    let script = "for i in 1 2 3 4 5; do (setsid sleep 0.05 &); done; sleep 0.5; \
                  cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z' ; exit 0";
    let id = bed.create(&worker(&bed, "fox", &["sh", "-c", script])).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    assert_eq!(texts(&bed.log(&id, LogQuery::default()).await), [(false, "0".to_owned())]);
}

#[tokio::test]
async fn a_shim_that_is_killed_takes_its_container_along() {
    let Some(bed) = Bed::local("a_shim_that_is_killed_takes_its_container_along") else { return };
    let spec = worker(&bed, "fox", &["sh", "-c", "setsid sleep infinity & sleep infinity"]);
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let Status::Running { pid, .. } = bed.engine.inspect(&id).await.unwrap().status else { panic!("not running") };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let shim: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    let shim = rustix::process::Pid::from_raw(shim).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    let ended = bed.exit(&id).await;
    let Status::Exited { code: 137, error, .. } = &ended.status else { panic!("{ended:?}") };
    assert!(error.contains("shim was killed"), "{error}");
    until("the first process is gone", async || {
        if Path::new(&format!("/proc/{pid}")).exists() { Err("it lives".to_owned()) } else { Ok(()) }
    })
    .await;
    bed.engine.start(&id).await.unwrap();
    assert!(bed.engine.inspect(&id).await.unwrap().status.is_running());
}

#[tokio::test]
async fn another_engine_of_the_same_state_finds_everything() {
    let Some(bed) = Bed::local("another_engine_of_the_same_state_finds_everything") else { return };
    let mut spec = worker(&bed, "fox", &["sh", "-c", "echo first; read line; echo got $line; sleep infinity"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let next = bed.another().unwrap();
    assert_eq!(next.list(&bed.bay).await.unwrap(), bed.engine.list(&bed.bay).await.unwrap());
    let mut tty = next.attach(&id).await.unwrap();
    tty.input.write_all(b"it\n").await.unwrap();
    read_until(&mut tty.output, b"got it\r\n").await;
    next.stop(&id, Duration::from_secs(5)).await.unwrap();
    let ended = bed.exit(&id).await;
    assert!(matches!(ended.status, Status::Exited { code: 129, .. }), "{ended:?}");
}

#[tokio::test]
async fn two_that_would_listen_at_one_place_are_not_both_started() {
    let Some(bed) = Bed::local("two_that_would_listen_at_one_place_are_not_both_started") else { return };
    let listening = |name: &str, host: u16| {
        let mut spec = worker(&bed, name, &["sleep", "infinity"]);
        spec.labels.insert(label::ROLE.to_owned(), Role::Worker.as_str().to_owned());
        let ip = std::net::IpAddr::from([127, 0, 0, 1]);
        spec.network =
            NetworkSpec::Bridge(vec![PortMapping { ip: Some(ip), host, container: 47_301, protocol: Protocol::Tcp }]);
        spec
    };
    let fox = bed.create(&listening("fox", 47_302)).await;
    let owl = bed.create(&listening("owl", 47_303)).await;
    bed.engine.start(&fox).await.unwrap();
    let said = bed.engine.start(&owl).await.unwrap_err().to_string();
    assert!(said.contains("47301") && said.contains("fox") && said.contains("shares"), "{said}");
    bed.engine.remove(&fox).await.unwrap();
    bed.engine.start(&owl).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_is_described_without_its_secrets() {
    let Some(bed) = Bed::local("what_was_asked_for_is_described_without_its_secrets") else { return };
    let mut spec = worker(&bed, "fox", &["sleep", "infinity"]);
    spec.env.insert("TOKEN".to_owned(), "swordfish".to_owned());
    spec.labels.insert(label::REQUEST.to_owned(), r#"{"env":{"TOKEN":"swordfish"}}"#.to_owned());
    let id = bed.create(&spec).await;
    let text = bed.engine.describe(&id).await.unwrap().to_string();
    assert!(text.contains("TOKEN") && !text.contains("swordfish"), "{text}");
}

#[tokio::test]
async fn a_closed_terminal_hangs_its_program_up() {
    let Some(bed) = Bed::local("a_closed_terminal_hangs_its_program_up") else { return };
    let id = bed.create(&worker(&bed, "fox", &["sleep", "infinity"])).await;
    bed.engine.start(&id).await.unwrap();
    let command = ["sh", "-c", "echo up; sleep 300"].map(str::to_owned).to_vec();
    let shell = ExecSpec { command, tty: Some(TermSize::default()), ..ExecSpec::default() };
    let exec = bed.engine.exec(&id, &shell).await.unwrap();
    let ExecIo::Tty(mut tty) = exec.io else { panic!("not a terminal") };
    read_until(&mut tty.output, b"up").await;
    bed.engine.resize_exec(&exec.id, TermSize::new(50, 150)).await.unwrap();
    drop(tty);
    until("it is hung up", async || match bed.engine.exec_state(&exec.id).await.unwrap() {
        podbay::engine::ExecState::Exited { code: 129 } => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let gone = refused(bed.engine.resize_exec(&exec.id, TermSize::default()).await);
    assert!(gone.to_string().contains("closed"), "{gone}");
}

/// Every process whose arguments name this bay's directory, but for what its engine forks shims from.
fn left_of(state: &Path) -> Vec<String> {
    let text = state.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default());
    let named = lines.filter(|line| line.contains(&text) && !line.contains("container-zygote"));
    // Programs without namespaces have it in their environment alone.
    let root = format!("PODBAY_ROOT={text}");
    let environs = std::fs::read_dir("/proc").unwrap().flatten();
    let environs = environs.map(|entry| std::fs::read(entry.path().join("environ")).unwrap_or_default());
    let environs = environs.map(|environ| String::from_utf8_lossy(&environ).into_owned());
    let all = named.chain(environs.filter(|environ| environ.contains(&root)));
    all.map(|words| words.replace('\0', " ")).collect()
}

async fn come_and_go(bed: &Bed, times: usize) {
    for turn in 0..times {
        let mut spec = worker(bed, &format!("fox{turn}"), &["sleep", "infinity"]);
        spec.tty = turn % 2 == 0;
        let id = bed.create(&spec).await;
        bed.engine.start(&id).await.unwrap();
        let grace = Duration::from_secs(if turn % 3 == 0 { 0 } else { 5 });
        bed.engine.stop(&id, grace).await.unwrap();
        bed.engine.remove(&id).await.unwrap();
    }
    let state = bed.state().unwrap();
    until("nothing is left", async || {
        let left = left_of(&state);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let containers: Vec<PathBuf> = std::fs::read_dir(state.join("podbay").join(bed.bay.as_str()).join("containers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(containers, Vec::<PathBuf>::new());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&state.display().to_string()), "{mounts}");
}

#[tokio::test]
async fn what_comes_and_goes_leaves_nothing() {
    let Some(bed) = Bed::local("what_comes_and_goes_leaves_nothing") else { return };
    come_and_go(&bed, 30).await;
}

#[tokio::test]
#[ignore = "the long form: 1000 spawns and stops"]
async fn a_thousand_that_come_and_go_leave_nothing() {
    let Some(bed) = Bed::local("a_thousand_that_come_and_go_leave_nothing") else { return };
    come_and_go(&bed, 1000).await;
}

#[tokio::test]
#[ignore = "the long form: 1000 spawns and stops"]
async fn a_thousand_that_come_and_go_leave_nothing_with_landlock() {
    let test = "a_thousand_that_come_and_go_leave_nothing_with_landlock";
    let Some(bed) = Bed::rung(test, Some(Isolation::Landlock)).await else { return };
    come_and_go(&bed, 1000).await;
}

#[tokio::test]
#[ignore = "the long form: 1000 spawns and stops"]
async fn a_thousand_that_come_and_go_leave_nothing_without_walls() {
    let test = "a_thousand_that_come_and_go_leave_nothing_without_walls";
    let Some(bed) = Bed::rung(test, Some(Isolation::None)).await else { return };
    come_and_go(&bed, 1000).await;
}

#[tokio::test]
async fn the_kernel_holds_the_limits_where_it_may() {
    let Some(bed) = Bed::local("the_kernel_holds_the_limits_where_it_may") else { return };
    let identity = bed.engine.identify().await.unwrap();
    let missing = identity.limits.iter().any(|limit| limit.what == "limit of memory");
    let script = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done 2>/dev/null; echo all";
    let mut spec = worker(&bed, "fox", &["sh", "-c", script]);
    spec.limits.pids = 20;
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = bed.exit(&id).await;
    let lines = texts(&bed.log(&id, LogQuery::default()).await);
    let all = lines.iter().any(|(_, line)| line == "all");
    assert!(!all, "{ended:?} {lines:?}");
    // Its memory, too: and how it ended is told.
    let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo held ${#x}";
    let mut spec = worker(&bed, "owl", &["sh", "-c", &format!("exec sh -c \"{}\"", script.replace('$', "\\$"))]);
    spec.limits.memory = podbay::bay::size::ByteSize::bytes(32 << 20);
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let ended = bed.exit(&id).await;
    let Status::Exited { code, oom, .. } = ended.status else { panic!("{ended:?}") };
    // Without control groups it is told that there is no more, and ends by itself.
    assert!(if missing { code != 0 && !oom } else { code == 137 && oom }, "{ended:?}");
}
