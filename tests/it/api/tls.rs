//! TLS, asked by `curl`.

use std::fs;
use std::process::Command;

use super::open::{Open, free_port};
use crate::bay::den::{Conf, Den};

#[test]
fn over_tls_curl_is_answered_and_plain_http_is_not() {
    let port = free_port();
    let den = Den::fake();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(den.path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(den.path("key.pem"), made.key_pair.serialize_pem()).unwrap();
    let at = |name: &str| den.path(name).display().to_string();
    let api = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\ntls_cert = \"{}\"\ntls_key = \"{}\"",
        at("cert.pem"),
        at("key.pem")
    );
    den.configure(Conf { rest: &api, ..Conf::default() });
    let certificate = at("cert.pem");
    let open = Open::on(den, port);
    let header = open.den.path("header");
    fs::write(&header, format!("Authorization: Bearer {}\n", open.token())).unwrap();
    let curl = |url: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "60", "-w", "%{http_code}", "-o", "/dev/null", "--cacert", &certificate]);
        curl.arg("-H").arg(format!("@{}", header.display())).arg(url);
        curl.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(secured) = curl(&format!("https://localhost:{port}/api/status")) else {
        return crate::bay::skip("over_tls_curl_is_answered_and_plain_http_is_not", "no curl");
    };
    assert_eq!(secured, "200");
    assert_eq!(curl(&format!("http://localhost:{port}/api/status")).unwrap(), "000");
    // A renewed certificate is taken without a restart; the old one is not believed any more.
    let renewed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(open.den.path("key.pem"), renewed.key_pair.serialize_pem()).unwrap();
    fs::write(open.den.path("cert.pem"), renewed.cert.pem()).unwrap();
    assert_eq!(curl(&format!("https://localhost:{port}/api/status")).unwrap(), "200");
}

#[test]
fn without_tls_other_machines_are_not_listened_to() {
    for (api, said) in [
        ("listen = \"0.0.0.0:8080\"", "name tls_cert and tls_key, or listen on 127.0.0.1"),
        ("listen = \"[::]:8080\"", "name tls_cert"),
        ("listen = \"0.0.0.0:8080\"\ntls_cert = \"/a\"", "TLS needs both"),
        ("listen = \"127.0.0.1:8080\"\ntls_key = \"/a\"", "TLS needs both"),
        ("listen = \"127.0.0.1:0\"", "port 0"),
    ] {
        let den = Den::fake_with(Conf { rest: &format!("[api]\n{api}"), ..Conf::default() });
        let ran = den.run(&["config", "check"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(said) && ran.stderr.contains("config.toml:"), "{api}: {ran:?}");
    }
}
