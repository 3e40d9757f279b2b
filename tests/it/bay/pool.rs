//! Pools on real Docker: filled, claimed, killed in the middle, and put right again.

use std::collections::BTreeSet;
use std::time::Duration;

use podbay::api::client::ClientError;
use podbay::api::types::{PoolRow, SpawnReply, SpawnRequest};
use podbay::bay::template::Overrides;
use serde_json::json;

use super::den::{Conf, Den, summary};
use super::docker::Docker;
use super::{measured, until, within};

pub(super) const WORKER: &str = "mounts = []\nssh = \"none\"\nagent_home = { from = \"\", to = \"\", copy = [] }\n[worker.limits]\nmemory = \"64m\"";
/// Says once a start whether it was given its secret, and lives on. Nobody types: a line that comes is a stray one.
const COMMAND: &str = r#"["sh", "-c", "[ \"$SECRET\" = swordfish-17 ] && echo was-given-it; echo lives; sleep 1000 & while read -r line; do echo stray; done; wait"]"#;

fn conf(target: u32, more: &str) -> String {
    format!(
        "[[template]]\nname = \"pooled\"\ncommand = {COMMAND}\npool = {{ target = {target}, min = 1, max_creating = 2 }}\n{more}"
    )
}

fn den(test: &str, target: u32) -> Option<Den> {
    let rest = conf(target, "");
    let den = Den::docker_with(test, Conf { worker: WORKER, rest: &rest, ..Conf::default() })?;
    den.ok(&["up"]);
    Some(den)
}

pub(super) fn pool(den: &Den) -> Option<PoolRow> {
    den.wait(async |client| client.pool().await).ok()?.into_iter().next()
}

pub(super) fn until_warm(den: &Den, count: u32) {
    within(Duration::from_mins(1), &format!("{count} warm"), || match pool(den) {
        Some(row) if row.warm == count && row.creating == 0 && row.draining == 0 => Ok(()),
        other => Err(format!("{other:?}; {}", summary(&den.rows()))),
    });
}

pub(super) fn request(name: &str, overrides: Overrides) -> SpawnRequest {
    let template = Some("pooled".parse().unwrap());
    SpawnRequest { name: Some(name.to_owned()), template, overrides, ..SpawnRequest::default() }
}

pub(super) fn claim(den: &Den, name: &str) -> Result<SpawnReply, ClientError> {
    den.wait(async |client| client.spawn(&request(name, Overrides::default())).await)
}

pub(super) fn logged(den: &Den, name: &str, text: &str, times: usize) {
    until(&format!("{name} printed {text:?} {times} times"), || {
        let log = den.run(&["logs", name]).stdout;
        let count = log.lines().filter(|line| line.trim_end() == text).count();
        if count == times { Ok(()) } else { Err(log) }
    });
}

/// The engine's own log of a container, as it lies on the disk.
fn raw_log(den: &Den, name: &str) -> String {
    let path = den.inspect(name)["LogPath"].as_str().unwrap_or_default().to_owned();
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_claim_hands_over_a_long_environment_and_shows_it_to_nobody() {
    let Some(den) = den("a_claim_hands_over_a_long_environment_and_shows_it_to_nobody", 1) else { return };
    until_warm(&den, 1);
    let warm = den.rows().into_iter().find(|row| row.state.as_str() == "warm").unwrap();
    for verb in [&["attach", &warm.name][..], &["exec", &warm.name, "--", "true"], &["send", &warm.name, "x"]] {
        let ran = den.run(verb);
        assert_ne!(ran.code, 0, "{verb:?} got into a warm worker: {ran:?}");
    }
    assert_eq!(den.ok(&["count"]).trim(), "0", "nobody asked for it yet");
    let long = "x".repeat(100_000);
    let env = [
        ("SECRET".to_owned(), "swordfish-17".to_owned()),
        ("OTHER".to_owned(), "marlin-42".to_owned()),
        ("LONG".to_owned(), long.clone()),
    ]
    .into();
    let asked = request("fox", Overrides { env, ..Overrides::default() });
    let reply = den.wait(async |client| client.spawn(&asked).await).unwrap();
    assert!(reply.claimed && reply.id == warm.id, "{reply:?}");
    logged(&den, "fox", "was-given-it", 1);
    let length = den.exec("fox", "tr '\\0' '\\n' < /proc/$(pgrep -x sleep | head -1)/environ | grep -c '^LONG=x*$'");
    assert_eq!(length.stdout.trim(), "1", "{length:?}");
    let told = format!("{}{}", den.inspect("fox"), raw_log(&den, "fox"));
    assert!(!told.contains("marlin") && !told.contains("swordfish") && !told.contains("xxxxxxxx"), "the claim shows");
    until("the claim file is gone", || {
        let path = den.state().join("workers/fox/home/.podbay-claim");
        if path.exists() { Err(path.display().to_string()) } else { Ok(()) }
    });
    // A value that the command itself does not name; the pattern does not match itself.
    let look =
        "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'; grep -r 'marlin-4[2]' \"$HOME\" /workspace /tmp /run 2>/dev/null";
    let found = den.exec("fox", look);
    assert!(found.stdout.contains("sleep") && !found.stdout.contains("marlin-42"), "{found:?}");
    // A restart, by podbay or behind its back, lets the same command in with the same environment.
    den.ok(&["restart", "fox"]);
    logged(&den, "fox", "was-given-it", 2);
    den.docker.act(&format!("{}-fox", den.bay), "restart");
    logged(&den, "fox", "was-given-it", 3);
    // A new supervisor opens nothing that is open.
    den.kill_supervisor();
    den.until_adopted(&["fox"]);
    until_warm(&den, 1);
    logged(&den, "fox", "lives", 3);
    den.ok(&["rm", "-f", "fox"]);
    until("its directories are gone", || {
        let left: Vec<_> =
            std::fs::read_dir(den.state().join("workers")).unwrap().flatten().map(|e| e.path()).collect();
        if left.len() == 1 { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn in_a_row(den: &Den, count: usize) {
    for n in 0..count {
        let name = format!("row-{n}");
        let reply = claim(den, &name).unwrap();
        logged(den, &reply.name, "lives", 1);
        den.ok(&["rm", "-f", &name]);
    }
}

fn at_once(den: &Den, count: usize) {
    let asked: Vec<String> = (0..count).map(|n| format!("at-once-{n}")).collect();
    let replies = den.wait(async |client| {
        let one = |name: &String| {
            let (client, asked) = (client.clone(), request(name, Overrides::default()));
            async move { client.spawn(&asked).await }
        };
        futures_util::future::join_all(asked.iter().map(one)).await
    });
    let replies: Vec<SpawnReply> = replies.into_iter().map(|reply| reply.unwrap()).collect();
    let ids: BTreeSet<&String> = replies.iter().map(|reply| &reply.id).collect();
    assert_eq!(ids.len(), count, "each has a worker of its own");
    for reply in &replies {
        let cold = reply.notes.iter().any(|note| note.starts_with("cold start: pool empty"));
        assert!(reply.claimed || cold, "a cold start without a reason: {reply:?}");
        logged(den, &reply.name, "lives", 1);
    }
    let claimed = replies.iter().filter(|reply| reply.claimed).count();
    assert!(claimed >= 2, "only {claimed} of {count} were claimed");
}

#[test]
fn p01_claims_in_a_row_and_at_once() {
    let Some(den) = den("p01_claims_in_a_row_and_at_once", 2) else { return };
    until_warm(&den, 2);
    at_once(&den, 4);
    until_warm(&den, 2);
    let row = pool(&den).unwrap();
    assert_eq!(row.hits + row.misses, 4, "{row:?}");
    assert!(row.claim_ms.p50.is_some(), "{row:?}");
}

#[test]
#[ignore = "fifty in a row and sixteen at once: a minute"]
fn p01_claims_in_full() {
    let Some(den) = den("p01_claims_in_full", 4) else { return };
    until_warm(&den, 4);
    at_once(&den, 16);
    until_warm(&den, 4);
    in_a_row(&den, 50);
    until_warm(&den, 4);
    measured(&format!("{:?}", pool(&den).unwrap()));
}

/// Between any two acts of a claim.
const POINTS: [&str; 3] = ["claim-written", "claim-woken", "claim-moved"];
/// Those of giving its name to the engine: the claim was answered, or is about to be.
const NAMING: [&str; 2] = ["before-rename", "after-rename"];

fn die_in_a_claim(den: &Den, point: &str, name: &str) {
    let mut served = den.serve(&[("PODBAY_CRASH_AT", point)]);
    until_warm(den, 1);
    let env = [("SECRET".to_owned(), "swordfish-17".to_owned())].into();
    let asked = request(name, Overrides { env, ..Overrides::default() });
    let answer = den.wait(async |client| client.spawn(&asked).await);
    assert!(answer.is_err() || NAMING.contains(&point), "{point}: the supervisor was to die, and answered");
    served.end();
    den.ok(&["ls"]);
    den.until_state(&[name], "running");
    logged(den, name, "lives", 1);
    logged(den, name, "was-given-it", 1);
    until_warm(den, 1);
    // No orphan, no double: what the engine has is what the bay shows.
    let mut shown: Vec<String> = den.rows().into_iter().map(|row| row.name).collect();
    shown.sort();
    assert_eq!(den.in_engine(), shown, "{point}");
    logged(den, name, "lives", 1);
    logged(den, name, "stray", 0);
    den.ok(&["rm", "-f", name]);
    den.kill_supervisor();
}

#[test]
fn p03_a_claim_survives_kill_9_at_each_of_its_points() {
    let Some(den) = den("p03_a_claim_survives_kill_9_at_each_of_its_points", 1) else { return };
    den.kill_supervisor();
    for point in POINTS.into_iter().chain(NAMING) {
        die_in_a_claim(&den, point, &format!("fox-{point}"));
    }
}

#[test]
#[ignore = "a hundred kills: some minutes"]
fn p03_a_claim_survives_a_hundred_kills() {
    let Some(den) = den("p03_a_claim_survives_a_hundred_kills", 1) else { return };
    den.kill_supervisor();
    for round in 0..20 {
        for point in POINTS.into_iter().chain(NAMING) {
            die_in_a_claim(&den, point, &format!("{point}-{round}"));
        }
    }
}

fn tag(docker: &Docker, of: &str, repo: &str) {
    let (status, body) = docker.call("POST", &format!("/images/{of}/tag?repo={repo}&tag=1"), None);
    assert_eq!(status, 201, "{body}");
}

#[test]
fn p04_p05_a_pool_says_what_is_wrong_and_puts_itself_right() {
    let test = "p04_p05_a_pool_says_what_is_wrong_and_puts_itself_right";
    let Some(den) = den(test, 2) else { return };
    until_warm(&den, 2);
    let names: Vec<String> =
        den.rows().into_iter().filter(|row| row.state.as_str() == "warm").map(|row| row.name).collect();
    den.docker.act(&format!("{}-{}", den.bay, names[0]), "pause");
    den.docker.remove(&den.id(&names[1]));
    // A name that somebody else's container has is refused, warm or cold.
    let stranger = format!("{}-owl", den.bay);
    let image = den.inspect("parent")["Config"]["Image"].as_str().unwrap().to_owned();
    let body = json!({"Image": image, "Cmd": ["true"]});
    let (status, made) = den.docker.call("POST", &format!("/containers/create?name={stranger}"), Some(&body));
    assert_eq!(status, 201, "{made}");
    until("the paused and the removed one are replaced", || {
        let there = den.in_engine();
        if names.iter().any(|name| there.contains(name)) { Err(format!("{there:?}")) } else { Ok(()) }
    });
    until_warm(&den, 2);
    let refused = claim(&den, "owl").map(|reply| reply.name).unwrap_err().to_string();
    den.docker.remove(made["Id"].as_str().unwrap());
    assert!(refused.contains("name"), "{refused}");
    until_warm(&den, 2);

    let wanted = format!("{}-image", den.bay);
    let rest = conf(1, &format!("image = \"{wanted}:1\"\nuser = \"0:0\""));
    den.configure(Conf { worker: WORKER, rest: &rest, ..Conf::default() });
    den.wait(async |client| client.reload().await.map(drop)).unwrap();
    until("the missing image is said", || match pool(&den) {
        Some(row) if row.last_error.as_deref().is_some_and(|e| e.contains(&wanted)) && row.next_try_at.is_some() => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    let reply = claim(&den, "elk").map(|reply| reply.name).unwrap_err().to_string();
    assert!(reply.contains(&wanted), "{reply}");
    tag(&den.docker, &image, &wanted);
    den.ok(&["pool", "cleanup"]);
    let warmed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("it is tried again", || match pool(&den) {
            // An image without a shell of its own: it is said, and not tried for ever.
            Some(row) if row.last_error.as_deref().is_some_and(|e| e.contains("no POSIX sh")) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }));
    drop(den.docker.call("DELETE", &format!("/images/{wanted}:1"), None));
    warmed.unwrap();
}

/// Who only asks has nothing made: neither a parent nor a warm worker.
#[test]
fn a_verb_that_only_asks_makes_nothing() {
    let rest = conf(2, "");
    let den = Den::fake_with(Conf { worker: WORKER, rest: &rest, ..Conf::default() });
    for _ in 0..3 {
        for verb in [&["status"][..], &["ls"], &["count"], &["ports"]] {
            den.ok(verb);
        }
        let told = den.ok(&["pool", "status"]);
        assert!(told.contains("0/0") && told.contains("`podbay up` or a first spawn begins it"), "{told}");
    }
    assert_eq!(den.in_engine(), Vec::<String>::new());
    den.ok(&["up"]);
    assert_eq!(den.in_engine()[0], "parent");
}

/// As `docker run -d` does; also where an init hides it from the engine, and a gate from both.
#[test]
fn a_command_that_is_not_there_fails_its_spawn() {
    let Some(den) = den("a_command_that_is_not_there_fails_its_spawn", 1) else { return };
    until_warm(&den, 1);
    for template in ["default", "pooled"] {
        until_warm(&den, 1);
        let ran = den.run(&["spawn", "fox", "-t", template, "-d", "--", "no-such-program", "x"]);
        assert_eq!(ran.code, 1, "{template}: {ran:#?}");
        assert!(ran.stderr.contains("its program \"no-such-program\" can't be run: "), "{template}: {ran:#?}");
        until("nothing of it is left", || match den.row("fox") {
            None if !den.in_engine().contains(&"fox".to_owned()) => Ok(()),
            row => Err(format!("{template}: {row:?}")),
        });
        // One of its own that ends so, however soon, was there.
        let ran = den.run(&["spawn", "fox", "-t", template, "-d", "--", "sh", "-c", "exit 127"]);
        assert_eq!(ran.code, 0, "{template}: {ran:#?}");
        den.until_state(&["fox"], "exited");
        den.ok(&["rm", "fox", "-y"]);
    }
    let row = pool(&den).unwrap();
    assert_eq!(row.last_error, None, "{row:?}");
}
