use std::fs::File;

use tokio::net::UnixListener;

use super::*;
use crate::service::process::ProcessId;
use crate::service::protocol::{Order, RunState};

/// A service's directory, and what stands there for its shim.
struct Bed {
    _folder: tempfile::TempDir,
    place: Place,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { dir: folder.path().to_owned(), socket: folder.path().join("s") };
        Self { _folder: folder, place }
    }

    fn lock(&self) -> File {
        let file = File::create(self.place.shim_lock()).unwrap();
        file.lock().unwrap();
        file
    }

    /// A shim that says this to everybody, and gives back what it is told first.
    fn shim(&self, says: &str) -> tokio::task::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(&self.place.socket).unwrap();
        let says = format!("{says}\n");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reading, mut writing) = stream.into_split();
            writing.write_all(says.as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reading).lines();
            let mut heard = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                heard.push(line);
            }
            heard
        })
    }

    async fn mute(&self) -> String {
        match Link::connect(&self.place).await {
            Err(ServiceError::Mute(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_shim_is_dead_when_nobody_listens_and_its_lock_is_free() {
    let bed = Bed::new();
    assert!(Link::connect(&bed.place).await.unwrap().is_none(), "there never was one");
    drop(bed.lock());
    drop(UnixListener::bind(&bed.place.socket).unwrap());
    assert!(Link::connect(&bed.place).await.unwrap().is_none(), "a socket that was left");
}

#[tokio::test]
async fn h16_a_shim_that_has_its_lock_lives_whatever_its_socket_says() {
    let bed = Bed::new();
    let _lock = bed.lock();
    assert!(bed.mute().await.contains("it has its lock, and can't be reached"), "no socket");
    drop(UnixListener::bind(&bed.place.socket).unwrap());
    assert!(bed.mute().await.contains("it has its lock, and can't be reached"), "a socket that was left");
    // Nothing is put in its place.
    let opened = Link::open(&bed.place, Path::new("/no/such/program"), "bay/web").await;
    assert!(matches!(opened, Err(ServiceError::Mute(_))), "{opened:?}");
}

#[tokio::test]
async fn h16_a_shim_that_is_stopped_or_busy_is_not_dead() {
    let bed = Bed::new();
    let listener = UnixListener::bind(&bed.place.socket).unwrap();
    assert!(bed.mute().await.contains("does not answer within"));
    // Its queue is full: nobody takes the connections.
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(100), UnixStream::connect(&bed.place.socket)).await {
        waiting.push(stream);
    }
    assert!(bed.mute().await.contains("can't be reached"), "{} connections wait", waiting.len());
    drop(listener);
}

#[tokio::test]
async fn a_later_shim_is_understood_as_far_as_it_says_what_is_known() {
    let bed = Bed::new();
    let status =
        r#"{"version":2,"boot":"b","shim":{"pid":7,"start":8,"cell":1},"state":"running","run":3,"colour":"red"}"#;
    let shim = bed.shim(status);
    let (mut link, status) = Link::connect(&bed.place).await.unwrap().unwrap();
    assert_eq!((status.version, status.state, status.run), (2, RunState::Running, 3));
    assert_eq!((status.shim, status.ready_log), (ProcessId { pid: 7, start: 8 }, false));
    link.tell(&Told::new(5, Order::Stop)).await.unwrap();
    drop(link);
    let heard = shim.await.unwrap();
    assert_eq!(heard, [r#"{"version":1,"ask":"control"}"#, r#"{"id":5,"order":"stop"}"#]);
}

#[tokio::test]
async fn a_shim_that_can_not_be_spoken_with_is_left_alone_with_a_word() {
    let bed = Bed::new();
    let shim = bed.shim(r#"{"version":9,"shim":{"pid":77,"start":1},"state":"napping"}"#);
    let why = bed.mute().await;
    assert!(why.contains("pid 77, protocol 9; this one speaks 1") && why.contains("`kill 77`"), "{why}");
    shim.await.unwrap();
    let bed = Bed::new();
    drop(bed.shim("good morning"));
    assert!(bed.mute().await.contains("can't be read"));
}

#[tokio::test]
async fn a_shim_that_hangs_up_is_not_dead() {
    let bed = Bed::new();
    let listener = UnixListener::bind(&bed.place.socket).unwrap();
    let _shim = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert!(bed.mute().await.contains("hangs up"));
}

#[test]
fn the_program_of_this_process_is_there() {
    assert!(own_program().exists());
}
