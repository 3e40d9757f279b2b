//! Native services: what their shims are told, and what they say.

use crate::bay::lifecycle::Rules;
use crate::bay::name::Name;
use crate::bay::service::RestartPolicy;
use crate::bay::template::Limits;
use crate::config::ServiceConfig;
use crate::service::protocol::{Order, OutputRules, RunState, Status, Told};

use super::super::super::event::{Effect, Found, Now, ServiceEffect, Sighting};
use super::super::{Machine, Out};
use super::unit::{ORDER, Owed, PortHolder, Trouble, Unit, Want};

impl Machine {
    /// What the last supervisor left, and what became of it since.
    pub(super) fn surveyed(&mut self, found: Vec<Found>, now: Now, out: &mut Out) {
        self.services.surveyed = true;
        let newest = found.iter().map(|found| found.status.last_order).max().unwrap_or_default();
        // The clock that numbers begin with may have been set back since.
        self.services.last_order = self.services.last_order.max(newest);
        for Found { name, status, shim } in found {
            let alive = shim == Sighting::Alive;
            if self.services.units.get(&name).is_some_and(|unit| unit.life.is_some()) {
                // It runs in a container by now, and its shim has not heard of that.
                for order in [Order::Stop, Order::Quit].into_iter().filter(|_| alive) {
                    self.tell_shim(&name, order, out);
                }
                continue;
            }
            if !self.services.units.contains_key(&name) {
                let there = shim != Sighting::Dead || (status.state.is_live() && status.boot == self.boot);
                if !there {
                    continue;
                }
                // It was removed from the configuration while nobody looked.
                self.services.units.insert(name.clone(), Unit::orphan(name.clone()));
            }
            if alive {
                if let Some(unit) = self.services.units.get_mut(&name) {
                    unit.line.open = true;
                }
                let rests = status.state.is_at_rest();
                self.shim_said(&name, *status, now);
                if let Some(unit) = self.services.units.get(&name).filter(|unit| !unit.removed && !rests) {
                    // They may have changed while nobody could tell it.
                    self.tell_rules(&unit.config.clone(), out);
                }
            } else if let Sighting::Mute(why) = shim {
                if let Some(unit) = self.services.units.get_mut(&name) {
                    unit.status = *status;
                }
                self.shim_mute(&name, why, now);
            } else {
                self.shim_gone(&name, Some(*status), now);
            }
        }
        self.settle_wishes();
    }

    /// What an earlier supervisor kept, beside what was found.
    fn settle_wishes(&mut self) {
        let services = &mut self.services;
        let boot = std::mem::replace(&mut self.stored.services_boot, self.boot.clone());
        let comes_back = self.stored.services_up && !boot.is_empty() && boot != self.boot;
        for unit in services.units.values_mut() {
            unit.settle_due();
            // Wanted, and not begun: the last supervisor did not come to it.
            let begun = unit.life.is_some() || unit.status.state != RunState::Idle;
            if unit.want == Want::Up && !begun && unit.owed == Owed::Nothing {
                unit.owed = Owed::Start;
            }
            // What a user stopped stays so, but for one that always runs, and then only over a reboot: a supervisor that
            // died is nothing to it.
            if comes_back && unit.want == Want::Stopped && unit.config.restart == RestartPolicy::Always {
                unit.want = Want::Up;
                unit.owed = Owed::Start;
            }
        }
        self.keep_wants();
    }

    pub(super) fn shim_said(&mut self, name: &Name, mut status: Status, now: Now) {
        let Some(unit) = self.services.units.get_mut(name).filter(|unit| unit.life.is_none()) else { return };
        unit.line.open = true;
        unit.mute = None;
        // It ended first what the last one left.
        unit.unproven = false;
        let awaited = unit.line.awaiting.filter(|(id, _)| *id <= status.last_order);
        if awaited.is_some() {
            unit.line.awaiting = None;
        }
        let refused =
            status.refused.as_ref().filter(|refused| awaited.is_some_and(|(id, _)| id == refused.id)).cloned();
        if status.state.is_at_rest() {
            unit.line.stop_told = false;
        }
        // A line of the rules before these.
        status.ready_log &= status.last_order >= unit.line.rules_told;
        if unit.status.run != status.run || status.state != RunState::Running {
            unit.health.reset();
        }
        if status.state == RunState::Running {
            unit.trouble = None;
            unit.troubles.reset();
            let age = super::contained::age_since(status.since, now);
            unit.health.begin(now.mono, age, (unit.config.ready.is_some(), unit.config.live.is_some()));
            if status.ready_log {
                unit.health.hurry(now.mono);
            }
        }
        let other = status.state == RunState::Running && !status.hash.is_empty() && status.hash != unit.config.hash();
        unit.status = status;
        // Started by an earlier configuration, and nobody has told it of the new one.
        if other && unit.want == Want::Up && unit.owed == Owed::Nothing && unit.line.awaiting.is_none() && !unit.removed
        {
            unit.anew = true;
        }
        if let (Some(refused), Some((_, owed))) = (refused, awaited) {
            unit.line.awaiting = Some((refused.id, owed));
            let why = format!(
                "its shim (pid {}) is of another podbay and does not understand what it is told ({}); `kill {0}` ends it \
                 with its service, and this podbay starts both again",
                unit.status.shim.pid, refused.why
            );
            self.unprepared(name, why, now);
        }
    }

    /// Its shim lives, and can't be spoken with. Nothing is put in its place; it is asked again after a while.
    pub(super) fn shim_mute(&mut self, name: &Name, why: String, now: Now) {
        let spread = self.next_spread();
        let Some(unit) = self.services.units.get_mut(name).filter(|unit| unit.life.is_none()) else { return };
        if let Some((_, owed)) = unit.line.awaiting.take() {
            unit.owed = owed;
        }
        unit.line = super::unit::Line::default();
        unit.health.reset();
        let wait = unit.troubles.fail(spread);
        let until_wall = now.wall.checked_add(wait).unwrap_or(now.wall);
        let news = unit.mute.as_ref().is_none_or(|mute| mute.text != why);
        unit.mute = Some(Trouble { text: why.clone(), until: now.mono + wait, until_wall });
        if news {
            self.say(now, Some(&super::container_key(name)), why);
        }
    }

    /// Asks a shim again that could not be spoken with.
    pub(super) fn ask_the_mute(&mut self, name: &Name, now: Now, out: &mut Out) {
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let due = unit.mute.as_ref().is_some_and(|mute| mute.until <= now.mono);
        if due && !unit.line.open {
            // Until it answers, or does not.
            unit.line.open = true;
            Self::service_effect(out, ServiceEffect::Open(name.clone()));
        }
    }

    /// Finds out who has the port that its last run was to listen on.
    pub(super) fn ask_for_holder(&mut self, name: &Name, out: &mut Out) {
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let (run, port) = (unit.status.run, unit.status.port_taken);
        if let Some(port) = port.filter(|_| unit.holder.as_ref().is_none_or(|holder| holder.run != run)) {
            let text = format!("port {port} is held by another process");
            unit.holder = Some(PortHolder { run, text });
            Self::service_effect(out, ServiceEffect::FindHolder { name: name.clone(), run, port });
        }
    }

    pub(super) fn holder_found(&mut self, name: &Name, run: u64, text: String) {
        let unit = self.services.units.get_mut(name);
        if let Some(holder) = unit.and_then(|unit| unit.holder.as_mut()).filter(|holder| holder.run == run) {
            holder.text = text;
        }
    }

    /// There is no shim any more. What it left of a run is ended by the next one.
    pub(super) fn shim_gone(&mut self, name: &Name, status: Option<Status>, now: Now) {
        let Some(unit) = self.services.units.get_mut(name).filter(|unit| unit.life.is_none()) else { return };
        let mut status = status.unwrap_or_else(|| unit.status.clone());
        let same_boot = status.boot == self.boot;
        let was = status.state;
        let lost = unit.line.awaiting.take().filter(|(id, _)| *id > status.last_order);
        unit.mute = None;
        unit.line = super::unit::Line::default();
        unit.health.reset();
        if was.is_at_rest() {
            unit.status = status;
            if let Some((_, owed)) = lost {
                unit.owed = owed;
            }
            return;
        }
        let text = if same_boot { "its shim was killed" } else { "went down with the machine" };
        // Its rules can't be asked any more whether the rest of a run matters to somebody: a new shim sees to it.
        status.state = if unit.want == Want::Up || !same_boot { RunState::Idle } else { RunState::Stopping };
        status.main = None;
        unit.status = status;
        match lost {
            Some((_, owed @ (Owed::Start | Owed::Resume))) => unit.owed = owed,
            _ if unit.want == Want::Up && !unit.anew && unit.owed == Owed::Nothing => unit.owed = Owed::Resume,
            _ => {}
        }
        unit.unproven = same_boot;
        self.say(now, Some(&super::container_key(name)), text);
    }

    /// What a start needs is not there: a port, a file of variables, a shim.
    pub(super) fn unprepared(&mut self, name: &Name, error: String, now: Now) {
        let spread = self.next_spread();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        if let Some((_, owed)) = unit.line.awaiting.take() {
            unit.owed = owed;
        }
        if unit.unproven {
            // It would have said so: no shim has begun.
            unit.line.open = false;
        }
        let wait = unit.troubles.fail(spread);
        let until_wall = now.wall.checked_add(wait).unwrap_or(now.wall);
        let news = unit.trouble.as_ref().is_none_or(|trouble| trouble.text != error);
        unit.trouble = Some(Trouble { text: error.clone(), until: now.mono + wait, until_wall });
        if news {
            self.say(now, Some(&super::container_key(name)), error);
        }
    }

    pub(super) fn start_native(&mut self, name: &Name, out: &mut Out) {
        let id = self.services.next_order();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        let resume = unit.owed == Owed::Resume;
        unit.line = super::unit::Line { awaiting: Some((id, unit.owed)), ..unit.line };
        unit.line.quit_told = false;
        unit.line.stop_told = false;
        unit.line.open = true;
        unit.owed = Owed::Nothing;
        let service = Box::new(unit.config.clone());
        Self::service_effect(out, ServiceEffect::Start { id, service, resume });
        self.dirty = true;
    }

    pub(super) fn stop_native(&mut self, name: &Name, now: Now, out: &mut Out) {
        let id = self.services.next_order();
        let Some(unit) = self.services.units.get_mut(name) else { return };
        if unit.unproven && unit.trouble.as_ref().is_some_and(|trouble| trouble.until > now.mono) {
            return;
        }
        if unit.unproven && !unit.line.open {
            unit.line.open = true;
            return Self::service_effect(out, ServiceEffect::Open(name.clone()));
        }
        if unit.line.stop_told || !unit.line.open {
            return;
        }
        unit.line.stop_told = true;
        unit.line.awaiting = Some((id, Owed::Nothing));
        let told = Box::new(Told::new(id, Order::Stop));
        Self::service_effect(out, ServiceEffect::Tell { name: name.clone(), told });
        self.dirty = true;
    }

    /// A shim of a service that rests costs memory for nothing: what it knows is on the disk.
    pub(super) fn let_shim_go(&mut self, name: &Name, out: &mut Out) {
        let Some(unit) = self.services.units.get_mut(name) else { return };
        if unit.line.open && !unit.line.quit_told {
            unit.line.quit_told = true;
            self.tell_shim(name, Order::Quit, out);
        }
    }

    /// An order that nobody waits for.
    pub(super) fn tell_shim(&mut self, name: &Name, order: Order, out: &mut Out) {
        let told = Box::new(Told::new(self.services.next_order(), order));
        Self::service_effect(out, ServiceEffect::Tell { name: name.clone(), told });
    }

    /// The rules of a run that goes on.
    pub(super) fn tell_rules(&mut self, service: &ServiceConfig, out: &mut Out) {
        let output = Some(OutputRules::of(service, &self.config.worker.limits));
        let told = Told { output, ..Told::new(self.services.next_order(), Order::Rules(Rules::of(service))) };
        Self::service_effect(out, ServiceEffect::Tell { name: service.name.clone(), told: Box::new(told) });
    }
}

impl Unit {
    /// What a run that goes on is told of its new definition; `None`: nothing of its rules is new.
    pub(super) fn take_rules(&mut self, old: &ServiceConfig, limits: (&Limits, &Limits), id: u64) -> Option<Effect> {
        let (rules, output) = (Rules::of(&self.config), OutputRules::of(&self.config, limits.1));
        if Rules::of(old) == rules && OutputRules::of(old, limits.0) == output {
            return None;
        }
        (self.line.rules_told, self.status.ready_log) = (id, false);
        let told = Box::new(Told { output: Some(output), ..Told::new(id, Order::Rules(rules)) });
        Some(Effect::Service(ServiceEffect::Tell { name: self.config.name.clone(), told }))
    }

    /// Whether what an earlier supervisor owed was done by that one.
    fn settle_due(&mut self) {
        let Some(after) = self.after.take().filter(|_| self.life.is_none()) else { return };
        if self.status.run > after {
            self.owed = Owed::Nothing;
        } else if self.status.state.is_live() {
            self.owed = Owed::Nothing;
            self.anew = true;
        }
    }

    /// Brings what is owed and what is seen together.
    pub(super) fn settle_owed(&mut self, now: Now) {
        let line = &mut self.line;
        line.asked = line
            .awaiting
            .map(|(id, _)| (id, line.asked.filter(|asked| asked.0 == id).map_or(now.mono, |asked| asked.1)));
        line.late = line.asked.is_some_and(|(_, since)| now.mono >= since + ORDER);
        if self.unproven && !self.line.open {
            // What a killed shim left is ended by the next one before that begins anything; unwanted, that is all it does.
            self.status.state = if self.want == Want::Up { RunState::Idle } else { RunState::Stopping };
        }
        if self.want != Want::Up || self.line.awaiting.is_some() || self.anew {
            return;
        }
        match self.status.state {
            RunState::Running if self.owed != Owed::Nothing && !self.line.stop_told => {
                self.owed = Owed::Nothing;
                let known = !self.status.hash.is_empty();
                self.anew = known && self.life.is_none() && self.status.hash != self.config.hash();
            }
            // Nobody here stopped it: somebody ended its shim.
            RunState::Idle if self.owed == Owed::Nothing && self.life.is_none() => self.owed = Owed::Resume,
            _ => {}
        }
    }
}
