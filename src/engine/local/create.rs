//! Making a container: its plan as far as it is known, its name, its files.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::calls::{bay_of, blocking, failed, host_alone, refused};
use super::place::{Place, Record};
use super::plan::{Facts, Plan, plan};
use super::spare::Warm;
use super::{LocalEngine, cgroup, containers};
use crate::bay::container::{ContainerId, ContainerSpec, NetworkSpec};
use crate::bay::port::{PortMapping, Protocol};
use crate::engine::docker::host_image::Layout;
use crate::engine::{Created, EngineError};

impl LocalEngine {
    pub(super) async fn create_now(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        let what = format!("create {}", spec.name);
        host_alone(&spec.image)?;
        if let Some(mount) = spec.mounts.iter().find(|mount| !mount.source.exists()) {
            return Err(refused(&what, format!("mount source {} does not exist", mount.source.display())));
        }
        if spec.hardening.seccomp != "default" && spec.hardening.seccomp != "unconfined" {
            return Err(refused(&what, "the local engine has no seccomp profiles: set seccomp = \"default\""));
        }
        let mut record =
            Record { id: new_id().map_err(failed(&what))?, created_at: Timestamp::now(), spec: spec.clone() };
        let dir = containers(&self.state, &bay_of(&record));
        let layout = Layout::of(Path::new("/"));
        // What the spec itself mounts there may need something else there.
        let is_usual = layout.mounts(&spec.mounts) == layout.mounts(&[]);
        let spare = if is_usual { self.spares.take(&dir, &layout, spec.tty) } else { None };
        let is_prepared = spare.is_some();
        let mut warm = None;
        if let Some((id, waiting)) = spare {
            (record.id, warm) = (id, waiting);
        }
        let place = Place::new(dir.join(&record.id));
        let made = self.make(&what, (&place, &record, &layout), is_prepared, warm.as_ref()).await;
        let told = match made {
            Ok(told) => told,
            Err(error) => {
                if let Some(warm) = warm {
                    warm.dismiss(&place).await;
                    cgroup::leave(&place);
                }
                place.abandon();
                return Err(error);
            }
        };
        if let Some(mut warm) = warm {
            if told {
                // One that has ended is noticed by who waits for it.
                drop(warm.tell(&place));
            }
            self.waiting().insert(record.id.clone(), warm);
        }
        self.tell(&record, &place, "create");
        Ok(Created { id: ContainerId::new(record.id), warnings: warnings(spec) })
    }

    /// Makes its files; whether what waits for it can be its own, and is to get ready: it is started next, most often.
    /// But for ports: those are nobody's before that.
    async fn make(
        &self,
        what: &str,
        (place, record, layout): (&Place, &Record, &Layout),
        is_prepared: bool,
        warm: Option<&Warm>,
    ) -> Result<bool, EngineError> {
        let spec = &record.spec;
        let joined = self.joined(what, &spec.network);
        let (parent, join) = joined.as_ref().ok().and_then(Option::as_ref).map(|(record, pid)| (record, *pid)).unzip();
        // Refused now what could not be started later.
        let plan = self.plan(place, record, (layout, parent)).map_err(|why| refused(what, why))?;
        let suits = |warm| joined.is_ok() && spec.network.published().is_empty() && self.fits(warm, &plan, join);
        let hurries = warm.is_some_and(suits);
        let _turn = self.naming.lock().await;
        if self.is_taken(spec.name.as_str(), None) {
            return Err(EngineError::NameTaken(spec.name.to_string()));
        }
        let finished = if is_prepared {
            // Three small files.
            let planned = if hurries { Place::write(&place.fresh().plan(), &plan) } else { Ok(()) };
            planned.and_then(|()| place.finish(record))
        } else {
            let (place, record, layout) = (place.clone(), record.clone(), layout.clone());
            let make = move || {
                place.dir().parent().map(crate::config::paths::private_dir).transpose()?;
                place.prepare(|root| layout.unfold(root))?;
                place.finish(&record)
            };
            blocking(make).await.and_then(|made| made)
        };
        finished.map_err(failed(what))?;
        Ok(hurries)
    }

    /// What its first process is to do.
    ///
    /// # Errors
    /// In words: what there can be no plan for.
    pub(super) fn plan(
        &self,
        place: &Place,
        record: &Record,
        (layout, joined): (&Layout, Option<&Record>),
    ) -> Result<Plan, String> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let facts = Facts {
            layout,
            root: place.root(),
            passwd: &read("/etc/passwd"),
            hosts: &read("/etc/hosts"),
            resolv: &read("/etc/resolv.conf"),
            own: self.launch.own,
            joined_hostname: joined.and_then(|joined| joined.spec.hostname.as_deref()),
            joined_proxy: joined.and_then(|joined| match &joined.spec.network {
                NetworkSpec::Walled(wall) => wall.proxy,
                _ => None,
            }),
            cgroups: cgroup::available().is_ok(),
            sys: &is_device,
        };
        let mut plan = plan(&record.spec, &record.id, facts)?;
        self.lower(&mut plan, record, joined)?;
        Ok(plan)
    }
}

/// What of a spec is not done here.
fn warnings(spec: &ContainerSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let alone = spec.network.is_alone();
    let elsewhere = |port: &PortMapping| alone || port.host != port.container;
    if spec.network.published().iter().any(|port| port.protocol == Protocol::Udp && elsewhere(port)) {
        warnings.push("UDP ports are not passed on to other numbers: the local engine does that for TCP".to_owned());
    }
    warnings
}

/// Whether the machine has this below `/sys`.
pub(super) fn is_device(name: &str) -> bool {
    Path::new("/sys").join(name).is_dir()
}

/// 32 bytes that nobody else has.
pub(super) fn new_id() -> io::Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(crate::bay::owner::hex(&bytes))
}
