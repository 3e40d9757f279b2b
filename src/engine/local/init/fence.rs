//! The walls of a container without namespaces: Landlock's rules and a filter of system calls, taken by each program of
//! it before it begins. The first process takes of it only what keeps signals inside: all programs share that.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, Scope,
};
use seccompiler::BpfProgram;

use crate::engine::local::bare::{Access, Allowed, Bare};
use crate::engine::local::filter;

/// What the rules were made for; a newer kernel knows them all, an older one fewer.
const KNOWN: ABI = ABI::V7;

/// What every program of the container is held by.
pub struct Fence {
    /// Grows by the terminals of the container. `None`: the user's word was that there are no walls.
    rules: Option<Mutex<RulesetCreated>>,
    filters: Arc<[BpfProgram]>,
}

/// The same as one program takes it.
#[derive(Clone)]
pub struct Walled {
    rules: Option<Arc<OwnedFd>>,
    filters: Arc<[BpfProgram]>,
}

impl Fence {
    /// Makes the walls, and takes the part of them that all share.
    ///
    /// # Errors
    /// In words: nothing is begun without them.
    pub fn of(bare: &Bare) -> Result<Self, String> {
        let filters: Arc<[BpfProgram]> = filter::programs(bare.refused)?.into();
        let Some(allowed) = &bare.allowed else { return Ok(Self { rules: None, filters }) };
        let told = |error: landlock::RulesetError| format!("make Landlock's rules: {error}");
        // All files, or nothing is walled: an older kernel leaves out what it does not know, which is told elsewhere.
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .map_err(told)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))
            .map_err(told)?
            .create()
            .map_err(told)?;
        let mut fence = Self { rules: Some(Mutex::new(rules)), filters };
        allowed.iter().try_for_each(|one| fence.allow(one))?;
        let shared = Ruleset::default().scope(Scope::from_all(KNOWN)).map_err(told)?.create().map_err(told)?;
        shared.restrict_self().map_err(told)?;
        Ok(fence)
    }

    /// One more place. What is not there is not allowed.
    fn allow(&mut self, allowed: &Allowed) -> Result<(), String> {
        let Some(rules) = &mut self.rules else { return Ok(()) };
        let rules = rules.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        add(rules, &allowed.path, access(allowed.access))
    }

    /// What the next program takes; one with a terminal may open that by its name.
    ///
    /// # Errors
    /// In words.
    pub fn for_program(&self, terminal: Option<BorrowedFd<'_>>) -> Result<Walled, String> {
        let filters = self.filters.clone();
        let Some(rules) = &self.rules else { return Ok(Walled { rules: None, filters }) };
        let mut rules = rules.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(terminal) = terminal {
            let name = rustix::termios::ttyname(terminal, Vec::new())
                .map_err(|error| format!("name its terminal: {error}"))?;
            let name = name.to_str().map_err(|error| format!("name its terminal: {error}"))?;
            add(&mut rules, Path::new(name), access(Access::Device))?;
        }
        let copy = rules.try_clone().map_err(|error| format!("hand on Landlock's rules: {error}"))?;
        let copy: Option<OwnedFd> = copy.into();
        Ok(Walled { rules: copy.map(Arc::new), filters })
    }
}

fn add(rules: &mut RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<(), String> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
    let told = |error: &dyn std::fmt::Display| format!("allow {}: {error}", path.display());
    let access = if meta.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    let opened = PathFd::new(path).map_err(|error| told(&error))?;
    rules.add_rule(PathBeneath::new(opened, access)).map_err(|error| told(&error))?;
    Ok(())
}

fn access(access: Access) -> BitFlags<AccessFs> {
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    match access {
        Access::Read => AccessFs::from_read(KNOWN),
        Access::Write => AccessFs::from_all(KNOWN) & !devices,
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
    }
}

impl Walled {
    /// Takes them, between fork and exec: system calls alone. From here on there is no way back.
    ///
    /// # Errors
    /// The system's; the program must not begin then.
    pub fn enter(&self) -> io::Result<()> {
        if let Some(rules) = &self.rules {
            restrict(rules.as_fd())?;
        }
        for filter in self.filters.iter() {
            seccompiler::apply_filter(filter).map_err(|_| io::Error::last_os_error())?;
        }
        Ok(())
    }
}

#[expect(
    unsafe_code,
    reason = "the crate's own call allocates where it fails, which must not be between fork and exec"
)]
fn restrict(rules: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a descriptor and a number; nothing is written.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
