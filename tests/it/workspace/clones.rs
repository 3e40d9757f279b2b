//! Clones: from a real server and from files, many at once, with tokens, after crashes, from damaged caches.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use podbay::bay::phase::Progress;
use podbay::config::env::Env;
use podbay::workspace::WorkspaceError;
use podbay::workspace::cache::Repositories;
use podbay::workspace::clone::{Filling, Place, Source};
use tokio_util::sync::CancellationToken;

use crate::git_server::{GitServer, commit, git, repository};

/// A state directory with caches and workers, and a place for origins.
pub struct Yard {
    pub dir: tempfile::TempDir,
    pub env: Arc<Env>,
    pub said: Arc<Mutex<Vec<Progress>>>,
    runtime: tokio::runtime::Runtime,
}

impl Yard {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("yard").tempdir().unwrap();
        for part in ["repos", "workers", "origins", "home"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        let vars = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", dir.path().join("home").display().to_string()),
        ];
        let vars = vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let env = Arc::new(Env { vars, home: dir.path().join("home"), ..Env::default() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { dir, env, said: Arc::default(), runtime }
    }

    pub fn at(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    pub fn repositories(&self) -> Repositories {
        Repositories::new(self.at("repos"), self.env.clone())
    }

    /// A worker's directory with its empty workspace.
    pub fn worker(&self, name: &str) -> PathBuf {
        let worker = self.at("workers").join(name);
        fs::create_dir_all(worker.join("workspace")).unwrap();
        worker
    }

    pub async fn fill_with(
        &self,
        repositories: &Repositories,
        worker: &Path,
        (url, branch): (&str, Option<&str>),
        token: Option<&Path>,
        given_up: &CancellationToken,
    ) -> Result<Vec<String>, WorkspaceError> {
        let source = Source { remote: url.parse().unwrap(), branch: branch.map(|branch| branch.parse().unwrap()) };
        let said = self.said.clone();
        let report = move |progress| said.lock().unwrap().push(progress);
        let filling = Filling { token, report: &report, given_up };
        repositories.fill(&Place { worker, owner: None }, &source, &filling).await
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn fill(&self, name: &str, url: &str, branch: Option<&str>) -> Result<PathBuf, WorkspaceError> {
        self.noted(name, url, branch).map(|(workspace, _)| workspace)
    }

    pub fn noted(&self, name: &str, url: &str, branch: Option<&str>) -> Result<(PathBuf, Vec<String>), WorkspaceError> {
        let worker = self.worker(name);
        let repositories = self.repositories();
        let given_up = CancellationToken::new();
        let filled = self.fill_with(&repositories, &worker, (url, branch), None, &given_up);
        let notes = self.runtime.block_on(filled)?;
        Ok((worker.join("workspace"), notes))
    }

    pub fn origin(&self, path: &str) -> String {
        format!("file://{}", repository(&self.at("origins"), path).display())
    }

    /// The packs of the only cache there is.
    fn packs(&self) -> Vec<PathBuf> {
        let mut packs = Vec::new();
        walk(&self.at("repos"), &mut |path| {
            if path.extension().is_some_and(|end| end == "pack") {
                packs.push(path.to_owned());
            }
        });
        packs
    }
}

fn walk(dir: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        each(&entry.path());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), each);
        }
    }
}

fn head(workspace: &Path) -> String {
    git(workspace, &["symbolic-ref", "--short", "HEAD"])
}

#[test]
fn a_clone_stands_at_its_branch_and_knows_its_remote() {
    let yard = Yard::new();
    let url = yard.origin("ann/app.git");
    let plain = yard.fill("fox", &url, None).unwrap();
    assert_eq!(
        (head(&plain).as_str(), fs::read_to_string(plain.join("README")).unwrap().as_str()),
        ("main", "hello\n")
    );
    assert_eq!(git(&plain, &["remote", "get-url", "origin"]), url);
    assert_eq!(git(&plain, &["status", "--porcelain=v1", "--branch"]), "## main...origin/main");

    let feature = yard.fill("owl", &url, Some("feature")).unwrap();
    assert_eq!(git(&feature, &["status", "--porcelain=v1", "--branch"]), "## feature...origin/feature");
    assert!(feature.join("feature").exists());

    let (new, notes) = yard.noted("elk", &url, Some("topic/x")).unwrap();
    assert_eq!((head(&new).as_str(), new.join("feature").exists()), ("topic/x", false));
    assert_eq!(notes, [format!("topic/x is a new branch, made from main: {url} has none of that name")]);
    assert_eq!(git(&new, &["rev-parse", "HEAD"]), git(&plain, &["rev-parse", "HEAD"]));

    // One cache, at the place that is promised, and nothing of it is shared with a worker.
    assert!(yard.at("repos/ann/app.git/HEAD").is_file());
    let mut linked = Vec::new();
    walk(&yard.at("repos"), &mut |path| {
        use std::os::unix::fs::MetadataExt as _;
        let meta = fs::metadata(path).unwrap();
        if meta.is_file() && meta.nlink() > 1 {
            linked.push(path.to_owned());
        }
    });
    assert_eq!(linked, Vec::<PathBuf>::new());
}

#[test]
fn a_clone_is_as_new_as_its_remote_and_is_left_alone_once_it_stands() {
    let yard = Yard::new();
    let url = yard.origin("ann/app.git");
    let fox = yard.fill("fox", &url, None).unwrap();
    fs::write(fox.join("work"), "x").unwrap();
    let other = yard.at("other");
    git(yard.dir.path(), &["clone", "-q", &url, "other"]);
    commit(&other, "later", "1");
    git(&other, &["push", "-q", "origin", "main", ":feature"]);
    let owl = yard.fill("owl", &url, None).unwrap();
    assert!(owl.join("later").exists());
    assert_eq!(git(&owl, &["branch", "-r", "--list", "origin/feature"]), "");
    // What a refresh does: nothing.
    yard.fill("fox", &url, None).unwrap();
    assert!(fox.join("work").exists() && !fox.join("later").exists());
    // Another repository, or another branch, has no place there.
    let said = yard.fill("fox", &url, Some("topic")).unwrap_err().text;
    assert!(said.contains("holds another clone, of file://"), "{said}");
    let bird = yard.worker("bird");
    fs::write(bird.join("workspace/mine"), "x").unwrap();
    let said = yard.fill("bird", &url, None).unwrap_err().text;
    assert!(said.contains("holds files of an earlier worker"), "{said}");
    assert!(bird.join("workspace/mine").exists());
}

#[test]
fn an_empty_repository_is_cloned_too() {
    let yard = Yard::new();
    let bare = yard.at("origins/ann/void.git");
    fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "-q", "--bare", "-b", "main"]);
    let url = format!("file://{}", bare.display());
    let (fox, notes) = yard.noted("fox", &url, None).unwrap();
    assert_eq!(notes, [format!("{url} is empty")]);
    assert!(fox.join(".git").is_dir());
    let owl = yard.fill("owl", &url, Some("topic")).unwrap();
    assert_eq!(head(&owl), "topic");
}

#[test]
fn twenty_clones_at_once_fetch_once() {
    let yard = Yard::new();
    repository(&yard.at("origins"), "ann/app.git");
    let server = GitServer::start(&yard.at("origins"), None);
    let url = server.url("ann/app.git");
    let repositories = yard.repositories();
    let given_up = CancellationToken::new();
    let workers: Vec<PathBuf> = (0..20).map(|n| yard.worker(&format!("w{n}"))).collect();
    let fills = workers.iter().map(|worker| yard.fill_with(&repositories, worker, (&url, None), None, &given_up));
    for filled in yard.runtime.block_on(futures_util::future::join_all(fills)) {
        filled.unwrap();
    }
    assert_eq!(server.fetches(), 1);
    for worker in &workers {
        let workspace = worker.join("workspace");
        assert_eq!(git(&workspace, &["status", "--porcelain=v1", "--branch"]), "## main...origin/main");
        git(&workspace, &["fsck", "--no-dangling"]);
        assert_eq!(fs::read_dir(worker).unwrap().count(), 2, "workspace and its note");
    }
    // Nothing is new: the remote is asked, and nothing fetched.
    yard.fill("late", &url, None).unwrap();
    assert_eq!(server.fetches(), 1);
    assert!(yard.said.lock().unwrap().iter().any(|said| said.to_string().starts_with("cloning: ")));
}

#[test]
fn a_damaged_cache_is_made_anew_and_said() {
    let yard = Yard::new();
    let url = yard.origin("ann/app.git");
    let cache = yard.at("repos/ann/app.git");
    yard.fill("first", &url, None).unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let damages: [(&str, &dyn Fn()); 7] = [
        ("flipped", &|| {
            let pack = yard.packs().pop().unwrap();
            open(&pack);
            let mut bytes = fs::read(&pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(&pack, bytes).unwrap();
        }),
        ("cut", &|| {
            let pack = yard.packs().pop().unwrap();
            open(&pack);
            let bytes = fs::read(&pack).unwrap();
            fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("pack gone", &|| fs::remove_file(yard.packs().pop().unwrap()).unwrap()),
        ("HEAD gone", &|| fs::remove_file(cache.join("HEAD")).unwrap()),
        ("config broken", &|| fs::write(cache.join("config"), "[[[").unwrap()),
        ("objects gone", &|| fs::remove_dir_all(cache.join("objects")).unwrap()),
        ("all gone but the note", &|| {
            for part in ["objects", "refs", "HEAD", "config", "packed-refs"] {
                drop(fs::remove_dir_all(cache.join(part)));
                drop(fs::remove_file(cache.join(part)));
            }
        }),
    ];
    for (what, damage) in damages {
        damage();
        let (workspace, notes) = yard
            .noted(&format!("after-{}", what.replace(' ', "-")), &url, None)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            notes.iter().any(|note| note.contains("was damaged") && note.contains("made anew")),
            "{what}: {notes:?}"
        );
        git(&workspace, &["fsck", "--full", "--no-dangling"]);
        assert!(workspace.join("README").exists(), "{what}");
        let names: Vec<_> = fs::read_dir(yard.at("repos")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["ann"], "{what}: nothing is left beside the caches");
    }
    // A cache that somebody touched and that is whole stays.
    let pack = yard.packs().pop().unwrap();
    open(&pack);
    let (_, notes) = yard.noted("touched", &url, None).unwrap();
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn two_hosts_with_one_name_have_two_caches() {
    let yard = Yard::new();
    let (one, two) = (yard.origin("one/ann/app.git"), yard.origin("two/ann/app.git"));
    let other = yard.at("other");
    git(yard.dir.path(), &["clone", "-q", &two, "other"]);
    commit(&other, "second", "2");
    git(&other, &["push", "-q", "origin", "main"]);
    for round in ["a", "b"] {
        let fox = yard.fill(&format!("fox-{round}"), &one, None).unwrap();
        let owl = yard.fill(&format!("owl-{round}"), &two, None).unwrap();
        assert_eq!((fox.join("second").exists(), owl.join("second").exists()), (false, true));
    }
    let mut names: Vec<_> = fs::read_dir(yard.at("repos/ann"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names[0] == "app.git" && names[1].starts_with("app~") && names.len() == 2, "{names:?}");
}

#[test]
fn what_a_killed_supervisor_left_is_begun_anew() {
    let yard = Yard::new();
    let url = yard.origin("ann/app.git");
    let fox = yard.fill("fox", &url, None).unwrap();
    let worker = yard.worker("fox");
    // Killed between two moves: some of it is there, `.git` is not, and the note says so.
    let note = fs::read_to_string(worker.join("clone.json")).unwrap();
    fs::write(worker.join("clone.json"), note.replace("\"whole\":true", "\"whole\":false")).unwrap();
    fs::remove_dir_all(fox.join(".git")).unwrap();
    fs::write(fox.join("README"), "half").unwrap();
    fs::create_dir_all(worker.join("filling-0123/.git")).unwrap();
    fs::create_dir_all(yard.at("repos/.new-0123/objects")).unwrap();
    yard.fill("fox", &url, None).unwrap();
    assert_eq!(fs::read_to_string(fox.join("README")).unwrap(), "hello\n");
    assert_eq!(git(&fox, &["status", "--porcelain=v1"]), "");
    assert!(!worker.join("filling-0123").exists() && !yard.at("repos/.new-0123").exists());
}

#[test]
fn a_git_that_was_left_at_work_is_ended_and_its_locks_are_removed() {
    let yard = Yard::new();
    let url = yard.origin("ann/app.git");
    yard.fill("fox", &url, None).unwrap();
    let cache = yard.at("repos/ann/app.git");
    let mut left = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", left.id())).unwrap();
    let began = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    fs::write(cache.join("podbay.running"), format!("{} {began}", left.id())).unwrap();
    fs::create_dir_all(cache.join("refs/heads")).unwrap();
    fs::write(cache.join("refs/heads/main.lock"), "").unwrap();
    fs::write(cache.join("packed-refs.lock"), "").unwrap();
    let other = yard.at("other");
    git(yard.dir.path(), &["clone", "-q", &url, "other"]);
    commit(&other, "later", "1");
    git(&other, &["push", "-q", "origin", "main"]);
    let owl = yard.fill("owl", &url, None).unwrap();
    assert!(owl.join("later").exists());
    assert!(!left.wait().unwrap().success());
    // Another process that has the same number by now is let alone.
    let mut stranger = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
    fs::write(cache.join("podbay.running"), format!("{} 1", stranger.id())).unwrap();
    yard.fill("elk", &url, None).unwrap();
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn s14_a_token_goes_to_git_by_a_file_and_stays_nowhere() {
    let yard = Yard::new();
    repository(&yard.at("origins"), "ann/app.git");
    let token = "hunter2-Zq8";
    let server = GitServer::start(&yard.at("origins"), Some(token));
    let url = server.url("ann/app.git");
    let error = yard.fill("fox", &url, None).unwrap_err();
    let hint = error.hint.clone().unwrap_or_default();
    assert!(!error.by_request && hint.contains("[git] tokens") && hint.contains(&server.host()), "{error:?}");
    let file = yard.at("token's file");
    let with = |content: &str| {
        fs::write(&file, content).unwrap();
        let (repositories, worker) = (yard.repositories(), yard.worker("fox"));
        let given_up = CancellationToken::new();
        let filled = yard.fill_with(&repositories, &worker, (&url, None), Some(&file), &given_up);
        yard.runtime.block_on(filled)
    };
    let refused = with("wrong").unwrap_err();
    assert!(refused.hint.as_ref().is_some_and(|hint| hint.contains("refused the credentials")), "{refused:?}");
    with(&format!("{token}\n")).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(git(&yard.at("workers/fox/workspace"), &["remote", "get-url", "origin"]), url);
    let mut found = Vec::new();
    walk(yard.dir.path(), &mut |path| {
        let bytes = if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        if bytes.windows(token.len()).any(|bytes| bytes == token.as_bytes()) {
            found.push(path.to_owned());
        }
    });
    assert_eq!(found, Vec::<PathBuf>::new());
    let said = format!("{error:?}{refused:?}{:?}", yard.said.lock().unwrap());
    assert!(!said.contains(token), "{said}");
}

#[test]
fn an_https_remote_is_believed_by_its_certificate_alone() {
    let mut yard = Yard::new();
    repository(&yard.at("origins"), "ann/app.git");
    let server = GitServer::start(&yard.at("origins"), Some("hunter2-Zq8"));
    let (place, certificate) = server.secured();
    let url = format!("{place}/ann/app.git");
    fs::write(yard.at("token"), "hunter2-Zq8").unwrap();
    let fill = |yard: &Yard| {
        let (repositories, worker) = (yard.repositories(), yard.worker("fox"));
        let (given_up, token) = (CancellationToken::new(), yard.at("token"));
        yard.wait(yard.fill_with(&repositories, &worker, (&url, None), Some(&token), &given_up))
    };
    let refused = fill(&yard).unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(server.fetches(), 0);
    fs::write(yard.at("ca.pem"), certificate).unwrap();
    let mut env = (*yard.env).clone();
    env.vars.insert("GIT_SSL_CAINFO".to_owned(), yard.at("ca.pem").display().to_string());
    yard.env = Arc::new(env);
    fill(&yard).unwrap();
    let workspace = yard.at("workers/fox/workspace");
    assert_eq!(git(&workspace, &["remote", "get-url", "origin"]), url);
    assert_eq!((head(&workspace).as_str(), server.fetches()), ("main", 1));
    let config = fs::read_to_string(workspace.join(".git/config")).unwrap();
    assert!(!config.contains("hunter2"), "{config}");
}

#[test]
fn a_clone_that_nobody_wants_any_more_ends_with_its_git() {
    let yard = Yard::new();
    repository(&yard.at("origins"), "ann/app.git");
    let server = GitServer::start(&yard.at("origins"), None);
    server.desk.hangs.store(true, Ordering::SeqCst);
    let url = server.url("ann/app.git");
    let (repositories, worker, given_up) = (yard.repositories(), yard.worker("fox"), CancellationToken::new());
    let begun = Instant::now();
    let error = yard.runtime.block_on(async {
        let filling = yard.fill_with(&repositories, &worker, (&url, None), None, &given_up);
        let giving_up = async {
            while server.fetches() == 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "nothing was fetched");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            given_up.cancel();
        };
        tokio::join!(filling, giving_up).0.unwrap_err()
    });
    assert_eq!(error.text, "it was given up");
    assert_eq!(fs::read_dir(&worker).unwrap().count(), 1, "only the empty workspace is left");
    let mine = |line: &[u8]| String::from_utf8_lossy(line).contains(&server.host());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let left = left.filter(|line| mine(line)).count();
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} processes of git are left");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The next one has its turn.
    server.desk.hangs.store(false, Ordering::SeqCst);
    yard.fill("owl", &url, None).unwrap();
}

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let yard = Yard::new();
    for (url, word) in [
        (format!("file://{}/none.git", yard.at("origins").display()), "check the URL"),
        ("http://127.0.0.1:9/ann/app".to_owned(), "can't be reached"),
    ] {
        let error = yard.fill("fox", &url, None).unwrap_err();
        assert!(error.text.contains(&url) && error.hint.as_ref().is_some_and(|hint| hint.contains(word)), "{error:?}");
    }
    let mut bare = (*yard.env).clone();
    bare.vars.insert("PATH".to_owned(), "/nonexistent".to_owned());
    let repositories = Repositories::new(yard.at("repos"), Arc::new(bare));
    let (worker, given_up) = (yard.worker("owl"), CancellationToken::new());
    let filled = yard.fill_with(&repositories, &worker, ("file:///x/y", None), None, &given_up);
    let error = yard.runtime.block_on(filled).unwrap_err();
    assert!(error.text.starts_with("git is not installed") && error.hint.is_some(), "{error:?}");
}
