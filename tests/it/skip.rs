//! Tests that can't run here: said by name, past the capture of the test harness, so that a plain `cargo test` lists them.
//! Where the run was told that what they need is there, they fail instead.

use std::io::Write as _;

/// What a machine may lack.
#[derive(Clone, Copy)]
pub enum Need<'a> {
    /// `PODBAY_REQUIRE_DOCKER=1`.
    Docker,
    /// A level of isolation, or `bwrap`: named in `PODBAY_REQUIRE_RUNGS`.
    Rung(&'a str),
    /// `PODBAY_REQUIRE_PROGRAMS=1`: one whose drawing is compared, or tmux.
    Program,
    /// Nobody can promise it.
    Luck,
}

impl Need<'_> {
    fn is_required(self) -> bool {
        match self {
            Need::Docker => is_set("PODBAY_REQUIRE_DOCKER"),
            Need::Program => is_set("PODBAY_REQUIRE_PROGRAMS"),
            Need::Rung(word) => std::env::var("PODBAY_REQUIRE_RUNGS").is_ok_and(|rungs| is_named(word, &rungs)),
            Need::Luck => false,
        }
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

fn is_named(word: &str, list: &str) -> bool {
    list.split_whitespace().any(|named| named == word)
}

/// Says that a test can't run here, and why.
pub fn lacks(need: Need<'_>, test: &str, why: &str) {
    assert!(!need.is_required(), "{test} must run here, and can't: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// The same of what nobody can promise.
pub fn skipped(test: &str, why: &str) {
    lacks(Need::Luck, test, why);
}

/// Whether this user may make user namespaces; says so where not.
pub fn has_namespaces(test: &str) -> bool {
    let may = std::process::Command::new("unshare").args(["--user", "true"]).output();
    let may = may.is_ok_and(|output| output.status.success());
    if !may {
        let user = rustix::process::geteuid().as_raw();
        lacks(Need::Rung("namespaces"), test, &format!("no user namespaces for user {user}"));
    }
    may
}

/// Whether this kernel has Landlock; says so where not.
#[cfg(target_os = "linux")]
pub fn has_landlock(test: &str) -> bool {
    let version = podbay::engine::local::landlock::version();
    if let Err(why) = &version {
        lacks(Need::Rung("landlock"), test, &format!("no Landlock: {why}"));
    }
    version.is_ok()
}

#[test]
fn a_rung_is_required_by_its_whole_name() {
    assert!(is_named("none", "landlock none") && !is_named("lock", "landlock none") && !is_named("none", ""));
}

/// What a plain run prints of a test that can't run.
#[test]
fn a_skipped_test_is_listed_without_being_asked_for() {
    if std::env::var_os("PODBAY_TEST_SKIPS").is_some() {
        return skipped("somebody", "is not here");
    }
    let own = std::env::current_exe().unwrap();
    let name = "skip::a_skipped_test_is_listed_without_being_asked_for";
    let output =
        std::process::Command::new(own).args([name, "--exact"]).env("PODBAY_TEST_SKIPS", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("skipped: somebody: is not here"), "{said}");
}
