//! What is made ahead of the next container: that it is used, that it is the same, and that nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podbay::bay::container::Status;
use podbay::bay::mount::Mount;
use podbay::engine::LogQuery;
use rustix::process::{Pid, Signal, kill_process};

use super::bed::{Bed, texts, until};
use super::local::worker;

/// Shim and first process of what waits below this state, the shim first.
fn spares(state: &Path) -> Vec<u32> {
    let text = state.display().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let waits = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(&text) && line.contains("container-spare")
    };
    let mut found: Vec<u32> = pids.filter(waits).collect();
    found.sort_by_key(|pid| found_parent(*pid).is_some_and(is_spare));
    found
}

fn found_parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_spare(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("container-spare"))
}

/// Waits until one is ready: its first process waits for a word in a root of its own. Its engine has heard so a few looks
/// later.
pub async fn waits(state: &Path) -> Vec<u32> {
    let mut looks = 0;
    until("there is a spare", async || {
        let found = spares(state);
        let ready = |pid: u32| {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            let closed = mounts.lines().any(|line| line.contains(" /proc/sys ro"));
            let idle = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") S ");
            closed && idle
        };
        match found.as_slice() {
            [_, first] if ready(*first) && looks > 3 => Ok(found),
            [_, first] if ready(*first) => {
                looks += 1;
                Err(format!("{found:?} for {looks} looks"))
            }
            _ => Err(format!("{found:?}")),
        }
    })
    .await
}

/// Whether it still waits.
pub fn is_there(spare: &[u32]) -> bool {
    spare.iter().any(|pid| is_spare(*pid))
}

fn gone(pids: &[u32]) -> Result<(), String> {
    let left: Vec<&u32> = pids.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
}

fn files(bed: &Bed) -> Vec<String> {
    let dir = bed.state().unwrap().join("podbay").join(bed.bay.as_str()).join("containers");
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn groups(id: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path().join("podbay"));
    hierarchies.chain([top.join("podbay")]).map(|group| group.join(id)).filter(|group| group.exists()).collect()
}

/// A worker that keeps the bay from being empty.
async fn first(bed: &Bed) {
    let id = bed.create(&worker(bed, "cock", &["sleep", "infinity"])).await;
    bed.engine.start(&id).await.unwrap();
}

#[tokio::test]
async fn the_next_terminal_takes_what_waits() {
    let Some(bed) = Bed::local("the_next_terminal_takes_what_waits") else { return };
    first(&bed).await;
    let spare = waits(&bed.state().unwrap()).await;
    // It has no terminal: what waits is not for it.
    let id = bed.create(&worker(&bed, "hen", &["sleep", "infinity"])).await;
    bed.engine.start(&id).await.unwrap();
    assert!(is_there(&spare));
    let (id, tty) = bed.shell(worker(&bed, "fox", &["bash", "--norc"])).await;
    let Status::Running { pid, .. } = bed.engine.inspect(&id).await.unwrap().status else { panic!("not running") };
    assert_eq!((found_parent(pid).unwrap(), pid), (spare[0], spare[1]));
    for (pid, name) in [(spare[0], "container-shim"), (pid, "container-init")] {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(line.contains(name) && line.contains(id.as_str()) && !line.contains(".new"), "{line}");
    }
    // Nothing of the machine's own mounts is held as soon as it has settled, though nobody asks it for anything.
    let held = || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("mnt:")).count()
    };
    until("the machine's mounts are let go", async || if held() == 0 { Ok(()) } else { Err("held".to_owned()) }).await;
    drop(tty);
    assert!(waits(&bed.state().unwrap()).await != spare, "the next one waits");
    bed.engine.remove(&id).await.unwrap();
    assert_eq!(gone(&spare), Ok(()));
}

#[tokio::test]
async fn what_is_a_containers_own_comes_late_and_is_the_same() {
    let Some(bed) = Bed::local("what_is_a_containers_own_comes_late_and_is_the_same") else { return };
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(closed.path().join("note"), "given").unwrap();
    let link = open.path().join("link");
    std::os::unix::fs::symlink(closed.path(), &link).unwrap();
    let script = "pwd; hostname; cat /given/note /linked/note; touch /given/x || echo closed; touch /workspace/$NAME && \
                  echo open; touch /x || echo shut; touch /tmp/x /run/x && echo own; ulimit -n; cat /etc/hostname; \
                  head -c 3 /etc/hosts; echo; ls /home /root; sed 's/[^ ]* [^ ]* [^ ]* //' /proc/self/mountinfo | \
                  sed 's/ - .*//' | sort; grep -e Cap -e NoNew /proc/self/status; id; ls /; ls -l /proc/self/ns | grep -c '>'";
    for read_only in [false, true] {
        let said = async |name: &str| {
            let mut spec = worker(&bed, name, &["sh", "-c", script]);
            (spec.tty, spec.hostname, spec.workdir) = (true, Some("box".to_owned()), Some("/workspace".into()));
            spec.hardening.read_only = read_only;
            spec.env.insert("NAME".to_owned(), name.to_owned());
            for (source, target, read_only) in [
                (closed.path(), "/given", true),
                (&link, "/linked", true),
                (open.path(), "/workspace", false),
                (closed.path(), "/workspace/inner", true),
            ] {
                spec.mounts.push(Mount { source: source.to_owned(), target: target.into(), read_only });
            }
            let id = bed.create(&spec).await;
            bed.engine.start(&id).await.unwrap();
            bed.exit(&id).await;
            let lines: Vec<String> =
                texts(&bed.log(&id, LogQuery::default()).await).into_iter().map(|(_, line)| line).collect();
            bed.engine.remove(&id).await.unwrap();
            lines.join("\n").replace(id.as_str(), "ID")
        };
        let before = said("owl").await;
        first_named(&bed, if read_only { "cock" } else { "hen" }).await;
        let spare = waits(&bed.state().unwrap()).await;
        let after = said("fox").await;
        assert!(!is_there(&spare), "it was not used");
        assert_eq!(before, after, "read_only: {read_only}");
        assert!(after.contains("closed") && after.contains("open") && after.contains("box"), "{after}");
        for name in ["owl", "fox"] {
            assert!(open.path().join(name).exists(), "{name}");
        }
    }
}

async fn first_named(bed: &Bed, name: &str) {
    let id = bed.create(&worker(bed, name, &["sleep", "infinity"])).await;
    bed.engine.start(&id).await.unwrap();
}

#[tokio::test]
async fn what_waits_goes_with_its_engine() {
    let Some(bed) = Bed::local("what_waits_goes_with_its_engine") else { return };
    let next = bed.another().unwrap();
    let id = next.create(&worker(&bed, "cock", &["sleep", "infinity"])).await.unwrap().id;
    next.start(&id).await.unwrap();
    let spare = waits(&bed.state().unwrap()).await;
    let fresh = files(&bed).into_iter().find(|name| name.len() != 64).unwrap();
    let own = fresh.split('.').next().unwrap();
    drop(next);
    until("it is gone", async || gone(&spare)).await;
    until("its files are gone", async || {
        let left = files(&bed);
        if left == [id.as_str()] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(groups(own), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_was_killed_while_it_waited_is_not_missed() {
    let Some(bed) = Bed::local("what_was_killed_while_it_waited_is_not_missed") else { return };
    for (turn, which) in [0, 1].into_iter().enumerate() {
        first_named(&bed, &format!("cock{turn}")).await;
        let spare = waits(&bed.state().unwrap()).await;
        let pid = Pid::from_raw(i32::try_from(spare[which]).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until("its first process has ended", async || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", spare[1])).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        })
        .await;
        let (id, tty) = bed.shell(worker(&bed, &format!("fox{turn}"), &["bash", "--norc"])).await;
        drop(tty);
        bed.engine.remove(&id).await.unwrap();
        assert_eq!(groups(id.as_str()), Vec::<PathBuf>::new());
        until("nothing of it is left", async || gone(&spare)).await;
    }
}

#[tokio::test]
async fn what_was_killed_and_is_not_wanted_leaves_nothing() {
    let Some(bed) = Bed::local("what_was_killed_and_is_not_wanted_leaves_nothing") else { return };
    let id = bed.create(&worker(&bed, "cock", &["sleep", "infinity"])).await;
    bed.engine.start(&id).await.unwrap();
    let spare = waits(&bed.state().unwrap()).await;
    let fresh = files(&bed).into_iter().find(|name| name.len() != 64).unwrap();
    let pid = Pid::from_raw(i32::try_from(spare[0]).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("it is gone", async || gone(&spare)).await;
    bed.engine.remove(&id).await.unwrap();
    assert_eq!(files(&bed), Vec::<String>::new());
    assert_eq!(groups(fresh.split('.').next().unwrap()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn one_that_is_made_and_never_started_leaves_nothing() {
    let Some(bed) = Bed::local("one_that_is_made_and_never_started_leaves_nothing") else { return };
    first(&bed).await;
    let spare = waits(&bed.state().unwrap()).await;
    let mut spec = worker(&bed, "fox", &["bash", "--norc"]);
    spec.tty = true;
    let id = bed.create(&spec).await;
    until("it is used", async || if is_there(&spare) { Err("it waits".to_owned()) } else { Ok(()) }).await;
    bed.engine.remove(&id).await.unwrap();
    assert_eq!((gone(&spare), groups(id.as_str())), (Ok(()), Vec::new()));
    assert!(files(&bed).iter().all(|name| !name.starts_with(id.as_str())));
}

/// What was made ahead does not show what was mounted since.
#[tokio::test]
async fn a_mount_that_came_since_is_seen() {
    let Some(bed) = Bed::local("a_mount_that_came_since_is_seen") else { return };
    if !rustix::process::geteuid().is_root() {
        // Nobody else mounts.
        return;
    }
    first(&bed).await;
    waits(&bed.state().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let mounted = |verb: &str, args: &[&str]| {
        assert!(Command::new(verb).args(args).arg(folder.path()).status().unwrap().success(), "{verb}");
    };
    mounted("mount", &["-t", "tmpfs", "none"]);
    fs::write(folder.path().join("note"), "since").unwrap();
    let mut spec = worker(&bed, "fox", &["cat", "/given/note"]);
    spec.tty = true;
    spec.mounts.push(Mount { source: folder.path().into(), target: "/given".into(), read_only: true });
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    let said = texts(&bed.log(&id, LogQuery::default()).await);
    bed.engine.remove(&id).await.unwrap();
    mounted("umount", &[]);
    assert_eq!(said, [(false, "since".to_owned())]);
}
