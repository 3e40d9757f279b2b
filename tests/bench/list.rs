//! `podbay ls` against `docker ps`, with many containers.

use std::process::Command;

use super::bay::Bay;
use super::figures::{by_turns, tell, time};
use super::{Outcome, Plan};

pub fn run(plan: Plan) -> Outcome {
    let bay = Bay::start()?;
    for count in plan.sizes() {
        bay.fill(*count)?;
        let ours = || time(&mut bay.verb(&["ls"]));
        let (ours, theirs) = by_turns(plan.rounds(), ours, || time(Command::new("docker").arg("ps")))?;
        tell(&format!("list of {count} workers"), ("podbay ls", ours), ("docker ps", theirs));
    }
    Ok(())
}
