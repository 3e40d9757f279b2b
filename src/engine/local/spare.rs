//! The files of the next container, made ahead: most of what a start without a daemon takes is making some sixty empty
//! files and directories, and they are the same for every container of a layout.
//!
//! Where the shim of a container can be made ahead, it is: with its namespaces, and a world that lacks only what is the
//! container's own. Then a start makes no process but the container's.
//!
//! A spare lies beside the containers and is called like one that is being made, so whoever finds it without its maker
//! takes it away. It goes with the last container of its bay; its processes go with their maker, however that ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::Mutex;

use super::ahead::{self, Seen};
use super::cgroup;
use super::create::{is_device, new_id};
use super::link::{self, Launch};
use super::place::{self, Place};
use super::plan::{self, Plan};
use super::shim::{Birth, Word};
use super::wire::Ask;
use crate::bay::mount::Mount;
use crate::engine::docker::host_image::Layout;

/// The shell that was just begun goes first.
const REST: Duration = Duration::from_millis(200);

/// How long somebody waits for one that is being made, to take it away.
const MAKING: Duration = Duration::from_secs(5);

/// A container's directory that lacks nothing but what it is and what it is called.
struct Spare {
    id: String,
    dir: PathBuf,
    layout: Layout,
    warm: Option<Warm>,
}

/// What waits for its container: a shim and a first process.
pub struct Warm {
    /// Nobody's runtime watches it until it is asked something.
    stream: UnixStream,
    plan: Plan,
    seen: Seen,
    opener: Option<PathBuf>,
    /// It was told whose it is.
    told: bool,
}

impl Warm {
    /// Whether it can be this container's, with the same result as one that is made for it.
    pub fn fits(&self, wanted: &Plan, birth: &Birth) -> bool {
        if !ahead::fits(&self.plan, wanted) || self.opener != birth.opener {
            return false;
        }
        let late = ahead::beside(&self.plan, wanted).map(|mount| mount.source.canonicalize().ok());
        let own = self.plan.binds.iter().map(|mount| Some(mount.source.clone()));
        let sources: Option<Vec<PathBuf>> = late.chain(own).collect();
        sources.is_some_and(|sources| self.seen.holds(&Seen::now(&self.plan), &sources))
    }

    /// It is this container's from now on; the plan is written.
    ///
    /// # Errors
    /// It has ended.
    pub fn tell(&mut self, place: &Place) -> io::Result<()> {
        self.told = true;
        link::adopt(&self.stream, place)
    }

    /// Whether it was told whose it is.
    pub const fn is_told(&self) -> bool {
        self.told
    }

    /// Waits until it listens; `false`: it does not, or not any more.
    pub async fn listens(self, place: &Place) -> bool {
        link::adopted(self.stream).await.is_ok_and(|word| word == Word::Ready) && place.is_held()
    }

    /// Nobody wants it: nothing of it is left afterwards. One that was told whose it is goes as that container's shim.
    pub async fn dismiss(self, place: &Place) {
        if !self.told {
            return link::dismiss(self.stream).await;
        }
        let kill = Ask::Stop { signal: Signal::KILL.as_raw(), grace: 0 };
        if self.listens(place).await {
            // Whatever it says: the next one waits until it is gone.
            drop(link::ask(place, &kill).await);
        }
    }
}

/// At most one.
#[derive(Clone, Default)]
pub struct Spares(Arc<Mutex<Option<Spare>>>);

/// How much is made ahead.
pub enum Depth {
    /// Directories and links.
    Files,
    /// What something is mounted on, too.
    Mounted,
    /// Its processes, too, forked by `launch`, in a user namespace that `opener` opens where there is one.
    Processes {
        /// Who forks them.
        launch: Arc<Launch>,
        /// Who opens their user namespace.
        opener: Option<PathBuf>,
    },
}

impl Spares {
    /// The id of the one below `dir`, if it is of this layout, and what waits there. From now on it is the caller's.
    pub fn take(&self, dir: &Path, layout: &Layout, tty: bool) -> Option<(String, Option<Warm>)> {
        // One that is being made at this moment is not waited for.
        let mut held = self.0.try_lock().ok()?;
        // Processes are made for a terminal: they wait for the next that has one.
        let suits = |spare: &Spare| spare.dir == dir && spare.layout == *layout && (tty || spare.warm.is_none());
        let fits = held.as_ref().is_some_and(suits);
        if fits { held.take().map(|spare| (spare.id, spare.warm)) } else { None }
    }

    /// Has one made below `dir` in a while, in place of one that lies elsewhere. Without a container there is none.
    pub fn prepare(&self, dir: PathBuf, depth: Depth) {
        let held = self.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            let mut held = held.lock().await;
            let layout = Layout::of(Path::new("/"));
            let mut spare = held.take();
            if let Some(old) = spare.take_if(|spare| spare.dir != dir || spare.layout != layout || !spare.is_fresh()) {
                old.discard().await;
            }
            if spare.is_none() {
                let mounted = !matches!(depth, Depth::Files);
                let made = tokio::task::spawn_blocking(move || make(dir, layout, mounted)).await;
                spare = made.ok().and_then(Result::ok).flatten();
            }
            // Without one, the next container is made as a whole.
            let Some(mut spare) = spare else { return };
            if let Depth::Processes { launch, opener } = depth
                && spare.warm.is_none()
            {
                match warm(&spare, &launch, opener).await {
                    Ok(made) => spare.warm = Some(made),
                    // Without processes, its files are worth as much.
                    Err(why) => tracing::debug!(why, "no processes are made ahead"),
                }
            }
            *held = Some(spare);
        });
    }

    /// Takes it away, if nothing else is below `dir`.
    pub async fn leave(&self, dir: &Path) {
        // What is held up for so long is found by the next look.
        let Ok(mut held) = tokio::time::timeout(MAKING, self.0.lock()).await else { return };
        if place::all(dir).is_empty()
            && let Some(spare) = held.take_if(|spare| spare.dir == dir)
        {
            spare.discard().await;
        }
    }
}

impl Spare {
    /// Nothing that it shows was replaced since.
    fn is_fresh(&self) -> bool {
        self.warm.as_ref().is_none_or(|warm| warm.seen.holds(&Seen::now(&warm.plan), &[]))
    }

    async fn discard(self) {
        let place = Place::new(self.dir.join(&self.id));
        if let Some(warm) = self.warm {
            warm.dismiss(&place).await;
        }
        let clear = move || {
            // A shim that was killed could not.
            cgroup::leave(&place);
            place.abandon();
        };
        // What is left is taken away by the next look for it.
        drop(tokio::task::spawn_blocking(clear).await);
    }
}

/// Its processes.
async fn warm(spare: &Spare, launch: &Launch, opener: Option<PathBuf>) -> Result<Warm, String> {
    let fresh = Place::new(spare.dir.join(&spare.id)).fresh();
    let plan = ahead::usual(&spare.layout, fresh.root(), launch.root, &is_device);
    let seen = Seen::now(&plan);
    Place::write(&fresh.plan(), &plan).map_err(|error| error.to_string())?;
    let birth = Birth { opener: opener.clone(), ahead: true, ..Birth::default() };
    let stream = launch.ahead(&fresh, &birth).await?;
    Ok(Warm { stream, plan, seen, opener, told: false })
}

fn make(dir: PathBuf, layout: Layout, mounted: bool) -> io::Result<Option<Spare>> {
    if place::all(&dir).is_empty() {
        return Ok(None);
    }
    let id = new_id()?;
    Place::new(dir.join(&id)).prepare(|root| {
        layout.unfold(root)?;
        let mut shown = layout.mounts(&[]).into_iter().chain(plan::devices(&is_device));
        if !mounted {
            return Ok(());
        }
        // Nobody writes there, not even its owner, who is root or not.
        let closed = root.join("sys");
        let modes = fs::metadata(&closed)?.permissions();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755))?;
        shown.try_for_each(|mount| target(root, &mount))?;
        fs::set_permissions(&closed, modes)
    })?;
    Ok(Some(Spare { id, dir, layout, warm: None }))
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
        assert!(spares.take(folder.path(), &layout, true).is_none());
        let (id, _) = spares.take(&dir, &layout, true).unwrap();
        assert!(spares.take(&dir, &layout, true).is_none());
        Place::new(dir.join(&id)).abandon();
        put().await;
        spares.leave(&dir).await;
        assert_eq!(count(), 2, "there is a container");
        fs::remove_dir(dir.join("ab".repeat(32))).unwrap();
        spares.leave(&dir).await;
        assert_eq!(count(), 0);
    }
}
