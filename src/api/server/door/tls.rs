//! TLS: the certificate and its key as files, as whoever renews them leaves them.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::ApiConfig;
use crate::config::env::Env;

/// A certificate in use. A renewed one is taken with the next connection.
pub struct Certificate {
    files: [PathBuf; 2],
    present: Mutex<(Stamp, TlsAcceptor)>,
}

/// When the two files were written.
type Stamp = [Option<SystemTime>; 2];

impl Certificate {
    /// The configuration's; `None`: it names none.
    ///
    /// # Errors
    /// In words, with the file.
    pub fn of(config: &ApiConfig, env: &Env) -> Result<Option<Self>, String> {
        if config.tls_cert.is_empty() || config.tls_key.is_empty() {
            return Ok(None);
        }
        let files = [PathBuf::from(env.expand(&config.tls_cert)?), PathBuf::from(env.expand(&config.tls_key)?)];
        let present = Mutex::new((stamp(&files), acceptor(&files)?));
        Ok(Some(Self { files, present }))
    }

    /// The handshake.
    ///
    /// # Errors
    /// The client's fault.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self.present();
        acceptor.accept(stream).await
    }

    fn present(&self) -> TlsAcceptor {
        // Held for two looks at files of this machine, never across an await.
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.files);
        if now != present.0 {
            match acceptor(&self.files) {
                Ok(renewed) => *present = (now, renewed),
                // Half-written, perhaps: the old one is good until then.
                Err(why) => tracing::warn!("the renewed certificate is not used: {why}"),
            }
        }
        present.1.clone()
    }
}

fn stamp(files: &[PathBuf; 2]) -> Stamp {
    let written = |file: &PathBuf| std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
    [written(&files[0]), written(&files[1])]
}

fn acceptor([certificate, key]: &[PathBuf; 2]) -> Result<TlsAcceptor, String> {
    let of = |file: &PathBuf, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| of(certificate, &error))?;
    let key_read = PrivateKeyDer::from_pem_file(key).map_err(|error| of(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key_read)
        .map_err(|error| of(certificate, &error))?;
    let mut config = config;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
