//! The gates of warm workers in the world: claims are carried out act by act, and may be cut between any two.

use jiff::Timestamp;
use podbay::bay::container::ContainerId;
use podbay::bay::gate::{self, Act, File, Sight};
use podbay::engine::EngineError;
use podbay::supervisor::event::{StepError, StepNotes};
use podbay::supervisor::goal::{Opening, Step};

use podbay::workspace::WorkspaceError;

use super::world::{World, not_found};

/// What a warm worker's gate has seen, by the runs of its container.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// The run that a claim file was written for, and what it says.
    file: Option<(Timestamp, String)>,
    moved: bool,
    /// The runs whose claim was taken, each with what it became.
    pub taken: Vec<(Timestamp, String)>,
    /// Lines that reached a command, because the gate was open already.
    pub strays: usize,
    /// It was woken and has not stirred yet.
    stirs: bool,
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
        if opening.rename.is_none()
            && let Some(error) = failure.take_if(|error| !matches!(error, EngineError::Deadline { .. }))
        {
            return self.stepped(target.to_owned(), step, Err(error), true);
        }
        let mut named = opening.rename.is_none();
        let mut fresh = false;
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
            let file = match (&opening.claim, &gate.file) {
                (None, _) => File::Taken,
                (_, Some((run, _))) if *run != opening.run => File::None,
                (_, None) => File::None,
                _ if gate.taken.iter().any(|(run, _)| *run == opening.run) => File::Taken,
                _ => File::Written,
            };
            match gate::next(Sight { named, moved: gate.moved, file }) {
                None => break,
                Some(Act::Write) => {
                    let full = self.fails_to_write.take();
                    if let Some(error) = self.fails_to_fill.take().map(StepError::Fill).or(full) {
                        return self.stepped_with(target.to_owned(), step, Err(error), true);
                    }
                    gate.file = Some((opening.run, opening.claim.clone().unwrap()));
                    fresh = true;
                }
                Some(Act::Rename) => {
                    let lost = matches!(failure, Some(EngineError::Deadline { .. }));
                    if let Some(error) = failure.take_if(|_| !lost) {
                        return self.stepped(target.to_owned(), step, Err(error), true);
                    }
                    let renamed = self.carry_out(target, &Step::Rename(id.clone(), opening.rename.clone().unwrap()));
                    if let Err(error) = renamed {
                        return self.stepped(target.to_owned(), step, Err(error), true);
                    }
                    if let Some(error) = failure.take() {
                        return self.stepped(target.to_owned(), step, Err(error), false);
                    }
                    if !self.keeps_parent(opening) {
                        let error = StepError::Workspace(WorkspaceError {
                            text: "it has lost the parent's network".to_owned(),
                            hint: None,
                            by_request: false,
                        });
                        return self.stepped_with(target.to_owned(), step, Err(error), true);
                    }
                    named = true;
                }
                Some(Act::Move) => gate.moved = true,
                Some(Act::Wake) => {
                    if !fresh && gate.stirs {
                        self.stir(id);
                        continue;
                    }
                    if !runs {
                        let error = EngineError::Conflict { what: "waking".to_owned(), message: "it ended".to_owned() };
                        return self.stepped(target.to_owned(), step, Err(error), true);
                    }
                    gate.stirs = true;
                    if !self.slow_gates {
                        self.stir(id);
                    }
                    if self.dies_in_claim.take().is_some_and(|after| after == done + 1) {
                        return self.crash();
                    }
                    break;
                }
            }
        }
        self.steps.push((target.to_owned(), "open"));
        self.stepped(target.to_owned(), step, Ok(StepNotes::default()), false);
    }

    fn keeps_parent(&self, opening: &Opening) -> bool {
        let Some((id, since)) = &opening.parent else { return true };
        self.containers.get(id).is_some_and(|parent| parent.status.since() == Some(*since))
    }

    /// A woken gate takes its claim; what was woken twice has typed into the command.
    pub fn stir(&mut self, id: &ContainerId) {
        let run = self.containers.get(id).and_then(|container| container.status.since());
        let gate = self.gates.get_mut(id).unwrap();
        if !std::mem::take(&mut gate.stirs) {
            return;
        }
        match (&gate.file, run) {
            (Some((of, claim)), Some(run)) if *of == run => {
                if gate.taken.iter().any(|(taken, _)| *taken == run) {
                    gate.strays += 1;
                } else {
                    gate.taken.push((run, claim.clone()));
                }
            }
            _ => {}
        }
    }

    /// Every claimed worker runs its own command, once a run, and nobody else's line; none of them is in the pool.
    pub fn assert_claims(&self) {
        for (id, gate) in &self.gates {
            assert_eq!(gate.strays, 0, "{id}: a line was typed into a command");
            let Some(container) = self.containers.get(id) else { continue };
            let warm = container.name.starts_with("podbay-warm-");
            assert!(!warm || gate.taken.is_empty(), "{} was used, and is in the pool", container.name);
        }
    }
}
