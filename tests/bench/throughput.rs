//! Bytes through a pane, against a bare pty whose reader throws them away.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::bay::Bay;
use super::pty::Pty;
use super::{Outcome, Plan};

const PATIENCE: Duration = Duration::from_mins(5);
/// What a program prints when all is through.
const END: &str = "all of it is through";

#[expect(clippy::print_stdout, reason = "figures are its output")]
pub fn run(plan: Plan) -> Outcome {
    let megabytes: u32 = if plan.quick { 4 } else { 100 };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let bay = Bay::start()?;
    for (name, block) in [("plain", plain()), ("coloured", coloured()), ("full-screen", full_screen())] {
        let file = dir.path().join(name);
        let whole = usize::try_from(megabytes).map_err(|error| error.to_string())? << 20;
        let times = whole / block.len() + 1;
        fs::write(&file, block.repeat(times)).map_err(|error| error.to_string())?;
        let bare = bare(&bay, &file)?;
        let ours = ours(&bay, dir.path(), name)?;
        let rate = |time: Duration| f64::from(megabytes) / time.as_secs_f64();
        println!(
            "{megabytes} MB {name}: dashboard {:.1} MB/s, bare pty {:.1} MB/s: {:.2} x (goal: 0.7)",
            rate(ours),
            rate(bare),
            bare.as_secs_f64() / ours.as_secs_f64()
        );
        fs::remove_file(&file).map_err(|error| error.to_string())?;
    }
    Ok(())
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
    let mut bytes = vec![0; 64 << 10];
    let mut last = Vec::new();
    loop {
        let count = reader.read(&mut bytes).unwrap_or(0);
        // The end may lie across two reads.
        last.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if count == 0 || memchr::memmem::find(&last, end).is_some() {
            let _ = child.kill();
            let _ = child.wait();
            return if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        last.drain(..last.len().saturating_sub(end.len()));
    }
}

/// The same program in a worker, looked at in a dashboard.
fn ours(bay: &Bay, dir: &Path, name: &str) -> Result<Duration, String> {
    let script = format!("stty -echo; read go; cat '{name}'; printf '\\033[0m\\033[2J\\033[H'; echo {END}; sleep 1000");
    let project = dir.to_string_lossy();
    bay.done(&["spawn", name, "-p", &project, "--detach", "--", "sh", "-c", &script])?;
    let dashboard = Pty::start(&[Bay::program()], &bay.vars(), 40, 120).map_err(|error| error.to_string())?;
    dashboard.wait_for(name, PATIENCE)?;
    let select = format!("2/{name}\r\r");
    dashboard.type_in(&select).map_err(|error| error.to_string())?;
    dashboard.wait_for("TERMINAL", PATIENCE)?;
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    dashboard.type_in("\r").map_err(|error| error.to_string())?;
    let seen = dashboard.wait_for(END, PATIENCE)?;
    let took = seen.saturating_duration_since(begun);
    drop(dashboard);
    bay.done(&["rm", name, "--force", "--yes"])?;
    Ok(took)
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
