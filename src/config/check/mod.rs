//! What types alone can't hold: ranges, shapes of words, and what must fit together.
//!
//! Pure: a check sees the values and says the path of what is wrong; the caller finds the line.

pub mod graph;
mod network;
mod probe;
pub mod service;
pub mod template;
mod words;

use std::collections::BTreeSet;

use crate::bay::name::Name;
use crate::bay::receiver::Receiver;
use crate::bay::remote::Remote;
use crate::bay::template::ParentSpec;

use super::error::Fault;
use super::file::File;
use super::node::Path;
use super::{ApiConfig, Config, EngineConfig, GitConfig, Notify, UiConfig};

/// The outcome of a check.
pub type Checked = Result<(), Fault>;

/// Everything but the services.
pub fn check(file: &File) -> Checked {
    engine(&file.engine)?;
    parent(&file.parent)?;
    template::template(&file.worker, &Path::of("worker"))?;
    let mut seen = BTreeSet::new();
    for (index, one) in file.template.iter().enumerate() {
        let path = Path::of("template").item(index);
        if one.name.as_str() == Config::DEFAULT_TEMPLATE {
            return Err(Fault::new(path.key("name"), "\"default\" is the [worker] table; choose another name"));
        }
        if !seen.insert(&one.name) {
            return Err(Fault::new(
                path.key("name"),
                format_args!("there are two templates named {:?}", one.name.as_str()),
            ));
        }
        template::template(one, &path)?;
    }
    git(&file.git)?;
    network::network(file)?;
    api(&file.api)?;
    ui(&file.ui)
}

/// A token is sent to the host that is named, and to no other.
fn git(git: &GitConfig) -> Checked {
    for host in git.tokens.keys() {
        let named = format!("https://{host}/owner/repo").parse::<Remote>().is_ok_and(|remote| remote.host() == *host);
        ensure(named, || {
            let what = "is not a host: write its name in small letters, without scheme and path, like \"github.com\"";
            Fault::new(Path::of("git").key("tokens").key(host), what)
        })?;
    }
    Ok(())
}

fn engine(engine: &EngineConfig) -> Checked {
    let known = ["unix://", "tcp://", "ssh://"];
    let fits = known.iter().any(|scheme| engine.host.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    ensure(engine.host.is_empty() || fits, || {
        let what =
            format!("{:?} is not an endpoint: write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST", engine.host);
        Fault::new(Path::of("engine.host"), what)
    })?;
    words::text(&engine.host, &Path::of("engine.host"))
}

fn parent(parent: &ParentSpec) -> Checked {
    let path = Path::of("parent");
    words::image(&parent.image, &path.key("image"))?;
    words::argv(&parent.command, &path.key("command"))?;
    words::mounts(&parent.volumes, &path.key("volumes"))?;
    words::env(&parent.env, &path.key("env"))?;
    let mut seen = BTreeSet::new();
    for (index, rule) in parent.ports.iter().enumerate() {
        for mapping in rule.mappings() {
            if !seen.insert((mapping.ip, mapping.host, mapping.protocol)) {
                let what = format!("port {} of the machine is published twice", mapping.host);
                return Err(Fault::new(path.key("ports").item(index), what));
            }
        }
    }
    Ok(())
}

fn api(api: &ApiConfig) -> Checked {
    let path = Path::of("api");
    ensure(api.listen.is_none_or(|address| address.port() > 0), || {
        Fault::new(path.key("listen"), "port 0 is a different port each time; name one")
    })?;
    for (file, key) in [(&api.token_file, "token_file"), (&api.tls_cert, "tls_cert"), (&api.tls_key, "tls_key")] {
        words::path(file, &path.key(key))?;
    }
    for (given, missing) in [(&api.tls_cert, "tls_key"), (&api.tls_key, "tls_cert")] {
        let file = if missing == "tls_key" { &api.tls_key } else { &api.tls_cert };
        ensure(given.is_empty() || !file.is_empty(), || {
            Fault::new(path.key(missing), "is missing: TLS needs both tls_cert and tls_key")
        })?;
    }
    let near = api.listen.is_none_or(|address| address.ip().is_loopback());
    ensure(near || !api.tls_cert.is_empty(), || {
        let what = "other machines reach this address, and without TLS they could read the token: name tls_cert and \
                    tls_key, or listen on 127.0.0.1";
        Fault::new(path.key("listen"), what)
    })?;
    ensure(api.alert_url.is_empty() || !api.alert_secret.is_empty(), || {
        Fault::new(path.key("alert_secret"), "is missing: what alert_url is told is signed with it")
    })?;
    ensure(api.alert_secret.is_empty() || api.alert_secret.parse::<Name>().is_ok(), || {
        Fault::new(path.key("alert_secret"), "is the name of a file in the directory of secrets, not what is in it")
    })?;
    hosts(&api.hosts, &path.key("hosts"))?;
    hosts(&api.callback_hosts, &path.key("callback_hosts"))?;
    if api.alert_url.is_empty() {
        return Ok(());
    }
    // Found out now, and not by the first alert. The URL itself is not repeated: there may be a password in it.
    let read = Receiver::read(&api.alert_url, &api.callback_hosts);
    read.map(drop).map_err(|why| Fault::new(path.key("alert_url"), format!("can't be told anything: {why}")))
}

fn hosts(hosts: &[String], path: &Path) -> Checked {
    words::each_once(hosts, path)?;
    for (index, host) in hosts.iter().enumerate() {
        let fits = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        ensure(fits, || {
            let what = format!("{host:?} is not a host: write a name or an address, without scheme and path");
            Fault::new(path.item(index), what)
        })?;
    }
    Ok(())
}

fn ui(ui: &UiConfig) -> Checked {
    let path = Path::of("ui");
    let theme = path.key("theme");
    let named = !ui.theme.is_empty() && ui.theme.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
    ensure(named && !ui.theme.starts_with('.'), || {
        Fault::new(
            theme,
            format_args!("{:?} is not a theme's name: write the name of its file, without .toml", ui.theme),
        )
    })?;
    words::argv(&ui.notify_command, &path.key("notify_command"))?;
    ensure(ui.notify != Notify::Command || !ui.notify_command.is_empty(), || {
        Fault::new(path.key("notify"), "\"command\" needs notify_command, like [\"notify-send\", \"podbay\"]")
    })?;
    for (context, keys) in &ui.keys {
        let context = path.key("keys").key(context);
        for (keys, action) in keys {
            let one = context.key(keys);
            let fits = !keys.trim().is_empty() && !keys.chars().any(char::is_control);
            ensure(fits, || Fault::new(one.clone(), "is not a key sequence"))?;
            let named = action.as_deref().is_none_or(|a| !a.trim().is_empty() && !a.chars().any(char::is_control));
            ensure(named, || Fault::new(one, "must be the name of an action, or false to unbind the keys"))?;
        }
    }
    Ok(())
}

/// `Err(fault())` unless it holds.
pub fn ensure(holds: bool, fault: impl FnOnce() -> Fault) -> Checked {
    if holds { Ok(()) } else { Err(fault()) }
}
