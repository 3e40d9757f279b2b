//! Bytes through a pane, against a bare pty whose reader throws them away.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::bay::Bay;
use super::process::cpu;
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_mins(5);
/// What a program prints when all is through.
const END: &str = "all of it is through";

/// Makes what is printed again and again.
type Block = fn() -> Vec<u8>;

const KINDS: [(&str, Block); 3] = [("plain", plain), ("coloured", coloured), ("full-screen", full_screen)];

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let megabytes: u32 = if plan.quick { 4 } else { 100 };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let services: String = KINDS.iter().map(|(name, _)| service(name, dir.path())).collect();
    let bay = Bay::with(&services)?;
    for (name, block) in KINDS {
        let (file, block) = (dir.path().join(name), block());
        let whole = usize::try_from(megabytes).map_err(|error| error.to_string())? << 20;
        let times = whole / block.len() + 1;
        fs::write(&file, block.repeat(times)).map_err(|error| error.to_string())?;
        let bare = bare(&bay, &file)?;
        let attach = attached(&bay, dir.path(), name)?;
        let worker = ours(&bay, dir.path(), name)?;
        let service = in_dashboard(&bay, &format!("4/s-{name}\r\r"), &format!("s-{name}"))?;
        let rate = |time: Duration| f64::from(megabytes) / time.as_secs_f64();
        let ratio = |time: Duration| bare.as_secs_f64() / time.as_secs_f64();
        println!(
            "{megabytes} MB {name}: bare pty {:.1} MB/s; a worker in Docker: `docker attach` thrown away {:.2} x, dashboard \
             {:.2} x ({}); a native service: dashboard {:.2} x ({}) (goal: 0.7)",
            rate(bare),
            ratio(attach),
            ratio(worker.took),
            worker,
            ratio(service.took),
            service,
        );
        fs::remove_file(&file).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// One way through podbay.
struct Way {
    took: Duration,
    supervisor: f64,
    dashboard: f64,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CPU s: supervisor {:.2}, dashboard {:.2}", self.supervisor, self.dashboard)
    }
}

/// A native service with a terminal that prints a file when it is told so.
fn service(name: &str, dir: &Path) -> String {
    let script = printing(name);
    format!(
        "[[service]]\nname = \"s-{name}\"\nrun = \"host\"\nreason = \"other: a bench\"\ntty = true\nrestart = \"no\"\n\
         cwd = \"{}\"\ncommand = [\"sh\", \"-c\", {script:?}]\n",
        dir.display()
    )
}

fn printing(name: &str) -> String {
    format!("stty -echo; read go; cat {name}; printf '\\033[0m\\033[2J\\033[H'; echo {END}; sleep 1000")
}

/// What the engine itself lets through: podbay is away, the stream is thrown away.
fn attached(bay: &Bay, dir: &Path, name: &str) -> Result<Duration, String> {
    let worker = format!("a-{name}");
    let script =
        format!("stty -echo; while [ ! -e go-{name} ]; do sleep 0.05; done; cat {name}; echo; echo {END}; sleep 1000");
    bay.done(&["spawn", &worker, "-p", &dir.to_string_lossy(), "--detach", "--", "sh", "-c", &script])?;
    bay.kill_supervisor()?;
    let container = format!("{}-{worker}", bay.name());
    let mut attach = Command::new("docker");
    attach.args(["attach", "--no-stdin", &container]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut attach = attach.spawn().map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    fs::write(dir.join(format!("go-{name}")), "").map_err(|error| error.to_string())?;
    let output = attach.stdout.take().ok_or("no output")?;
    let read = read_until(output, END.as_bytes());
    let took = begun.elapsed();
    let _ = attach.kill();
    let _ = attach.wait();
    bay.done(&["rm", &worker, "--force", "--yes"])?;
    read.map(|()| took).map_err(|error| error.to_string())
}

/// A pty that nobody looks at.
fn bare(bay: &Bay, file: &Path) -> Result<Duration, String> {
    let script = format!("stty -echo; cat '{}'; echo; echo {END}", file.display());
    let begun = Instant::now();
    discard(&["sh", "-c", &script], &bay.vars(), END.as_bytes()).map_err(|error| error.to_string())?;
    Ok(begun.elapsed())
}

/// Runs a program in a pty, throws away what it prints, and returns when these bytes have come.
fn discard(argv: &[&str], vars: &[(String, String)], end: &[u8]) -> io::Result<()> {
    let size = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).map_err(io::Error::other)?;
    let mut command = CommandBuilder::from_argv(argv.iter().map(Into::into).collect());
    command.env_clear();
    for (key, value) in vars {
        command.env(key, value);
    }
    let mut reader = pair.master.try_clone_reader().map_err(io::Error::other)?;
    let mut child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
    drop(pair.slave);
    let read = read_until(&mut reader, end);
    let _ = child.kill();
    let _ = child.wait();
    read
}

/// Throws away what comes until these bytes have.
fn read_until(mut reader: impl io::Read, end: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    let mut last = Vec::new();
    loop {
        let count = reader.read(&mut bytes).unwrap_or(0);
        // The end may lie across two reads.
        last.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if memchr::memmem::find(&last, end).is_some() {
            return Ok(());
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        last.drain(..last.len().saturating_sub(end.len()));
    }
}

/// The same program in a worker, looked at in a dashboard.
fn ours(bay: &Bay, dir: &Path, name: &str) -> Result<Way, String> {
    let project = dir.to_string_lossy();
    bay.done(&["spawn", name, "-p", &project, "--detach", "--", "sh", "-c", &printing(name)])?;
    let way = in_dashboard(bay, &format!("2/{name}\r\r"), name)?;
    bay.done(&["rm", name, "--force", "--yes"])?;
    Ok(way)
}

/// Selects what prints, goes into its terminal, and lets it begin.
fn in_dashboard(bay: &Bay, select: &str, name: &str) -> Result<Way, String> {
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    dashboard.wait_for(name, PATIENCE)?;
    dashboard.type_in(select).map_err(|error| error.to_string())?;
    dashboard.wait_for("TERMINAL", PATIENCE)?;
    std::thread::sleep(Duration::from_millis(500));
    let pids = [bay.supervisor()?, dashboard.child.process_id().ok_or("no process")?];
    let spent = || pids.map(|pid| cpu(pid).unwrap_or(f64::NAN));
    let before = spent();
    let begun = Instant::now();
    dashboard.type_in("\r").map_err(|error| error.to_string())?;
    let seen = dashboard.wait_for(END, PATIENCE)?;
    let took = seen.saturating_duration_since(begun);
    let [supervisor, own] = spent();
    Ok(Way { took, supervisor: supervisor - before[0], dashboard: own - before[1] })
}

fn plain() -> Vec<u8> {
    let mut text = String::new();
    for line in 0..4000 {
        let _ = writeln!(text, "{line:>6} the quick brown fox jumps over the lazy dog, and over the next one as well");
    }
    text.into_bytes()
}

fn coloured() -> Vec<u8> {
    let mut text = String::new();
    for line in 0..4000_u32 {
        let (first, second) = (31 + line % 7, line % 256);
        let _ = writeln!(
            text,
            "\x1b[1;{first}m{line:>6}\x1b[0m the \x1b[38;5;{second}mquick brown\x1b[0m fox \x1b[4mjumps\x1b[0m over \
             \x1b[48;2;{second};40;80mthe lazy\x1b[0m dog"
        );
    }
    text.into_bytes()
}

/// As `top` and `htop` draw: bars, a header, rows that change in part, all by moving the cursor about.
fn full_screen() -> Vec<u8> {
    let mut text = String::from("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J");
    for frame in 0..200_u32 {
        for bar in 0..4 {
            let full = (frame * 7 + bar * 13) % 50;
            let _ = write!(text, "\x1b[{};2H\x1b[36m{bar}\x1b[1;30m[\x1b[0;32m", bar + 1);
            (0..50).for_each(|at| text.push(if at < full { '|' } else { ' ' }));
            let _ = write!(text, "\x1b[1;30m{:>5}%]\x1b[0m", full * 2);
        }
        text.push_str(
            "\x1b[6;1H\x1b[30;42m  PID USER      PRI  NI  VIRT   RES   SHR S CPU% MEM%   TIME+  Command\x1b[K\x1b[0m",
        );
        for row in 0..24_u32 {
            let (pid, cpu) = (1000 + (frame * 3 + row * 17) % 900, (frame + row * 5) % 100);
            let colour = if row == frame % 24 { "30;46" } else { "0" };
            let _ = write!(
                text,
                "\x1b[{};1H\x1b[{colour}m{pid:>5} root       20   0 {:>5}M {:>4}M  1024 S \x1b[1m{cpu:>3}.{}\x1b[22m  0.1  \
                 0:{:02}.{:02} \x1b[32m/usr/bin/program-{row}\x1b[39m --flag\x1b[K\x1b[0m",
                row + 7,
                row * 11 % 900,
                row * 3 % 90,
                frame % 10,
                frame % 60,
                row
            );
        }
    }
    text.push_str("\x1b[?25h\x1b[?1049l");
    text.into_bytes()
}
