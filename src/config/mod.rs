//! The configuration file: its shape, its defaults, and errors that name file, line and key. And where things lie.
//!
//! Reads files and the environment snapshot that it is given, nothing else. Called by the CLI at the start, by the
//! supervisor on reload. A file becomes a tree with places (`node`), is laid over the defaults (`file`,
//! `defaults.toml`), read strictly (`de`) and checked (`check`): what comes out can be used as it is.

mod check;
mod de;
mod diff;
pub mod env;
mod error;
mod file;
pub mod isolation;
mod load;
mod missing;
mod node;
mod outgoing;
pub mod paths;
mod show;
pub mod volumes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bay::container::ImageRef;
use crate::bay::isolation::{Isolation, IsolationRule};
use crate::bay::name::Name;
use crate::bay::outgoing::Rule;
use crate::bay::port::{PortMapping, Protocol};
use crate::bay::template::{ParentSpec, Template};

pub use crate::bay::service::{
    BackoffRule, Condition, HostReason, Probe, ProbeTarget, RestartPolicy, ServiceConfig, ServicePort, ServiceRun,
    StartLimit, StopRule, StopSignal,
};
pub use diff::{Change, ConfigDiff, KeyChange, Part};
pub use error::ConfigError;
pub use missing::Missing;

/// A configuration that can be used as it is: everything is checked and has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it came from; `None`: built-in defaults.
    pub source: Option<PathBuf>,
    /// The level of isolation that a flag named: it goes before `[engine]`.
    pub said: Option<Isolation>,
    /// `[bay] name`.
    pub bay: Name,
    /// `[engine]`.
    pub engine: EngineConfig,
    /// `[network]`.
    pub network: NetworkConfig,
    /// `[parent]`.
    pub parent: ParentSpec,
    /// `[worker]`, as the template `default`.
    pub worker: Template,
    /// Each `[[template]]`, laid over `[worker]`.
    pub templates: Vec<Template>,
    /// Each `[[service]]`.
    pub services: Vec<ServiceConfig>,
    /// `[git]`.
    pub git: GitConfig,
    /// `[api]`.
    pub api: ApiConfig,
    /// `[ui]`.
    pub ui: UiConfig,
}

/// `[git]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitConfig {
    /// Per host (`github.com`, `git.corp:8443`): the name of the secret that holds its token.
    pub tokens: BTreeMap<String, Name>,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// `auto`, `docker` or `local`.
    pub kind: EngineKind,
    /// `unix://`, `tcp://`, `ssh://`; empty: as the docker CLI resolves it.
    pub host: String,
    /// How far containers without a daemon are kept apart from the machine.
    pub isolation: IsolationRule,
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The first that answers.
    Auto,
    /// Docker's API.
    Docker,
    /// This machine's own namespaces, without a daemon.
    Local,
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// What workers may reach outside of the bay.
    pub allow: Vec<Rule>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// A TCP address beside the unix socket; `None` (written `""`): none.
    #[serde(with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// Where the token for TCP is, not expanded yet; empty: in the state directory.
    pub token_file: String,
    /// The certificate chain for TLS in PEM, not expanded yet; empty: no TLS, and then loopback only.
    pub tls_cert: String,
    /// Its key.
    pub tls_key: String,
    /// Names under which it is asked for, beside its address and `localhost`.
    pub hosts: Vec<String>,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Hosts that a callback may name, beside loopback.
    pub callback_hosts: Vec<String>,
    /// Who is told of alerts; empty: nobody.
    pub alert_url: String,
    /// The name of the secret that signs what is told; needed with `alert_url`.
    pub alert_secret: String,
}

mod optional_address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde's `with` hands out this shape")]
    pub fn serialize<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&address.map(|a| a.to_string()).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        let wrong =
            || D::Error::custom(format_args!("{text:?} is not an address: write IP:PORT, like \"127.0.0.1:8080\""));
        text.parse().map(Some).map_err(|_| wrong())
    }
}

/// How the dashboard calls for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// What the terminal is known to understand.
    Auto,
    /// `OSC 9`.
    Osc9,
    /// `OSC 777`.
    Osc777,
    /// The bell.
    Bell,
    /// `notify_command`.
    Command,
    /// Not at all.
    Off,
}

/// `[ui]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiConfig {
    /// The theme's name.
    pub theme: String,
    /// Whether the dashboard takes the mouse.
    pub mouse: bool,
    /// Only ASCII is drawn.
    pub ascii: bool,
    /// How it calls for its user.
    pub notify: Notify,
    /// The argv for `notify = "command"`.
    pub notify_command: Vec<String>,
    /// `[ui.keys.CONTEXT]`: per context, key sequence to action name; `false` (here `None`) unbinds.
    #[serde(with = "file::bindings")]
    pub keys: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl Config {
    /// What the parent publishes, and what it does not: ports that a service of the bay has on the same machine, which is
    /// that of native services when `here`.
    #[must_use]
    pub fn parent_ports(&self, here: bool) -> (Vec<PortMapping>, BTreeMap<u16, Name>) {
        let mut others = self.service_ports(here);
        let all = self.parent.ports.iter().flat_map(|rule| rule.mappings().iter().copied());
        let (left, ports): (Vec<PortMapping>, Vec<PortMapping>) =
            all.partition(|mapping| mapping.protocol == Protocol::Tcp && others.contains_key(&mapping.host));
        others.retain(|port, _| left.iter().any(|mapping| mapping.host == *port));
        (ports, others)
    }

    /// Ports of the machine that the parent publishes on which services have: those of native ones when `here`.
    #[must_use]
    pub fn service_ports(&self, here: bool) -> BTreeMap<u16, Name> {
        let mut others = BTreeMap::new();
        for service in &self.services {
            let own = service.ports.iter().flat_map(|port| match port {
                ServicePort::Listens(port) if service.is_native() && here => vec![*port],
                ServicePort::Listens(_) => vec![],
                ServicePort::Published(rule) => {
                    let tcp = rule.mappings().iter().filter(|mapping| mapping.protocol == Protocol::Tcp);
                    tcp.map(|mapping| mapping.host).collect()
                }
            });
            others.extend(own.map(|port| (port, service.name.clone())));
        }
        others
    }

    /// The name that `[worker]` has among the templates.
    pub const DEFAULT_TEMPLATE: &str = "default";

    /// The same configuration for a bay of another name (`--bay`, `$PODBAY_BAY`).
    #[must_use]
    pub fn with_bay(self, bay: Name) -> Self {
        Self { bay, ..self }
    }

    /// Whether something is to run in an image that is not the machine's own.
    #[must_use]
    pub fn names_an_image(&self) -> bool {
        let services = self.services.iter().filter_map(|service| match &service.run {
            ServiceRun::Container { image, .. } => Some(image),
            ServiceRun::Host { .. } => None,
        });
        let templates = std::iter::once(&self.worker).chain(&self.templates).map(|template| &template.image);
        templates.chain(services).chain([&self.parent.image]).any(|image| *image != ImageRef::Host)
    }

    /// A template by name; `default` is the `[worker]` table.
    #[must_use]
    pub fn template(&self, name: &Name) -> Option<&Template> {
        std::iter::once(&self.worker).chain(&self.templates).find(|template| template.name == *name)
    }
}

/// Checks a template that was put together after the configuration was read: a user's overrides laid over one.
///
/// # Errors
/// The key and what would be right, without a file and a line.
pub fn check_template(template: &Template) -> Result<(), String> {
    check::template::template(template, &node::Path::default()).map_err(|fault| fault.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_checked_like_the_file() {
        let mut template = Config::defaults().unwrap().worker;
        assert_eq!(check_template(&template), Ok(()));
        template.limits.cpus = f64::NAN;
        let said = "limits.cpus: NaN is not a number of CPUs: write 0.01 or more, or 0 for no limit";
        assert_eq!(check_template(&template), Err(said.to_owned()));
    }
}
