//! Opening a gate: the claim file, the directories and the line that wakes it, each seen before it is done. That the worker
//! is its claimer's stands in the state file by then; the engine's name is given later.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::bay::container::{ContainerId, Status};
use crate::bay::gate::{self, Act, File, Sight};
use crate::bay::name::Name;
use crate::engine::{EngineError, SharedEngine};
use crate::supervisor::crash;
use crate::supervisor::event::{Event, StepError, StepNotes};
use crate::supervisor::goal::Opening;
use crate::supervisor::session::Waking;
use crate::workspace::warm::{Ticket, WarmPlace};
use crate::workspace::{self, WorkspaceError};

use super::create::{Way, blocking, fill, wrong};
use super::{Ground, found};

/// A warm worker that was claimed before, and let somebody in.
const USED: &str = "its gate has let another command in";
/// A gate that somebody may have woken already is given so long to take its claim.
const WOKEN: Duration = Duration::from_secs(1);
/// An opened gate has so long to take its claim.
const TAKES: Duration = Duration::from_secs(5);
/// Between two looks at a claim file.
const LOOK: Duration = Duration::from_millis(20);

/// What a claim has at hand.
pub(super) struct Hall<'a> {
    pub(super) ground: &'a Arc<Ground>,
    pub(super) engine: &'a SharedEngine,
    pub(super) events: &'a mpsc::Sender<Event>,
    /// Hears how far it is, and may break it off.
    pub(super) way: &'a Way,
    /// When it was asked for.
    pub(super) began: Instant,
}

/// Where a claim's files are.
#[derive(Clone)]
struct Door {
    ground: Arc<Ground>,
    made_as: Name,
    name: Name,
    run: String,
    nonce: Option<String>,
}

impl Door {
    fn ticket(&self) -> Ticket<'_> {
        Ticket { run: &self.run, claim: self.nonce.as_deref() }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WarmPlace<'_>, &Self) -> Result<T, WorkspaceError> + Send + 'static,
    ) -> Result<T, StepError> {
        let door = self.clone();
        blocking(move || work(&door.place(), &door)).await
    }

    /// A few small files: handing that to another thread takes longer than to look.
    fn look(&self) -> Result<(bool, File), StepError> {
        Ok(self.place().look(self.ticket())?)
    }

    fn place(&self) -> WarmPlace<'_> {
        WarmPlace { paths: &self.ground.paths, made_as: &self.made_as, name: &self.name }
    }

    /// Whether the claim was taken within `limit`.
    async fn taken(&self, limit: Duration) -> Result<bool, StepError> {
        let deadline = Instant::now() + limit;
        loop {
            if self.look()?.1 == File::Taken {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Lets the command of a claimed worker in. May be begun anew at any point, by whoever comes after a supervisor that was
/// killed: every act is taken from what is seen.
pub(super) async fn open(
    hall: &Hall<'_>,
    target: &str,
    id: &ContainerId,
    opening: &Opening,
) -> Result<StepNotes, StepError> {
    let name: Name = target.parse().map_err(|_| wrong(format!("{target:?} is not a name")))?;
    let door = Door {
        ground: hall.ground.clone(),
        made_as: opening.made_as.clone(),
        name,
        run: opening.run.to_string(),
        nonce: opening.nonce.as_ref().map(|nonce| nonce.as_str().to_owned()),
    };
    let opened = let_in(hall, &door, id, opening).await;
    if opened.is_err() {
        // What is made in its place has the name, and these directories with it: nobody else would clear them.
        drop(door.place().give_name());
    }
    opened
}

async fn let_in(hall: &Hall<'_>, door: &Door, id: &ContainerId, opening: &Opening) -> Result<StepNotes, StepError> {
    door.place().is_free()?;
    let mut seen = door.look()?;
    if opening.claim.is_none() {
        // A program that runs already has taken all that there is to take.
        seen.1 = File::Taken;
    }
    // The turn of a claim file that was written here: nobody else has woken the gate at it.
    let mut ours = None;
    let mut notes = Vec::new();
    if opening.nonce.is_some() && (opening.claim.is_none() || seen.1 != File::Taken) {
        let (may, (), written) = tokio::join!(may_open(hall, door, id, opening), fit(hall, id, opening), async {
            early(hall, door, opening, seen.1)
        });
        if let Err(error) = may {
            if opening.claim.is_some() {
                // Nobody is let in: what the claim brought is not left lying there, nor what one who was killed left.
                door.place().withdraw();
            }
            return Err(error);
        }
        // What failed is tried again in its own turn, where its failure is the claim's.
        ours = written.ok().flatten();
        seen.1 = ours.map_or(seen.1, File::Written);
    }
    while let Some(act) = gate::next(Sight { moved: seen.0, file: seen.1 }) {
        match act {
            Act::Move => {
                door.place().give_name()?;
                seen.0 = true;
                crash::point("claim-moved");
            }
            Act::Write => {
                // What is asked for at /workspace, before the command can see it.
                let made = (opening.made.as_ref(), opening.branch.as_deref());
                notes = fill(hall.ground, &door.name, made, hall.way).await.map_err(unfilled)?;
                let Some(turn) = write(door, opening).await? else { return Err(wrong(USED.to_owned())) };
                ours = Some(turn);
                seen.1 = File::Written(turn);
            }
            Act::Wake => {
                let turn = match ours {
                    Some(turn) => turn,
                    // Whether a line is on its way is not known: this one is for another turn.
                    None if door.taken(WOKEN).await? => break,
                    None => match write(door, opening).await? {
                        Some(turn) => turn,
                        None => break,
                    },
                };
                wake(hall, door, id, opening, turn).await?;
                crash::point("claim-woken");
                // What leads there from the old name is for the engine's next start, and takes longer: it is made later.
                door.place().give_name_only()?;
                crash::point("claim-moved");
                watch(hall, door.clone(), (id, opening));
                if ours.is_some() && opening.unseen {
                    found::command(&hall.ground.sessions, id).await?;
                }
                return Ok(StepNotes { notes, made: None });
            }
        }
    }
    if !seen.0 {
        door.place().give_name()?;
    }
    if opening.claim.is_some() {
        drop(hall.events.send(Event::Taken { id: id.clone(), run: opening.run }).await);
    }
    let speaks = opening.nonce.is_some() && opening.claim.is_none();
    hall.ground.sessions.renamed(id, &door.name, speaks.then(|| hall.began.elapsed()));
    Ok(StepNotes { notes, made: None })
}

fn unfilled(error: StepError) -> StepError {
    match error {
        StepError::Workspace(error) => StepError::Fill(error),
        other => other,
    }
}

/// Writes the claim while the engine is asked, where no workspace is to be filled before that.
fn early(hall: &Hall<'_>, door: &Door, opening: &Opening, file: File) -> Result<Option<u32>, StepError> {
    let fills = workspace::source(&opening.made, opening.branch.as_deref())?.is_some();
    if file != File::None || fills || hall.way.given_up.is_cancelled() {
        return Ok(None);
    }
    // Handed to another thread, it would be begun later than it is done here.
    let turn = tokio::task::block_in_place(|| write_now(door, opening))?;
    crash::point("claim-written");
    Ok(turn)
}

/// The turn that the claim is for; `None`: the gate has taken one.
async fn write(door: &Door, opening: &Opening) -> Result<Option<u32>, StepError> {
    let opening = opening.clone();
    let turn = door.with(move |_, door| write_now(door, &opening)).await?;
    crash::point("claim-written");
    Ok(turn)
}

fn write_now(door: &Door, opening: &Opening) -> Result<Option<u32>, WorkspaceError> {
    let claim = opening.claim.as_deref().unwrap_or_default();
    door.place().write(door.ticket(), claim, (&opening.made.user, &door.ground.env))
}

/// The terminal's size, before the command sees it.
async fn fit(hall: &Hall<'_>, id: &ContainerId, opening: &Opening) {
    let Some(size) = opening.size else { return };
    if let Err(error) = hall.ground.sessions.fit(hall.engine, id, size).await {
        tracing::debug!(%error, "a claimed terminal was not resized");
    }
}

/// Whether anything speaks against it: a name that is somebody else's, a parent that is another one.
async fn may_open(hall: &Hall<'_>, door: &Door, id: &ContainerId, opening: &Opening) -> Result<(), StepError> {
    let name = format!("{}-{}", hall.ground.config.bay, door.name);
    let (holder, with_parent) = tokio::join!(hall.engine.named(&name), is_with_parent(hall, opening));
    // Where that can't be told now, the engine has a word on it when it is to give the name.
    if holder.is_ok_and(|holder| holder.is_some_and(|holder| holder != *id)) {
        return Err(EngineError::NameTaken(name).into());
    }
    if with_parent { Ok(()) } else { Err(wrong("it has lost the parent's network".to_owned())) }
}

/// Whether the parent is still the one that the worker lives with.
async fn is_with_parent(hall: &Hall<'_>, opening: &Opening) -> bool {
    let Some((parent, since, pid)) = &opening.parent else { return true };
    if hall.way.local && is_of(Path::new("/proc"), *pid, parent) {
        return true;
    }
    match hall.engine.inspect(parent).await {
        Ok(seen) => matches!(seen.status, Status::Running { since: now, .. } if now == *since),
        Err(_) => false,
    }
}

/// Whether this process is still one of this container's, as far as the kernel tells: asking it costs nothing.
fn is_of(proc: &Path, pid: u32, id: &ContainerId) -> bool {
    let groups = std::fs::read_to_string(proc.join(pid.to_string()).join("cgroup"));
    pid != 0 && groups.is_ok_and(|groups| groups.contains(id.as_str()))
}

/// One line on the terminal that is open anyway, or on one that is opened for it.
async fn wake(hall: &Hall<'_>, door: &Door, id: &ContainerId, opening: &Opening, turn: u32) -> Result<(), StepError> {
    let began = opening.nonce.is_some().then_some(hall.began);
    let line = gate::wake(turn);
    let waking = Waking { size: opening.size, began, line: line.clone() };
    if hall.ground.sessions.claim(id, &door.name, waking).await {
        return Ok(());
    }
    let mut tty = hall.engine.attach(id).await?;
    let written = async {
        tty.input.write_all(&line).await?;
        tty.input.flush().await
    };
    written.await.map_err(|error| wrong(format!("its terminal can't be written to: {error}")))
}

/// Sees in the background that the gate takes its claim.
fn watch(hall: &Hall<'_>, door: Door, (id, opening): (&ContainerId, &Opening)) {
    let (events, id, run) = (hall.events.clone(), id.clone(), opening.run);
    tokio::spawn(async move {
        // The command first: it is what somebody waits for.
        tokio::time::sleep(LOOK).await;
        if let Err(error) = door.with(|place, _| place.give_name()).await {
            tracing::warn!(%error, "a claimed worker's directories are not under its old name; its next start tries again");
        }
        let taken = matches!(door.taken(TAKES).await, Ok(true));
        // Fails only when the supervisor has ended.
        drop(events.send(if taken { Event::Taken { id, run } } else { Event::Shut { id, run } }).await);
        if taken {
            let sweep = |place: &WarmPlace<'_>, _: &Door| {
                place.sweep();
                Ok(())
            };
            drop(door.with(sweep).await);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_word_spares_a_question() {
        let proc = tempfile::tempdir().unwrap();
        let id = ContainerId::new("c0ffee");
        assert!(!is_of(proc.path(), 7, &id), "no such process");
        std::fs::create_dir(proc.path().join("7")).unwrap();
        std::fs::write(proc.path().join("7/cgroup"), "12:pids:/docker/c0ffee\n0::/docker/c0ffee\n").unwrap();
        assert!(is_of(proc.path(), 7, &id));
        assert!(!is_of(proc.path(), 7, &ContainerId::new("decaf")), "another container's");
        std::fs::create_dir(proc.path().join("0")).unwrap();
        std::fs::write(proc.path().join("0/cgroup"), "c0ffee").unwrap();
        assert!(!is_of(proc.path(), 0, &id), "the engine did not tell");
    }
}
