//! From a [`ContainerSpec`] to the engine's request. Everything of the spec is applied, or refused.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as MountShape, MountType, PortBinding,
    PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::host_image::{self, Layout};
use crate::bay::container::{ContainerSpec, ImageRef, NetworkSpec};
use crate::bay::mount::Mount;
use crate::bay::port::{PortMapping, Protocol};
use crate::bay::service::StopSignal;
use crate::bay::session::TermSize;
use crate::bay::template::{Health, Limits};
use crate::engine::EngineError;

/// The first API with bind mounts that refuse a missing source, CPU limits and init.
const OLDEST: u32 = 25;

/// Memory file systems of a read-only root: builds write and run programs there, and they count as the container's
/// memory.
const MEMORY: [(&str, &str); 2] =
    [("/tmp", "rw,exec,nosuid,nodev,mode=1777,size=1g"), ("/run", "rw,exec,nosuid,nodev,mode=1777,size=128m")];

/// What the request depends on beside the spec.
pub struct Target<'a> {
    /// The API's minor version.
    pub minor: u32,
    /// Whether it is Podman.
    pub podman: bool,
    /// CPUs of the engine's machine; 0 when not known.
    pub cpus: u32,
    /// The host image's layout, when the spec asks for that image.
    pub host: Option<&'a Layout>,
    /// The text of the seccomp profile, when the spec names one.
    pub seccomp: Option<String>,
}

/// The request.
///
/// # Errors
/// [`EngineError::Refused`] when this engine's API is too old for it.
pub fn body(spec: &ContainerSpec, target: &Target<'_>) -> Result<ContainerCreateBody, EngineError> {
    if target.minor < OLDEST {
        return Err(EngineError::Refused {
            what: format!("create {}", spec.name),
            message: format!("API 1.{} has no safe mounts and no CPU limits: update the engine to 1.25+", target.minor),
        });
    }
    let mut env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if spec.tty && !spec.env.contains_key("TERM") {
        env.push("TERM=xterm-256color".to_owned());
    }
    let (locale, value) = host_image::LOCALE;
    if spec.image == ImageRef::Host && !spec.env.contains_key(locale) {
        env.push(format!("{locale}={value}"));
    }
    let exposed = bridged(spec).iter().map(port_key).collect::<Vec<_>>();
    Ok(ContainerCreateBody {
        image: Some(target.host.map_or_else(|| spec.image.to_string(), Layout::reference)),
        entrypoint: (!spec.entrypoint.is_empty()).then(|| spec.entrypoint.clone()),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        user: spec.user.clone(),
        hostname: spec.hostname.clone(),
        working_dir: spec.workdir.as_ref().map(|dir| dir.display().to_string()),
        env: Some(env),
        labels: Some(spec.labels.clone().into_iter().collect()),
        tty: Some(spec.tty),
        // The tty's input stays open whoever comes and goes.
        open_stdin: Some(spec.tty),
        stdin_once: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        // What a closed terminal sends: an interactive shell does not hear SIGTERM, and every stop would end in SIGKILL.
        stop_signal: spec.stop_signal.map(StopSignal::name).or(spec.tty.then_some("SIGHUP")).map(str::to_owned),
        healthcheck: spec.health.as_ref().and_then(health),
        host_config: Some(host_config(spec, target)),
        ..Default::default()
    })
}

fn host_config(spec: &ContainerSpec, target: &Target<'_>) -> HostConfig {
    let walls = &spec.hardening;
    let mut mounts = target.host.map(|layout| layout.mounts(&spec.mounts)).unwrap_or_default();
    mounts.extend(spec.mounts.iter().cloned());
    let size = TermSize::default();
    let ports = bindings(bridged(spec));
    let config = HostConfig {
        tmpfs: walls.read_only.then(|| memory_mounts(&mounts)),
        mounts: Some(mounts.iter().map(mount).collect()),
        network_mode: Some(match &spec.network {
            NetworkSpec::Join(id) => format!("container:{id}"),
            NetworkSpec::Bridge(_) => "bridge".to_owned(),
            // The latter is refused before.
            NetworkSpec::None | NetworkSpec::Walled(_) => "none".to_owned(),
        }),
        port_bindings: (!ports.is_empty()).then_some(ports),
        cap_drop: Some(walls.cap_drop.clone()),
        cap_add: Some(walls.cap_add.clone()),
        security_opt: Some(security(spec, target.seccomp.as_deref())),
        readonly_rootfs: Some(walls.read_only),
        init: Some(walls.init),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: log(&spec.limits, target.podman),
        console_size: (spec.tty && target.minor >= 42).then(|| vec![size.rows.into(), size.cols.into()]),
        ..Default::default()
    };
    limited(config, &spec.limits, target)
}

fn limited(config: HostConfig, limits: &Limits, target: &Target<'_>) -> HostConfig {
    // The engine refuses a limit that is more than it has, and all of it is no less than was asked for.
    let most = if target.cpus > 0 { f64::from(target.cpus) } else { f64::INFINITY };
    let cpus = limits.cpus.min(most);
    let memory = positive(limits.memory.as_u64());
    let (soft, hard) = limits.nofile;
    let nofile =
        ResourcesUlimits { name: Some("nofile".to_owned()), soft: Some(signed(soft)), hard: Some(signed(hard)) };
    HostConfig {
        nano_cpus: (cpus > 0.0).then(|| nanos(cpus)),
        memory,
        // Equal: no swap beside the memory.
        memory_swap: memory,
        memory_reservation: limits.memory_reservation.and_then(|size| positive(size.as_u64())),
        pids_limit: positive(limits.pids.into()),
        ulimits: (hard > 0).then(|| vec![nofile]),
        ..config
    }
}

fn memory_mounts(mounts: &[Mount]) -> HashMap<String, String> {
    let free = |target: &str| mounts.iter().all(|mount| mount.target.to_str() != Some(target));
    MEMORY.iter().filter(|(target, _)| free(target)).map(|(t, o)| ((*t).to_owned(), (*o).to_owned())).collect()
}

fn mount(mount: &Mount) -> MountShape {
    MountShape {
        // Never as `Binds`: there the engine makes a root-owned directory of a missing source.
        typ: Some(MountType::BIND),
        source: Some(mount.source.display().to_string()),
        target: Some(mount.target.display().to_string()),
        read_only: Some(mount.read_only),
        ..Default::default()
    }
}

fn security(spec: &ContainerSpec, profile: Option<&str>) -> Vec<String> {
    let mut options = Vec::new();
    if spec.hardening.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    options.extend(profile.map(|text| format!("seccomp={text}")));
    options
}

/// Podman's driver keeps one file, which begins anew when it is full.
fn log(limits: &Limits, podman: bool) -> Option<HostConfigLogConfig> {
    if limits.log_max_size.as_u64() == 0 {
        return None;
    }
    let mut config = HashMap::from([("max-size".to_owned(), limits.log_max_size.as_u64().to_string())]);
    if !podman {
        config.insert("max-file".to_owned(), limits.log_max_files.max(1).to_string());
    }
    let driver = if podman { "k8s-file" } else { "json-file" };
    Some(HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) })
}

fn health(health: &Health) -> Option<HealthConfig> {
    if health.test.is_empty() {
        return None;
    }
    let test = std::iter::once("CMD".to_owned()).chain(health.test.iter().cloned()).collect();
    Some(HealthConfig {
        test: Some(test),
        interval: Some(whole_nanos(health.interval.get())),
        timeout: Some(whole_nanos(health.timeout.get())),
        retries: Some(health.retries.into()),
        ..Default::default()
    })
}

fn bridged(spec: &ContainerSpec) -> &[PortMapping] {
    spec.network.published()
}

fn bindings(ports: &[PortMapping]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: Some(port.ip.map(|ip| ip.to_string()).unwrap_or_default()),
            host_port: Some(port.host.to_string()),
        };
        map.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

fn port_key(port: &PortMapping) -> String {
    let protocol = if port.protocol == Protocol::Udp { "udp" } else { "tcp" };
    format!("{}/{protocol}", port.container)
}

fn positive(count: u64) -> Option<i64> {
    (count > 0).then(|| signed(count))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn whole_nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a number of CPUs times 1e9 fits")]
fn nanos(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// What a refused create means.
pub fn refusal(spec: &ContainerSpec, error: EngineError) -> EngineError {
    match error {
        EngineError::NotFound { message, .. } if message.to_lowercase().contains("no such image") => {
            EngineError::NoImage(spec.image.to_string())
        }
        EngineError::Conflict { message, .. } if message.contains("already in use") => {
            EngineError::NameTaken(spec.name.to_string())
        }
        // Podman says so with 500.
        EngineError::Failed { message, .. } if message.contains("name") && message.contains("already in use") => {
            EngineError::NameTaken(spec.name.to_string())
        }
        EngineError::Failed { what, message } if spec.hardening.init && message.contains("container-init binary") => {
            let hint = "install catatonit on the engine's machine, or set [worker.hardening] init = false";
            EngineError::Refused { what, message: format!("{message}; {hint}") }
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
