//! Setups that a supervisor left half done: gone on with by the next, or said to have failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::job::Job;
use super::kept::{Kept, Underway};
use super::work::Work;
use super::{Taken, checked, source};
use crate::api::server::callback::{self, Callback};
use crate::api::server::{ApiError, App};
use crate::api::types::{LinkState, SetupPhase};
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::engine::SharedEngine;

/// So many supervisors try: one that is ended by a setup each time must not begin it for ever.
const TRIES: u32 = 3;
/// Nobody waits for longer.
const LATEST: SignedDuration = SignedDuration::from_hours(1);
/// A worker has so long to be there and to run: after a reboot the supervisor first has to start it.
const COMES: Duration = Duration::from_mins(1);
/// One that no look at the engine has shown has gone with its container.
const SHOWN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Takes up all that was left.
pub async fn resume(app: App) {
    let files = app.setups.files.clone();
    let Ok(all) = tokio::task::spawn_blocking(move || files.all()).await else { return };
    for (name, kept) in all {
        let Kept { opens, underway, .. } = kept;
        if let Some((container, digest)) = opens {
            app.lent.put(&container, digest);
        }
        let Some(underway) = underway else { continue };
        // At once: a client that asks for another one meanwhile is told that this one goes on.
        let Some(taken) = app.setups.begin(&name) else { continue };
        let (app, ending) = (app.clone(), app.handle.ending.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = take_up(app, name, underway, taken) => {}
                () = ending.cancelled() => {}
            }
        });
    }
}

async fn take_up(app: App, name: Name, mut underway: Underway, taken: Taken) {
    underway.tries += 1;
    let callback = callback(&app, &name, &underway).await;
    let job = Job { app, name, underway, callback };
    let tries = job.underway.tries;
    job.keep(move |underway| underway.tries = tries).await;
    if let Some(report) = job.underway.told.clone().filter(|_| !job.wants_image()) {
        return job.say(report, taken).await;
    }
    tracing::info!(name = %job.name, tries, "a setup goes on that another supervisor began");
    match ready(&job).await {
        Ok(work) => work(job).run(taken).await,
        Err(why) => {
            if let Some(report) = job.underway.told.clone() {
                return job.say(report, taken).await;
            }
            let why = format!("it was broken off by the supervisor's end, and did not go on: {why}");
            job.end(SetupPhase::Failed, why, taken).await;
        }
    }
}

/// Who is told. What the configuration does not allow any more is not.
async fn callback(app: &App, name: &Name, underway: &Underway) -> Option<Callback> {
    let url = underway.request.callback_url.as_deref().filter(|url| !url.is_empty())?;
    let allowed = app.handle.config.borrow().api.callback_hosts.clone();
    match callback::found(url, &allowed).await {
        Ok(target) => Some(super::begin_callback(app, name, target, &underway.request)),
        Err(why) => {
            app.note(Some(name.clone()), format!("its callback is not told any more: {why}"));
            None
        }
    }
}

/// What there must be for it to go on, once the engine and the worker are there.
async fn ready(job: &Job) -> Result<impl FnOnce(Job) -> Work + use<>, String> {
    let underway = &job.underway;
    if underway.tries > TRIES {
        return Err(format!("{TRIES} supervisors ended while it went on"));
    }
    if Timestamp::now().duration_since(underway.begun) > LATEST {
        return Err("it was asked for more than an hour ago".to_owned());
    }
    let source = source(&underway.request).map_err(said)?;
    let (engine, id) = running(&job.app, &job.name).await?;
    let row = job.app.row(job.name.as_str()).map_err(said)?;
    let template = checked(&job.app, &job.name, &row).map_err(said)?;
    Ok(move |job| Work { job, engine, id, template, source })
}

/// The worker's container, once it runs.
async fn running(app: &App, name: &Name) -> Result<(SharedEngine, ContainerId), String> {
    let mut view = app.handle.view.clone();
    // However long that takes: nothing is known of a worker until then.
    let up = view.wait_for(|view| view.status.engine.state == LinkState::Up).await;
    drop(up.map_err(|error| error.to_string())?);
    let begun = Instant::now();
    loop {
        let (why, patience) = match app.container(name.as_str()).await {
            Ok((row, id, engine)) if row.started_at.is_some() => return Ok((engine, id)),
            Ok((row, ..)) => (format!("{} does not run", row.name), COMES),
            Err(error) if error.0.code == "not-found" => (said(error), SHOWN),
            Err(error) => (said(error), COMES),
        };
        if begun.elapsed() > patience {
            return Err(why);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn said(error: ApiError) -> String {
    error.0.message
}
