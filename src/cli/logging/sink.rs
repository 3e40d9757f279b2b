//! The last station of a log line: secrets out, control characters escaped, losses counted.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::civil::Date;
use tracing_appender::non_blocking::ErrorCounter;

use super::redact::redact;

/// The count of lines that the queue had no room for. It exists only once the queue does, and the queue wants its sink
/// first; hence the two steps.
#[derive(Clone, Debug, Default)]
pub struct Dropped(Arc<OnceLock<ErrorCounter>>);

impl Dropped {
    /// From now on, this queue's.
    pub fn watch(&self, counter: ErrorCounter) {
        // Set once, by whoever made the queue.
        let _ = self.0.set(counter);
    }

    fn count(&self) -> usize {
        self.0.get().map_or(0, ErrorCounter::dropped_lines)
    }
}

/// Takes whole events, as the formatter writes them, and gives each out as one line.
pub struct LineSink<W> {
    out: W,
    dropped: Dropped,
    told: usize,
    private: Option<Private>,
}

/// Whose files are to be made private, and for which day that was done.
struct Private {
    dir: PathBuf,
    who: String,
    done: Option<Date>,
}

impl<W: Write> LineSink<W> {
    /// A sink that counts what `dropped` does.
    pub fn new(out: W, dropped: Dropped) -> Self {
        Self { out, dropped, told: 0, private: None }
    }

    /// And that makes each day's file its owner's only.
    pub fn privately(mut self, dir: &Path, who: &str) -> Self {
        let mut private = Private { dir: dir.to_owned(), who: who.to_owned(), done: None };
        private.refresh();
        self.private = Some(private);
        self
    }

    fn tell_losses(&mut self) -> io::Result<()> {
        let count = self.dropped.count();
        if count > self.told {
            let line = format!("{} lines dropped: the disk was too slow for the log\n", count - self.told);
            self.told = count;
            self.out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

impl<W: Write> Write for LineSink<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.tell_losses()?;
        self.out.write_all(clean(event).as_bytes())?;
        if let Some(private) = &mut self.private {
            private.refresh();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Private {
    /// After the write that began a new day's file.
    fn refresh(&mut self) {
        // The appender rotates by UTC.
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        if self.done != Some(today) {
            // When it fails, the directory's own mode (0700) still holds.
            let _ = super::make_private(&self.dir, &self.who);
            self.done = Some(today);
        }
    }
}

/// One line: no secrets, nothing that controls a terminal, no forged second line.
fn clean(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = String::with_capacity(text.len() + 1);
    for character in redact(text).chars() {
        match character {
            '\t' => line.push(' '),
            '\n' => line.push_str("\\n"),
            control if control.is_control() => {
                // Writing to a String can't fail.
                let _ = write!(line, "{}", control.escape_default());
            }
            other => line.push(other),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_neither_forge_another_nor_control_a_terminal() {
        let mut sink = LineSink::new(Vec::new(), Dropped::default());
        sink.write_all(b"a\nINFO forged \x1b[2J \xff ghp_abc\n").unwrap();
        sink.write_all(b"next\n").unwrap();
        let text = String::from_utf8(sink.out).unwrap();
        assert_eq!(text, "a\\nINFO forged \\u{1b}[2J \u{fffd} ghp_***\nnext\n");
    }

    #[test]
    fn losses_are_counted_in_the_log_itself() {
        use tracing_appender::non_blocking::NonBlockingBuilder;

        /// A disk that waits until it is let go, then keeps what it gets.
        struct Slow(std::sync::mpsc::Receiver<()>, Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                self.1.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (go, wait) = std::sync::mpsc::channel();
        let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
        let dropped = Dropped::default();
        let sink = LineSink::new(Slow(wait, Arc::clone(&kept)), dropped.clone());
        let (mut writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(4).lossy(true).finish(sink);
        dropped.watch(writer.error_counter());
        for number in 0..100 {
            writer.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(go);
        drop((writer, guard));
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        let lost: usize =
            text.lines().filter_map(|line| line.split_once(" lines dropped")?.0.parse::<usize>().ok()).sum();
        assert_eq!(written + lost, 100, "{text}");
        assert!(lost > 0, "{text}");
    }
}
