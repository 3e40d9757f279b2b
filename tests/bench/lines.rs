//! Logs: a million lines of one container, and twenty containers that never stop.

use std::cell::RefCell;
use std::fs;
use std::time::{Duration, Instant};

use super::bay::Bay;
use super::process::{cpu, engine, memory};
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_mins(4);
const END: &str = "the last line of the log";

/// A million lines: how long after the program has written the last one it is on the screen.
#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn million(plan: Plan) -> Outcome {
    let count: u32 = if plan.quick { 50_000 } else { 1_000_000 };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (go, done) = (dir.path().join("go"), dir.path().join("done"));
    let bay = Bay::start()?;
    let script = format!(
        "while [ ! -e go ]; do sleep 0.05; done; seq -f 'line %.0f of a log that is followed' 1 {count}; echo {END}; \
         : > done; sleep 1000"
    );
    let project = dir.path().to_string_lossy();
    bay.done(&["spawn", "many", "-p", &project, "--detach", "--", "sh", "-c", &script])?;
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    dashboard.wait_for("many", PATIENCE)?;
    dashboard.type_in("2l").map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    fs::write(go, "").map_err(|error| error.to_string())?;
    while !done.exists() {
        if begun.elapsed() > PATIENCE {
            return Err("the program does not end".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let written = Instant::now();
    let seen = dashboard.wait_for(END, PATIENCE)?;
    let lag = seen.saturating_duration_since(written);
    let shown = RefCell::new(None);
    let _ = dashboard.wait(PATIENCE, |screen| {
        *shown.borrow_mut() = following(screen);
        shown.borrow().is_some()
    });
    let held = memory(dashboard.child.process_id().ok_or("no process")?)?.0;
    println!(
        "{count} log lines: written in {:.1} s, the last one on the screen {:.0} ms later (goal: 300), {} followed, \
         dashboard {held:.0} MB",
        (written - begun).as_secs_f64(),
        lag.as_secs_f64() * 1e3,
        shown.into_inner().unwrap_or_else(|| "an unknown number".to_owned())
    );
    Ok(())
}

/// What the tab says of how many lines it follows.
fn following(screen: &vt100::Screen) -> Option<String> {
    let text = screen.contents();
    let (_, rest) = text.split_once("following ")?;
    Some(rest.split(" lines").next()?.trim().to_owned())
}

/// Twenty containers with a thousand lines a second each, all followed in one stream.
#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn followed(plan: Plan) -> Outcome {
    let (workers, window) = if plan.quick { (4, 5) } else { (20, 60) };
    let window = Duration::from_secs(window);
    let bay = Bay::start()?;
    let script = "n=0; while :; do i=0; while [ $i -lt 100 ]; do echo \"line $n of a worker that prints all the time\"; \
                  i=$((i+1)); n=$((n+1)); done; sleep 0.1; done";
    for at in 0..workers {
        bay.done(&["spawn", &format!("w{at}"), "--detach", "--", "sh", "-c", script])?;
    }
    let engine = engine()?;
    bay.kill_supervisor()?;
    std::thread::sleep(Duration::from_secs(3));
    let alone = spent(&engine, window)?;
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    dashboard.wait_for("w0", PATIENCE)?;
    dashboard.type_in("2la").map_err(|error| error.to_string())?;
    dashboard.wait_for("all workers", PATIENCE)?;
    std::thread::sleep(Duration::from_secs(3));
    let pids = [bay.supervisor()?, dashboard.child.process_id().ok_or("no process")?];
    let before = pids.map(cpu);
    let watched = spent(&engine, window)?;
    let after = pids.map(cpu);
    let [supervisor, own] = [0, 1].map(|at| match (before.get(at), after.get(at)) {
        (Some(Ok(before)), Some(Ok(after))) => after - before,
        _ => f64::NAN,
    });
    let [first, second] = pids.map(|pid| memory(pid).map_or(f64::NAN, |held| held.0));
    println!(
        "{workers} workers at 1,000 lines/s for {} s: podbay {:.1} CPU s (supervisor {supervisor:.1}, dashboard {own:.1}; \
         goal: 10), {:.0} MB (supervisor {first:.0}, dashboard {second:.0}; goal: 100), engine {:.2} x of {alone:.1} s \
         unwatched (goal: 1.3)",
        window.as_secs(),
        supervisor + own,
        first + second,
        watched / alone
    );
    Ok(())
}

/// CPU seconds that processes spend in a time.
fn spent(pids: &[u32], window: Duration) -> Result<f64, String> {
    let all = || pids.iter().map(|pid| cpu(*pid)).sum::<Result<f64, String>>();
    let before = all()?;
    std::thread::sleep(window);
    Ok(all()? - before)
}

/// The supervisor's memory with many sessions that have printed much.
#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn sessions(plan: Plan) -> Outcome {
    let count = if plan.quick { 4 } else { 32 };
    let bay = Bay::start()?;
    let before = memory(bay.supervisor()?)?.0;
    for at in 0..count {
        let script =
            "seq -f 'line %.0f of ten thousand, long enough to fill most of a row of a terminal' 1 10000; sleep 1000";
        bay.done(&["spawn", &format!("w{at}"), "--detach", "--", "sh", "-c", script])?;
    }
    std::thread::sleep(Duration::from_secs(5));
    let after = memory(bay.supervisor()?)?.0;
    println!(
        "{count} sessions with 10,000 lines each: supervisor {after:.1} MB, {:.2} MB each (from {before:.1} MB)",
        (after - before) / f64::from(count)
    );
    Ok(())
}
