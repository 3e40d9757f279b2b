//! What is asked of pools, and what is told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::api::types::{Done, ErrorDetail, Percentiles, PoolOrder, PoolRequest, PoolRow};
use crate::bay::container::label;
use crate::bay::metric::Histogram;
use crate::bay::name::Name;
use crate::bay::pool::MOST_WARM;
use crate::bay::template::Template;

use super::super::super::event::Now;
use super::super::super::refusal;
use super::super::super::store::PoolWish;
use super::super::{Link, Machine};
use super::{Place, Pool, census, is_warm};

impl Machine {
    /// Does what was asked of pools.
    pub(in super::super) fn order_pools(&mut self, request: &PoolRequest, now: Now) -> Result<Done, ErrorDetail> {
        let names: Vec<Name> = self.pooled().into_iter().map(|template| template.name).collect();
        let chosen: Vec<Name> = match &request.template {
            Some(name) if names.contains(name) => vec![name.clone()],
            Some(name) => return Err(refusal::no_pool(name.as_str())),
            None if names.is_empty() => return Err(refusal::no_pool("")),
            None if names.len() > 1 && matches!(request.order, PoolOrder::Scale { .. }) => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                return Err(refusal::which_pool(&names.join(", ")));
            }
            None => names,
        };
        let text = match request.order {
            PoolOrder::Scale { target } if target > MOST_WARM => {
                return Err(refusal::invalid(&format!("{target} warm workers are too many: {MOST_WARM} at most")));
            }
            PoolOrder::Scale { target } => {
                self.wish(&chosen, target);
                self.pools_up();
                format!("{} keeps {target} warm", list(&chosen))
            }
            PoolOrder::Drain => {
                self.wish(&chosen, 0);
                format!("{}: warm workers are let go; `podbay pool scale N` fills it again", list(&chosen))
            }
            PoolOrder::Cleanup => {
                let count = self.clean_up(&chosen, now);
                self.pools_up();
                format!("{}: {count} let go; it tries again now", list(&chosen))
            }
        };
        for (_, pool) in self.pools.iter_mut().filter(|(name, _)| chosen.contains(name)) {
            pool.forgive();
            pool.used = now.mono;
        }
        self.images_due = now.mono;
        Ok(Done { text, notes: Vec::new() })
    }

    fn wish(&mut self, names: &[Name], target: u32) {
        for name in names {
            let configured = self.config.template(name).and_then(|template| template.pool.as_ref());
            let wish = (configured.map(|pool| pool.target) != Some(target)).then_some(target);
            self.stored.pools.insert(name.clone(), PoolWish { target: wish });
        }
    }

    /// All that are not ready and not on their way, at once.
    fn clean_up(&mut self, names: &[Name], now: Now) -> usize {
        let of = |template: &str| names.iter().any(|name| name.as_str() == template);
        let useless: Vec<String> = self
            .places()
            .into_iter()
            .filter(|(_, (template, place))| {
                let known = self.config.templates.iter().any(|one| one.name.as_str() == template);
                (of(template) || !known) && matches!(place, Place::Stale(_) | Place::Useless(_))
            })
            .map(|(name, _)| name)
            .collect();
        for name in &useless {
            self.let_go(name, now, "by request");
        }
        useless.len()
    }

    /// Another configuration: what was asked of a pool holds until the configuration says something else about it.
    pub(in super::super) fn pools_changed(&mut self, old: &crate::config::Config) {
        let config = self.config.clone();
        self.stored.pools.retain(|name, _| {
            let pool =
                |config: &crate::config::Config| config.template(name).and_then(|template| template.pool.clone());
            pool(&config) == pool(old)
        });
        let kept: BTreeSet<Name> = self.pooled().into_iter().map(|template| template.name).collect();
        self.pools.retain(|name, _| kept.contains(name));
        self.pools.values_mut().for_each(Pool::forgive);
        self.images_due = Duration::ZERO;
    }

    /// What everybody may see of the pools.
    pub(in super::super) fn pool_rows(&self, now: Now) -> Vec<PoolRow> {
        let places = self.places();
        let row = |template: &Template| {
            let own = places.values().filter(|(of, _)| *of == template.name.as_str()).map(|(_, place)| place);
            let census = census(own);
            let spec = self.sized(template, now.mono)?;
            let pool = self.pools.get(&template.name);
            let tally = pool.map(|pool| &pool.tally);
            let missing = census.total() < spec.target;
            let holds = pool.filter(|_| missing).and_then(|pool| pool.holds_back(now.mono));
            let up = matches!(self.link, Link::Up { .. });
            let away = (!up).then(|| "the engine is away".to_owned());
            Some(PoolRow {
                template: template.name.to_string(),
                target: spec.target,
                min: spec.min,
                max_creating: spec.max_creating,
                warm: if up { census.warm } else { 0 },
                claimed: self.claimed_of(template),
                creating: census.coming(),
                hits: tally.map_or(0, |tally| tally.hits),
                misses: tally.map_or(0, |tally| tally.misses),
                claim_ms: Percentiles {
                    p50: tally.and_then(|tally| tally.percentile(50)),
                    p95: tally.and_then(|tally| tally.percentile(95)),
                },
                last_error: away.or_else(|| pool.and_then(Pool::trouble)).or(holds),
                probing: census.probing,
                draining: census.draining + census.stale,
                next_try_at: pool.and_then(|pool| pool.next_wall),
            })
        };
        self.config.templates.iter().filter_map(row).collect()
    }

    /// How long claims took, a pool each.
    pub(in super::super) fn claim_times(&self) -> BTreeMap<String, Histogram> {
        self.pools.iter().map(|(name, pool)| (name.to_string(), pool.tally.took.clone())).collect()
    }

    /// Those that were claimed of this pool and are still there.
    fn claimed_of(&self, template: &Template) -> u32 {
        let claimed = self.seen.iter().filter(|(name, seen)| {
            !is_warm(name)
                && !seen.container.label(label::WARM).is_empty()
                && seen.container.label(label::TEMPLATE) == template.name.as_str()
        });
        u32::try_from(claimed.count()).unwrap_or(u32::MAX)
    }
}

fn list(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    format!("pool {}", names.join(", "))
}
