//! The files of the next container, made ahead: most of what a start without a daemon takes is making some sixty empty
//! files and directories, and they are the same for every container of a layout.
//!
//! A spare lies beside the containers and is called like one that is being made, so whoever finds it without its maker
//! takes it away. It goes with the last container of its bay.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::create::{is_device, new_id};
use super::place::{self, Place};
use super::plan;
use crate::bay::mount::Mount;
use crate::engine::docker::host_image::Layout;

/// The shell that was just begun goes first.
const REST: Duration = Duration::from_millis(200);

/// A container's directory that lacks nothing but what it is and what it is called.
struct Spare {
    id: String,
    dir: PathBuf,
    layout: Layout,
}

/// At most one.
#[derive(Clone, Default)]
pub struct Spares(Arc<Mutex<Option<Spare>>>);

impl Spares {
    /// The id of the one below `dir`, if it is of this layout. From now on it is the caller's.
    pub fn take(&self, dir: &Path, layout: &Layout) -> Option<String> {
        // One that is being made at this moment is not waited for.
        let mut held = self.0.try_lock().ok()?;
        let fits = held.as_ref().is_some_and(|spare| spare.dir == dir && spare.layout == *layout);
        if fits { held.take().map(|spare| spare.id) } else { None }
    }

    /// Has one made below `dir` in a while, in place of one that lies elsewhere. Without a container there is none.
    pub fn prepare(&self, dir: PathBuf, mounted: bool) {
        let held = self.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            let mut held = held.lock().await;
            let layout = Layout::of(Path::new("/"));
            if held.as_ref().is_some_and(|spare| spare.dir == dir && spare.layout == layout) {
                return;
            }
            let old = held.take();
            let made = tokio::task::spawn_blocking(move || {
                old.iter().for_each(discard);
                make(dir, layout, mounted)
            });
            // Without one, the next container is made as a whole.
            *held = made.await.ok().and_then(Result::ok).flatten();
        });
    }

    /// Takes it away, if nothing else is below `dir`.
    pub async fn leave(&self, dir: &Path) {
        let mut held = self.0.lock().await;
        if place::all(dir).is_empty()
            && let Some(spare) = held.take_if(|spare| spare.dir == dir)
        {
            // What is left is taken away by the next look for it.
            drop(tokio::task::spawn_blocking(move || discard(&spare)).await);
        }
    }
}

fn discard(spare: &Spare) {
    Place::new(spare.dir.join(&spare.id)).abandon();
}

fn make(dir: PathBuf, layout: Layout, mounted: bool) -> io::Result<Option<Spare>> {
    if place::all(&dir).is_empty() {
        return Ok(None);
    }
    let id = new_id()?;
    Place::new(dir.join(&id)).prepare(|root| {
        layout.unfold(root)?;
        let shown = layout.mounts(&[]).into_iter().chain(plan::devices(&is_device));
        if mounted { shown.into_iter().try_for_each(|mount| target(root, &mount)) } else { Ok(()) }
    })?;
    Ok(Some(Spare { id, dir, layout }))
}

/// What something is mounted on.
fn target(root: &Path, mount: &Mount) -> io::Result<()> {
    let Ok(place) = mount.target.strip_prefix("/") else { return Ok(()) };
    let place = root.join(place);
    if fs::metadata(&mount.source)?.is_dir() {
        return fs::create_dir_all(place);
    }
    File::create(place).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_taken_once_and_goes_with_the_last_container() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("containers");
        let layout = Layout::of(Path::new("/"));
        assert!(make(dir.clone(), layout.clone(), true).unwrap().is_none(), "there is no container");
        fs::create_dir_all(dir.join("ab".repeat(32))).unwrap();
        let spares = Spares::default();
        let count = || fs::read_dir(&dir).unwrap().count();
        let put = async || *spares.0.lock().await = make(dir.clone(), layout.clone(), true).unwrap();
        put().await;
        assert_eq!((count(), place::all(&dir).len()), (2, 1), "it is no container");
        // Whoever looks for what was left does not take it for that.
        place::sweep(&dir);
        assert_eq!(count(), 2);
        assert_eq!(spares.take(folder.path(), &layout), None);
        let id = spares.take(&dir, &layout).unwrap();
        assert_eq!(spares.take(&dir, &layout), None);
        Place::new(dir.join(&id)).abandon();
        put().await;
        spares.leave(&dir).await;
        assert_eq!(count(), 2, "there is a container");
        fs::remove_dir(dir.join("ab".repeat(32))).unwrap();
        spares.leave(&dir).await;
        assert_eq!(count(), 0);
    }
}
