//! What an open dashboard and its supervisor cost while nothing happens, the engine's part included.
//!
//! The engine is measured by turns with and without podbay, because it costs something without us as well.

use std::time::{Duration, Instant};

use super::bay::Bay;
use super::process::{cpu, engine, memory};
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a start and an end cost is another figure.
const SETTLED: Duration = Duration::from_secs(4);
/// How often both are measured.
const TURNS: u32 = 3;

/// CPU seconds in a minute.
#[derive(Default)]
struct Cost {
    supervisor: f64,
    dashboard: f64,
    engine: f64,
    engine_alone: f64,
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let bay = Bay::start()?;
    let window = Duration::from_secs(if plan.quick { 5 } else { 20 });
    for count in plan.sizes() {
        bay.fill(*count)?;
        let mut cost = Cost::default();
        let mut held = [(0.0, 0.0); 2];
        for _ in 0..TURNS {
            held = turn(&bay, window, &mut cost)?;
        }
        let minutes = window.as_secs_f64() * f64::from(TURNS) / 60.0;
        let per_minute = |seconds: f64| seconds / minutes;
        let own = per_minute(cost.supervisor + cost.dashboard);
        println!(
            "idle with {count} workers, CPU seconds a minute: podbay {own:.2} (supervisor {:.2}, dashboard {:.2}; goal with 20: \
             0.13), engine {:.2} more than {:.2} without (goal with 20: 0.45)",
            per_minute(cost.supervisor),
            per_minute(cost.dashboard),
            per_minute(cost.engine - cost.engine_alone),
            per_minute(cost.engine_alone),
        );
        let [supervisor, dashboard] = held;
        println!(
            "idle with {count} workers, memory by share: {:.1} MB (supervisor {:.1}, dashboard {:.1}; goal: 25), {:.1} MB resident",
            supervisor.1 + dashboard.1,
            supervisor.1,
            dashboard.1,
            supervisor.0 + dashboard.0,
        );
    }
    Ok(())
}

/// A time without podbay, and one with it; the memory that supervisor and dashboard hold at its end: resident, and by
/// share.
fn turn(bay: &Bay, window: Duration, cost: &mut Cost) -> Result<[(f64, f64); 2], String> {
    let engine = engine()?;
    bay.kill_supervisor()?;
    std::thread::sleep(SETTLED);
    cost.engine_alone += spent(&engine, window)?;
    bay.done(&["ls"])?;
    let supervisor = bay.supervisor()?;
    let pty = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    let dashboard = pty.child.process_id().ok_or("the dashboard has no process")?;
    pty.wait_for("w0", PATIENCE)?;
    std::thread::sleep(SETTLED);
    let before = (cpu(supervisor)?, cpu(dashboard)?);
    cost.engine += spent(&engine, window)?;
    cost.supervisor += cpu(supervisor)? - before.0;
    cost.dashboard += cpu(dashboard)? - before.1;
    Ok([memory(supervisor)?, memory(dashboard)?])
}

/// CPU seconds that processes spend in a time.
fn spent(pids: &[u32], window: Duration) -> Result<f64, String> {
    let all = || pids.iter().map(|pid| cpu(*pid)).sum::<Result<f64, String>>();
    let (before, begin) = (all()?, Instant::now());
    std::thread::sleep(window);
    Ok((all()? - before) * window.as_secs_f64() / begin.elapsed().as_secs_f64())
}
