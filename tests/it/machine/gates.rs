//! The gates of warm workers in the world: claims are carried out act by act, and may be cut between any two.

use std::time::Duration;

use jiff::Timestamp;
use podbay::bay::container::ContainerId;
use podbay::bay::gate::{self, Act, File, Sight};
use podbay::engine::EngineError;
use podbay::supervisor::event::{Event, StepError, StepNotes};
use podbay::supervisor::goal::{Opening, Step};

use podbay::workspace::WorkspaceError;

use super::world::{World, not_found};

/// A woken gate has so long to take its claim.
const TAKES: Duration = Duration::from_secs(5);

/// What a warm worker's gate has seen, by the runs of its container.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// The run and the turn that a claim file was written for, and what it says.
    file: Option<(Timestamp, u32, String)>,
    moved: bool,
    /// The runs whose claim was taken, each with what it became.
    pub taken: Vec<(Timestamp, String)>,
    /// Lines that reached a command, because the gate was open already.
    pub strays: usize,
    /// Lines on the tty that nobody has read yet: the run, and the turn that they are for.
    lines: Vec<(Timestamp, u32)>,
}

impl Gate {
    fn has_taken(&self, run: Timestamp) -> bool {
        self.taken.iter().any(|(taken, _)| *taken == run)
    }

    fn look(&self, run: Timestamp) -> File {
        match &self.file {
            Some((of, turn, _)) if *of == run && !self.has_taken(run) => File::Written(*turn),
            Some((of, ..)) if *of == run => File::Taken,
            _ => File::None,
        }
    }

    /// As on the disk: a turn that somebody may have been woken at is ended by the next one.
    fn write(&mut self, run: Timestamp, claim: &str) -> Option<u32> {
        let turn = match self.look(run) {
            File::None => 0,
            File::Written(turn) => turn + 1,
            File::Taken => return None,
        };
        self.file = Some((run, turn, claim.to_owned()));
        Some(turn)
    }

    fn read(&mut self, run: Timestamp) {
        for (of, line) in std::mem::take(&mut self.lines) {
            match &self.file {
                // What was typed into an earlier run went with its tty.
                _ if of != run => {}
                _ if self.has_taken(run) => self.strays += 1,
                Some((written, turn, claim)) if *written == run && (*turn == 0 || *turn == line) => {
                    self.taken.push((run, claim.clone()));
                }
                _ => {}
            }
        }
    }
}

impl World {
    /// Whether a command was ever let in.
    pub fn is_used(&self, id: &ContainerId) -> bool {
        self.gates.get(id).is_some_and(|gate| !gate.taken.is_empty())
    }

    /// Opens a gate as the executor does: act by act, from what is seen; killed in between if so ordered.
    pub fn open(&mut self, target: &str, id: &ContainerId, opening: &Opening, failure: Option<EngineError>) {
        let step = Step::Open(id.clone(), Box::new(opening.clone()));
        let mut failure = failure;
        let mut fresh = None;
        let mut asked = opening.nonce.is_none();
        for done in 0.. {
            if self.dies_in_claim == Some(done) {
                self.dies_in_claim = None;
                return self.crash();
            }
            let Some(container) = self.containers.get(id) else {
                return self.stepped(target.to_owned(), step, Err(not_found("claiming")), true);
            };
            let runs = container.status.since() == Some(opening.run);
            let gate = self.gates.get_mut(id).unwrap();
            let file = if opening.claim.is_some() { gate.look(opening.run) } else { File::Taken };
            if !std::mem::replace(&mut asked, true) && (opening.claim.is_none() || file != File::Taken) {
                // Beside the look at the parent, and left there by who is killed in between.
                let fails = self.fails_to_fill.is_some() || self.fails_to_write.is_some();
                if file == File::None && !fails {
                    fresh = gate.write(opening.run, opening.claim.as_deref().unwrap());
                }
                if !self.keeps_parent(opening) {
                    self.withdraw(id, opening);
                    let error = StepError::Workspace(WorkspaceError {
                        text: "it has lost the parent's network".to_owned(),
                        hint: None,
                        by_request: false,
                    });
                    return self.fails_to_open(target, step, id, error);
                }
                continue;
            }
            match gate::next(Sight { moved: gate.moved, file }) {
                None if opening.claim.is_some() => {
                    self.event(Event::Taken { id: id.clone(), run: opening.run });
                    break;
                }
                None => break,
                Some(Act::Write) => {
                    let full = self.fails_to_write.take();
                    if let Some(error) = self.fails_to_fill.take().map(StepError::Fill).or(full) {
                        return self.fails_to_open(target, step, id, error);
                    }
                    fresh = gate.write(opening.run, opening.claim.as_deref().unwrap());
                }
                Some(Act::Move) => gate.moved = true,
                Some(Act::Wake) => {
                    if fresh.is_none() && !self.slow_gates {
                        // The gate is given its time.
                        self.stir(id);
                    }
                    let gate = self.gates.get_mut(id).unwrap();
                    let Some(turn) = fresh.or_else(|| gate.write(opening.run, opening.claim.as_deref().unwrap()))
                    else {
                        continue;
                    };
                    let lost = matches!(failure, Some(EngineError::Deadline { .. }));
                    if let Some(error) = failure.take_if(|_| !lost) {
                        return self.fails_to_open(target, step, id, error.into());
                    }
                    if !runs {
                        let error = EngineError::Conflict { what: "waking".to_owned(), message: "it ended".to_owned() };
                        return self.fails_to_open(target, step, id, error.into());
                    }
                    if !std::mem::take(&mut self.loses_wakes) {
                        gate.lines.push((opening.run, turn));
                    }
                    if let Some(error) = failure.take() {
                        // It was written all the same.
                        return self.fails_to_open(target, step, id, error.into());
                    }
                    self.watched.push((self.mono + TAKES, id.clone(), opening.run));
                    if !self.slow_gates {
                        self.stir(id);
                    }
                    if self.dies_in_claim.take_if(|after| *after == done + 1).is_some() {
                        return self.crash();
                    }
                    self.gates.get_mut(id).unwrap().moved = true;
                    if self.dies_in_claim.take().is_some_and(|after| after == done + 2) {
                        return self.crash();
                    }
                    break;
                }
            }
        }
        self.steps.push((target.to_owned(), "open"));
        self.stepped(target.to_owned(), step, Ok(StepNotes::default()), false);
    }

    /// What is made in its place has these directories.
    fn fails_to_open(&mut self, target: &str, step: Step, id: &ContainerId, error: StepError) {
        self.gates.get_mut(id).unwrap().moved = true;
        self.stepped_with(target.to_owned(), step, Err(error), true);
    }

    /// As on the disk, where nobody may be let in: what was written is taken back.
    fn withdraw(&mut self, id: &ContainerId, opening: &Opening) {
        if let Some(gate) = self.gates.get_mut(id).filter(|gate| !gate.has_taken(opening.run)) {
            gate.file = None;
        }
    }

    fn keeps_parent(&self, opening: &Opening) -> bool {
        let Some((id, since, _)) = &opening.parent else { return true };
        self.containers.get(id).is_some_and(|parent| parent.status.since() == Some(*since))
    }

    /// Gates that were woken and have not taken their claim in time.
    pub fn watch_gates(&mut self) {
        let (due, waiting) = std::mem::take(&mut self.watched).into_iter().partition(|(due, ..)| *due <= self.mono);
        self.watched = waiting;
        let due: Vec<(Duration, ContainerId, Timestamp)> = due;
        for (_, id, run) in due {
            self.event(Event::Shut { id, run });
        }
    }

    /// A gate reads what was typed; what comes after its claim is its command's.
    pub fn stir(&mut self, id: &ContainerId) {
        let run = self.containers.get(id).and_then(|container| container.status.since());
        let Some(run) = run else { return };
        let gate = self.gates.get_mut(id).unwrap();
        gate.read(run);
        if gate.has_taken(run) && self.watched.iter().any(|(_, woken, of)| (woken, *of) == (id, run)) {
            self.watched.retain(|(_, woken, _)| woken != id);
            self.event(Event::Taken { id: id.clone(), run });
        }
    }

    /// Every claimed worker runs its own command, once a run, and nobody else's line; none of them is in the pool.
    pub fn assert_claims(&self) {
        for (id, gate) in &self.gates {
            assert_eq!(gate.strays, 0, "{id}: a line was typed into a command");
            let Some(container) = self.containers.get(id) else { continue };
            // The engine's name may come later: the state file says whose it is.
            let claim = self.disk.claims.get(id);
            let warm = container.name.starts_with("podbay-warm-") && claim.is_none_or(|claim| claim.name.is_none());
            assert!(!warm || gate.taken.is_empty(), "{} was used, and is in the pool", container.name);
            let waits = container.status.since().map(|run| gate.look(run));
            let left = warm && matches!(waits, Some(File::Written(_)));
            assert!(!left, "{}: a claim that came to nothing was left in its home", container.name);
        }
    }
}
