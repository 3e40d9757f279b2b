//! What programs draw, in our emulator and in tmux at the same size, cell by cell with its attributes.
//!
//! A program runs once, in a pty; what it printed is given to both. What differs stands in [`KNOWN`], with the reason; a
//! difference that is listed and does not occur fails as well, so that the list stays true.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use podbay::bay::session::TermSize;
use podbay::terminal::emulator::Emulator;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use unicode_width::UnicodeWidthChar;

use crate::skip::{Need, lacks};

const ROWS: u16 = 24;
const COLS: u16 = 80;
/// Every wait ends here.
const DEADLINE: Duration = Duration::from_secs(30);
/// Shown last in each replay, so that tmux is known to have read all before it.
const MARK: &str = "all-of-it-was-read";

/// What differs, and why: the case, the cells as [`differences`] tells of it, the reason.
const KNOWN: &[(&str, &[&str], &str)] = &[
    (
        "wide",
        &["13,0 \" \", tmux \"漢\""],
        "of a wide character whose second half was written over, tmux 3.3 goes on to tell the whole; here and in xterm \
         the half that is left is a blank",
    ),
    (
        "vttest 2.11",
        &[
            "1,0 \"                                                                  \", tmux \"Origin mode test. This line \
             should be at the bottom of the screen.\"",
            "23,0 \"Origin mode test. This line should be at the bottom of the screen.\", tmux \"\
             \u{20}                                                                 \"",
        ],
        "with rows counted from the region's top, a new region takes the cursor to that top; tmux 3.3 takes it to the \
         screen's, against what the page says of itself",
    ),
];

/// One cell as both sides tell of it: its text and how it is drawn.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    text: String,
    front: vt100::Color,
    back: vt100::Color,
    /// Bold, dim, italic, underline, inverse.
    flags: [bool; 5],
}

impl Seen {
    fn of(cell: Option<&vt100::Cell>) -> Self {
        let Some(cell) = cell else { return Self::blank() };
        let text = if cell.has_contents() { cell.contents().to_owned() } else { " ".to_owned() };
        let mut seen = Self {
            text,
            front: cell.fgcolor(),
            back: cell.bgcolor(),
            flags: [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()],
        };
        if seen.text == " " && !seen.flags[4] && !seen.flags[3] {
            // Of a blank only what lies behind it is seen.
            seen.front = vt100::Color::Default;
            seen.flags = [false; 5];
        }
        seen
    }

    /// How it is drawn, in words.
    fn look(&self) -> String {
        format!("{:?} on {:?} {:?}", self.front, self.back, self.flags.map(u8::from))
    }

    fn blank() -> Self {
        let colour = vt100::Color::Default;
        Self { text: " ".to_owned(), front: colour, back: colour, flags: [false; 5] }
    }
}

type Grid = Vec<Vec<Seen>>;

/// A text that is waited for, and what is typed then.
type Steps<'a> = &'a [(&'a str, &'a str)];

fn grid(screen: &vt100::Screen) -> Grid {
    let cells = |row| {
        let cells = (0..COLS).filter(move |col| !continues(screen, row, *col));
        cells.map(move |col| Seen::of(screen.cell(row, col))).collect()
    };
    (0..ROWS).map(cells).collect()
}

fn continues(screen: &vt100::Screen, row: u16, col: u16) -> bool {
    screen.cell(row, col).is_some_and(vt100::Cell::is_wide_continuation)
}

/// tmux with a server of its own, which goes with it.
struct Tmux {
    socket: String,
    _dir: tempfile::TempDir,
}

impl Tmux {
    fn start() -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok().filter(|output| output.status.success())?;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("tmux").to_str().unwrap().to_owned();
        let tmux = Self { socket, _dir: dir };
        // One that stays: the server would end with the last, and the next one come too early.
        let begin = ["set", "-g", "status", "off", ";", "set", "-g", "default-terminal", "tmux-256color", ";"];
        tmux.run(&[&begin[..], &["new-session", "-d", "-s", "stays", "sleep", "1000"]].concat());
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color");
        let output = command.args(["-f", "/dev/null", "-S", &self.socket, "-u"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The screen after these bytes.
    fn show(&self, bytes: &[u8]) -> Grid {
        let dir = tempfile::tempdir().unwrap();
        let (file, done) = (dir.path().join("bytes"), dir.path().join("done"));
        fs::write(&file, bytes).unwrap();
        // tmux answers a question when it has read all that came before it.
        let script = format!(
            "stty raw -echo; cat '{}'; printf '\\033[5n'; dd bs=1 count=4 of='{}' 2>/dev/null; sleep 1000",
            file.display(),
            done.display()
        );
        let (rows, cols) = (ROWS.to_string(), COLS.to_string());
        let size = ["-x", &cols, "-y", &rows];
        self.run(&[&["new-session", "-d", "-s", MARK], &size[..], &["sh", "-c", &script]].concat());
        let begun = Instant::now();
        while fs::metadata(&done).map_or(0, |found| found.len()) < 4 {
            assert!(begun.elapsed() < DEADLINE, "tmux does not answer:\n{}", self.run(&["capture-pane", "-p"]));
            std::thread::sleep(Duration::from_millis(5));
        }
        let shown = self.run(&["capture-pane", "-e", "-p", "-N", "-t", MARK]);
        self.run(&["kill-session", "-t", MARK]);
        // Colours go on from line to line, and lines are drawn by the second set. One column more, so that none wraps.
        let mut emulator = Emulator::new(TermSize::new(ROWS, COLS + 1), 0);
        emulator.feed(b"\x1b)0");
        let mut told = Vec::new();
        for (row, line) in shown.lines().take(usize::from(ROWS)).enumerate() {
            emulator.feed(format!("\x1b[{};1H{line}", row + 1).as_bytes());
            told.push(emulator.screen().cursor_position().1);
        }
        let mut grid = grid(emulator.screen());
        for (row, told) in grid.iter_mut().zip(told) {
            // Wide ones count twice.
            let wide = row.iter().filter(|cell| cell.text.chars().any(|c| c.width() == Some(2))).count();
            row.truncate(usize::from(told).saturating_sub(wide));
        }
        grid
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

/// Runs a program, types what is due when a text is on its screen, and gives all that it printed until the last one.
fn record(program: &[&str], steps: &[(&str, &str)]) -> Vec<u8> {
    let mut pages = pages(program, steps);
    pages.pop().unwrap()
}

/// The same at the end of each step: all that it has printed until then.
fn pages(program: &[&str], steps: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let size = PtySize { rows: ROWS, cols: COLS, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = CommandBuilder::new(program[0]);
    command.args(&program[1..]);
    command.env_clear();
    for (key, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("HOME", home.path().to_str().unwrap())] {
        command.env(key, value);
    }
    command.env("PATH", std::env::var("PATH").unwrap());
    command.cwd(home.path());
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut writer = pair.master.take_writer().unwrap();
    let (sender, pieces) = mpsc::sync_channel::<Vec<u8>>(64);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut emulator = Emulator::new(TermSize::new(ROWS, COLS), 0);
    let mut all = Vec::new();
    let mut ends = Vec::new();
    let begun = Instant::now();
    for (at, (wanted, typed)) in steps.iter().enumerate() {
        // What came after the last keys: it may be the same text as before.
        let from = all.len();
        let is_there = |emulator: &Emulator, all: &[u8]| {
            emulator.text().contains(wanted) || String::from_utf8_lossy(&all[from..]).contains(wanted)
        };
        let mut rests = false;
        while !(rests && (from == 0 || all.len() > from) && is_there(&emulator, &all)) {
            assert!(begun.elapsed() < DEADLINE, "{program:?}: {wanted:?} never came:\n{}", emulator.text());
            // What was begun is ended; a character that is cut would be shown differently by both.
            let last = at + 1 == steps.len();
            let Ok(piece) = pieces.recv_timeout(Duration::from_millis(if last { 300 } else { 100 })) else {
                rests = true;
                continue;
            };
            rests = false;
            let fed = emulator.feed(&piece);
            writer.write_all(&fed.replies).unwrap();
            all.extend(piece);
            assert!(all.len() < 1 << 20, "{program:?} does not come to rest");
        }
        ends.push(all.clone());
        writer.write_all(typed.as_bytes()).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    ends
}

/// The cells that differ, in words: of each row from the first to the last of them both texts, and
/// the looks that differ.
fn differences(bytes: &[u8], tmux: &Tmux) -> Vec<String> {
    let mut emulator = Emulator::new(TermSize::new(ROWS, COLS), 0);
    emulator.feed(bytes);
    let (ours, theirs) = (grid(emulator.screen()), tmux.show(bytes));
    let mut found = Vec::new();
    for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let blank = Seen::blank();
        let at = |col: usize| (ours.get(col).unwrap_or(&blank), theirs.get(col).unwrap_or(&blank));
        let differ = |col: &usize| {
            let (our, their) = at(*col);
            // tmux does not tell of cells at a line's end that were erased and never written, nor of what lies behind them.
            let untold = theirs.get(*col).is_none() && our.text == " ";
            our != their && !untold
        };
        let cols = 0..ours.len().max(theirs.len().min(usize::from(COLS)));
        let (Some(first), Some(last)) = (cols.clone().find(differ), cols.clone().rfind(differ)) else { continue };
        let (our, their): (String, String) =
            (first..=last).map(|col| (at(col).0.text.as_str(), at(col).1.text.as_str())).unzip();
        let mut told = format!("{row},{first} {our:?}, tmux {their:?}");
        for col in cols.filter(differ) {
            let (our, their) = at(col);
            if our.look() != their.look() {
                let _ = write!(told, "; {col}: {}, tmux {}", our.look(), their.look());
            }
        }
        found.push(told);
    }
    found
}

fn check(name: &str, bytes: &[u8], tmux: &Tmux) {
    super::quiet();
    compare(name, &differences(bytes, tmux));
}

fn compare(name: &str, found: &[String]) {
    let known = KNOWN.iter().find(|(case, ..)| *case == name);
    let known = known.map_or(&[][..], |(_, cells, _)| *cells);
    assert!(found == known, "{name}: {} differ:\n{}\nknown are:\n{}", found.len(), found.join("\n"), known.join("\n"));
}

fn tmux(test: &str) -> Option<Tmux> {
    let tmux = Tmux::start();
    if tmux.is_none() {
        skipped(test, "tmux");
    }
    tmux
}

fn colours() -> String {
    let mut text = String::from("\x1b[H\x1b[2J");
    for colour in 0..256 {
        let _ = write!(text, "\x1b[48;5;{colour}m\x1b[38;5;{}m{colour:>3} ", 255 - colour);
        if colour % 16 == 15 {
            text.push_str("\x1b[0m\r\n");
        }
    }
    for (at, code) in ["0", "1", "2", "3", "4", "7", "1;3;4", "31;1", "97;44", "39;49"].iter().enumerate() {
        let _ = write!(text, "\x1b[{code}mlook {at}\x1b[0m ");
    }
    text
}

fn true_colours() -> String {
    let mut text = String::from("\x1b[H\x1b[2J");
    for row in 0..20 {
        for col in 0..39 {
            let _ =
                write!(text, "\x1b[38;2;{};{};128m\x1b[48;2;{};40;{}m▀▄", row * 12, col * 6, 255 - col * 6, row * 12);
        }
        text.push_str("\x1b[0m\r\n");
    }
    // The form with colons, and both forms in one sequence.
    text + "\x1b[38:2::10:20:30mcolons\x1b[0m \x1b[1;38:5:200;48;2;1;2;3mboth\x1b[0m"
}

const BOXES: &str = "\x1b[H\x1b[2J┌─┬─┐╔═╦═╗╭─╮ ▁▂▃▄▅▆▇█ ░▒▓\r\n│ │ │║ ║ ║│ │\r\n├─┼─┤╠═╬═╣╰─╯\r\n└─┴─┘╚═╩═╝\r\n\
                     \x1b(0lqwqk\r\nx x x\r\ntqnqu\r\nmqvqj `afg~\x1b(B after\r\n\x1b)0\x0elqk\x0f shifted\r\n";

const WIDE: &str = "\x1b[H\x1b[2J漢字かな交じり文\r\nｆｕｌｌ ﾊﾝｶｸ\r\ne\u{301}a\u{308}o\u{302} combining\r\n한국어 ไทย\r\n\
                    \x1b[10;80H漢 wraps\r\n\x1b[12;79H漢字\r\n\x1b[14;1H漢字漢字\x1b[14;2Hx half is written over\r\n\
                    \x1b[16;1H漢字\x1b[16;1H\x1b[P after a deletion";

const EMOJI: &str = "\x1b[H\x1b[2J😀 🚀 smile\r\n👍 thumb\r\n👨\u{200d}👩\u{200d}👧 family\r\n🇩🇪 flag\r\n";

/// As vttest's pages on cursor, screen and editing have it.
const PAGES: &str = "\x1b[H\x1b[2J\x1b[5;10r\x1b[5;1Hone\r\ntwo\r\nthree\r\nfour\r\nfive\r\nsix\r\nseven\x1b[r\
    \x1b[12;1Habcdef\x1b[12;3H\x1b[2@XY\x1b[13;1Habcdef\x1b[13;2H\x1b[2P\x1b[14;1Habcdef\x1b[14;3H\x1b[2X\
    \x1b[15;1Htop\x1b[16;1Hbottom\x1b[15;1H\x1b[L inserted\x1b[18;1Hgone\x1b[18;1H\x1b[M\
    \x1b[20;1H1\t2\t3\x1b[20;30H\x1b[1K<\x1b[21;1Hkeep this\x1b[21;6H\x1b[K\
    \x1b[22;70H0123456789 wraps\x1b[?7l\x1b[3;75H0123456789\x1b[?7h\
    \x1b7\x1b[1;40H\x1b[7msaved\x1b8back\x1b[0m\x1b[1;1H\x1b[41m\x1b[2K\x1b[0m\x1bM\x1b[2;1Hdown";

#[test]
fn cards_are_drawn_as_tmux_draws_them() {
    let Some(tmux) = tmux("cards_are_drawn_as_tmux_draws_them") else { return };
    for (name, text) in [("256 colours", colours()), ("true colours", true_colours())] {
        check(name, text.as_bytes(), &tmux);
    }
    for (name, text) in [("boxes", BOXES), ("wide", WIDE), ("emoji", EMOJI), ("pages", PAGES)] {
        check(name, text.as_bytes(), &tmux);
    }
}

/// A program on a file of its own, which stands for `FILE` in its command.
fn program(command: &[&str], steps: Steps<'_>) {
    let name = command[0];
    let test = format!("{name}_is_drawn_as_tmux_draws_it");
    let Some(tmux) = tmux(&test) else { return };
    if !installed(name) {
        skipped(&test, name);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a-file.rs");
    let text = (0..200).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "fn line_{at}() {{ /* \"漢字\" */ let x = {at}; }}\t// a tab before this");
        text
    });
    fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let command: Vec<&str> = command.iter().map(|word| if *word == "FILE" { file } else { word }).collect();
    check(name, &record(&command, steps), &tmux);
}

#[test]
fn vim_is_drawn_as_tmux_draws_it() {
    let steps = [
        ("fn line_0", ":syntax on\r:set number hlsearch list\r"),
        ("  1 fn", "/line_1\r\x06:split\rGzz"),
        ("200 fn", "iinserted\x1b"),
        ("inserted", ""),
    ];
    program(&["vim", "-u", "NONE", "-N", "FILE"], &steps);
}

#[test]
fn less_is_drawn_as_tmux_draws_it() {
    let steps = [("fn line_0", "/line_70\r"), ("fn line_80", "5j"), ("fn line_97", "")];
    program(&["less", "-N", "FILE"], &steps);
}

/// Its pages on cursor movements and on screen features, each as it is when it asks to go on.
#[test]
fn vttest_is_drawn_as_tmux_draws_it() {
    let test = "vttest_is_drawn_as_tmux_draws_it";
    let Some(tmux) = tmux(test) else { return };
    if !installed("vttest") {
        return skipped(test, "vttest");
    }
    for (menu, count) in [("1", 6), ("2", 15)] {
        let mut steps = vec![("Enter choice number", menu), (menu, "\r")];
        steps.extend(std::iter::repeat_n(("Push <RETURN>", "\r"), count));
        steps.push(("Enter choice number", ""));
        let pages = pages(&["vttest"], &steps);
        for (at, bytes) in pages[2..].iter().enumerate() {
            check(&format!("vttest {menu}.{}", at + 1), bytes, &tmux);
        }
    }
}

#[test]
fn nano_is_drawn_as_tmux_draws_it() {
    let steps = [("fn line_0", "\x17line_9\r"), ("fn line_9", "typed"), ("typed", "")];
    program(&["nano", "FILE"], &steps);
}

#[test]
fn htop_is_drawn_as_tmux_draws_it() {
    program(&["htop", "-d", "100"], &[("F10", "")]);
}

#[test]
fn top_is_drawn_as_tmux_draws_it() {
    program(&["top", "-d", "60"], &[("PID", "")]);
}

#[test]
fn tmux_is_drawn_as_tmux_draws_it() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    let inner = inner.to_str().unwrap();
    let command = ["tmux", "-f", "/dev/null", "-S", inner, "-u", "new-session", "env", "PS1=$ ", "sh"];
    let steps = [("$", "\x02%"), ("│", "\x02\"printf '\\033[31mred\\033[0m %s\\n' 漢字\r"), ("red 漢字", "")];
    program(&command, &steps);
    let _ = Command::new("tmux").args(["-S", inner, "kill-server"]).output();
}

fn skipped(test: &str, program: &str) {
    lacks(Need::Program, test, &format!("{program} is not installed"));
}

fn installed(program: &str) -> bool {
    let found = |dir: &str| std::path::Path::new(dir).join(program).exists();
    std::env::var("PATH").is_ok_and(|path| path.split(':').any(found))
}

fn first_lines(emulator: &Emulator, count: usize) -> Vec<String> {
    emulator.text().lines().take(count).map(str::to_owned).collect()
}

#[test]
fn a_line_that_the_edge_breaks_is_whole_again_on_a_wider_screen() {
    let mut emulator = super::emulator();
    emulator.feed("\x1b[31m0123456789\x1b[0m\r\n\u{597d}\u{597d}\u{597d}\r\n\r\n$ it".as_bytes());
    emulator.resize(TermSize::new(24, 4));
    let narrow = ["0123", "4567", "89", "\u{597d}\u{597d}", "\u{597d}", "", "$ it"];
    assert_eq!(first_lines(&emulator, 7), narrow);
    assert_eq!(emulator.screen().cell(1, 3).map(vt100::Cell::fgcolor), Some(vt100::Color::Idx(1)));
    emulator.resize(TermSize::new(24, 20));
    emulator.feed(b"!");
    assert_eq!(first_lines(&emulator, 4), ["0123456789", "\u{597d}\u{597d}\u{597d}", "", "$ it!"]);
}

#[test]
fn what_has_left_the_screen_flows_with_it_and_the_cursor_stays_at_its_place() {
    let mut emulator = super::emulator();
    for number in 0..60 {
        emulator.feed(format!("line {number} {}\r\n", "x".repeat(60)).as_bytes());
    }
    emulator.feed(b"$ a command");
    for cols in [40, 30, 200, 80] {
        emulator.resize(TermSize::new(24, cols));
        assert_eq!(emulator.screen().cursor_position(), (23, 11), "{cols}: {}", emulator.text());
        assert!(emulator.text().ends_with("$ a command"), "{cols}: {}", emulator.text());
    }
    let mut pages = String::new();
    for above in [60, 37, 14, 0] {
        emulator.scroll_to(above);
        pages.push_str(&emulator.text());
        pages.push('\n');
    }
    for number in 0..60 {
        assert!(pages.contains(&format!("line {number} {}", "x".repeat(60))), "line {number}: {pages}");
    }
    // A cleared screen stays clear: what lies above does not come down.
    emulator.scroll_to(0);
    emulator.feed(b"\x1b[2J\x1b[H$ ");
    for cols in [40, 120] {
        emulator.resize(TermSize::new(24, cols));
        assert_eq!(emulator.text().trim_end(), "$", "{cols}");
        assert_eq!(emulator.screen().cursor_position(), (0, 2));
    }
}

#[test]
fn beneath_an_alternate_screen_the_lines_flow_and_itself_is_cut() {
    let mut emulator = super::emulator();
    emulator.feed(b"0123456789 0123456789\r\n$ vim\x1b[?1049h\x1b[2J\x1b[3;4Hinside it\x1b[?2004h\x1b[?25l");
    emulator.resize(TermSize::new(24, 10));
    assert_eq!(first_lines(&emulator, 3), ["", "", "   inside"]);
    let modes = emulator.modes();
    assert!(modes.alternate_screen && modes.bracketed_paste && modes.cursor_hidden, "{modes:?}");
    emulator.resize(TermSize::new(24, 30));
    emulator.feed(b"\x1b[?25h\x1b[?1049l");
    assert_eq!(first_lines(&emulator, 2), ["0123456789 0123456789", "$ vim"]);
}
