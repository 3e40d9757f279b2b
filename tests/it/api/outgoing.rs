//! Where nothing is told, whoever asks for it: in a network of the test's own, in which somebody listens there.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use super::alerts::{RESTLESS, write};
use super::open::{Open, free_port};
use super::setup;
use crate::bay::den::{Conf, Den};
use crate::bay::{skip, until};

/// Where a cloud tells a machine its secrets, and a name that somebody has pointed at it.
const METADATA: &str = "169.254.169.254";
const NAME: &str = "receiver.example";

/// This thread, and all that it starts, in a network of its own where the metadata's address is this machine's.
#[expect(unsafe_code, reason = "unsafe only where a thread could see another's descriptors, which this never asks for")]
fn apart() -> bool {
    // SAFETY: descriptors are not unshared.
    let apart = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    let ip = |args: &[&str]| Command::new("ip").args(args).status().is_ok_and(|status| status.success());
    let address = format!("{METADATA}/32");
    apart.is_ok() && ip(&["link", "set", "lo", "up"]) && ip(&["address", "add", &address, "dev", "lo"])
}

/// Somebody at the metadata's address; what is told of each who comes: how many bytes.
fn listening() -> (SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind((METADATA, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (to, came) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let count = stream.read(&mut [0; 1024]).unwrap_or(0);
            if to.send(count).is_err() {
                return;
            }
        }
    });
    (address, came)
}

/// The binary with a file of hosts in which the name leads to the metadata.
fn misled(den: &Den) -> std::path::PathBuf {
    let hosts = write(den, "hosts", &format!("127.0.0.1 localhost\n{METADATA} {NAME}\n"));
    let mount = format!("mount --bind {} /etc/hosts && exec {} \"$@\"", hosts.display(), den.binary.display());
    let script = write(den, "misled", &format!("#!/bin/sh\nexec unshare --mount sh -c '{mount}' podbay \"$@\"\n"));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    script
}

#[test]
fn s15_neither_an_alert_nor_a_setup_is_told_where_a_machine_has_its_secrets() {
    let test = "s15_neither_an_alert_nor_a_setup_is_told_where_a_machine_has_its_secrets";
    if !apart() {
        return skip(test, "only root can have a network of its own");
    }
    let (address, came) = listening();
    let port = free_port();
    let mut den = Den::fake();
    den.binary = misled(&den);
    let url = |host: &str| format!("https://{host}:{}/latest/meta-data", address.port());
    let conf = |url: &str| {
        format!(
            "[api]\nlisten = \"127.0.0.1:{port}\"\ncallback_hosts = [\"{NAME}\", \"{METADATA}\"]\nalert_url = \"{url}\"\n\
             alert_secret = \"alarm\"\n[[template]]\nname = \"web\"\nsetup = \"echo x\"\ncommand = [\"sh\"]\n{RESTLESS}"
        )
    };
    // By its address it is refused with the configuration.
    den.configure(Conf { rest: &conf(&url(METADATA)), ..Conf::default() });
    let refused = den.run(&["config", "check"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("config.toml:") && refused.stderr.contains("alert_url"), "{refused:?}");
    assert!(refused.stderr.contains("leads to 169.254.169.254"), "{refused:?}");
    // By a name, which may lead anywhere by then, when there is something to tell.
    den.configure(Conf { rest: &conf(&url(NAME)), ..Conf::default() });
    write(&den, "c/podbay/secrets/alarm", "the-alarms-secret\n");
    let open = Open::on(den, port);
    open.den.ok(&["service", "start", "restless"]);
    until("it is said", || match open.den.ok(&["events"]) {
        said if said.contains("alerts are told to nobody: \"receiver.example\" leads to 169.254.169.254") => Ok(()),
        said => Err(said),
    });
    assert!(open.den.ok(&["events"]).contains("alert: PodbayServiceRestarts (restless)"));
    open.den.ok(&["spawn", "fox", "-d", "-t", "web"]);
    for host in [NAME, METADATA] {
        let body = json!({
            "repo": setup::repository(&open), "callbackUrl": url(host), "callbackSecret": "secret123",
        });
        let answer = open.request("POST", "/api/containers/fox/setup").json(&body).send();
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["field"]), (400, &json!("callbackUrl")), "{host}: {answer:?}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains("leads to 169.254.169.254")), "{error}");
        std::fs::remove_dir_all(open.den.path("git")).unwrap();
    }
    assert!(came.recv_timeout(Duration::from_millis(500)).is_err(), "somebody came");
    // It is not that nobody could have come.
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(came.recv_timeout(Duration::from_secs(20)), Ok(0));
}
