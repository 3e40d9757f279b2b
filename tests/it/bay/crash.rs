//! Rows K01 to K06: the supervisor dies at the worst moment, and the next one goes on.

use std::time::Duration;

use podbay::api::types::{ContainerRow, Verb};
use serde_json::Value;

use super::den::{Den, spawn, summary};
use super::docker::listens;
use super::process::{copy_program, finish, signal};
use super::{until, within};
use crate::fake_daemon::Fault;

/// What is asked of the bay when the supervisor dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Spawn,
    Act(Verb),
}

/// Each point with what passes it.
const POINTS: [(&str, Asked); 12] = [
    ("before-save", Asked::Spawn),
    ("after-save", Asked::Spawn),
    ("before-create", Asked::Spawn),
    ("after-create", Asked::Spawn),
    ("before-start", Asked::Spawn),
    ("after-start", Asked::Spawn),
    ("before-stop", Asked::Act(Verb::Stop)),
    ("after-stop", Asked::Act(Verb::Stop)),
    ("between-stop-and-start", Asked::Act(Verb::Restart)),
    ("before-remove", Asked::Act(Verb::Remove)),
    ("after-remove", Asked::Act(Verb::Remove)),
    ("after-rename", Asked::Act(Verb::Refresh)),
];

/// Dies at the point, and checks what the next supervisor makes of it. The bay has the worker `old`, which runs.
fn die_at(den: &Den, point: &str, asked: Asked) {
    let mut served = den.serve(&[("PODBAY_CRASH_AT", point)]);
    until(&format!("{point}: the bay is seen"), || {
        let rows = den.rows();
        let runs = |name: &str| rows.iter().any(|row| row.name == name && row.state.as_str() == "running");
        if runs("parent") && runs("old") {
            Ok(())
        } else {
            Err(format!("{} {:?}", summary(&rows), served.0.try_wait()))
        }
    });
    let answer = match asked {
        Asked::Spawn => den.wait(async |client| spawn(&client, "new").await.map(drop)),
        Asked::Act(verb) => den.act("old", verb).map(drop),
    };
    assert!(answer.is_err(), "{point}: the supervisor was to die, and answered");
    let status = served.end();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}: {status}");
    den.ok(&["ls"]);
    let settled = settle(den, point);
    // What was not written down was not promised.
    let forgotten = point == "before-save" && !settled.iter().any(|name| name == "new");
    let (wanted, state): (&[&str], _) = match asked {
        Asked::Spawn if forgotten => (&["old", "parent"], "running"),
        Asked::Spawn => (&["new", "old", "parent"], "running"),
        Asked::Act(Verb::Stop) => (&["old", "parent"], "exited"),
        Asked::Act(Verb::Remove) => (&["parent"], "gone"),
        Asked::Act(_) => (&["old", "parent"], "running"),
    };
    assert_eq!(settled, wanted, "{point}");
    if wanted.contains(&"old") {
        den.until_state(&["old"], state);
    }
    if wanted.contains(&"new") {
        den.until_state(&["new"], "running");
        den.ok(&["rm", "-f", "new"]);
    }
    if state != "running" {
        den.ok(if state == "gone" { &["spawn", "old", "-d"] } else { &["start", "old"] });
    }
    settle(den, point);
    den.kill_supervisor();
}

/// Waits until nothing is left to do and nothing is half-made; the containers that are there.
fn settle(den: &Den, what: &str) -> Vec<String> {
    within(Duration::from_secs(20), &format!("{what}: all goals are reached"), || {
        let goals = goals(den);
        let rows = den.rows();
        let half = den.docker.of_bay(&den.bay).into_iter().find(|row| row["State"] == "created");
        // What runs is written down too, so that the next start has nothing of its own to save.
        let settled = goals.is_empty() && half.is_none() && !rows.is_empty() && running(den) == runs(&rows);
        let mut listed: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        listed.sort();
        // What the engine has is what the bay shows: no orphan, no double.
        let seen = den.in_engine();
        if settled && listed == seen {
            return Ok(listed);
        }
        Err(format!("goals {goals:?}, rows {}, engine {seen:?}", summary(&rows)))
    })
    .0
}

fn stored(den: &Den) -> Value {
    let text = std::fs::read_to_string(den.state().join("state.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn running(den: &Den) -> Vec<String> {
    let names = stored(den)["running"].as_array().cloned().unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn runs(rows: &[ContainerRow]) -> Vec<String> {
    let mut names: Vec<String> =
        rows.iter().filter(|row| row.started_at.is_some()).map(|row| row.name.clone()).collect();
    names.sort();
    names
}

fn goals(den: &Den) -> Vec<String> {
    let stored = stored(den);
    stored["goals"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, goal)| format!("{name}: {}", goal["kind"]))
        .chain(stored["forgetting"].as_object().into_iter().flatten().map(|(name, _)| format!("{name}: to be cleared")))
        .collect()
}

fn all_points(den: &Den, points: &[(&str, Asked)], passes: usize) {
    // A bay that is wanted up, as `serve` wants it: its start has nothing to write down.
    den.ok(&["up"]);
    den.spawn("old");
    settle(den, "the beginning");
    den.kill_supervisor();
    for _ in 0..passes {
        for (point, asked) in points {
            die_at(den, point, *asked);
        }
    }
}

#[test]
fn k01_k02_each_crash_point_once() {
    all_points(&Den::fake(), &POINTS, 1);
}

#[test]
fn k01_on_docker_where_it_hurts_most() {
    let Some(den) = Den::docker("k01_on_docker_where_it_hurts_most") else { return };
    all_points(&den, &[POINTS[3], POINTS[8], POINTS[11]], 1);
}

#[test]
#[ignore = "each point 50 times"]
fn k01_in_full() {
    all_points(&Den::fake(), &POINTS, 50);
    let Some(den) = Den::docker("k01_in_full") else { return };
    all_points(&den, &POINTS, 50);
}

fn lost_answers(rounds: usize) {
    let den = Den::fake();
    den.spawn("first");
    let fake = den.fake.as_ref().unwrap();
    for round in 0..rounds {
        let name = format!("lost-{round}");
        let before = fake.calls("POST /containers/create");
        fake.fail_next("POST /containers/create", 1, Fault::LoseAnswer);
        let ran = den.run(&["spawn", &name, "-d"]);
        assert!(matches!(ran.code, 0 | 4), "{ran:?}");
        den.until_state(&[&name], "running");
        assert_eq!(fake.calls("POST /containers/create") - before, 1, "it was made a second time");
        den.ok(&["rm", "-f", &name]);
    }
    assert_eq!(settle(&den, "lost answers"), ["first", "parent"]);
}

#[test]
fn k03_a_created_container_whose_answer_was_lost_is_found_again() {
    lost_answers(2);
}

#[test]
#[ignore = "200 lost answers, a second of backoff after each"]
fn k03_in_full() {
    lost_answers(200);
}

/// Kills the supervisor at random while workers are made, restarted and removed; the bay converges each time.
fn at_random(den: &Den, rounds: usize, workers: usize) {
    use std::hash::{BuildHasher, RandomState};
    den.ok(&["up"]);
    for round in 0..rounds {
        let names: Vec<String> = (0..workers).map(|number| format!("r{round}-{number}")).collect();
        let pid = den.supervisor();
        let delay = Duration::from_millis(RandomState::new().hash_one(round) % 900);
        let killer = std::thread::spawn(move || {
            // Not a wait for anything: the moment of the kill is the random part.
            std::thread::sleep(delay);
            signal(pid, rustix::process::Signal::KILL);
        });
        let accepted: Vec<bool> = den.wait(async |client| {
            let load = |name: &String| {
                let (client, name) = (client.clone(), name.clone());
                async move {
                    let spawned = spawn(&client, &name).await.is_ok();
                    let verb = if name.ends_with('1') { Verb::Refresh } else { Verb::Restart };
                    let _ = client.act(&name, verb).await;
                    spawned
                }
            };
            futures_util::future::join_all(names.iter().map(load)).await
        });
        killer.join().unwrap();
        until("the supervisor is gone", || match den.supervisors() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
        den.ok(&["ls"]);
        let there = settle(den, &format!("round {round}, killed after {delay:?}"));
        for (name, accepted) in names.iter().zip(accepted) {
            assert!(!accepted || there.contains(name), "{name} was made, and is lost; there are {there:?}");
        }
        let left: Vec<&str> = there.iter().map(String::as_str).collect();
        den.within_state(Duration::from_secs(15), &left, "running");
        den.ok(&["rm", "--all", "-f", "-y"]);
    }
    assert_eq!(settle(den, "the end"), ["parent"]);
}

#[test]
fn k04_killed_at_random_under_load() {
    at_random(&Den::fake(), 5, 6);
}

#[test]
fn k04_killed_at_random_under_load_on_docker() {
    let Some(den) = Den::docker("k04_killed_at_random_under_load_on_docker") else { return };
    at_random(&den, 2, 6);
}

#[test]
#[ignore = "200 cycles of 20 workers"]
fn k04_in_full() {
    let Some(den) = Den::docker("k04_in_full") else { return };
    at_random(&den, 200, 20);
}

#[test]
fn k05_a_container_removed_or_renamed_by_hand_is_noticed() {
    let Some(den) = Den::docker("k05_a_container_removed_or_renamed_by_hand_is_noticed") else { return };
    den.spawn_all(&["one", "two"].map(str::to_owned));
    let pid = den.supervisor();
    den.docker.remove(&den.id("one"));
    let gone = |name: &str| {
        let look = || if den.row(name).is_none() { Ok(()) } else { Err(summary(&den.rows())) };
        within(Duration::from_secs(10), &format!("{name} is gone"), look)
    };
    gone("one");
    assert_eq!(den.run(&["why", "one"]).code, 5);
    den.docker.done("POST", &format!("/containers/{}-two/rename?name={}-three", den.bay, den.bay));
    gone("two");
    den.until_state(&["three"], "running");
    den.ok(&["exec", "three", "--", "true"]);
    den.spawn("one");
    assert_eq!(den.supervisor(), pid, "the same supervisor all along");
}

#[test]
fn k06_anonymous_volumes_go_with_their_worker() {
    let Some(den) = Den::docker("k06_anonymous_volumes_go_with_their_worker") else { return };
    let Some(image) = Image::with_a_volume(&den) else {
        return super::skip("k06_anonymous_volumes_go_with_their_worker", "no static busybox");
    };
    den.ok(&["spawn", "vol", "-d", "--image", &image.name, "--", "/bin/sh"]);
    let mounts = den.inspect("vol")["Mounts"].as_array().unwrap().clone();
    let volume = mounts.iter().find(|mount| mount["Type"] == "volume").expect("the image's volume");
    let path = format!("/volumes/{}", volume["Name"].as_str().unwrap());
    assert_eq!(den.docker.call("GET", &path, None).0, 200);
    den.ok(&["rm", "-f", "vol"]);
    assert_eq!(den.docker.call("GET", &path, None).0, 404, "the volume is left");
}

/// An image of this test's own, removed at its end.
struct Image {
    name: String,
    docker: super::docker::Docker,
}

impl Image {
    fn with_a_volume(den: &Den) -> Option<Self> {
        let busybox = std::fs::read("/usr/bin/busybox").or_else(|_| std::fs::read("/bin/busybox")).ok()?;
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["bin/busybox", "bin/sh"] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(busybox.len().try_into().unwrap());
            archive.append_data(&mut header, name, &*busybox).unwrap();
        }
        let name = format!("{}-volume:1", den.bay);
        let made = den.docker.import(&name, &["ENV PATH=/bin", "VOLUME /data"], &archive.into_inner().unwrap());
        assert_eq!(made, 200);
        Some(Self { name, docker: den.docker.clone() })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.docker.try_call("DELETE", &format!("/images/{}?force=1", self.name), None);
    }
}

#[test]
fn k07_sigterm_ends_the_supervisor_and_nothing_else() {
    let den = Den::fake();
    let mut served = den.serve(&[]);
    den.spawn("fox");
    let started = den.inspect("fox")["State"]["StartedAt"].clone();
    signal(served.0.id(), rustix::process::Signal::TERM);
    let (status, _) = within(Duration::from_secs(12), "its end", || served.0.try_wait().unwrap().ok_or(String::new()));
    assert_eq!(status.code(), Some(0));
    assert!(!listens(&den.socket()) && !den.socket().exists());
    assert_eq!(den.inspect("fox")["State"]["Running"], true);
    den.until_adopted(&["fox", "parent"]);
    assert_eq!(den.inspect("fox")["State"]["StartedAt"], started);
}

#[test]
fn k13_a_new_binary_adopts_what_the_old_one_made() {
    let mut den = Den::fake();
    let copy = den.path("podbay");
    copy_program(&den.binary, &copy);
    den.binary.clone_from(&copy);
    den.spawn_all(&["aa", "bb"].map(str::to_owned));
    let (ids, old) = ([den.id("aa"), den.id("bb")], den.supervisor());
    let fresh = den.path("podbay.new");
    copy_program(env!("CARGO_BIN_EXE_podbay").as_ref(), &fresh);
    std::fs::rename(fresh, copy).unwrap();
    den.ok(&["ls"]);
    assert_eq!(den.supervisor(), old, "the old one works on");
    den.kill_supervisor();
    den.until_adopted(&["aa", "bb", "parent"]);
    assert_eq!([den.id("aa"), den.id("bb")], ids);
    assert_ne!(den.supervisor(), old);
    let ran = finish(den.command(&["exec", "aa", "--", "echo", "hi"]), &["exec"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "hi\n"), "{ran:?}");
}
