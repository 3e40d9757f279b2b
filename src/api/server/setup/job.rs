//! A setup as somebody's errand: what is kept of it, who is told, and how it ends.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Taken;
use super::kept::{Kept, Underway};
use crate::api::server::App;
use crate::api::server::callback::Callback;
use crate::api::types::{SetupPhase, SetupReport};
use crate::bay::name::Name;

/// One setup.
pub struct Job {
    pub app: App,
    pub name: Name,
    pub underway: Underway,
    pub callback: Option<Callback>,
}

impl Job {
    /// Changes what is kept of it.
    pub async fn keep(&self, change: impl FnOnce(&mut Underway) + Send + 'static) {
        self.keep_all(move |kept| {
            if let Some(underway) = &mut kept.underway {
                change(underway);
            }
        })
        .await;
    }

    async fn keep_all(&self, change: impl FnOnce(&mut Kept) + Send + 'static) {
        let (files, name, turn) = (self.app.setups.files.clone(), self.name.clone(), self.underway.turn.clone());
        let kept = tokio::task::spawn_blocking(move || files.change(&name, &turn, change)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(name = %self.name, %error, "how far a setup is could not be written down");
        }
    }

    /// Whether its repository's image is to be made of it.
    pub fn wants_image(&self) -> bool {
        self.underway.request.build_main_image && !self.underway.request.has_main_image
    }

    /// How far it is, for the history and whoever asked.
    pub async fn tell(&self, status: SetupPhase, message: String) {
        let report = self.report(status, message);
        if let Some(callback) = &self.callback {
            callback.tell(&report).await;
        }
    }

    fn report(&self, status: SetupPhase, message: String) -> SetupReport {
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        self.app.note(Some(self.name.clone()), format!("setup {}{said}", status.as_str()));
        SetupReport {
            container_id: self.underway.container.clone(),
            name: self.name.to_string(),
            status,
            message,
            timestamp: Timestamp::now().as_millisecond(),
        }
    }

    /// Its last word.
    pub async fn end(self, status: SetupPhase, message: String, taken: Taken) {
        let report = self.report(status, message);
        self.say(report, taken).await;
    }

    /// The same, known already.
    pub async fn say(mut self, report: SetupReport, taken: Taken) {
        self.note_last(&report, taken).await;
        if let Some(callback) = self.callback.take() {
            callback.tell(&report).await;
            callback.end().await;
        }
        self.close().await;
    }

    /// The last word is kept before it is said: whoever comes after a kill then only says it again. From here on the
    /// worker may be set up anew.
    pub async fn note_last(&self, report: &SetupReport, taken: Taken) {
        let told = report.clone();
        self.keep(move |underway| {
            underway.told = Some(told);
            underway.marker = None;
            underway.request.env_vars = BTreeMap::new();
            if !underway.request.build_main_image || underway.request.has_main_image {
                underway.request.github_token = None;
            }
        })
        .await;
        drop(taken);
    }

    /// Nothing is left to be done.
    pub async fn close(&self) {
        self.keep_all(|kept| kept.underway = None).await;
    }

    pub fn last_word(&self, done: Result<String, String>) -> SetupReport {
        match done {
            Ok(text) => self.report(SetupPhase::Ready, text),
            Err(why) => self.report(SetupPhase::Failed, why),
        }
    }
}
