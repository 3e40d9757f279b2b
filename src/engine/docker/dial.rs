//! One dialer for every address: a byte stream over a unix socket, TCP, or ssh's stdio.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::endpoint::{Address, Endpoint, SshTarget};
use crate::stream;

/// What ssh says on stderr is kept up to here.
const STDERR_LIMIT: usize = 4096;

/// A connection to the engine.
pub enum Stream {
    /// A socket of this machine.
    Unix(stream::Stream),
    /// Plain TCP.
    Tcp(TcpStream),
    /// ssh's stdio.
    Ssh(Box<SshStream>),
}

/// The stdio of an ssh child, which is ended when this is dropped.
pub struct SshStream {
    // Held for its kill on drop.
    _child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    complaint: Vec<u8>,
    answered: bool,
}

/// Between two tries of a socket whose backlog is full.
const BACKLOG_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Opens a new connection.
///
/// # Errors
/// The system's, with a hint where there is one.
pub async fn dial(endpoint: &Endpoint) -> io::Result<Stream> {
    match &endpoint.address {
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await.and_then(stream::Stream::of) {
                // A full backlog is refused at once, and says nothing of the engine; the caller's deadline ends this.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(BACKLOG_PAUSE).await,
                done => return done.map(Stream::Unix),
            }
        },
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Ssh(target) => ssh(target).map(|stream| Stream::Ssh(Box::new(stream))),
    }
}

/// The argv of the ssh child.
fn ssh_args(target: &SshTarget) -> Vec<String> {
    // Never a question on the user's terminal: it belongs to the dashboard.
    let mut args: Vec<String> =
        ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-T"].iter().map(|arg| (*arg).to_owned()).collect();
    if let Some(port) = target.port {
        args.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = &target.user {
        args.extend(["-l".to_owned(), user.clone()]);
    }
    args.extend(["--".to_owned(), target.host.clone(), "docker".to_owned()]);
    if let Some(socket) = &target.socket {
        args.extend(["--host".to_owned(), format!("unix://{socket}")]);
    }
    args.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    args
}

fn ssh(target: &SshTarget) -> io::Result<SshStream> {
    let mut child = Command::new("ssh")
        .args(ssh_args(target))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C in the dashboard's terminal is not for it.
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("ssh can't be run: {error}")))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let stdout = stdout.ok_or_else(|| io::Error::other("ssh has no stdout"))?;
    let stderr = child.stderr.take();
    Ok(SshStream { _child: child, stdin, stdout, stderr, complaint: Vec::new(), answered: false })
}

impl SshStream {
    /// Takes what ssh complains of, so that it never blocks on a full pipe.
    fn drain_stderr(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(stderr) = &mut self.stderr {
            let mut space = [0u8; 512];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(stderr).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    let room = STDERR_LIMIT.saturating_sub(self.complaint.len());
                    self.complaint.extend(buf.filled().iter().take(room));
                }
                Poll::Ready(_) => self.stderr = None,
            }
        }
        Poll::Ready(())
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let drained = self.drain_stderr(cx);
        let before = buf.filled().len();
        match Pin::new(&mut self.stdout).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                self.answered = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) if !self.answered => {
                // It ended without a word of HTTP: what it said on stderr is the reason.
                if drained.is_pending() {
                    return Poll::Pending;
                }
                let text = String::from_utf8_lossy(&self.complaint);
                let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
                Poll::Ready(Err(io::Error::other(format!("ssh ended: {line}"))))
            }
            other => other,
        }
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Ssh(stream) => stream.poll_out(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Ssh(stream) => match &mut stream.stdin {
                Some(stdin) => Pin::new(stdin).poll_write(cx, bytes),
                None => Poll::Ready(Err(gone())),
            },
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ssh(stream) => match &mut stream.stdin {
                Some(stdin) => Pin::new(stdin).poll_flush(cx),
                None => Poll::Ready(Ok(())),
            },
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ssh(stream) => {
                let Some(stdin) = &mut stream.stdin else { return Poll::Ready(Ok(())) };
                let done = std::task::ready!(Pin::new(stdin).poll_shutdown(cx));
                // Closing the pipe is what the other side notices.
                stream.stdin = None;
                Poll::Ready(done)
            }
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// The dialer in the shape that hyper's pooled client asks for. The URL's host is a stand-in.
#[derive(Clone)]
pub struct Connector(pub std::sync::Arc<Endpoint>);

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let endpoint = self.0.clone();
        Box::pin(async move { dial(&endpoint).await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_gets_its_target_behind_a_double_dash() {
        let target = SshTarget {
            user: Some("ann".into()),
            host: "box".into(),
            port: Some(2222),
            socket: Some("/run/d.sock".into()),
        };
        let args = ssh_args(&target).join(" ");
        let expected = "-o BatchMode=yes -o ConnectTimeout=10 -T -p 2222 -l ann -- box docker --host \
                        unix:///run/d.sock system dial-stdio";
        assert_eq!(args, expected);
    }
}
