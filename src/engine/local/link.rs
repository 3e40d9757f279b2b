//! The engine's end of a shim: starting one, asking it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::place::{self, Place};
use super::shim::{Adopted, Birth, Word};
use super::wire::{Answer, Ask, MOST, line, read, receive};
use super::zygote::Zygote;

/// How long a shim may take to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// How long one that has its lock may take to listen, or to let go of it.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two looks, meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// Asks the shim of a container; `None`: it has none.
///
/// # Errors
/// The connection's.
pub async fn ask(place: &Place, ask: &Ask) -> io::Result<Option<(UnixStream, Answer, Vec<OwnedFd>)>> {
    let Some(mut stream) = connect(place).await? else { return Ok(None) };
    stream.write_all(&line(ask)?).await?;
    let (answer, fds) = answer(&stream).await?;
    Ok(Some((stream, answer, fds)))
}

/// A connection; `None`: nobody is there, and nobody has the lock.
async fn connect(place: &Place) -> io::Result<Option<UnixStream>> {
    let begun = Instant::now();
    loop {
        let error = match place.at_socket(|path| StdStream::connect(path)) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return UnixStream::from_std(stream).map(Some);
            }
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock) {
            return Err(error);
        }
        if !place.lock().exists() || place::lock(&place.lock())?.is_some() {
            return Ok(None);
        }
        // It begins or ends at this moment.
        if begun.elapsed() > SETTLE {
            return Err(error);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One line, not a byte more: what follows may be a terminal's.
async fn answer(stream: &UnixStream) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let (mut bytes, mut beside) = (Vec::new(), Vec::new());
    loop {
        stream.readable().await?;
        let mut byte = [0];
        match stream.try_io(Interest::READABLE, || receive(stream, &mut byte)) {
            Ok((0, _)) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok((_, fds)) => {
                beside.extend(fds);
                if byte == *b"\n" {
                    return Ok((read(&bytes)?, beside));
                }
                bytes.extend(byte);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > MOST {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

/// How a shim is started.
#[derive(Debug)]
pub struct Launch {
    /// The program whose hidden verb the zygote is.
    program: PathBuf,
    /// Where containers lie.
    state: PathBuf,
    /// Whether the user is root: then all users of the machine have their numbers inside.
    pub root: bool,
    /// User and group of this process.
    pub own: (u32, u32),
    /// What they are forked from, as soon as there was one.
    zygote: Mutex<Option<Arc<Zygote>>>,
}

impl Launch {
    /// Of this program, for the containers below `state`, as this user.
    #[must_use]
    pub fn new(program: PathBuf, state: PathBuf, own: (u32, u32)) -> Self {
        Self { program, state, root: own.0 == 0, own, zygote: Mutex::default() }
    }

    /// The zygote that there is; a new one where there is none, or where it has ended.
    async fn zygote(&self) -> io::Result<Arc<Zygote>> {
        let mut held = self.zygote.lock().await;
        match held.as_ref().filter(|zygote| !zygote.is_gone()) {
            Some(zygote) => Ok(zygote.clone()),
            None => Ok(held.insert(Arc::new(Zygote::begin(&self.program, &self.state)?)).clone()),
        }
    }

    /// Starts a shim and waits until it listens; one that is there already is as good. It leads a session of its own, and
    /// lives on when this process ends.
    ///
    /// # Errors
    /// In words.
    pub async fn start(&self, place: &Place, birth: &Birth) -> Result<(), String> {
        let told = |error: io::Error| format!("its shim can't be started: {error}");
        let errors = File::create(place.errors()).map_err(told)?;
        let mut begun = self.fork(place, birth, &errors).await;
        if begun.as_ref().is_ok_and(Option::is_none) && self.zygote().await.is_ok() {
            // The zygote was killed in that moment.
            begun = self.fork(place, birth, &errors).await;
        }
        match begun.map_err(told)? {
            Some(Word::Ready | Word::Held) => Ok(()),
            Some(Word::Refused(why)) => Err(why),
            Some(Word::Map(_)) => Err("its shim repeats itself".to_owned()),
            None => {
                let said = std::fs::read_to_string(place.errors()).unwrap_or_default();
                Err(format!("its shim ended before it began: {}", said.lines().last().unwrap_or("it said nothing")))
            }
        }
    }

    /// Has a shim made whose container is not known yet, in the directory where that is being made.
    ///
    /// # Errors
    /// In words.
    pub async fn ahead(&self, fresh: &Place, birth: &Birth) -> Result<StdStream, String> {
        let told = |error: io::Error| error.to_string();
        let errors = File::create(fresh.errors()).map_err(told)?;
        match self.fork_one(fresh, birth, &errors).await.map_err(told)? {
            Some((Word::Ready, stream)) => stream.into_std().map_err(told),
            Some((Word::Refused(why), _)) => Err(why),
            _ => Err("it ended before it began".to_owned()),
        }
    }

    /// What a new shim says; `None`: nothing, it has ended.
    async fn fork(&self, place: &Place, birth: &Birth, errors: &File) -> io::Result<Option<Word>> {
        Ok(self.fork_one(place, birth, errors).await?.map(|(word, _)| word))
    }

    /// The same, and the way to it.
    async fn fork_one(&self, place: &Place, birth: &Birth, errors: &File) -> io::Result<Option<(Word, UnixStream)>> {
        let (near, far) = StdStream::pair()?;
        near.set_nonblocking(true)?;
        let zygote = self.zygote().await?;
        match zygote.fork(place, far.as_fd(), errors.as_fd()).await {
            Err(error) if is_end(&error) => return Ok(None),
            asked => asked?,
        }
        drop(far);
        let near = UnixStream::from_std(near)?;
        let late = || io::Error::new(ErrorKind::TimedOut, format!("it does not begin within {}s", BEGIN.as_secs()));
        match timeout(BEGIN, self.midwife(near, birth)).await.unwrap_or_else(|_| Err(late())) {
            Err(error) if is_end(&error) => Ok(None),
            said => said.map(Some),
        }
    }

    async fn midwife(&self, near: UnixStream, birth: &Birth) -> io::Result<(Word, UnixStream)> {
        let mut lines = BufReader::new(near);
        lines.write_all(&line(birth)?).await?;
        loop {
            match word(&mut lines).await? {
                Word::Map(pid) => {
                    if let Err(error) = self.map(Path::new(&format!("/proc/{pid}"))) {
                        let why = format!("its user can't be given a number: {error}");
                        return Ok((Word::Refused(why), lines.into_inner()));
                    }
                    lines.write_all(b"\n").await?;
                }
                // It says no more until it is asked.
                word => return Ok((word, lines.into_inner())),
            }
        }
    }

    /// Gives the users of a new user namespace their numbers: the same as outside.
    fn map(&self, process: &Path) -> io::Result<()> {
        let (uid, gid) = self.own;
        let (users, groups) = if self.root {
            // Those that there are here: in a container, root has not all of the machine's.
            let own = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).map(|text| same(&text));
            (own("uid_map")?, own("gid_map")?)
        } else {
            // The kernel's condition for who maps his own group.
            std::fs::write(process.join("setgroups"), "deny")?;
            (format!("{uid} {uid} 1"), format!("{gid} {gid} 1"))
        };
        std::fs::write(process.join("uid_map"), users)?;
        std::fs::write(process.join("gid_map"), groups)
    }
}

/// The next word of a shim.
async fn word(lines: &mut BufReader<UnixStream>) -> io::Result<Word> {
    let mut text = Vec::new();
    lines.take(MOST as u64).read_until(b'\n', &mut text).await?;
    if text.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    read(&text)
}

/// A shim that was made ahead is told whose it is.
///
/// # Errors
/// The connection's: it has ended.
pub fn adopt(mut stream: &StdStream, place: &Place) -> io::Result<()> {
    // The first that is said there: there is room for it.
    io::Write::write_all(&mut stream, &line(&Adopted(place.dir().to_owned()))?)
}

/// Whether it has taken that.
///
/// # Errors
/// The connection's: it has ended.
pub async fn adopted(stream: StdStream) -> io::Result<Word> {
    let mut lines = BufReader::new(UnixStream::from_std(stream)?);
    timeout(BEGIN, word(&mut lines)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// One that nobody wants: told so, and waited for, so that nothing of it is left afterwards.
pub async fn dismiss(stream: StdStream) {
    let Ok(mut stream) = UnixStream::from_std(stream) else { return };
    let gone = async {
        // One that is gone already says the same.
        let _ = stream.shutdown().await;
        while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
    };
    drop(timeout(SETTLE, gone).await);
}

/// Whether a process has another network than this one.
pub fn differs(pid: u32) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
    of(&pid.to_string()) != of("self")
}

/// Whether who was to answer has ended; with something unread, it resets the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// A map of all that is mapped here, to the same numbers.
fn same(map: &str) -> String {
    let lines = map.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (inside, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(same("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(same("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
