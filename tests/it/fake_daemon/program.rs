//! The programs of the fake's containers: a shell of a few commands, enough for tests that real engines run as well.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

/// What a program writes to: whether to stderr, and the bytes.
pub type Out = Arc<dyn Fn(bool, &[u8]) + Send + Sync>;

/// A program's surroundings.
pub struct Io {
    pub out: Out,
    pub input: UnboundedReceiver<Bytes>,
    pub tty: bool,
    /// Rows and columns.
    pub size: Arc<Mutex<(u16, u16)>>,
    /// Typed, but not read yet.
    pending: Vec<u8>,
}

/// How one command ended.
enum Step {
    Done(i64),
    Exit(i64),
}

/// Commands that do not exist in any container.
pub fn is_missing(command: &str) -> bool {
    command.contains("no-such")
}

impl Io {
    pub fn new(out: Out, input: UnboundedReceiver<Bytes>, tty: bool, size: Arc<Mutex<(u16, u16)>>) -> Self {
        Self { out, input, tty, size, pending: Vec::new() }
    }

    fn write(&self, stderr: bool, bytes: &[u8]) {
        if !self.tty {
            return (self.out)(stderr, bytes);
        }
        let mut cooked = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == b'\n' {
                cooked.push(b'\r');
            }
            cooked.push(*byte);
        }
        (self.out)(false, &cooked);
    }

    /// The next line, echoed on a tty; `None` at the end of the input.
    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let rest = self.pending.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return Some(line);
            }
            if self.tty && self.pending.contains(&4) {
                return None;
            }
            let bytes = self.input.recv().await?;
            if self.tty {
                let echo: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
                self.write(false, &echo);
            }
            self.pending.extend_from_slice(&bytes);
        }
    }
}

/// Runs a program; its exit code.
pub async fn run(argv: &[String], io: &mut Io) -> i64 {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        [shell, "-c", script, ..] if is_shell(shell) => script_of(script, io).await,
        [shell, "-i"] | [shell] if is_shell(shell) => interactive(io).await,
        other => match Box::pin(command(other, io)).await {
            Step::Done(code) | Step::Exit(code) => code,
        },
    }
}

fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("sh" | "bash"))
}

async fn interactive(io: &mut Io) -> i64 {
    loop {
        io.write(false, b"$ ");
        let Some(line) = io.line().await else { return 0 };
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Step::Exit(code) = steps(&line, io).await {
            return code;
        }
    }
}

async fn script_of(script: &str, io: &mut Io) -> i64 {
    match steps(script, io).await {
        Step::Done(code) | Step::Exit(code) => code,
    }
}

async fn steps(script: &str, io: &mut Io) -> Step {
    let mut last = 0;
    for step in script.split(';') {
        let words = split(step.trim());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            continue;
        }
        match Box::pin(command(&words, io)).await {
            Step::Done(code) => last = code,
            Step::Exit(code) => return Step::Exit(code),
        }
    }
    Step::Done(last)
}

async fn command(words: &[&str], io: &mut Io) -> Step {
    let (words, stderr) = match words {
        [rest @ .., ">&2"] => (rest, true),
        all => (all, false),
    };
    let code = match words {
        ["exec", rest @ ..] => {
            return Step::Exit(Box::pin(run(&rest.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), io)).await);
        }
        ["exit", code] => return Step::Exit(code.parse().unwrap_or(2)),
        ["echo", rest @ ..] => {
            io.write(stderr, format!("{}\n", rest.join(" ")).as_bytes());
            0
        }
        ["printf", text] => {
            io.write(stderr, &octal(text));
            0
        }
        ["seq", first, last] => {
            let (first, last): (u64, u64) = (first.parse().unwrap_or(1), last.parse().unwrap_or(0));
            for chunk in (first..=last).collect::<Vec<_>>().chunks(500) {
                let lines: Vec<String> = chunk.iter().map(u64::to_string).collect();
                io.write(stderr, format!("{}\n", lines.join("\n")).as_bytes());
                tokio::task::yield_now().await;
            }
            0
        }
        ["sleep", time] => {
            let time = time.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            tokio::time::sleep(time.unwrap_or(Duration::from_hours(24))).await;
            0
        }
        ["stty", "size"] => {
            let (rows, cols) = *io.size.lock().unwrap();
            io.write(stderr, format!("{rows} {cols}\n").as_bytes());
            0
        }
        ["cat"] => {
            while let Some(line) = io.line().await {
                io.write(stderr, &[&line[..], b"\n"].concat());
            }
            0
        }
        ["read", ..] => i64::from(io.line().await.is_none()),
        ["true"] => 0,
        ["false"] => 1,
        [name, ..] if is_missing(name) => 127,
        // Anything else is a program that waits for its user.
        _ => {
            while io.line().await.is_some() {}
            0
        }
    };
    Step::Done(code)
}

/// Words with single and double quotes.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// `\NNN`, `\n`, `\r`, `\e`.
fn octal(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            let value = std::str::from_utf8(&rest[..digits]).unwrap();
            out.push(u8::from_str_radix(value, 8).unwrap_or(b'?'));
            rest = &rest[digits..];
        } else if let [kind, tail @ ..] = rest {
            out.push(match kind {
                b'n' => b'\n',
                b'r' => b'\r',
                b'e' => 0x1b,
                other => *other,
            });
            rest = tail;
        }
    }
    out
}
