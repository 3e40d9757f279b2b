//! The API over TCP: only where the configuration says so, only with the token, from other machines only over TLS.
//!
//! Owns the listener, the token and every limit on a connection. It adds no route of its own: what the unix socket
//! answers is answered here too, to who may ask. A client that is slow, silent or gone is let go.

mod address;
mod guard;
mod line;
mod serve;
mod tls;
mod token;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::App;
use super::requests::Counted;
use crate::bay::backoff::Backoff;
use crate::config::ApiConfig;
use crate::config::env::Env;
use crate::config::paths::Paths;
use crate::supervisor::event::Command;

pub(super) use guard::Guard;
pub(super) use token::Tokens;

/// The token's file where the configuration names none.
const TOKEN: &str = "api-token";
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Where the token is.
///
/// # Errors
/// A variable in the path that is not set.
pub(super) fn token_file(config: &ApiConfig, paths: &Paths, env: &Env) -> Result<PathBuf, String> {
    if config.token_file.is_empty() {
        return Ok(paths.state.join(TOKEN));
    }
    env.expand(&config.token_file).map(PathBuf::from)
}

/// Listens for as long as the supervisor runs. What keeps it from that is a trouble of the bay, and tried again: a port
/// may come free, a file be mended.
pub(super) async fn keep(app: App, routes: Counted) {
    let config = app.handle.config.borrow().api.clone();
    let Some(address) = config.listen else { return };
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        match open(&app, &config, address).await {
            Ok(door) => {
                tell(&app, None).await;
                tracing::info!(%address, tls = door.tls.is_some(), "the API listens");
                return door.serve(routes, &app.handle.ending).await;
            }
            Err(why) => {
                tracing::warn!(%address, "the API does not listen: {why}");
                tell(&app, Some(format!("the API does not listen on {address}: {why}"))).await;
            }
        }
        let wait = backoff.fail(u64::from(std::process::id()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = app.handle.ending.cancelled() => return,
        }
    }
}

/// What stands in the way, for all to see.
async fn tell(app: &App, trouble: Option<String>) {
    // Refused only by a supervisor that ends.
    drop(app.ask(Command::Listens(trouble)).await);
}

/// A listener with all that it needs.
struct Door {
    listener: TcpListener,
    guard: Arc<Guard>,
    tls: Option<Arc<tls::Certificate>>,
}

async fn open(app: &App, config: &ApiConfig, address: SocketAddr) -> Result<Door, String> {
    let tls = tls::Certificate::of(config, &app.handle.env)?.map(Arc::new);
    // Checked with the configuration, too; here because everything hangs on it.
    if !address.ip().is_loopback() && tls.is_none() {
        return Err("other machines reach it, and it has no TLS: name tls_cert and tls_key".to_owned());
    }
    let tokens = app.tokens.clone();
    let ready = tokio::task::spawn_blocking(move || tokens.ready()).await;
    ready.map_err(|error| error.to_string())??;
    let listener = bind(address).map_err(|error| why_not(&error, address))?;
    let guard = Arc::new(Guard::new(app, address, &config.hosts));
    Ok(Door { listener, guard, tls })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A supervisor that follows another finds the address at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn why_not(error: &io::Error, address: SocketAddr) -> String {
    let holder = (error.kind() == io::ErrorKind::AddrInUse)
        .then(|| crate::engine::port_holder(address.port()))
        .flatten()
        .map(|holder| format!(", held by {holder}"));
    format!("{error}{}", holder.unwrap_or_default())
}
