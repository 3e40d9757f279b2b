//! A native service that the kernel ends for memory, in a control group of the test's own: as root, with groups of the
//! first version.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::process::{finish, signal};
use super::services::{den, service, until_row, until_state};

/// What is in it gets so much: a supervisor and its shims, and no hog beside them.
const LIMIT: &str = "268435456";

/// A control group for memory, below this process's own.
struct Group(PathBuf);

impl Group {
    fn make(name: &str) -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = text.lines().find_map(|line| line.split_once(":memory:"))?.1.trim_start_matches('/').to_owned();
        let path = PathBuf::from("/sys/fs/cgroup/memory").join(own).join(name);
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), LIMIT).ok()?;
        Some(group)
    }

    fn kills(&self) -> String {
        let text = fs::read_to_string(self.0.join("memory.oom_control")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap_or_default().to_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whatever a failed test left in it moves up; a group that is not empty can't be removed.
        let up = self.0.parent().map(|up| up.join("cgroup.procs")).unwrap_or_default();
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(&up, pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_service_that_the_kernel_killed_for_memory_is_told_of_as_that() {
    let test = "a_service_that_the_kernel_killed_for_memory_is_told_of_as_that";
    let Some(group) = Group::make(&format!("pb-test-{}", std::process::id())) else {
        return super::skip(test, "no control group of the first version may be made here");
    };
    let once = "restart = \"no\"";
    let den = den(&[
        // No line ever ends, and all of it is kept.
        service("hog", "exec tail /dev/zero", once),
        service("shell", "tail /dev/zero; exit 137", once),
        service("shot", "exec sleep 6001", once),
    ]);
    let mut serve = Command::new("sh");
    serve.arg("-c").arg("echo $$ > \"$1/cgroup.procs\"; shift; exec \"$@\"").arg("sh").arg(&group.0);
    serve.arg(&den.binary).args(["service", "start", "shot"]).env_clear().current_dir(den.path("h"));
    serve.envs(den.variables());
    let ran = finish(serve, &["service", "start", "shot"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    signal(until_state(&den, "shot", "running").pid.unwrap(), Signal::KILL);
    let shot = until_state(&den, "shot", "failed");
    assert_eq!(shot.last_exit.as_deref(), Some("ended by SIGKILL"), "by somebody, and there was memory enough");
    assert_eq!(group.kills(), "0");

    den.run(&["service", "start", "hog"]);
    let hog = until_row(&den, "hog", "is over", |row| row.state == "failed" && row.last_exit.is_some());
    assert_eq!(group.kills(), "1", "{hog:?}");
    let exit = hog.last_exit.unwrap();
    if fs::File::open("/dev/kmsg").is_ok() {
        assert_eq!(exit, "killed by the kernel: out of memory");
    } else {
        assert!(exit.starts_with("ended by SIGKILL: out of memory, most likely"), "{exit}");
    }
    assert_eq!(den.json(&["why", "hog"])["last_exit"], exit);
    // What it started was killed, and it says so by its code: nobody can be sure.
    den.run(&["service", "start", "shell"]);
    let shell = until_row(&den, "shell", "is over", |row| row.state == "failed" && row.last_exit.is_some());
    let exit = shell.last_exit.unwrap();
    assert!(exit.starts_with("exited with code 137 (SIGKILL): out of memory, most likely ("), "{exit}");
    // It is still so for the next supervisor.
    den.kill_supervisor();
    den.ok(&["service", "ls"]);
    assert_eq!(den.json(&["why", "shell"])["last_exit"], exit);
    den.ok(&["down", "-y"]);
}
