//! Rows K08 and K09: one supervisor a bay, whatever lies around.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::den::Den;
use super::process::{alive, finish};
use super::{until, within};

/// `serve`s that race: one wins, the others say who did.
fn races(den: &Den, rounds: usize, racers: usize) {
    for round in 0..rounds {
        let start = |_| {
            let mut command = den.command(&["serve"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut children: Vec<_> = (0..racers).map(start).collect();
        let what = format!("round {round}: all but one have ended");
        let (running, _) = within(Duration::from_secs(20), &what, || {
            let ended: Vec<_> = children.iter_mut().map(|child| child.try_wait().unwrap()).collect();
            let running: Vec<usize> = (0..racers).filter(|number| ended[*number].is_none()).collect();
            if running.len() <= 1 { Ok(running) } else { Err(format!("{ended:?}")) }
        });
        let [winner] = *running else { panic!("{what}: nobody is left") };
        until("the winner answers", || den.wait(async |client| client.health().await.map_err(|e| e.to_string())));
        let pid = children[winner].id();
        for (number, child) in children.into_iter().enumerate() {
            if number == winner {
                super::process::signal(pid, rustix::process::Signal::TERM);
                assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
                continue;
            }
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(3), "{said}");
            let socket = den.socket().display().to_string();
            let expected = format!("podbay: a supervisor of this bay runs already (pid {pid}); its socket is {socket}");
            assert!(said.lines().any(|line| line == expected), "{said}");
        }
    }
}

#[test]
fn k08_of_racing_supervisors_one_wins() {
    races(&Den::fake(), 3, 5);
}

#[test]
#[ignore = "100 races"]
fn k08_in_full() {
    races(&Den::fake(), 100, 8);
}

#[test]
fn k08_of_racing_first_verbs_one_starts_the_supervisor() {
    let den = Den::fake();
    let verbs: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("w{number}");
            let command = den.command(&["spawn", &name, "-d"]);
            std::thread::spawn(move || finish(command, &["spawn"]))
        })
        .collect();
    for verb in verbs {
        let ran = verb.join().unwrap();
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    den.supervisor();
    assert_eq!(den.in_engine(), ["parent", "w0", "w1", "w2", "w3", "w4", "w5"]);
}

#[test]
fn x08_a_name_that_ten_clients_spawn_at_once_is_one_worker() {
    same_name(&Den::fake(), 3);
}

#[test]
#[ignore = "50 rounds of 10 clients on Docker"]
fn x08_in_full() {
    let Some(den) = Den::docker("x08_in_full") else { return };
    same_name(&den, 50);
}

fn same_name(den: &Den, rounds: usize) {
    den.ok(&["up"]);
    for round in 0..rounds {
        let name = format!("one-{round}");
        let results = den.wait(async |client| {
            futures_util::future::join_all((0..10).map(|_| super::den::spawn(&client, &name))).await
        });
        let made = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(made, 1, "{results:?}");
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(error.to_string(), format!("there is a worker {name:?} already"));
        }
        assert_eq!(den.in_engine(), [name.as_str(), "parent"]);
        den.ok(&["rm", "-f", &name]);
    }
}

#[test]
fn k09_stale_files_of_a_dead_supervisor_are_no_hindrance() {
    let den = Den::fake();
    // A living process that has nothing to do with podbay, and whose pid stands in the lock file.
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    fs::create_dir_all(den.state()).unwrap();
    fs::write(den.state().join("lock"), format!("{}\n", stranger.id())).unwrap();
    fs::write(den.state().join("state.json.new"), "half a sta").unwrap();
    fs::create_dir_all(den.socket().parent().unwrap()).unwrap();
    drop(UnixListener::bind(den.socket()).unwrap());
    assert!(den.socket().exists(), "a socket that nobody listens on");
    den.spawn("fox");
    den.ok(&["down", "--workers", "-y"]);
    let lives = alive(stranger.id());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(lives, "the stranger was signalled");
}

#[test]
fn k09_what_is_not_a_socket_is_never_removed() {
    let den = Den::fake();
    let socket = den.socket();
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let target = den.path("h/precious");
    fs::write(&target, "precious").unwrap();
    let kinds: [(&str, &dyn Fn()); 3] = [
        ("file", &|| fs::write(&socket, "mine").unwrap()),
        ("directory", &|| fs::create_dir(&socket).unwrap()),
        ("symlink", &|| std::os::unix::fs::symlink(&target, &socket).unwrap()),
    ];
    for (kind, make) in kinds {
        make();
        for args in [&["serve"][..], &["ls"]] {
            let ran = den.run(args);
            assert!(matches!(ran.code, 1 | 3), "{kind} {args:?}: {ran:?}");
            let said = format!("{}: something that is not a socket is in the place", socket.display());
            assert!(ran.stderr.contains(&said), "{kind} {args:?}: {ran:?}");
        }
        let meta = fs::symlink_metadata(&socket).unwrap();
        assert!(!std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()), "{kind}");
        if meta.is_dir() { fs::remove_dir(&socket) } else { fs::remove_file(&socket) }.unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        until("nobody stays", || match den.supervisors() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
    }
    den.spawn("fox");
}
