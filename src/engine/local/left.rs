//! What a container without namespaces may leave behind: links that stand for its mounts, and processes that no namespace
//! ends.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitOptions};

use super::bare::MARK;
use super::place::Place;
use super::plan::Plan;
use crate::service::process;

/// A program that makes others faster than they are ended is left after so long, and found by the next look.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what is left.
const PACE: Duration = Duration::from_millis(2);

/// Puts a link where a mount would stand. What a mount needed there is in the way only while it is empty.
///
/// # Errors
/// In words: something else is there.
pub fn link(link: &Path, to: &Path) -> Result<(), String> {
    let told = |what: &str, error: std::io::Error| format!("{what} {}: {error}", link.display());
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent).map_err(|error| told("make the directory of", error))?;
    }
    let removed = match fs::symlink_metadata(link) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(link),
        Ok(meta) if meta.is_symlink() || meta.len() == 0 => fs::remove_file(link),
        Ok(_) => return Err(format!("{} is in the way of what is mounted there: it is not empty", link.display())),
        Err(_) => Ok(()),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(told("replace", error)),
        _ => {}
    }
    std::os::unix::fs::symlink(to, link).map_err(|error| told("make the link", error))
}

/// Takes away the links of the last run: a mount that stands there now must not follow them.
pub fn unlink(place: &Place) {
    let Some(bare) = plan_of(place).and_then(|plan| plan.bare) else { return };
    for (link, _) in
        bare.links.iter().filter(|(link, _)| fs::symlink_metadata(link).is_ok_and(|meta| meta.is_symlink()))
    {
        // What can't be removed is refused by the mount.
        let _ = fs::remove_file(link);
    }
}

fn plan_of(place: &Place) -> Option<Plan> {
    serde_json::from_slice(&fs::read(place.plan()).ok()?).ok()
}

/// Ends what a shim that was killed left of a container without namespaces: its programs carry its id.
pub fn end(place: &Place) {
    let Some(bare) = plan_of(place).and_then(|plan| plan.bare) else { return };
    let begun = Instant::now();
    loop {
        let left = process::with_variable(MARK, &bare.id);
        if left.is_empty() || begun.elapsed() > PATIENCE {
            return;
        }
        for id in left {
            id.signal(Signal::KILL);
        }
        std::thread::sleep(PACE);
    }
}

/// Ends everything below this process, which whatever lost its parent has come to, and takes leave of it.
pub fn end_below() {
    let own = std::process::id();
    let begun = Instant::now();
    loop {
        let left = process::descendants(own);
        for process in &left {
            process.id.signal(Signal::KILL);
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        if left.is_empty() || begun.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(PACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_the_place_of_nothing_that_somebody_needs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("empty")).unwrap();
        fs::create_dir_all(at("full/of")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::write(at("text"), "x").unwrap();
        for name in ["empty", "file", "deep/new", "empty"] {
            link(&at(name), Path::new("/usr")).unwrap();
            assert_eq!(fs::read_link(at(name)).unwrap(), Path::new("/usr"), "{name}");
        }
        for name in ["full", "text"] {
            assert!(link(&at(name), Path::new("/usr")).is_err(), "{name}");
        }
    }
}
