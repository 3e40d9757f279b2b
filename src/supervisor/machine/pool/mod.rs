//! The pools: which warm workers there are, which are made and which let go. The numbers are [`crate::bay::pool`]'s.

mod leave;
mod order;
mod probe;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::bay::backoff::Backoff;
use crate::bay::container::{ImageFacts, Observed, Status, label};
use crate::bay::name::{Name, WARM};
use crate::bay::pool::{Census, Tally, orders};
use crate::bay::template::{PoolSpec, Template};
use crate::config::Config;

use super::super::event::Now;
use super::super::goal::{Goal, GoalKind, Make, What};
use super::{Machine, PendingKind};

/// Failures in a row until a pool stops trying for a while.
const FAILURES: u32 = 5;
/// How long it then rests.
const STOPPED: Duration = Duration::from_mins(5);
/// Warm workers made at the same time, over all pools, unless one of them says more.
const AT_ONCE: u32 = 4;
/// One that ends sooner than this after it was seen is a failure, not an accident.
const LASTING: Duration = Duration::from_mins(1);

/// What is known of a template's pool beyond its containers.
#[derive(Debug)]
pub(super) struct Pool {
    backoff: Backoff,
    not_before: Duration,
    next_wall: Option<Timestamp>,
    last_error: Option<String>,
    /// Why it makes none although some are missing.
    waits: Option<String>,
    /// Since when it has held back for people's own workers.
    held: Option<Duration>,
    pub(super) tally: Tally,
    /// When somebody last asked, or the pool began.
    pub(super) used: Duration,
}

impl Pool {
    pub(super) fn new(now: Now) -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            not_before: Duration::ZERO,
            next_wall: None,
            last_error: None,
            waits: None,
            held: None,
            tally: Tally::default(),
            used: now.mono,
        }
    }

    const fn stopped(&self) -> bool {
        self.backoff.failures() >= FAILURES
    }

    fn forgive(&mut self) {
        self.backoff.reset();
        (self.not_before, self.next_wall, self.last_error) = (Duration::ZERO, None, None);
    }

    /// Why it is not full, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.last_error {
            Some(error) if self.stopped() => {
                Some(format!("stopped trying after {} failures: {error}", self.backoff.failures()))
            }
            error => error.clone().or_else(|| self.waits.clone()),
        }
    }
}

/// What is known of one run of a warm worker.
#[derive(Debug)]
pub(super) struct Warmth {
    run: Timestamp,
    since: Duration,
    state: Probe,
}

#[derive(Debug, PartialEq)]
enum Probe {
    Asked,
    Ready,
    Failed(String),
}

/// Where a warm worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Creating,
    Probing,
    Ready,
    /// It runs, and can't be handed out.
    Stale(&'static str),
    /// Nothing is left to keep.
    Useless(String),
    Draining,
}

impl Machine {
    /// Counts, lets go and makes, for every pool.
    pub(super) fn keep_pools(&mut self, now: Now) {
        if self.goes_down() {
            return;
        }
        let places = self.places();
        self.let_go_useless(&places, now);
        let mut coming = census(places.values().map(|(_, place)| place)).coming();
        for template in self.pooled() {
            self.pools.entry(template.name.clone()).or_insert_with(|| Pool::new(now));
            coming += self.keep_pool(&template, &places, coming, now);
        }
    }

    /// Somebody wants this bay to work: from now on pools are kept full. Who only asks how it is fills none.
    pub(super) fn pools_up(&mut self) {
        if !std::mem::replace(&mut self.stored.pools_up, true) {
            self.pools.values_mut().for_each(|pool| pool.waits = None);
        }
    }

    /// Templates with a pool, as the configuration and what was asked since have it.
    fn pooled(&self) -> Vec<Template> {
        self.config.templates.iter().filter(|template| template.pool.is_some()).cloned().collect()
    }

    /// A pool's size: the configuration's, unless somebody asked for another, or nobody has asked for a worker for long.
    fn sized(&self, template: &Template, now: Duration) -> Option<PoolSpec> {
        let mut spec = template.pool.clone()?;
        let wish = self.stored.pools.get(&template.name).and_then(|wish| wish.target);
        // What is not wanted is not missing: no alert says so.
        spec.target = if self.stored.pools_up { wish.unwrap_or(spec.target) } else { 0 };
        spec.min = spec.min.min(spec.target);
        let idle = spec.idle_timeout.get();
        let used = self.pools.get(&template.name).map_or(now, |pool| pool.used);
        if !idle.is_zero() && now.saturating_sub(used) > idle {
            spec.target = spec.min;
        }
        Some(spec)
    }

    fn goes_down(&self) -> bool {
        self.exiting || self.pending.iter().any(|pending| pending.kind == PendingKind::Down)
    }

    /// Every warm worker with its template and where it is.
    fn places(&self) -> BTreeMap<String, (String, Place)> {
        let mut places = BTreeMap::new();
        for (name, seen) in self.seen.iter().filter(|(name, _)| is_warm(name)) {
            let template = seen.container.label(label::TEMPLATE).to_owned();
            places.insert(name.clone(), (template, self.place(name, &seen.container)));
        }
        for (name, goal) in self.stored.goals.iter().filter(|(name, _)| is_warm(name)) {
            if let GoalKind::Made(Make { what: What::Warm { template }, .. }) = &goal.kind {
                places.entry(name.clone()).or_insert_with(|| (template.to_string(), Place::Creating));
            }
        }
        places
    }

    /// Where one warm worker is.
    pub(super) fn place(&self, name: &str, container: &Observed) -> Place {
        let id = &container.id;
        match self.stored.goals.get(name).map(|goal| &goal.kind) {
            Some(GoalKind::Made(_)) => return Place::Creating,
            Some(_) => return Place::Draining,
            None => {}
        }
        if self.stored.claims.contains_key(id) {
            return Place::Useless("a claim of it failed".to_owned());
        }
        match &container.status {
            Status::Running { since, paused, .. } => self.place_of_running(container, *since, *paused),
            Status::Unclear { .. } => Place::Probing,
            Status::Removing => Place::Draining,
            Status::Exited { code, oom, .. } if *oom => Place::Useless(format!("killed for its memory (code {code})")),
            Status::Exited { code, .. } => Place::Useless(ended(*code)),
            Status::Created { error } => Place::Useless(format!("it was not started {error}")),
        }
    }

    fn place_of_running(&self, container: &Observed, since: Timestamp, paused: bool) -> Place {
        if self.lost(container).is_some() {
            return Place::Useless("it has lost the parent's network".to_owned());
        }
        let template = container.label(label::TEMPLATE).parse().ok();
        let template: Option<&Template> = template.and_then(|name: Name| self.config.template(&name));
        let Some(template) = template.filter(|template| template.pool.is_some()) else {
            return Place::Useless("its template has no pool any more".to_owned());
        };
        let image: ImageFacts = serde_json::from_str(container.label(label::IMAGE)).unwrap_or_default();
        if self.hashes.get(&template.name).is_none_or(|hash| hash != container.label(label::TEMPLATE_HASH)) {
            return Place::Stale("its template was changed");
        }
        if self.images.get(&template.image.to_string()).is_some_and(|id| *id != image.id) {
            return Place::Stale("its image was updated");
        }
        if paused {
            return Place::Stale("it is paused");
        }
        if self.walled_otherwise(container).is_some() {
            return Place::Stale("the bay's isolation was changed");
        }
        match self.warmth.get(&container.id).filter(|warmth| warmth.run == since) {
            Some(Warmth { state: Probe::Ready, .. }) => Place::Ready,
            Some(Warmth { state: Probe::Failed(why), .. }) => Place::Useless(why.clone()),
            _ => Place::Probing,
        }
    }

    fn let_go_useless(&mut self, places: &BTreeMap<String, (String, Place)>, now: Now) {
        for (name, (template, place)) in places {
            let Place::Useless(why) = place else { continue };
            if self.rests(name, now) {
                continue;
            }
            let id = self.seen.get(name).map(|seen| seen.container.id.clone());
            let warmth = id.as_ref().and_then(|id| self.warmth.get(id));
            let lasted = match warmth {
                Some(warmth) => warmth.state == Probe::Ready && now.mono.saturating_sub(warmth.since) >= LASTING,
                // It ended while nobody looked, or before anybody could.
                None => self.seen.get(name).is_some_and(|seen| has_lasted(&seen.container)),
            };
            let used = id.is_some_and(|id| self.stored.claims.contains_key(&id));
            let cut_off = self.seen.get(name).is_some_and(|seen| self.lost(&seen.container).is_some());
            self.let_go(name, now, why);
            if let Ok(template) = template.parse::<Name>()
                && !lasted
                && !used
                && !cut_off
            {
                self.pool_failed(&template, &format!("a warm worker was of no use: {why}"), now);
            }
        }
    }

    fn let_go(&mut self, name: &str, now: Now, why: &str) {
        self.say(now, Some(name), format!("is let go: {why}"));
        self.stored.goals.insert(name.to_owned(), Goal::new(GoalKind::Gone));
    }

    /// The bay goes down: nobody is to find a warm worker without its supervisor.
    pub(super) fn let_all_go(&mut self, now: Now) -> Vec<String> {
        let warm: Vec<String> = self.seen.keys().filter(|name| is_warm(name)).cloned().collect();
        for name in &warm {
            self.let_go(name, now, "the bay goes down");
        }
        warm
    }

    /// Answers with how many it has begun to make; `coming` are on their way already, over all pools.
    fn keep_pool(
        &mut self,
        template: &Template,
        places: &BTreeMap<String, (String, Place)>,
        coming: u32,
        now: Now,
    ) -> u32 {
        let Some(spec) = self.sized(template, now.mono) else { return 0 };
        let own: Vec<(&String, &Place)> = places
            .iter()
            .filter(|(_, (of, _))| *of == template.name.as_str())
            .map(|(name, (_, place))| (name, place))
            .collect();
        let census = census(own.iter().map(|(_, place)| *place));
        let up = self.stored.pools_up;
        let (leave, mut waits) = self.leave(template, now);
        let orders = orders(&spec, census, leave);
        let hands = AT_ONCE.max(spec.max_creating).saturating_sub(coming);
        if hands == 0 && census.coming() == 0 && orders.make > 0 {
            waits = Some("waits for the warm workers of other pools".to_owned());
        }
        if let Some(pool) = self.pools.get_mut(&template.name) {
            let waits = waits.filter(|_| census.total() < spec.target || !up);
            self.dirty |= pool.waits != waits;
            pool.waits = waits;
        }
        // One that could not be removed is left alone for a while.
        let there: Vec<_> = own.iter().filter(|(name, _)| !self.rests(name, now)).collect();
        let stale = there.iter().filter_map(|(name, place)| match place {
            Place::Stale(why) => Some(((*name).clone(), *why)),
            _ => None,
        });
        let ready = there.iter().rev().filter(|(_, place)| **place == Place::Ready);
        let surplus = ready.map(|(name, _)| ((*name).clone(), "more are warm than wanted"));
        let going: Vec<(String, &'static str)> =
            stale.take(usize::from(orders.replace)).chain(surplus.take(orders.let_go as usize)).collect();
        for (name, why) in going {
            self.let_go(&name, now, why);
        }
        let make = orders.make.min(hands);
        for _ in 0..make {
            self.make_warm(&template.name, now);
        }
        make
    }

    fn make_warm(&mut self, template: &Name, now: Now) {
        let salt = self.next_spread();
        let nonce = self.fresh_nonce(&format!("{template}{:?}{salt}", now.mono));
        let id = nonce.as_str().get(..10).unwrap_or_default();
        let name = format!("{WARM}{id}");
        let make = Make { nonce, what: What::Warm { template: template.clone() } };
        self.stored.goals.insert(name, Goal::new(GoalKind::Made(make)));
        self.dirty = true;
    }

    /// Something of a pool did not work: the next try waits, ever longer.
    pub(super) fn pool_failed(&mut self, template: &Name, error: &str, now: Now) {
        let spread = self.next_spread();
        // Those that were begun before the last failure was known are of the same try.
        let Some(pool) = self.pools.get_mut(template).filter(|pool| now.mono >= pool.not_before) else { return };
        let mut wait = pool.backoff.fail(spread);
        if pool.stopped() {
            wait = STOPPED;
        }
        pool.not_before = now.mono + wait;
        pool.next_wall = Some(now.wall.checked_add(wait).unwrap_or(now.wall));
        let news = pool.last_error.as_deref() != Some(error) || pool.backoff.failures() == FAILURES;
        pool.last_error = Some(error.to_owned());
        let text = pool.trouble().unwrap_or_default();
        self.dirty = true;
        if news {
            self.say(now, None, format!("pool {template}: {text}"));
        }
    }
}

/// Of every template with a pool.
pub(super) fn hashes(config: &Config) -> BTreeMap<Name, String> {
    let pooled = config.templates.iter().filter(|template| template.pool.is_some());
    pooled.map(|template| (template.name.clone(), template.hash())).collect()
}

/// Whether a name inside the bay is one of the pool's.
pub(super) fn is_warm(name: &str) -> bool {
    name.starts_with(WARM)
}

fn census<'a>(places: impl Iterator<Item = &'a Place>) -> Census {
    let mut census = Census::default();
    for place in places {
        match place {
            Place::Creating => census.creating += 1,
            Place::Probing => census.probing += 1,
            Place::Ready => census.warm += 1,
            Place::Stale(_) => census.stale += 1,
            Place::Draining | Place::Useless(_) => census.draining += 1,
        }
    }
    census
}

/// Whether it ran long enough that its end says nothing against its making. By the engine's own clock alone.
fn has_lasted(container: &Observed) -> bool {
    let Status::Exited { at: Some(at), .. } = container.status else { return false };
    Duration::try_from(at.duration_since(container.created_at)).is_ok_and(|life| life >= LASTING)
}

fn ended(code: i64) -> String {
    match code {
        126 | 127 => format!(
            "it ended with code {code}: the image has no POSIX sh to wait with (warm = \"running\" needs none), or lacks \
             its program"
        ),
        code => format!("it ended with code {code}"),
    }
}
