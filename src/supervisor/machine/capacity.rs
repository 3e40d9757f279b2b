//! How many more workers of each template the engine's machine takes.

use crate::api::types::{Capacity, TemplateRoom};
use crate::bay::capacity::{Host, Share, room};
use crate::bay::container::{Observed, Role, label};
use crate::bay::template::Template;

use super::Machine;

impl Machine {
    pub(super) fn capacity(&self) -> Capacity {
        let Some(identity) = &self.identity else { return Capacity::default() };
        // What can be read here is of this machine, which need not be the engine's.
        let here = identity.local;
        let host = Host {
            cpus: identity.cpus,
            memory: identity.memory,
            memory_free: self.gauges.memory_free.filter(|_| here),
            disk_free: Some(self.gauges.disk.free).filter(|_| here && self.gauges.disk.total > 0),
        };
        let takes = |container: &&Observed| container.status.is_running() && container.role() == Some(Role::Worker);
        let running: Vec<Share> =
            self.seen.values().map(|seen| &seen.container).filter(takes).map(|worker| self.share(worker)).collect();
        let templates = std::iter::once(&self.config.worker).chain(&self.config.templates);
        let templates: Vec<TemplateRoom> = templates.map(|template| row(&host, &running, template)).collect();
        Capacity {
            cpus: host.cpus,
            memory: host.memory,
            memory_free: host.memory_free,
            memory_promised: running.iter().fold(0, |sum, share| sum.saturating_add(share.memory)),
            workers: templates.first().and_then(|default| default.workers),
            templates,
        }
    }

    /// What a worker may take, by what it was made from; one whose template is gone counts as a default one.
    fn share(&self, worker: &Observed) -> Share {
        let template = self.template_of(worker.label(label::TEMPLATE)).unwrap_or(&self.config.worker);
        Share::of(&self.overrides_of(worker).over(template).limits)
    }
}

fn row(host: &Host, running: &[Share], template: &Template) -> TemplateRoom {
    let room = room(host, running, &Share::of(&template.limits));
    let first = room.first();
    TemplateRoom {
        template: template.name.to_string(),
        workers: first.map(|(count, _)| count),
        ends_first: first.map(|(_, what)| what.as_str().to_owned()),
        by_memory: room.memory,
        by_cpu: room.cpu,
        by_disk: room.disk,
    }
}
