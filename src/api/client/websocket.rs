//! The web sockets of terminals: two bounded channels, and tasks that fill and empty them.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Method};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::http::{Call, broken, open as open_call};
use super::{Answer, Client, ClientError, Terminal, TerminalMessage};
use crate::api::types::ExecRequest;

/// Messages between a terminal's user and its socket, each way. When it is full the socket is not read (or the sender
/// waits), and the socket's own back-pressure holds the other side.
const QUEUED: usize = 64;
/// The largest message: a snapshot of a large screen with its scrollback.
const MESSAGE_MAX: usize = 16 << 20;
/// Room for what is read at once, which the library clears for each echo of a key.
const READ: usize = 16 << 10;
/// What the last messages are given once the terminal is let go.
const PARTING: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn open(client: &Client, path: &str) -> Answer<Terminal> {
    open_with(client, path, None).await
}

/// Opens, and sends `first` as the first text frame.
pub(super) async fn open_with(client: &Client, path: &str, first: Option<&ExecRequest>) -> Answer<Terminal> {
    let (socket, connection) = upgrade(client, path).await?;
    let (sink, source) = socket.split();
    let (to_user, incoming) = mpsc::channel(QUEUED);
    let (outgoing, from_user) = mpsc::channel(QUEUED);
    let first = match first {
        Some(request) => {
            let json = serde_json::to_string(request).map_err(|error| ClientError::Broken(error.to_string()))?;
            Some(Message::text(json))
        }
        None => None,
    };
    tokio::spawn(async move {
        let over = CancellationToken::new();
        let receiving = async {
            receive(source, to_user).await;
            over.cancel();
        };
        let sending = async {
            let mut sink = sink;
            send(&mut sink, first, from_user, &over).await;
            // The close frame is courtesy: the connection ends either way.
            let _ = tokio::time::timeout(PARTING, sink.close()).await;
        };
        tokio::join!(receiving, sending);
        drop(connection);
    });
    Ok(Terminal { incoming, outgoing })
}

/// The upgrade is done by hand over the same request as every other, so that a refusal is read whole, with its hint.
async fn upgrade(client: &Client, path: &str) -> Answer<(Socket, AbortOnDropHandle<()>)> {
    let key = generate_key();
    let mut call = Call::new(Method::GET, path, client.patience.answer);
    call.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    call.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    call.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    let key_value = HeaderValue::from_str(&key).map_err(|error| ClientError::Broken(error.to_string()))?;
    call.headers.insert(SEC_WEBSOCKET_KEY, key_value);
    let answer = open_call(client, call).await?;
    let accept = answer.response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(ClientError::Broken(format!("{path} is not a WebSocket")));
    }
    let (response, connection) = answer.into_upgrade();
    let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let config = config.read_buffer_size(READ);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    Ok((socket, connection))
}

/// Ends with the connection, or when the user lets go of what comes in.
async fn receive(mut source: SplitStream<Socket>, to_user: mpsc::Sender<TerminalMessage>) {
    loop {
        let message = tokio::select! {
            message = source.next() => message,
            () = to_user.closed() => return,
        };
        let message = match message {
            Some(Ok(Message::Binary(bytes))) => TerminalMessage::Bytes(bytes),
            // A frame that a newer server invents is passed over; so is what is no frame at all.
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(frame) => TerminalMessage::Frame(frame),
                Err(_) => continue,
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(_)) => continue,
        };
        if to_user.send(message).await.is_err() {
            return;
        }
    }
}

/// Sends what the user does. Once it is over, what is queued still goes out, for a moment: the last keys before a
/// detach are meant.
async fn send(
    sink: &mut SplitSink<Socket, Message>,
    first: Option<Message>,
    mut from_user: mpsc::Receiver<TerminalMessage>,
    over: &CancellationToken,
) {
    let parting = async {
        over.cancelled().await;
        tokio::time::sleep(PARTING).await;
    };
    let work = async {
        if let Some(first) = first
            && sink.send(first).await.is_err()
        {
            return;
        }
        loop {
            let message = tokio::select! {
                biased;
                message = from_user.recv() => message,
                () = over.cancelled() => return,
            };
            let message = match message {
                None => return,
                Some(TerminalMessage::Bytes(bytes)) => Message::Binary(bytes),
                Some(TerminalMessage::Frame(frame)) => match serde_json::to_string(&frame) {
                    Ok(json) => Message::text(json),
                    Err(_) => continue,
                },
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = parting => {}
    }
}
