use std::collections::BTreeMap;

use super::*;
use crate::bay::container::{ContainerId, ImageRef};
use crate::bay::hardening::Hardening;
use crate::bay::name::{ContainerName, Name};
use crate::bay::size::{ByteSize, Span};

fn spec() -> ContainerSpec {
    let bay: Name = "bay".parse().unwrap();
    ContainerSpec {
        name: ContainerName::worker(&bay, &"fox".parse().unwrap()),
        image: ImageRef::Named("img".into()),
        entrypoint: Vec::new(),
        command: vec!["bash".into()],
        user: Some("1000:1000".into()),
        hostname: None,
        workdir: Some("/workspace".into()),
        env: BTreeMap::from([("A".into(), "1".into())]),
        labels: BTreeMap::from([("podbay.bay".into(), "bay".into())]),
        network: NetworkSpec::Join(ContainerId::new("ff00")),
        mounts: vec![Mount { source: "/src".into(), target: "/workspace".into(), read_only: false }],
        tty: true,
        stop_signal: None,
        limits: Limits {
            cpus: 1.5,
            memory: ByteSize::bytes(1 << 30),
            memory_reservation: Some(ByteSize::bytes(1 << 29)),
            pids: 100,
            nofile: (1024, 2048),
            log_max_size: ByteSize::bytes(50 << 20),
            log_max_files: 10,
        },
        hardening: Hardening {
            cap_drop: vec!["ALL".into()],
            cap_add: vec!["KILL".into()],
            no_new_privileges: true,
            read_only: true,
            seccomp: "default".into(),
            init: true,
        },
        health: Some(Health {
            test: vec!["true".into()],
            interval: Span::seconds(60),
            timeout: Span::seconds(10),
            retries: 3,
        }),
    }
}

fn target() -> Target<'static> {
    Target { minor: 41, podman: false, cpus: 2, host: None, seccomp: None }
}

fn json(spec: &ContainerSpec, target: &Target<'_>) -> serde_json::Value {
    serde_json::to_value(body(spec, target).unwrap()).unwrap()
}

#[test]
fn everything_of_the_spec_is_in_the_request() {
    let body = json(&spec(), &target());
    let host = &body["HostConfig"];
    let expected = [
        (&body["Cmd"], serde_json::json!(["bash"])),
        (&body["Env"], serde_json::json!(["A=1", "TERM=xterm-256color"])),
        (&body["User"], "1000:1000".into()),
        (&body["WorkingDir"], "/workspace".into()),
        (&body["OpenStdin"], true.into()),
        (&body["StdinOnce"], false.into()),
        (&body["Healthcheck"]["Test"], serde_json::json!(["CMD", "true"])),
        (&body["Healthcheck"]["Interval"], 60_000_000_000i64.into()),
        (&host["NanoCpus"], 1_500_000_000i64.into()),
        (&host["Memory"], (1i64 << 30).into()),
        (&host["MemorySwap"], (1i64 << 30).into()),
        (&host["MemoryReservation"], (1i64 << 29).into()),
        (&host["PidsLimit"], 100.into()),
        (&host["Ulimits"][0], serde_json::json!({"Name": "nofile", "Soft": 1024, "Hard": 2048})),
        (&host["LogConfig"]["Type"], "json-file".into()),
        (&host["LogConfig"]["Config"]["max-size"], "52428800".into()),
        (&host["LogConfig"]["Config"]["max-file"], "10".into()),
        (&host["CapDrop"], serde_json::json!(["ALL"])),
        (&host["CapAdd"], serde_json::json!(["KILL"])),
        (&host["SecurityOpt"], serde_json::json!(["no-new-privileges"])),
        (&host["ReadonlyRootfs"], true.into()),
        (&host["Init"], true.into()),
        (&host["NetworkMode"], "container:ff00".into()),
        (&host["RestartPolicy"]["Name"], "no".into()),
        (&host["Mounts"][0]["Type"], "bind".into()),
        (&host["Mounts"][0]["Source"], "/src".into()),
        (&host["Binds"], serde_json::Value::Null),
    ];
    for (index, (found, wanted)) in expected.into_iter().enumerate() {
        assert_eq!(*found, wanted, "row {index}");
    }
    assert!(host["Tmpfs"]["/tmp"].as_str().unwrap().contains(",exec,"));
    assert!(host["Tmpfs"]["/run"].as_str().unwrap().contains("size="));
}

#[test]
fn ports_are_exposed_and_bound_on_a_bridge_only() {
    let port = PortMapping { ip: None, host: 10000, container: 80, protocol: Protocol::Tcp };
    let mut bridge = spec();
    bridge.network = NetworkSpec::Bridge(vec![port]);
    let body = json(&bridge, &target());
    assert!(body["ExposedPorts"].to_string().contains("80/tcp"), "{}", body["ExposedPorts"]);
    assert_eq!(body["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "10000");
    bridge.network = NetworkSpec::None;
    let body = json(&bridge, &target());
    assert_eq!(body["HostConfig"]["NetworkMode"], "none");
    assert!(body["HostConfig"]["PortBindings"].is_null() && body["ExposedPorts"].is_null());
}

#[test]
fn an_engine_is_asked_for_what_it_can() {
    let mut big = spec();
    big.limits.cpus = 4.0;
    assert_eq!(body(&big, &target()).unwrap().host_config.unwrap().nano_cpus, Some(2_000_000_000));
    let podman = json(&spec(), &Target { podman: true, ..target() });
    let log = serde_json::json!({"Type": "k8s-file", "Config": {"max-size": json(&spec(), &target())["HostConfig"]
        ["LogConfig"]["Config"]["max-size"]}});
    assert_eq!(podman["HostConfig"]["LogConfig"], log);
    let old = super::body(&spec(), &Target { minor: 24, ..target() });
    assert!(matches!(old, Err(EngineError::Refused { .. })));
    let new = json(&spec(), &Target { minor: 42, ..target() });
    assert_eq!(new["HostConfig"]["ConsoleSize"], serde_json::json!([24, 80]));
    let message = "container create: container-init binary not found on the host: stat /x".to_owned();
    let error = refusal(&spec(), EngineError::Failed { what: "create x".to_owned(), message });
    assert!(error.to_string().contains("catatonit") && error.to_string().contains("init = false"), "{error}");
    let strict = json(&spec(), &Target { seccomp: Some("{}".into()), ..target() });
    assert_eq!(strict["HostConfig"]["SecurityOpt"][1], "seccomp={}");
}

#[test]
fn no_limits_are_no_keys() {
    let mut free = spec();
    free.limits = Limits {
        cpus: 0.0,
        memory: ByteSize::default(),
        memory_reservation: None,
        pids: 0,
        nofile: (0, 0),
        log_max_size: ByteSize::default(),
        log_max_files: 0,
    };
    let body = json(&free, &target());
    for key in ["NanoCpus", "Memory", "MemorySwap", "MemoryReservation", "PidsLimit", "Ulimits", "LogConfig"] {
        assert!(body["HostConfig"][key].is_null(), "{key}");
    }
}
