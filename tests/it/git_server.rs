//! A real git server over HTTP: `git http-backend` behind a few lines, which can ask for a token, be slow, and count.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What the server was asked, and how it is to answer.
pub struct Desk {
    root: PathBuf,
    /// Asked for as the password of any user.
    token: Option<String>,
    /// How often objects were fetched.
    pub fetches: AtomicUsize,
    /// Fetches wait for ever.
    pub hangs: AtomicBool,
}

/// A server in a thread of its own; it ends with the test.
pub struct GitServer {
    pub desk: Arc<Desk>,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl GitServer {
    /// Serves every repository below `root`.
    pub fn start(root: &Path, token: Option<&str>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let desk = Arc::new(Desk {
            root: root.to_owned(),
            token: token.map(str::to_owned),
            fetches: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(serve).with_state(desk.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { desk, address, runtime }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The same behind TLS: where, and the certificate, which nobody knows yet.
    pub fn secured(&self) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.key_pair.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = self.address;
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not believe the certificate hangs up.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut server = tokio::net::TcpStream::connect(plain).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut server).await);
                });
            }
        });
        (format!("https://localhost:{port}"), made.cert.pem())
    }

    pub fn fetches(&self) -> usize {
        self.desk.fetches.load(Ordering::SeqCst)
    }
}

async fn serve(State(desk): State<Arc<Desk>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    use base64::Engine as _;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if let Some(token) = &desk.token {
        let given = header("authorization");
        let given = given.strip_prefix("Basic ").unwrap_or_default();
        let given = base64::engine::general_purpose::STANDARD.decode(given).unwrap_or_default();
        if !String::from_utf8_lossy(&given).ends_with(&format!(":{token}")) {
            return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"test\"")]).into_response();
        }
    }
    if String::from_utf8_lossy(&body).contains("command=fetch") {
        desk.fetches.fetch_add(1, Ordering::SeqCst);
        if desk.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
    let mut backend = tokio::process::Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", &desk.root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("PATH_INFO", uri.path()).env("QUERY_STRING", uri.query().unwrap_or_default());
    backend.env("REQUEST_METHOD", method.as_str()).env("CONTENT_TYPE", header("content-type"));
    backend.env("HTTP_CONTENT_ENCODING", header("content-encoding")).env("GIT_PROTOCOL", header("git-protocol"));
    backend.env("CONTENT_LENGTH", body.len().to_string()).env("GIT_CONFIG_COUNT", "1");
    backend.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = backend.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.unwrap().stdout;
    let cut = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len().saturating_sub(4));
    let head = String::from_utf8_lossy(&output[..cut]).into_owned();
    let mut response = Response::builder();
    for (key, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match key {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(key, value),
        };
    }
    response.body(axum::body::Body::from(output[cut + 4..].to_vec())).unwrap()
}

/// Runs git on the test's own repositories, as nobody in particular.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(args).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    for (key, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "ann"),
        ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ("GIT_COMMITTER_NAME", "ann"),
        ("GIT_COMMITTER_EMAIL", "ann@example.org"),
    ] {
        git.env(key, value);
    }
    let output = git.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {}: {said}", dir.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A bare repository with one commit on `main` and one more on `feature`.
pub fn repository(root: &Path, path: &str) -> PathBuf {
    let bare = root.join(path);
    std::fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "-q", "--bare", "-b", "main"]);
    let work = tempfile::tempdir().unwrap();
    let at = work.path();
    git(at, &["clone", "-q", bare.to_str().unwrap(), "."]);
    git(at, &["switch", "-q", "-c", "main"]);
    commit(at, "README", "hello\n");
    git(at, &["push", "-q", "origin", "main"]);
    git(at, &["switch", "-q", "-c", "feature"]);
    commit(at, "feature", "new\n");
    git(at, &["push", "-q", "origin", "feature"]);
    bare
}

/// Writes a file and commits it.
pub fn commit(at: &Path, file: &str, content: &str) {
    std::fs::write(at.join(file), content).unwrap();
    git(at, &["add", file]);
    git(at, &["commit", "-q", "-m", file]);
}
