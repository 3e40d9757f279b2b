//! Parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    podbay::cli::run(std::env::args_os())
}
