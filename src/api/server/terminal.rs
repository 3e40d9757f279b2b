//! Terminals over WebSocket: binary frames are the program's bytes, text frames are [`Frame`]s.

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::extract::{Asked, Segment, Upgrade};
use super::{ApiError, App, service_terminal};
use crate::api::types::{Frame, ServiceRow};
use crate::bay::name::Name;
use crate::bay::session::{SessionId, TermSize};
use crate::service::protocol::Place;
use crate::supervisor::session::{Attachment, Pace, Sent, Typed};

/// A message of a client is at most this long.
const MESSAGE: usize = 1 << 20;
/// Room for what is read at once, which the library clears for each key: what somebody types is short.
const READ: usize = 4 << 10;

/// `?rows=24&cols=80&frames=true`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LookQuery {
    rows: u16,
    cols: u16,
    frames: bool,
}

impl LookQuery {
    const fn pace(&self) -> Pace {
        if self.frames { Pace::Frames } else { Pace::Bytes }
    }
}

/// The main tty of a container.
pub async fn main(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Asked(look): Asked<LookQuery>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, ApiError> {
    app.first_look().await;
    if let Some(service) = app.native_service(&id) {
        return of_service(&app, &service, &look, upgrade).await;
    }
    let row = app.row(&id)?;
    super::actions::not_warm(&row)?;
    let session = app.handle.sessions.main_of(&row.name).ok_or_else(|| {
        ApiError::new(
            "refused",
            format!(
                "{} has no terminal that is open: {}",
                row.name,
                row.reason.unwrap_or_else(|| "it has no tty".to_owned())
            ),
        )
    })?;
    attach(&app, session, &look, upgrade).await
}

async fn of_service(
    app: &App,
    service: &ServiceRow,
    look: &LookQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let refused = |why: &str| ApiError::new("refused", format!("{} has no terminal: {why}", service.name));
    if !service.tty {
        return Err(refused("it does not run, or the configuration gives it none (tty = true)"));
    }
    let name: Name = service.name.parse().map_err(|_| refused("its name can't be read"))?;
    let paths = &app.handle.paths;
    let place = Place { dir: paths.service(&name), socket: paths.service_socket(&name) };
    let attachment = service_terminal::attach(place, TermSize::new(look.rows, look.cols), look.pace()).await;
    let attachment = attachment.ok_or_else(|| refused("its shim does not answer"))?;
    let (ending, place) = (app.handle.ending.clone(), app.stream()?);
    let upgrade = upgrade.max_message_size(MESSAGE).read_buffer_size(READ);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _place = place;
        carry(socket, attachment, ending).await;
    }))
}

/// Any session.
pub async fn session(
    State(app): State<App>,
    Segment(id): Segment<u64>,
    Asked(look): Asked<LookQuery>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, ApiError> {
    attach(&app, SessionId(id), &look, upgrade).await
}

async fn attach(app: &App, id: SessionId, look: &LookQuery, upgrade: WebSocketUpgrade) -> Result<Response, ApiError> {
    let size = TermSize::new(look.rows, look.cols);
    let attachment = app
        .handle
        .sessions
        .attach(id, size, look.pace())
        .await
        .ok_or_else(|| ApiError::new("not-found", format!("there is no session {id}")))?;
    let (ending, place) = (app.handle.ending.clone(), app.stream()?);
    let upgrade = upgrade.max_message_size(MESSAGE).read_buffer_size(READ);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _place = place;
        carry(socket, attachment, ending).await;
    }))
}

async fn carry(socket: WebSocket, attachment: Attachment, ending: CancellationToken) {
    let (mut to_client, mut from_client) = socket.split();
    let Attachment { mut output, input } = attachment;
    let typing = async {
        while let Some(Ok(message)) = from_client.next().await {
            let typed = match message {
                Message::Binary(bytes) => Typed::Bytes(bytes),
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(Frame::Resize { rows, cols }) => Typed::Size(TermSize::new(rows, cols)),
                    // Not understood: a later client's word, or nonsense. Neither harms.
                    _ => continue,
                },
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if input.send(typed).await.is_err() {
                break;
            }
        }
    };
    let showing = async {
        while let Some(sent) = output.recv().await {
            if show(&mut to_client, sent).await.is_err() {
                break;
            }
        }
        // The client may have gone already.
        drop(to_client.close().await);
    };
    // A session that ended says so, and its client leaves; a client that is gone ends the rest.
    tokio::select! {
        () = typing => {}
        () = showing => {}
        () = ending.cancelled() => {}
    }
}

async fn show(to_client: &mut SplitSink<WebSocket, Message>, sent: Sent) -> Result<(), axum::Error> {
    match sent {
        Sent::Reset(TermSize { rows, cols }, bytes) => {
            to_client.send(text(&Frame::Reset { rows, cols })).await?;
            to_client.send(Message::Binary(bytes)).await
        }
        Sent::Live(bytes) => to_client.send(Message::Binary(bytes)).await,
        Sent::Size(TermSize { rows, cols }) => to_client.send(text(&Frame::Size { rows, cols })).await,
        Sent::Ended { reason, code } => to_client.send(text(&Frame::Ended { reason, code })).await,
    }
}

pub(super) fn text(frame: &Frame) -> Message {
    Message::Text(serde_json::to_string(frame).unwrap_or_default().into())
}

pub(super) const fn binary(bytes: Bytes) -> Message {
    Message::Binary(bytes)
}
