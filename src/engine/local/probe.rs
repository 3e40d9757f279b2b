//! Whether this machine lets its user have namespaces, and what would, word for word, where it does not.

use std::collections::BTreeMap;
use std::path::Path;

use super::LocalEngine;
use super::calls::NO_BAY;
use super::create::new_id;
use crate::bay::container::{ContainerSpec, ImageRef, NetworkSpec};
use crate::bay::hardening::Hardening;
use crate::bay::name::ContainerName;
use crate::bay::size::ByteSize;
use crate::bay::template::Limits;
use crate::engine::Engine as _;

/// What the machine says of itself. `None`: it has no such setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `kernel.unprivileged_userns_clone`, of Debian and others.
    pub clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu 23.10 and later.
    pub apparmor: Option<u64>,
    /// `user.max_user_namespaces`.
    pub most: Option<u64>,
    /// This is a container itself.
    pub contained: bool,
    /// The user is root.
    pub root: bool,
    /// Where podbay is.
    pub program: String,
}

impl Facts {
    /// Of this machine.
    #[must_use]
    pub fn of_machine(root: bool) -> Self {
        let number = |name: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
            text.trim().parse().ok()
        };
        let own = std::env::current_exe().map(|path| path.display().to_string());
        Self {
            clone: number("kernel/unprivileged_userns_clone"),
            apparmor: number("kernel/apparmor_restrict_unprivileged_userns"),
            most: number("user/max_user_namespaces"),
            contained: ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists()),
            root,
            program: own.unwrap_or_else(|_| "podbay".to_owned()),
        }
    }
}

/// Whether a start failed because the machine refuses namespaces, or what is done with them.
#[must_use]
pub fn is_refusal(message: &str) -> bool {
    let stages = ["user namespace", "given a number", "pid namespace", "make namespaces", "mount /", "bind /"];
    let refused = ["not permitted", "No space left", "Permission denied", "Invalid argument"];
    stages.iter().any(|stage| message.contains(stage)) && refused.iter().any(|word| message.contains(word))
}

/// What helps against a start that failed so; `None`: nothing that is known.
#[must_use]
pub fn remedy(message: &str, facts: &Facts) -> Option<String> {
    if !is_refusal(message) {
        return None;
    }
    if facts.most == Some(0) {
        return Some("user namespaces are turned off: `sudo sysctl -w user.max_user_namespaces=15000`".to_owned());
    }
    if facts.contained {
        let text = "this is a container, and its engine refuses namespaces inside: start it with `--security-opt \
                    seccomp=unconfined --security-opt systempaths=unconfined`, and with `--security-opt \
                    apparmor=unconfined` where there is AppArmor";
        return Some(text.to_owned());
    }
    if facts.root {
        return None;
    }
    if facts.clone == Some(0) {
        let text = "only root may make user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1`, and the same \
                    in a file below /etc/sysctl.d to keep it";
        return Some(text.to_owned());
    }
    if facts.apparmor.is_some_and(|set| set != 0) {
        return Some(format!(
            "AppArmor refuses user namespaces to programs that it does not know. For podbay alone: `printf 'abi \
             <abi/4.0>,\\nprofile podbay {} flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/podbay && \
             sudo apparmor_parser -r /etc/apparmor.d/podbay`. For all programs: `sudo sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0`",
            facts.program
        ));
    }
    None
}

impl LocalEngine {
    /// Has one container come and go.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub(super) async fn first(&self) -> Result<(), String> {
        let spec = sample()?;
        let made = self.create(&spec).await.map_err(|error| error.to_string())?;
        let begun = self.start(&made.id).await;
        // Not the trouble that is told of, if it is one.
        let _ = self.remove(&made.id).await;
        begun.map_err(|error| error.to_string())
    }
}

/// A container that ends at once.
pub(super) fn sample() -> Result<ContainerSpec, String> {
    let bay = NO_BAY.trim_start_matches('.').parse().map_err(|_| "no bay is called so")?;
    let id = new_id().map_err(|error| error.to_string())?;
    let name = format!("first-{}", id.get(..12).unwrap_or(&id)).parse().map_err(|_| "it has no name")?;
    Ok(ContainerSpec {
        name: ContainerName::worker(&bay, &name),
        image: ImageRef::Host,
        entrypoint: Vec::new(),
        command: vec!["true".to_owned()],
        user: None,
        hostname: None,
        workdir: None,
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        network: NetworkSpec::Bridge(Vec::new()),
        mounts: Vec::new(),
        tty: true,
        stop_signal: None,
        limits: Limits {
            cpus: 0.0,
            memory: ByteSize::bytes(0),
            memory_reservation: None,
            pids: 0,
            nofile: (0, 0),
            log_max_size: ByteSize::bytes(0),
            log_max_files: 1,
        },
        hardening: Hardening {
            cap_drop: vec!["ALL".to_owned()],
            cap_add: Vec::new(),
            no_new_privileges: true,
            read_only: true,
            seccomp: "default".to_owned(),
            init: true,
        },
        health: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "make a user namespace: Operation not permitted (os error 1)";

    #[test]
    fn each_refusal_has_its_remedy() {
        let machine = Facts { program: "/usr/local/bin/podbay".to_owned(), most: Some(100), ..Facts::default() };
        let debian = Facts { clone: Some(0), ..machine.clone() };
        let ubuntu = Facts { apparmor: Some(1), ..machine.clone() };
        let off = Facts { most: Some(0), ..ubuntu.clone() };
        let docker = Facts { contained: true, ..machine.clone() };
        let map = "its user can't be given a number: Operation not permitted (os error 1)";
        for (message, facts, words) in [
            (REFUSED, &debian, "kernel.unprivileged_userns_clone=1"),
            (map, &ubuntu, "profile podbay /usr/local/bin/podbay flags=(unconfined)"),
            (map, &ubuntu, "kernel.apparmor_restrict_unprivileged_userns=0"),
            ("make a user namespace: No space left on device", &off, "user.max_user_namespaces=15000"),
            (REFUSED, &docker, "seccomp=unconfined"),
            ("mount /proc: Operation not permitted (os error 1)", &docker, "systempaths=unconfined"),
        ] {
            let found = remedy(message, facts);
            assert!(found.as_ref().is_some_and(|text| text.contains(words)), "{message}: {found:?}");
        }
    }

    #[test]
    fn what_has_another_cause_has_no_remedy() {
        let ubuntu = Facts { apparmor: Some(1), most: Some(100), ..Facts::default() };
        assert_eq!(remedy("exec: \"true\": executable file not found in $PATH", &ubuntu), None);
        assert_eq!(remedy("listen in /x: No space left on device", &ubuntu), None);
        assert_eq!(remedy(REFUSED, &Facts { root: true, ..ubuntu.clone() }), None, "root is not asked");
        assert_eq!(remedy(REFUSED, &Facts { most: Some(100), ..Facts::default() }), None);
    }
}
