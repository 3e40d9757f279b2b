//! A cold spawn, from the request until the worker runs, against `docker run -d` of the same image and network.

use std::process::Command;
use std::time::Duration;

use super::bay::Bay;
use super::figures::{by_turns, tell, time};
use super::{Outcome, Plan};

pub fn run(plan: Plan) -> Outcome {
    let bay = Bay::start()?;
    let parent = format!("{}-parent", bay.name());
    let image = inspect(&parent, "{{.Config.Image}}")?;
    let (network, label) = (format!("container:{parent}"), format!("podbay.bay={}", bay.name()));
    let mut number = 0;
    let ours = || {
        number += 1;
        let name = format!("cold-{number}");
        let took = time(&mut bay.verb(&["spawn", &name, "--detach"]))?;
        bay.done(&["rm", "--force", "--yes", &name])?;
        Ok(took)
    };
    let theirs = || -> Result<Duration, String> {
        let mut docker = Command::new("docker");
        docker.args(["run", "-d", "--init", "--name", "bench-docker-run", "--label", &label, "--network", &network]);
        let took = time(docker.args(["-v", "/usr:/usr:ro", &image, "sleep", "infinity"]))?;
        time(Command::new("docker").args(["rm", "-f", "bench-docker-run"]))?;
        Ok(took)
    };
    let (ours, theirs) = by_turns(plan.rounds(), ours, theirs)?;
    tell("cold spawn", ("podbay spawn -d", ours), ("docker run -d", theirs));
    Ok(())
}

fn inspect(container: &str, format: &str) -> Result<String, String> {
    let output = Command::new("docker").args(["inspect", "-f", format, container]).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if text.is_empty() { Err(String::from_utf8_lossy(&output.stderr).into_owned()) } else { Ok(text) }
}
