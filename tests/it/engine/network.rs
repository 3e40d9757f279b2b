//! The local engine's walls of the network: a loopback alone, and what podbay passes through it.

use std::time::Duration;

use podbay::bay::container::{ContainerId, ContainerSpec, NetworkSpec, Wall};
use podbay::bay::port::{PortMapping, Protocol};
use podbay::engine::{EngineError, LogQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::bed::{Bed, PATIENCE, refused, texts, until};

/// A port that nobody has on the machine.
fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn walled(bed: &Bed, wall: Wall) -> ContainerSpec {
    ContainerSpec { network: NetworkSpec::Walled(wall), ..bed.spec("parent", &["sleep", "infinity"]) }
}

async fn joined(bed: &Bed, parent: &ContainerId, name: &str, script: &str) -> String {
    let mut spec = bed.spec(name, &["bash", "-c", script]);
    spec.network = NetworkSpec::Join(parent.clone());
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    bed.exit(&id).await;
    texts(&bed.log(&id, LogQuery::default()).await).into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn nothing_leads_through_a_wall() {
    let Some(bed) = Bed::local("nothing_leads_through_a_wall") else { return };
    let machine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = machine.local_addr().unwrap().port();
    let parent = bed.create(&walled(&bed, Wall::default())).await;
    bed.engine.start(&parent).await.unwrap();
    let script = format!(
        "for to in 127.0.0.1/{port} 192.0.2.1/80 169.254.169.254/80; do (exec 3<>/dev/tcp/$to) 2>&1 | grep -o \
         'refused\\|unreachable'; done; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; echo proxy=$HTTP_PROXY"
    );
    let said = joined(&bed, &parent, "fox", &script).await;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.dedup();
    assert_eq!(lines, ["refused", "unreachable", "lo", "proxy="], "{said}");
}

#[tokio::test]
async fn who_connects_inside_is_accepted_outside_also_by_the_next_supervisor() {
    let test = "who_connects_inside_is_accepted_outside_also_by_the_next_supervisor";
    let Some(bed) = Bed::local(test) else { return };
    let wall = Wall { listen: vec![3128], proxy: Some(3128), ..Wall::default() };
    let parent = bed.create(&walled(&bed, wall)).await;
    bed.engine.start(&parent).await.unwrap();
    let ask = "exec 3<>/dev/tcp/127.0.0.1/3128; echo ${http_proxy} >&3; read -u 3 answer; echo got $answer";
    let answering = async |engine: &podbay::engine::SharedEngine| {
        let listener = TcpListener::from_std(engine.listen(&parent, 3128).await.unwrap()).unwrap();
        let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut line = [0; 22];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"http://127.0.0.1:3128\n");
        stream.write_all(b"it\n").await.unwrap();
    };
    let (said, ()) = tokio::join!(joined(&bed, &parent, "fox", ask), answering(&bed.engine));
    assert_eq!(said, "got it");
    // The one that accepted is gone; who connects until another one does waits.
    let next = bed.another().unwrap();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        answering(&next).await;
    };
    let (said, ()) = tokio::join!(joined(&bed, &parent, "owl", ask), later);
    assert_eq!(said, "got it");
    // A port that was not named at the beginning.
    bed.engine.listen(&parent, 3001).await.unwrap();
}

#[tokio::test]
async fn published_ports_lead_in() {
    let Some(bed) = Bed::local("published_ports_lead_in") else { return };
    let (same, other) = (free(), free());
    let ip = Some(std::net::IpAddr::from([127, 0, 0, 1]));
    let ports = [(same, same), (other, 80)]
        .map(|(host, container)| PortMapping { ip, host, container, protocol: Protocol::Tcp })
        .to_vec();
    let parent = bed.create(&walled(&bed, Wall { ports: ports.clone(), ..Wall::default() })).await;
    bed.engine.start(&parent).await.unwrap();
    assert_eq!(bed.engine.inspect(&parent).await.unwrap().ports, ports);
    // As if programs listened there.
    for (host, container) in [(same, same), (other, 80)] {
        let Ok(listener) = bed.engine.listen(&parent, container).await else {
            // Not root, and a port that only root may take.
            continue;
        };
        let listener = TcpListener::from_std(listener).unwrap();
        let inside = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"inside").await.unwrap();
        };
        let outside = async {
            let mut stream = TcpStream::connect(("127.0.0.1", host)).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let ((), text) = tokio::time::timeout(PATIENCE, async { tokio::join!(inside, outside) }).await.unwrap();
        assert_eq!(text, "inside");
    }
    // Held as long as it runs, and let go of with it.
    let taken = std::net::TcpListener::bind(("127.0.0.1", same)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    bed.engine.stop(&parent, Duration::from_secs(5)).await.unwrap();
    until("the port is free", async || {
        std::net::TcpListener::bind(("127.0.0.1", same)).map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn who_shares_a_network_gets_no_listener_in_it() {
    let Some(bed) = Bed::local("who_shares_a_network_gets_no_listener_in_it") else { return };
    let mut spec = bed.spec("fox", &["sleep", "infinity"]);
    spec.network = NetworkSpec::Bridge(Vec::new());
    let id = bed.create(&spec).await;
    bed.engine.start(&id).await.unwrap();
    let error = refused(bed.engine.listen(&id, 3128).await);
    assert!(matches!(error, EngineError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn an_engine_without_walls_says_so() {
    let bed = Bed::fake();
    let error = refused(bed.engine.create(&walled(&bed, Wall::default())).await);
    assert!(error.to_string().contains("[network] allow") && error.to_string().contains("local"), "{error}");
    assert!(bed.engine.list(&bed.bay).await.unwrap().is_empty());
}
