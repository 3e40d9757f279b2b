//! Terminals and more processes: what goes through a container's shim, or by it.

use std::sync::{Arc, PoisonError, Weak};

use super::calls::{conflict, failed, other, refused};
use super::plan::{self, Plan};
use super::wire::{Answer, Ask, Program};
use super::{LocalEngine, link, stream};
use crate::bay::container::ContainerId;
use crate::bay::session::TermSize;
use crate::engine::{EngineError, Exec, ExecId, ExecIo, ExecSpec, ExecState, RawTty};

impl LocalEngine {
    pub(super) async fn attach_now(&self, id: &ContainerId) -> Result<RawTty, EngineError> {
        let (place, record) = self.find(id, "attach to")?;
        let what = format!("attach to {}", record.spec.name);
        if self.is_awaited(&record) {
            self.wake(&what, &place, &record).await?;
        }
        for _ in 0..2 {
            match link::ask(&place, &Ask::Attach).await.map_err(failed(&what))? {
                Some((stream, Answer::Done, _)) => {
                    let (output, input) = stream.into_split();
                    return Ok(RawTty { output: Box::new(output), input: Box::new(input) });
                }
                Some((_, answer, _)) => return Err(other(&what, answer)),
                None => self.wake(&what, &place, &record).await?,
            }
        }
        Err(conflict(&what, "its shim ends as soon as it has begun"))
    }

    pub(super) async fn exec_now(&self, id: &ContainerId, what: &str, spec: &ExecSpec) -> Result<Exec, EngineError> {
        let (place, _) = self.find(id, "run a program in")?;
        if !place.status().is_running() {
            return Err(conflict(what, format!("container {} is not running", id.short())));
        }
        let plan: Plan =
            std::fs::read(place.plan()).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)).map_err(failed(what))?;
        let ids = match &spec.user {
            None => plan.main.ids,
            Some(user) => {
                let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
                plan::ids(Some(user), &passwd, self.launch.own).map_err(|why| refused(what, why))?
            }
        };
        let mut program = Program {
            command: spec.command.clone(),
            env: plan::exec_env(&plan.main.env, &spec.env, spec.tty.is_some()),
            cwd: spec.workdir.as_ref().map_or(plan.main.cwd, Into::into),
            ids,
            tty: spec.tty,
        };
        if let Some(bare) = &plan.bare {
            bare.place(&mut program);
        }
        let (number, mut fds) = match link::ask(&place, &Ask::Exec(Box::new(program))).await.map_err(failed(what))? {
            Some((_, Answer::Began(number), fds)) => (number, fds),
            Some((_, answer, _)) => return Err(other(what, answer)),
            None => return Err(conflict(what, "it is not running")),
        };
        let exec = ExecId(format!("{id}:{number}"));
        let io = match (spec.tty, fds.pop()) {
            (Some(_), Some(end)) => {
                let (tty, near) = stream::terminal(end).map_err(failed(what))?;
                let mut terminals = self.terminals.lock().unwrap_or_else(PoisonError::into_inner);
                terminals.retain(|_, near| near.strong_count() > 0);
                terminals.insert(exec.clone(), Arc::downgrade(&near));
                ExecIo::Tty(tty)
            }
            (_, last) => {
                fds.extend(last);
                stream::pipes(fds).map_err(failed(what))?
            }
        };
        Ok(Exec { id: exec, io })
    }

    pub(super) fn resize_exec_now(&self, exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
        let what = "resize an exec";
        let terminals = self.terminals.lock().unwrap_or_else(PoisonError::into_inner);
        let near = terminals.get(exec).and_then(Weak::upgrade);
        let gone = || EngineError::NotFound { what: what.to_owned(), message: "its terminal is closed".to_owned() };
        let near = near.ok_or_else(gone)?;
        crate::service::shim::spawn::resize(near.get_ref(), size).map_err(failed(what))
    }

    pub(super) async fn resize_now(&self, id: &ContainerId, what: &str, size: TermSize) -> Result<(), EngineError> {
        let (place, _) = self.find(id, "resize the terminal of")?;
        match link::ask(&place, &Ask::Resize(size)).await.map_err(failed(what))? {
            Some((_, Answer::Done, _)) => Ok(()),
            Some((_, answer, _)) => Err(other(what, answer)),
            None => Err(conflict(what, "it is not running")),
        }
    }

    pub(super) async fn exec_state_now(&self, exec: &ExecId) -> Result<ExecState, EngineError> {
        let what = "look at an exec";
        let unknown = || EngineError::NotFound { what: what.to_owned(), message: format!("no exec {:?}", exec.0) };
        let (id, number) = exec.0.split_once(':').ok_or_else(unknown)?;
        let number = number.parse().map_err(|_| unknown())?;
        let (place, _) = self.find(&ContainerId::new(id), "look at an exec in")?;
        match link::ask(&place, &Ask::ExecState(number)).await {
            Ok(Some((_, Answer::Runs, _))) => Ok(ExecState::Running { pid: 0 }),
            Ok(Some((_, Answer::Ended(code), _))) => Ok(ExecState::Exited { code }),
            Ok(Some((_, answer, _))) => Err(other(what, answer)),
            // It ended with its container, as everything there does.
            Ok(None) => Ok(ExecState::Exited { code: 137 }),
            Err(_) if !place.status().is_running() => Ok(ExecState::Exited { code: 137 }),
            Err(error) => Err(failed(what)(error)),
        }
    }
}
