//! One report on its way: one connection to an address that was checked, one answer, nothing followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::Target;

/// For all of it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why a report did not arrive.
#[derive(Debug)]
pub struct Failure {
    /// In words.
    pub text: String,
    /// Another try would end the same.
    pub is_final: bool,
}

impl Failure {
    fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_final: false }
    }
}

/// Sends a report.
pub async fn post(target: &Target, headers: &[(&'static str, String)], body: &[u8]) -> Result<(), Failure> {
    let sending = send(target, headers, body);
    let status = tokio::time::timeout(DEADLINE, sending).await;
    let status = status.map_err(|_| Failure::passing(format!("no answer within {}s", DEADLINE.as_secs())))??;
    if status.is_success() {
        return Ok(());
    }
    // A redirect leads somewhere that nobody has checked.
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    Err(Failure { text: format!("it answered {status}"), is_final: !passing })
}

async fn send(target: &Target, headers: &[(&'static str, String)], body: &[u8]) -> Result<StatusCode, Failure> {
    let stream = TcpStream::connect(&*target.addresses).await;
    let stream = stream.map_err(|error| Failure::passing(error.to_string()))?;
    if !target.receiver.tls {
        return exchange(stream, target, headers, body).await;
    }
    let name = ServerName::try_from(target.receiver.host.clone())
        .map_err(|_| Failure::passing("its name can't be checked"))?;
    let connector = TlsConnector::from(Arc::new(trust().await?));
    let stream = connector.connect(name, stream).await;
    exchange(stream.map_err(|error| Failure::passing(error.to_string()))?, target, headers, body).await
}

/// What this machine trusts.
async fn trust() -> Result<ClientConfig, Failure> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|error| Failure::passing(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Failure::passing("this machine trusts no certificates: install ca-certificates"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::passing(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    target: &Target,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> Result<StatusCode, Failure> {
    let broken = |error: hyper::Error| Failure::passing(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this exchange: of the answer's body nothing is read.
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&target.receiver.path)
        .header(HOST, &target.receiver.authority)
        .header(USER_AGENT, "podbay")
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body)));
    let request = request.map_err(|error| Failure { text: error.to_string(), is_final: true })?;
    sender.send_request(request).await.map(|answer| answer.status()).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::receiver::Receiver;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn s15_a_report_goes_where_its_name_led_whatever_that_leads_to_by_now() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A name that nobody finds: it is not looked for again.
        let host = "receiver.invalid".to_owned();
        let receiver = Receiver { authority: host.clone(), host, port: 1, path: "/x?y".to_owned(), tls: false };
        let target = Target { receiver, addresses: vec![listener.local_addr().unwrap()] };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut came = Vec::new();
            while !came.ends_with(b"{}") {
                assert!(stream.read_buf(&mut came).await.unwrap() > 0, "{came:?}");
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(came).unwrap()
        };
        let (sent, came) = tokio::join!(post(&target, &[], b"{}"), answering);
        sent.unwrap();
        assert!(came.starts_with("POST /x?y HTTP/1.1\r\n") && came.contains("host: receiver.invalid\r\n"), "{came}");
    }
}
