//! Pools of agents that have booted (`warm = "running"`), also of images that have no shell.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use podbay::api::client::TerminalMessage;
use podbay::bay::session::TermSize;
use podbay::bay::template::Overrides;

use super::den::{Conf, Den};
use super::docker::Docker;
use super::pool::{WORKER, claim, logged, pool, request, until_warm};
use super::{skip, until};

/// An agent that takes its time, and then answers what is typed.
const AGENT: &str = r#"["sh", "-c", "for n in 1 2 3 4; do echo booting $n; sleep 0.5; done; echo booted; exec cat"]"#;

fn conf(more: &str) -> String {
    format!(
        "[[template]]\nname = \"pooled\"\nwarm = \"running\"\npool = {{ target = 1, min = 1, max_creating = 1 }}\n{more}"
    )
}

/// What the terminal shows to who comes now.
fn screen(den: &Den, name: &str) -> String {
    den.wait(async |client| {
        let mut terminal = client.main_terminal_at(name, Some(TermSize::new(24, 80))).await.unwrap();
        while let Some(message) = terminal.incoming.recv().await {
            if let TerminalMessage::Bytes(bytes) = message {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        panic!("the terminal of {name} ended");
    })
}

#[test]
fn an_agent_that_has_booted_is_handed_over_as_it_is() {
    let rest = conf(&format!("command = {AGENT}"));
    let test = "an_agent_that_has_booted_is_handed_over_as_it_is";
    let Some(den) = Den::docker_with(test, Conf { worker: WORKER, rest: &rest, ..Conf::default() }) else { return };
    den.ok(&["up"]);
    until_warm(&den, 1);
    let warm = den.rows().into_iter().find(|row| row.state.as_str() == "warm").unwrap();
    let begun = den.inspect(&warm.name)["State"]["StartedAt"].clone();
    let log = std::fs::read_to_string(den.inspect(&warm.name)["LogPath"].as_str().unwrap()).unwrap_or_default();
    assert!(log.contains("booted"), "it was warm before it had booted: {log}");

    // What a program that runs already can't be given is made cold, with the reason.
    let env = [("KEY".to_owned(), "x".to_owned())].into();
    let other = request("other", Overrides { env, ..Overrides::default() });
    let cold = den.wait(async |client| client.spawn(&other).await).unwrap();
    assert!(!cold.claimed && cold.notes[0].contains("more environment"), "{cold:?}");
    den.ok(&["rm", "-f", "other"]);

    let reply = claim(&den, "fox").unwrap();
    assert!(reply.claimed && reply.id == warm.id, "{reply:?}");
    let shown = screen(&den, "fox");
    assert!(shown.contains("booting 1") && shown.contains("booted"), "its screen is not as it was: {shown:?}");
    assert_eq!(den.inspect("fox")["State"]["StartedAt"], begun, "the same run");
    den.ok(&["send", "fox", "a question"]);
    // As it was typed, and as the agent answers.
    logged(&den, "fox", "a question", 2);
    let row = pool(&den).unwrap();
    assert!(row.hits == 1 && row.claim_ms.p50.is_some(), "{row:?}");
    until_warm(&den, 1);
    // Another run is another boot, and no claim.
    den.ok(&["restart", "fox"]);
    logged(&den, "fox", "booted", 2);
    assert_eq!(pool(&den).unwrap().hits, 1);
}

/// A program with the libraries that it needs, and nothing else: no shell above all.
fn archive(program: &Path) -> Result<Vec<u8>, String> {
    let listed = Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut paths: BTreeSet<&str> = listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
    let program = program.to_str().ok_or("its name")?;
    paths.insert(program);
    let mut tar = tar::Builder::new(Vec::new());
    for path in paths {
        tar.append_path_with_name(path, path.trim_start_matches('/')).map_err(|error| format!("{path}: {error}"))?;
    }
    tar.into_inner().map_err(|error| error.to_string())
}

struct Image<'a>(&'a Docker, String);

impl Drop for Image<'_> {
    fn drop(&mut self) {
        drop(self.0.call("DELETE", &format!("/images/{}:1?force=true", self.1), None));
    }
}

#[test]
fn an_image_without_a_shell_is_warmed_as_running_or_said_to_be_unpoolable() {
    let test = "an_image_without_a_shell_is_warmed_as_running_or_said_to_be_unpoolable";
    let Some(docker) = Docker::real(test) else { return };
    let archive = match archive(Path::new("/usr/bin/cat")) {
        Ok(archive) => archive,
        Err(why) => return skip(test, &why),
    };
    let name = format!("podbay-test-shellless-{}", std::process::id());
    assert_eq!(docker.import(&format!("{name}:1"), &["ENV A=b"], &archive), 200);
    let image = Image(&docker, name);
    let more = format!("image = \"{}:1\"\nuser = \"0:0\"\ncommand = [\"/usr/bin/cat\"]", image.1);
    let rest = conf(&more).replace("\"running\"", "\"gate\"");
    let Some(den) = Den::docker_with(test, Conf { worker: WORKER, rest: &rest, ..Conf::default() }) else { return };
    den.ok(&["up"]);
    until("it says what is missing, and what would do", || match pool(&den).and_then(|row| row.last_error) {
        Some(error) if error.contains("no POSIX sh") && error.contains("warm = \"running\"") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let cold = claim(&den, "cold").unwrap();
    assert!(!cold.claimed && cold.notes[0].contains("no POSIX sh"), "{cold:?}");
    den.ok(&["rm", "-f", "cold"]);

    den.configure(Conf { worker: WORKER, rest: &conf(&more), ..Conf::default() });
    den.wait(async |client| client.reload().await.map(drop)).unwrap();
    until_warm(&den, 1);
    assert!(claim(&den, "fox").map(|reply| reply.claimed).unwrap());
    den.ok(&["send", "fox", "is anybody there"]);
    logged(&den, "fox", "is anybody there", 2);
}
