//! Workers with a clone, through the real binary on real containers.

use std::fs;

use super::den::Den;
use super::until;
use crate::git_server::{commit, git, repository};

fn origin(den: &Den) -> String {
    format!("file://{}", repository(&den.path("h"), "ann/app.git").display())
}

#[test]
fn a_worker_is_given_a_clone_and_its_work_is_not_lost_unasked() {
    let Some(den) = Den::docker("clones::a_worker_is_given_a_clone_and_its_work_is_not_lost_unasked") else { return };
    let url = origin(&den);
    let ran = den.run(&["spawn", "fox", "-d", "--repo", &url, "--branch", "feature"]);
    assert!(ran.code == 0 && ran.stderr.contains("fox: cloning: "), "{ran:#?}");
    let events = den.ok(&["events"]);
    let said = |text: &str| events.lines().position(|line| line.contains("fox ") && line.contains(text));
    assert!(said("cloning: ") < said("starting") && said("starting") < said("ready"), "{events}");
    let seen = den.exec("fox", "cat /workspace/feature && git -C /workspace branch --show-current");
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "new\nfeature\n"), "{seen:#?}");
    let row = &den.json(&["ls"])[1];
    assert_eq!((row["project"].as_str(), row["branch"].as_str()), (Some(url.as_str()), Some("feature")));

    // Work that is nowhere else: a refresh keeps it, nobody removes it unasked.
    let workspace = den.state().join("workers/fox/workspace");
    commit(&workspace, "work", "mine");
    den.ok(&["refresh", "fox", "-y"]);
    assert_eq!(fs::read_to_string(workspace.join("work")).unwrap(), "mine");
    let refused = den.run(&["rm", "-f", "fox"]);
    assert!(refused.code == 2 && refused.stderr.contains("would be lost: fox: 1 commit of feature"), "{refused:#?}");
    let refused = den.act("fox", podbay::api::types::Verb::Remove).unwrap_err().to_string();
    assert!(refused.contains("1 commit of feature that no remote has"), "{refused}");
    assert!(den.row("fox").is_some() && workspace.join("work").exists());
    let down = den.run(&["down", "--workers", "-y"]);
    assert!(down.code == 0 && workspace.join("work").exists(), "{down:#?}");
    den.ok(&["rm", "fox", "-y"]);
    until("the clone is gone", || if workspace.exists() { Err("it is there") } else { Ok(()) }.map_err(str::to_owned));

    // One that is on the remote goes by itself.
    den.ok(&["spawn", "owl", "-d", "--repo", &url]);
    let owl = den.state().join("workers/owl");
    assert_eq!(git(&owl.join("workspace"), &["rev-parse", "--abbrev-ref", "HEAD"]), "main");
    den.ok(&["rm", "-f", "owl"]);
    until("the clone is gone", || if owl.exists() { Err("it is there") } else { Ok(()) }.map_err(str::to_owned));
    let failed = den.run(&["spawn", "elk", "-d", "--repo", "file:///no/such/repo"]);
    assert!(failed.code == 1 && failed.stderr.contains("hint: check the URL"), "{failed:#?}");
    until("nothing is left of it", || {
        let left = (den.row("elk").is_some(), den.state().join("workers/elk").exists());
        if left == (false, false) { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn k_a_supervisor_that_is_killed_while_it_clones_goes_on() {
    let Some(den) = Den::docker("clones::k_a_supervisor_that_is_killed_while_it_clones_goes_on") else { return };
    let url = origin(&den);
    for point in ["before-fill", "after-fill"] {
        let name = format!("fox-{point}");
        let served = den.serve(&[("PODBAY_CRASH_AT", point)]);
        let ran = den.run(&["spawn", &name, "-d", "--repo", &url]);
        assert_ne!(ran.code, 0, "{point}: {ran:#?}");
        drop(served);
        den.until_adopted(&[&name]);
        den.kill_supervisor();
        let workspace = den.state().join("workers").join(&name).join("workspace");
        assert_eq!(git(&workspace, &["status", "--porcelain=v1", "--branch"]), "## main...origin/main", "{point}");
    }
}
