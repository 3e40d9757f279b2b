//! Prebuilt images, through the real binary on real Docker, over a base image of a static shell.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::den::{Conf, Den};
use super::docker::Docker;
use crate::git_server::repository;

pub const BASE: &str = "podbay-test-setup:base";
/// One at a time has the base image: another one of its name would be left without a name.
pub static TURN: Mutex<()> = Mutex::new(());

/// A base image of a few of the machine's own programs with their libraries; `None` where that can't be had.
pub fn base(docker: &Docker) -> Option<()> {
    let mut tar = tar::Builder::new(Vec::new());
    for dir in ["bin/", "tmp/", "workspace/", "etc/", "proc/", "dev/", "sys/", "run/", "data/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_data(&mut header, dir, std::io::empty()).unwrap();
    }
    let mut libraries = BTreeSet::new();
    for name in ["sh", "cat", "ls", "sleep", "true"] {
        let program = fs::canonicalize(Path::new("/bin").join(name)).ok()?;
        let linked = Command::new("ldd").arg(&program).output().ok()?;
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        libraries.extend(linked.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
        tar.append_path_with_name(program, format!("bin/{name}")).unwrap();
    }
    for library in &libraries {
        let content = fs::canonicalize(library).ok()?;
        tar.append_path_with_name(content, library.trim_start_matches('/')).unwrap();
    }
    let status = docker.import(BASE, &["CMD [\"sh\"]"], &tar.into_inner().unwrap());
    assert!(status < 300, "the base image was not imported: {status}");
    (!libraries.is_empty()).then_some(())
}

/// Removes the images by their ids, also after a panic. Dropped after the den, whose containers use them.
pub struct Images(pub Docker, pub Vec<String>);

impl Drop for Images {
    fn drop(&mut self) {
        for id in self.1.iter().rev() {
            drop(self.0.try_call("DELETE", &format!("/images/{id}"), None));
        }
    }
}

fn config(bay_is_told: &Den, setup: &str, url: &str) {
    let rest = format!(
        "[[template]]\nname = \"app\"\nimage = \"{BASE}\"\ncommand = [\"sleep\", \"600\"]\nworkspace = \"clone\"\nproject = \
         \"{url}\"\nsetup = '''{setup}'''\n"
    );
    bay_is_told.configure(Conf { rest: &rest, ..Conf::default() });
}

#[test]
fn the_first_worker_installs_and_later_ones_start_from_its_image() {
    let test = "images::the_first_worker_installs_and_later_ones_start_from_its_image";
    let Some(docker) = Docker::real(test) else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if base(&docker).is_none() {
        return super::skip(test, "no shell that can be copied with its libraries");
    }
    let mut images = Images(docker.clone(), vec![BASE.to_owned()]);
    let Some(den) = Den::docker(test) else { return };
    let url = format!("file://{}", repository(&den.path("h"), &format!("{}/app.git", den.bay)).display());
    // What is outside the mounts shows whether it is in the image; the clone shows how often it ran.
    config(&den, "echo once >> /data/installed; echo run >> /workspace/.git/runs; echo $TOKEN", &url);
    let first = den.run(&["spawn", "fox", "-t", "app", "-d", "--env", "TOKEN=hunter2"]);
    assert!(first.code == 0, "{first:#?}");
    let events = den.ok(&["events"]);
    let of =
        |line: &str| line.split_once("fox ").map(|(_, text)| text.trim().split(':').next().unwrap_or("").to_owned());
    let mut phases: Vec<String> = events.lines().filter_map(of).collect();
    phases.retain(|word| ["cloning", "installing", "starting", "ready"].contains(&word.as_str()));
    phases.dedup();
    assert_eq!(phases, ["cloning", "installing", "starting", "ready"], "{events}");
    let image = format!("{}-app:main", den.bay);
    let made = docker.done("GET", &format!("/images/{image}/json"));
    images.1.push(made["Id"].as_str().unwrap().to_owned());
    assert!(!made.to_string().contains("hunter2"), "{made}");
    assert_eq!(
        (&made["Config"]["Labels"]["podbay.owner"], &made["Config"]["Cmd"]),
        (&Value::from(""), &serde_json::json!(["sh"]))
    );
    let seen = |name: &str| {
        den.run(&["exec", "-T", name, "--", "sh", "-c", "cat /data/installed /workspace/.git/runs"]).stdout
    };
    assert_eq!(seen("fox"), "once\nrun\n");

    // The second starts from the image, and its setup runs in it alone.
    let second = den.run(&["spawn", "owl", "-t", "app", "-d"]);
    assert!(second.code == 0 && !second.stderr.contains("installing"), "{second:#?}");
    assert_eq!(den.inspect("owl")["Config"]["Image"], image.as_str());
    super::until("the setup command has run", || {
        let seen = seen("owl");
        if seen == "once\nonce\nrun\n" { Ok(()) } else { Err(seen) }
    });
    let rows = den.json(&["image", "ls"]);
    assert_eq!(
        (&rows[0]["reference"], &rows[0]["state"], rows.as_array().unwrap().len()),
        (&Value::from(image.as_str()), &Value::from("ready"), 1)
    );
    assert!(rows[0]["size"].as_u64().is_some_and(|size| size > 0), "{rows}");

    // Another setup command is another image; one that fails makes none, and says why.
    config(&den, "echo other >> /data/installed", &url);
    den.ok(&["up"]);
    den.ok(&["image", "build", "-t", "app"]);
    let rows = den.json(&["image", "ls"]);
    let states: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    images.1.push(rows[0]["id"].as_str().unwrap().to_owned());
    assert_eq!(states, ["ready", "replaced"]);
    config(&den, "echo no such package; exit 7", &url);
    den.ok(&["up"]);
    let failed = den.run(&["spawn", "elk", "-t", "app", "-d"]);
    assert!(failed.code == 1 && failed.stderr.contains("ended with 7: no such package"), "{failed:#?}");
    assert_eq!(den.in_engine(), ["fox", "owl", "parent"]);

    // What a container uses stays.
    let refused = den.run(&["image", "prune"]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    let pruned = den.run(&["image", "prune", "-y"]);
    assert!(pruned.code == 0 && pruned.stderr.contains("kept "), "{pruned:#?}");
    den.ok(&["rm", "-f", "-y", "fox", "owl"]);
    den.ok(&["image", "prune", "-y"]);
    assert_eq!(den.json(&["image", "ls"]), serde_json::json!([]));
}

/// Killed before or after its image is made: no container of the build is left, and no image that nobody knows.
#[test]
fn k_a_supervisor_that_is_killed_while_it_builds_leaves_nothing() {
    let test = "images::k_a_supervisor_that_is_killed_while_it_builds_leaves_nothing";
    let Some(docker) = Docker::real(test) else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if base(&docker).is_none() {
        return super::skip(test, "no shell that can be copied with its libraries");
    }
    let mut images = Images(docker.clone(), vec![BASE.to_owned()]);
    for point in ["before-commit", "after-commit"] {
        let Some(den) = Den::docker(test) else { return };
        let url = format!("file://{}", repository(&den.path("h"), &format!("{}/app.git", den.bay)).display());
        config(&den, "echo once >> /data/installed", &url);
        let mut served = den.serve(&[("PODBAY_CRASH_AT", point)]);
        let ran = den.run(&["spawn", "fox", "-t", "app", "-d"]);
        assert_ne!(ran.code, 0, "{point}: {ran:#?}");
        served.end();
        den.until_adopted(&["fox"]);
        super::until("the build is cleared", || {
            let there = den.in_engine();
            if there == ["fox", "parent"] { Ok(()) } else { Err(format!("{point}: {there:?}")) }
        });
        let filters = format!("%7B%22label%22%3A%5B%22podbay.bay%3D{}%22%5D%7D", den.bay);
        let made = docker.done("GET", &format!("/images/json?filters={filters}"));
        let ids: Vec<&str> = made.as_array().unwrap().iter().map(|image| image["Id"].as_str().unwrap()).collect();
        images.1.extend(ids.iter().map(|id| (*id).to_owned()));
        let rows = den.json(&["image", "ls"]);
        let known: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!((known.len(), ids.len()), (1, 1), "{point}: {rows} {made}");
        assert_eq!((known[0], &rows[0]["state"]), (ids[0], &Value::from("ready")), "{point}");
        den.ok(&["rm", "-f", "-y", "fox"]);
        den.ok(&["image", "prune", "-y"]);
    }
}
