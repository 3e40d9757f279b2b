//! The way out of a bay on this machine's own namespaces: the whole of it, by the binary.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};

use super::{Nest, until};
use crate::skip::skipped;

/// An address of this machine that is not its loopback. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.254:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// A server that says hello; its port.
fn server(ip: IpAddr) -> u16 {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut space = [0; 4096];
                let _ = stream.read(&mut space);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
            });
        }
    });
    port
}

fn inside(nest: &Nest, script: &str) -> String {
    let ran = nest.run(&["exec", "fox", "--", "sh", "-c", script]);
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn what_leaves_the_bay_is_what_was_allowed() {
    let test = "what_leaves_the_bay_is_what_was_allowed";
    let Some(ip) = own_address() else { return skipped(test, "no address but the loopback") };
    let Some(nest) = Nest::new(test, "[network]\nallow = [\"example.invalid\"]\n") else { return };
    let port = server(ip);
    nest.ok(&["spawn", "fox", "-d"]);
    let status = nest.json(&["status"]);
    assert_eq!(status["network"]["way"], "listed");
    assert!(nest.ok(&["status"]).contains("by an allow list of 1 name"), "{status}");
    // What podbay itself listens on is no port of the bay's.
    assert_eq!(nest.json(&["ports"]), serde_json::json!([]));
    // Past the proxy there is nothing.
    let direct = inside(&nest, &format!("curl -sS -m 5 --noproxy '*' http://{ip}:{port}/"));
    assert!(direct.contains("Failed to connect") || direct.contains("Could not connect"), "{direct}");
    // Not listed: refused, with what to do, and told.
    let plain = format!("curl -sS -m 20 http://{ip}:{port}/");
    let tunnel = format!("curl -sS -m 20 -p http://{ip}:{port}/");
    let said = inside(&nest, &plain);
    assert!(said.contains("[network] allow does not name") && said.contains("podbay network allow"), "{said}");
    assert!(inside(&nest, &tunnel).contains("403"));
    let asked = nest.json(&["network", "ls"])["asked"].clone();
    assert_eq!((&asked[0]["name"], &asked[0]["count"]), (&ip.to_string().into(), &2.into()), "{asked}");
    assert_eq!(asked[0]["worker"], "fox", "{asked}");
    assert!(nest.ok(&["events"]).contains(&format!("{ip}:{port} was asked for and refused")));
    // Once.
    nest.ok(&["network", "allow", &ip.to_string(), "--once"]);
    assert_eq!(inside(&nest, &plain), "hello");
    assert!(inside(&nest, &plain).contains("does not name"));
    // For the bay, also by the next supervisor; who asks before that one is there waits for it.
    nest.ok(&["network", "allow", &ip.to_string()]);
    assert_eq!(inside(&nest, &tunnel), "hello");
    nest.ok(&["send", "fox", &format!("sleep 1; {plain} > /tmp/later; mv /tmp/later /tmp/done")]);
    nest.kill_supervisor();
    std::thread::sleep(std::time::Duration::from_secs(2));
    nest.until_state("fox", "running");
    until("the question of before is answered", || {
        let said = inside(&nest, "cat /tmp/done");
        if said == "hello" { Ok(()) } else { Err(said) }
    });
    assert_eq!(inside(&nest, &plain), "hello");
    // And no more.
    nest.ok(&["network", "refuse", &ip.to_string()]);
    assert!(inside(&nest, &plain).contains("does not name"));
    assert_eq!(nest.json(&["network", "ls"])["asked"], serde_json::json!([]));
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn what_leads_back_to_the_machine_is_refused_whatever_its_name_is() {
    let test = "what_leads_back_to_the_machine_is_refused_whatever_its_name_is";
    // A name that its user listed, and that whoever answers for it lets lead to the loopback.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut names = hosts.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let ip: IpAddr = words.next()?.parse().ok()?;
        ip.is_loopback().then(|| words.find(|name| !name.contains("localhost")).map(str::to_owned))?
    });
    let Some(name) = names.next() else { return skipped(test, "no other name of the loopback in /etc/hosts") };
    let Some(nest) = Nest::new(test, &format!("[network]\nallow = [\"{name}\", \"example.invalid\"]\n")) else {
        return;
    };
    let port = server(IpAddr::from([127, 0, 0, 1]));
    nest.ok(&["spawn", "fox", "-d"]);
    let said = inside(&nest, &format!("curl -sS -m 20 http://{name}:{port}/"));
    assert!(said.contains("leads to 127.") || said.contains("leads to ::1"), "{said}");
    assert!(nest.ok(&["events"]).contains("this machine or its link"));
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let said = inside(&nest, &format!("curl -gsS -m 20 --noproxy none.invalid http://{host}:{port}/"));
        assert!(said.contains("is not outside of the bay"), "{host}: {said}");
    }
    for host in ["127.1", "2130706433"] {
        let ask = format!("printf 'CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n'");
        let proxy = "timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/${http_proxy##*:}; cat >&3; head -1 <&3'";
        let said = inside(&nest, &format!("{ask} | {proxy}"));
        assert!(said.contains("400"), "{host}: {said}");
    }
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

/// A list that comes later holds nobody before the parent is made anew, and then everybody: also who was there before.
#[test]
fn a_list_that_comes_later_holds_workers_that_were_there() {
    let test = "a_list_that_comes_later_holds_workers_that_were_there";
    let more = "[[template]]\nname = \"sh\"\ncommand = [\"sleep\", \"1000\"]\npool = { target = 1, min = 1 }\n";
    let Some(nest) = Nest::new(test, more) else { return };
    let port = server(IpAddr::from([127, 0, 0, 1]));
    nest.ok(&["spawn", "fox", "-d"]);
    nest.ok(&["spawn", "owl", "-d"]);
    let ask = format!("curl -sS -m 10 --noproxy '*' http://127.0.0.1:{port}/");
    assert_eq!(inside(&nest, &ask), "hello");
    let config = nest.path("c/podbay/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[network]\nallow = [\"example.invalid\"]\n")).unwrap();
    nest.ok(&["up"]);
    let status = nest.json(&["status"])["network"]["text"].clone();
    assert!(status.as_str().unwrap().contains("not held yet"), "{status}");
    let said = nest.ok(&["refresh", "parent", "-y"]);
    assert!(said.contains("repaired 2 workers"), "{said}");
    let status = nest.json(&["status"])["network"]["text"].clone();
    assert_eq!(status, "by an allow list of 1 name");
    nest.ok(&["spawn", "elk", "-d", "-t", "sh"]);
    for worker in ["fox", "owl", "elk"] {
        nest.until_state(worker, "running");
        let ran = nest.run(&["exec", worker, "--", "sh", "-c", &ask]);
        assert!(ran.code != 0 && !ran.stdout.contains("hello"), "{worker}: {}{}", ran.stdout, ran.stderr);
    }
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn native_services_are_on_the_workers_own_loopback() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = format!(
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => {free}, \
         ReuseAddr => 1) or die; while (my $c = $s->accept) {{ <$c>; print $c \\\"HTTP/1.0 200 OK\\\\r\\\\n\\\\r\\\\nfrom the \
         machine\\\"; close $c }}"
    );
    let more = format!(
        "[network]\nallow = []\n[[service]]\nname = \"brain\"\nrun = \"host\"\nreason = \"gpu\"\ncommand = [\"perl\", \"-e\", \
         \"{serve}\"]\nports = [{free}]\n"
    );
    let Some(nest) = Nest::new("native_services_are_on_the_workers_own_loopback", &more) else { return };
    let other = server(IpAddr::from([127, 0, 0, 1]));
    nest.ok(&["up"]);
    nest.ok(&["spawn", "fox", "-d"]);
    until("the service answers", || {
        let said = inside(&nest, &format!("curl -sS -m 5 http://127.0.0.1:{free}/"));
        if said == "from the machine" { Ok(()) } else { Err(said) }
    });
    // Nothing else of the machine is, and there is no proxy.
    let said = inside(&nest, &format!("curl -sS -m 5 http://127.0.0.1:{other}/; echo proxy=$http_proxy"));
    assert!((said.contains("Failed") || said.contains("Could not")) && said.contains("proxy=\n"), "{said}");
    assert!(nest.ok(&["status"]).contains("none: nothing outside of the bay"));
    nest.ok(&["service", "stop", "brain"]);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}

#[test]
fn a_worker_of_another_network_is_refused_beside_a_list() {
    let Some(nest) = Nest::new("a_worker_of_another_network_is_refused_beside_a_list", "[network]\nallow = []\n")
    else {
        return;
    };
    let ran = nest.run(&["spawn", "fox", "-d", "--network", "bridge"]);
    assert!(ran.code != 0 && ran.stderr.contains("[network] allow"), "{}", ran.stderr);
    nest.ok(&["spawn", "owl", "-d", "--network", "none"]);
    nest.ok(&["down", "--workers", "-y"]);
    nest.is_empty();
}
