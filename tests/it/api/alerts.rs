//! Alerts, told to whoever the configuration names: signed, over TLS, again when they were not heard.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::open::{Open, free_port};
use super::receiving::{Receiving, is_signed};
use super::setup::{body, open};
use crate::bay::den::{Conf, Den};
use crate::bay::until;

/// A service that is started again and again.
pub const RESTLESS: &str = "[[service]]\nname = \"restless\"\nrun = \"host\"\nreason = \"stdio\"\ncommand = [\"false\"]\n\
                        backoff = { initial = \"10ms\", max = \"20ms\", reset_after = \"10s\" }\n\
                        start_limit = { burst = 50, interval = \"60s\" }\n";

/// A certificate for this machine that an authority of its own has signed; and the authority's, as PEM.
fn signed_by_its_own() -> (Arc<ServerConfig>, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority, &authority_key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![certificate.der().clone()];
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    (Arc::new(builder.with_no_client_auth().with_single_cert(chain, secret).unwrap()), authority.pem())
}

pub fn write(den: &Den, name: &str, text: &str) -> PathBuf {
    let path = den.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn an_alert_is_told_over_tls_when_it_begins_and_when_it_is_over() {
    let (tls, authority) = signed_by_its_own();
    let receiving = Receiving::with(vec!["503 Busy"], Some(tls));
    let (den, port) = (Den::fake(), free_port());
    let api = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\nalert_url = \"{}\"\nalert_secret = \"alarm\"\n",
        receiving.url()
    );
    let rest = format!("{api}{RESTLESS}");
    den.configure(Conf { rest: &rest, ..Conf::default() });
    write(&den, "c/podbay/secrets/alarm", "the-alarms-secret\n");
    let authority = write(&den, "authority.pem", &authority);
    let open = Open::with_env(den, port, &[("SSL_CERT_FILE", &authority.display().to_string())]);
    open.den.ok(&["service", "start", "restless"]);
    let mut tries = Vec::new();
    for _ in 0..2 {
        let (head, body, report) = receiving.next();
        assert!(is_signed(&head, &body, "the-alarms-secret"), "{head}");
        assert_eq!(
            (&report["alert"]["name"], &report["firing"]),
            (&"PodbayServiceRestarts".into(), &true.into()),
            "{report}"
        );
        assert_eq!(
            (&report["alert"]["subject"], &report["alert"]["severity"]),
            (&"restless".into(), &"warning".into()),
            "{report}"
        );
        tries.push(report);
    }
    assert_eq!(tries[0], tries[1], "told again as it was");
    let shown = open.get("/api/status").json();
    assert_eq!(shown["alerts"][0]["name"], "PodbayServiceRestarts", "{shown}");
    let metrics = open.get("/metrics").body;
    assert!(metrics.contains("podbay_alert_firing{alert=\"PodbayServiceRestarts\"} 1"), "{metrics}");
    // What is not there any more is not restless.
    open.den.ok(&["service", "stop", "restless"]);
    open.den.configure(Conf { rest: &api, ..Conf::default() });
    assert_eq!(open.request("POST", "/api/reload").send().status, 200);
    let (_, _, report) = receiving.next();
    assert_eq!((&report["alert"]["subject"], &report["firing"]), (&"restless".into(), &false.into()), "{report}");
    let said = open.den.ok(&["events"]);
    assert!(said.contains("alert: PodbayServiceRestarts (restless)"), "{said}");
    assert!(said.contains("over: PodbayServiceRestarts (restless)"), "{said}");
    assert!(!said.contains("the-alarms-secret"));
}

#[test]
fn a_receiver_that_nobody_vouches_for_is_told_nothing() {
    let (tls, _) = signed_by_its_own();
    let receiving = Receiving::with(vec![], Some(tls));
    let open = open("echo installed");
    let answer = open.request("POST", "/api/containers/fox/setup").json(&body(&open, &receiving)).send();
    assert_eq!(answer.status, 202, "{answer:?}");
    until("it is ready", || match open.den.ok(&["events"]) {
        said if said.contains("setup ready") => Ok(()),
        said => Err(said),
    });
    // The second try has come by then, too.
    assert!(receiving.came.recv_timeout(Duration::from_secs(2)).is_err(), "its certificate is not trusted");
}
