//! Alerts that begin and end are told to whoever the configuration names.

use std::sync::Arc;

use jiff::Timestamp;

use super::App;
use super::callback::{self, Callback, GivenUp};
use crate::api::types::{AlertReport, AlertRow};

/// Tells each change of what fires, for as long as the supervisor runs. What can't be told is said in the history, where
/// the alert itself is, too.
pub(super) async fn keep(app: App) {
    let mut view = app.handle.view.clone();
    let mut known: Vec<AlertRow> = Vec::new();
    let mut receiver: Option<(String, Callback)> = None;
    loop {
        let changed = tokio::select! {
            changed = view.changed() => changed.is_ok(),
            () = app.handle.ending.cancelled() => false,
        };
        if !changed {
            return;
        }
        let now = view.borrow_and_update().status.alerts.clone();
        let reports = changes(&known, &now);
        known = now;
        if reports.is_empty() {
            continue;
        }
        let url = app.handle.config.borrow().api.alert_url.clone();
        if url.is_empty() {
            receiver = None;
            continue;
        }
        if receiver.as_ref().is_none_or(|(of, _)| *of != url) {
            receiver = begin(&app, &url).await.map(|callback| (url.clone(), callback));
        }
        if let Some((_, callback)) = &receiver {
            for report in reports {
                callback.tell(&report).await;
            }
        }
    }
}

async fn begin(app: &App, url: &str) -> Option<Callback> {
    let config = app.handle.config.borrow().clone();
    let target = tokio::select! {
        target = callback::found(url, &config.api.callback_hosts) => target,
        () = app.handle.ending.cancelled() => return None,
    };
    let secret = crate::workspace::alert_secret(&app.handle.paths, &config.api.alert_secret);
    let ready = target.map_err(|why| why.to_string());
    let ready = ready.and_then(|target| Ok((target, secret.map_err(|why| why.to_string())?)));
    let (target, secret) = match ready {
        Ok(ready) => ready,
        Err(why) => {
            tracing::error!("alerts are told to nobody: {why}");
            app.note(None, format!("alerts are told to nobody: {why}"));
            return None;
        }
    };
    let told = app.clone();
    let given_up: GivenUp = Arc::new(move |text| {
        tracing::error!("an alert's {text}");
        told.note(None, format!("an alert's {text}"));
    });
    Some(Callback::begin(target, secret, given_up, app.handle.ending.clone()))
}

/// What begins and what is over.
fn changes(before: &[AlertRow], now: &[AlertRow]) -> Vec<AlertReport> {
    let same = |one: &AlertRow, other: &AlertRow| (&one.name, &one.subject) == (&other.name, &other.subject);
    let begun = now.iter().filter(|alert| !before.iter().any(|known| same(known, alert))).map(|alert| (alert, true));
    let over = before.iter().filter(|alert| !now.iter().any(|known| same(known, alert))).map(|alert| (alert, false));
    let timestamp = Timestamp::now().as_millisecond();
    let report = |(alert, firing): (&AlertRow, bool)| AlertReport { alert: alert.clone(), firing, timestamp };
    begun.chain(over).map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(name: &str, subject: &str) -> AlertRow {
        AlertRow {
            name: name.to_owned(),
            severity: "warning".to_owned(),
            subject: subject.to_owned(),
            summary: String::new(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_alert_is_told_when_it_begins_and_when_it_is_over() {
        let (brain, web) = (alert("Down", "brain"), alert("Down", "web"));
        let told = |before: &[AlertRow], now: &[AlertRow]| -> Vec<(String, bool)> {
            changes(before, now).into_iter().map(|report| (report.alert.subject, report.firing)).collect()
        };
        let later = AlertRow { since: Timestamp::now(), ..brain.clone() };
        assert_eq!(told(&[], std::slice::from_ref(&brain)), [("brain".to_owned(), true)]);
        assert_eq!(told(std::slice::from_ref(&brain), &[later]), []);
        assert_eq!(told(&[brain], &[web]), [("web".to_owned(), true), ("brain".to_owned(), false)]);
    }
}
