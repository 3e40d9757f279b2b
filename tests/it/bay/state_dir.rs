//! Rows K11 and K12: the state directory's file system is full, or read-only.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::den::Den;
use super::{skip, until};

/// Something mounted, until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this user may not mount.
    fn new(args: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(args).arg(at).output().is_ok_and(|output| output.status.success());
        done.then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the supervisor may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn troubles(den: &Den) -> Vec<String> {
    let status = den.json(&["status"]);
    status["troubles"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn saved(den: &Den) -> Value {
    let text = fs::read_to_string(den.state().join("state.json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("state.json: {error}: {text:?}"))
}

/// Work goes on while nothing can be saved, it is said so, and the file stays whole.
fn works_without_saving(den: &Den, why: &str) {
    let before = saved(den);
    den.ok(&["stop", "fox"]);
    until("the trouble is said", || match troubles(den) {
        said if said.len() == 1 && said[0].starts_with("the state can't be saved: ") && said[0].contains(why) => Ok(()),
        said => Err(format!("{said:?}")),
    });
    den.ok(&["start", "fox"]);
    den.until_state(&["fox"], "running");
    assert_eq!(saved(den), before, "the old file is the one in force");
}

fn saves_again(den: &Den) {
    until("all is well again", || match troubles(den) {
        said if said.is_empty() => Ok(()),
        said => Err(format!("{said:?}")),
    });
    den.ok(&["stop", "fox"]);
    until("it is saved", || match saved(den) {
        state if state["stopped"] == serde_json::json!(["fox"]) => Ok(()),
        state => Err(state.to_string()),
    });
}

#[test]
fn k11_a_full_disk_is_said_and_work_goes_on() {
    let den = Den::fake();
    let Some(_mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=1m,mode=700", "none"], &den.path("s")) else {
        return skip("k11_a_full_disk_is_said_and_work_goes_on", "mounting needs root");
    };
    den.spawn("fox");
    let filler = den.path("s/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    works_without_saving(&den, "No space left on device");
    fs::remove_file(filler).unwrap();
    saves_again(&den);
}

#[test]
fn k11_a_supervisor_does_not_start_on_a_full_disk_and_says_why() {
    let den = Den::fake();
    let Some(_mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=1m,mode=700", "none"], &den.path("s")) else {
        return skip("k11_a_supervisor_does_not_start_on_a_full_disk_and_says_why", "mounting needs root");
    };
    let mut file = fs::File::create(den.path("s/filler")).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    let ran = den.run(&["ls"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("the disk is full") && ran.stderr.contains(&*den.bay), "{ran:?}");
}

#[test]
fn k12_a_read_only_file_system_is_said_and_work_goes_on() {
    let den = Den::fake();
    den.spawn("fox");
    let state = den.state();
    let path = super::den::text(&state);
    let Some(mounted) = Mounted::new(&["--bind", &path], &state) else {
        return skip("k12_a_read_only_file_system_is_said_and_work_goes_on", "mounting needs root");
    };
    // Refused while a file is being written there.
    until("it is read-only", || {
        let done = Command::new("mount").args(["-o", "remount,bind,ro", &path]).output().unwrap();
        if done.status.success() { Ok(()) } else { Err(format!("{done:?}")) }
    });
    works_without_saving(&den, "Read-only file system");
    drop(mounted);
    saves_again(&den);
}
