//! Logs of workers that are followed: live from the terminal's stream, what is older from the engine, and the seam between
//! the two. Row G05 of the catalogue of faults.

use std::fs::{self, File};
use std::process::Child;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use podbay::api::client::LogsRequest;

use super::den::{Conf, Den};
use super::{measured, until, within};

/// `podbay logs`, with what it has written so far.
struct Followed {
    child: Child,
    out: std::path::PathBuf,
}

impl Followed {
    fn begin(den: &Den, args: &[&str]) -> Self {
        let out = den.path("followed");
        let mut command = den.command(&[&["logs"], args].concat());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(den.path("followed.err")).unwrap());
        Self { child: command.spawn().unwrap(), out }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.out).unwrap().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn until(&self, line: &str) {
        until(&format!("{line} is shown"), || {
            let lines = self.lines();
            let last = lines.last().cloned().unwrap_or_default();
            if lines.iter().any(|said| said == line) { Ok(()) } else { Err(last) }
        });
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The first line that is not what it should be.
fn first_wrong(lines: &[String], count: u64) -> Option<(usize, String)> {
    let wanted = (1..=count).map(|number| number.to_string());
    let wrong = lines.iter().cloned().zip(wanted).position(|(line, number)| line != number);
    wrong.map(|at| (at, lines[at.saturating_sub(2)..lines.len().min(at + 3)].join(" ")))
}

/// Waits for a file, so that whoever follows is there first.
fn counts_to(count: u64) -> String {
    format!("echo 0; while [ ! -e go ]; do sleep 0.05; done; seq 1 {count}; : > done; sleep 1000")
}

#[test]
fn g05_of_a_log_that_is_turned_over_a_follower_misses_no_line() {
    let conf = Conf { worker: "limits = { log_max_size = \"10k\", log_max_files = 1 }", ..Conf::default() };
    let Some(den) = Den::docker_with("g05_of_a_log_that_is_turned_over_a_follower_misses_no_line", conf) else {
        return;
    };
    let count = 100_000;
    let project = den.path("project");
    fs::create_dir_all(&project).unwrap();
    den.ok(&["spawn", "fox", "-d", "-p", &project.to_string_lossy(), "--", "sh", "-c", &counts_to(count)]);
    let followed = Followed::begin(&den, &["-f", "fox"]);
    followed.until("0");
    fs::write(project.join("go"), "").unwrap();
    within(Duration::from_mins(1), "it has written all", || {
        if project.join("done").exists() { Ok(()) } else { Err(String::new()) }
    });
    let written = Instant::now();
    followed.until(&count.to_string());
    let lines = followed.lines().split_off(1);
    assert_eq!((first_wrong(&lines, count), lines.len() as u64), (None, count));
    measured(&format!(
        "G05: a log of 10 kB: {count} of {count} lines, the last {:?} after it was written",
        written.elapsed()
    ));
}

#[test]
fn a_followed_log_goes_on_over_a_killed_supervisor_without_a_gap_or_a_double() {
    let test = "a_followed_log_goes_on_over_a_killed_supervisor_without_a_gap_or_a_double";
    let Some(den) = Den::docker(test) else { return };
    let count = 8000;
    let script =
        format!("n=0; while [ $n -lt {count} ]; do seq $((n+1)) $((n+20)); n=$((n+20)); sleep 0.01; done; sleep 1000");
    den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", &script]);
    let followed = Followed::begin(&den, &["-f", "fox"]);
    for reached in ["1500", "4500"] {
        followed.until(reached);
        den.kill_supervisor();
        den.ok(&["ls"]);
    }
    followed.until(&count.to_string());
    let lines = followed.lines();
    assert_eq!((first_wrong(&lines, count), lines.len() as u64), (None, count));
    // Who comes late has all of it, from both sides of the seam.
    let all = den.ok(&["logs", "fox"]);
    assert_eq!(all.lines().count() as u64, count);
    let late = Followed::begin(&den, &["-f", "-n", "3000", "fox"]);
    late.until(&count.to_string());
    let lines = late.lines();
    assert_eq!((lines.len(), lines[0].as_str()), (3000, "5001"));
}

#[test]
fn a_worker_that_is_started_again_goes_on_in_one_log() {
    let Some(den) = Den::docker("a_worker_that_is_started_again_goes_on_in_one_log") else { return };
    // Its last line has no end.
    let script = "echo begun; seq 1 5; printf last; read line; exit 0";
    den.ok(&["spawn", "fox", "-d", "--", "sh", "-c", script]);
    let run = ["begun", "1", "2", "3", "4", "5"];
    let followed = Followed::begin(&den, &["-f", "fox"]);
    followed.until("5");
    den.ok(&["stop", "fox"]);
    until("the log ends with the program", || {
        if followed.lines().last().is_some_and(|line| line == "last") {
            Ok(())
        } else {
            Err(followed.lines().join(" "))
        }
    });
    assert_eq!(followed.lines()[..6], run);
    den.ok(&["start", "fox"]);
    let again = Followed::begin(&den, &["-f", "fox"]);
    until("both runs are there", || {
        let lines = again.lines();
        if lines.iter().filter(|line| *line == "5").count() == 2 { Ok(()) } else { Err(lines.join(" ")) }
    });
    assert_eq!(again.lines().iter().filter(|line| line.contains("begun")).count(), 2, "{:?}", again.lines());
}

/// Row G08: memory has an end, and what was lost is said, to the line.
#[test]
fn g08_who_is_too_slow_is_told_how_much_it_missed() {
    let conf = Conf { worker: "limits = { log_max_size = \"10k\", log_max_files = 1 }", ..Conf::default() };
    let Some(den) = Den::docker_with("g08_who_is_too_slow_is_told_how_much_it_missed", conf) else { return };
    let count = 80_000;
    let project = den.path("project");
    fs::create_dir_all(&project).unwrap();
    let long = "x".repeat(150);
    let script =
        format!("echo 0; while [ ! -e go ]; do sleep 0.05; done; seq -f '%.0f {long}' 1 {count}; : > done; sleep 1000");
    den.ok(&["spawn", "fox", "-d", "-p", &project.to_string_lossy(), "--", "sh", "-c", &script]);
    let (mut numbers, mut missed) = (Vec::new(), 0);
    den.wait(async |client| {
        let mut log = client.logs("fox", &LogsRequest { follow: true, ..LogsRequest::default() }).await.unwrap();
        let mut next = async || {
            let line = tokio::time::timeout(Duration::from_secs(30), log.next()).await;
            line.unwrap_or_else(|_| panic!("nothing comes")).unwrap().unwrap().line
        };
        assert_eq!(next().await.trim_end(), "0");
        fs::write(project.join("go"), "").unwrap();
        within(Duration::from_mins(1), "it has written all", || {
            if project.join("done").exists() { Ok(()) } else { Err(String::new()) }
        });
        while numbers.last() != Some(&count) {
            let line = next().await;
            match line.strip_prefix("[podbay: ") {
                Some(said) => missed += said.split(' ').next().unwrap().parse::<u64>().unwrap(),
                None => numbers.push(line.split(' ').next().unwrap().parse::<u64>().unwrap()),
            }
        }
    });
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "in their order, and none twice");
    assert!(missed > 0, "nobody keeps {count} lines for somebody who does not read");
    assert_eq!(numbers.len() as u64 + missed, count);
    measured(&format!("G08: of {count} lines, {} came late, {missed} were said to be missing", numbers.len()));
}
