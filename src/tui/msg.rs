//! What can happen to the dashboard.

use bytes::Bytes;
use crossterm::event::Event;

use crate::api::client::ClientError;
use crate::api::types::{
    Change, ContainerDetail, Done, Figures, Frame, LogEntry, PortRow, SessionRow, Snapshot, SpawnReply, Verb, Why,
};

use crate::bay::isolation::Isolation;

use super::effect::StreamKey;
use super::model::logs::store::Store;

/// A request's answer.
pub type Answer<T> = Result<T, ClientError>;

/// One thing that happened.
#[derive(Debug)]
pub enum Msg {
    /// Draw for the first time, at this size (columns, rows).
    Start(u16, u16),
    /// A key, a paste, another size.
    Input(Event),
    /// The time that [`Model::next_wake`](super::model::Model::next_wake) named has come.
    Wake,
    /// The system asks us to stop for a while.
    Suspend,
    /// The system asks us to end.
    End,
    /// From the supervisor's feed.
    Feed(FeedMsg),
    /// A verb is done.
    Acted {
        /// On what.
        name: String,
        /// The verb.
        verb: Verb,
        /// How it went.
        result: Answer<Done>,
    },
    /// Weaker walls were allowed.
    Allowed {
        /// Which.
        level: Isolation,
        /// How it went.
        result: Answer<Done>,
    },
    /// A worker is there, or not.
    Spawned(Answer<SpawnReply>),
    /// A name outside of the bay was answered, or not.
    NameAnswered {
        /// Which.
        name: String,
        /// How it went.
        result: Answer<Done>,
    },
    /// A pool was scaled, or not.
    PoolScaled {
        /// Whose pool.
        template: String,
        /// How it went.
        result: Answer<Done>,
    },
    /// Why it is so.
    Why {
        /// Of what.
        name: String,
        /// The answer.
        result: Answer<Why>,
    },
    /// What it all uses, or not.
    Figures(Answer<Figures>),
    /// What leads where, or not.
    Ports(Answer<Vec<PortRow>>),
    /// The engine's words.
    Inspected {
        /// Of what.
        name: String,
        /// The answer.
        result: Answer<Box<ContainerDetail>>,
    },
    /// From a log.
    Logs {
        /// The stream.
        key: StreamKey,
        /// What came.
        msg: LogsMsg,
    },
    /// Lines were written to a file, in words; or why not.
    Saved(Result<String, String>),
    /// From a terminal.
    Terminal {
        /// The stream.
        key: StreamKey,
        /// What came.
        msg: TerminalMsg,
    },
    /// One more shell, or not.
    SessionOpened {
        /// In which container.
        name: String,
        /// The answer.
        result: Answer<SessionRow>,
    },
    /// A shell has been ended, or not.
    SessionClosed(Answer<Done>),
    /// So many characters were given to the terminal's clipboard; or why not.
    Copied(Result<usize, String>),
}

/// From the supervisor's feed.
#[derive(Debug)]
pub enum FeedMsg {
    /// All.
    Snapshot(Box<Snapshot>),
    /// What changed.
    Change(Box<Change>),
    /// The feed is cut, for this reason.
    Lost(String),
}

/// From a log.
#[derive(Debug)]
pub enum LogsMsg {
    /// More lines, and the id of the newest one.
    Lines(Vec<LogEntry>, Option<String>),
    /// Of the whole log, so many lines were read so far.
    Counted(usize),
    /// The whole log.
    Whole(Box<Store>),
    /// No more will come.
    Ended,
    /// The stream is cut, for this reason.
    Lost(String),
}

/// From a terminal.
#[derive(Debug)]
pub enum TerminalMsg {
    /// The program's bytes.
    Bytes(Bytes),
    /// A control frame.
    Frame(Frame),
    /// The stream is cut, for this reason.
    Lost(String),
    /// The program does not read: these bytes were not taken.
    Full,
}
