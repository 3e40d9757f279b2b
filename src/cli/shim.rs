//! The hidden verb that owns one service. It is told apart before anything else of the program is set up: a bay may have
//! a hundred of them, and each must stay small.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use crate::service::shim::{self, Birth};

use super::output::note;

/// The verb's name.
const VERB: &str = "shim";

/// Runs the shim if that is what the arguments ask for.
pub fn run_if_asked(arguments: &[OsString]) -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    if let Some(code) = crate::engine::local::run_if_asked(arguments) {
        return Some(code);
    }
    let (verb, rest) = arguments.get(1..)?.split_first()?;
    if verb != VERB {
        return None;
    }
    let Some(birth) = Birth::of_arguments(rest.iter().cloned()) else {
        note("`podbay shim` is started by a supervisor: DIRECTORY SOCKET LABEL");
        return Some(ExitCode::from(2));
    };
    Some(shim::run(birth, first_word))
}

/// Whoever started it reads one line; later, nothing of a shim goes there.
fn first_word(line: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // Whoever does not listen any more looks at the socket.
    let _ = stdout.write_all(line).and_then(|()| stdout.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
