//! The log of a container service on Docker, over its restarts and before its first.

use std::fs::{self, File};
use std::process::Child;

use super::den::{Conf, Den};
use super::services::{act, until_state};
use super::until;
use podbay::api::types::ServiceVerb;

/// What a verb that does not end has written so far.
struct Followed {
    child: Child,
    out: std::path::PathBuf,
    err: std::path::PathBuf,
}

impl Followed {
    fn begin(den: &Den, args: &[&str]) -> Self {
        let (out, err) = (den.path("out"), den.path("err"));
        let mut command = den.command(args);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.out).unwrap().lines().map(str::to_owned).collect()
    }

    fn until(&self, line: &str) {
        until(&format!("{line} is shown"), || {
            let lines = self.lines();
            if lines.iter().any(|said| said == line) { Ok(()) } else { Err(format!("{lines:?}")) }
        });
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_log_is_followed_from_before_the_first_run_over_every_restart_and_a_new_container() {
    let test = "a_log_is_followed_from_before_the_first_run_over_every_restart_and_a_new_container";
    let script = "n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n+1)) >/tmp/n; \
                  i=0; while [ $i -lt 200 ]; do echo $TAG.$n.$i; i=$((i+1)); done; sleep 0.3; exit 1";
    let service = format!(
        "[[service]]\nname = \"web\"\nimage = \"host\"\nnetwork = \"none\"\nenv = {{ TAG = \"a\" }}\n\
         command = [\"sh\", \"-c\", '''{script}''']\nbackoff = {{ initial = \"50ms\", max = \"100ms\" }}\n\
         start_limit = {{ burst = 100, interval = \"1s\" }}\n"
    );
    let Some(den) = Den::docker_with(test, Conf { rest: &service, ..Conf::default() }) else { return };
    let ran = den.run(&["logs", "web"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    for said in ["web has written nothing yet; it is stopped: not started; `podbay up` starts it", "podbay why web"] {
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let followed = Followed::begin(&den, &["service", "logs", "-f", "web"]);
    until("it waits", || {
        let said = fs::read_to_string(&followed.err).unwrap();
        if said.contains("web is stopped") { Ok(()) } else { Err(said) }
    });
    den.run(&["up"]);
    followed.until("a.2.199");
    let late = den.run(&["logs", "web", "-n", "1"]);
    assert!(late.stdout.starts_with("a."), "{late:?}");
    // Another container of the same service.
    act(&den, "web", ServiceVerb::Stop).unwrap();
    let had = followed.lines();
    let file = den.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap().replace("TAG = \"a\"", "TAG = \"b\"");
    fs::write(&file, text).unwrap();
    den.run(&["up"]);
    followed.until("b.1.199");
    until_state(&den, "web", "running");
    act(&den, "web", ServiceVerb::Stop).unwrap();
    let shown = followed.lines();
    assert_eq!(shown[..had.len()], had);
    let runs = |tag: &str| {
        let last = shown.iter().filter_map(|line| line.strip_prefix(tag)?.split('.').nth(1)?.parse::<u32>().ok()).max();
        (0..=last.unwrap()).flat_map(|run| (0..200).map(move |line| (run, line))).collect::<Vec<_>>()
    };
    let wanted: Vec<String> = ["a", "b"]
        .into_iter()
        .flat_map(|tag| runs(tag).into_iter().map(move |(run, line)| format!("{tag}.{run}.{line}")))
        .collect();
    // A run that was stopped may have been cut short.
    let lost: Vec<&String> = wanted.iter().filter(|line| !shown.contains(line)).collect();
    let mut sorted = shown.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), shown.len(), "something was shown twice");
    assert!(lost.len() < 400, "{lost:?}");
    let whole = |line: &&String| line.starts_with("a.0.") || line.starts_with("a.1.") || line.starts_with("b.0.");
    assert_eq!(lost.iter().filter(|line| whole(line)).count(), 0, "{lost:?}");
    let in_order: Vec<&String> = wanted.iter().filter(|line| shown.contains(line)).collect();
    assert_eq!(in_order, shown.iter().collect::<Vec<_>>());
    den.ok(&["down", "-y"]);
}
