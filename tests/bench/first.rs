//! From the start of the dashboard to the first name of a container on the screen; the supervisor runs.

use std::process::Command;
use std::time::{Duration, Instant};

use super::bay::Bay;
use super::figures::{by_turns, tell, time};
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(plan: Plan) -> Outcome {
    let bay = Bay::start()?;
    for name in ["bench-fox", "bench-owl", "bench-elk"] {
        bay.done(&["spawn", name, "--detach"])?;
    }
    let vars = bay.vars();
    let ours = || {
        let begin = Instant::now();
        let pty = Pty::start(&[Bay::program()], &vars, 30, 100).map_err(|error| error.to_string())?;
        let seen = pty.wait_for("bench-fox", PATIENCE)?;
        pty.type_in("q").map_err(|error| error.to_string())?;
        pty.wait_for("goes on", PATIENCE)?;
        Ok(seen.duration_since(begin))
    };
    let (ours, theirs) = by_turns(plan.rounds(), ours, || time(Command::new("docker").arg("ps")))?;
    tell("first container name on the screen", ("podbay", ours), ("docker ps", theirs));
    Ok(())
}
