//! The user's word for walls that are weaker than namespaces.

use std::path::Path;

use axum::Json;
use axum::extract::State;

use super::actions::{Answer, reload};
use super::extract::Body;
use super::{ApiError, App};
use crate::api::types::{Done, IsolationRequest};
use crate::bay::isolation::Isolation;
use crate::config::{Config, isolation};

/// Keeps it for the bay, and has the engine looked for with it.
pub async fn allow(State(app): State<App>, Body(request): Body<IsolationRequest>) -> Answer<Done> {
    let level = request.level;
    let out_of_sight = {
        let seen = app.handle.view.borrow();
        let running = seen.containers.iter().filter(|row| row.started_at.is_some()).count();
        level.out_of_sight(&seen.status.engine.kind, running)
    };
    if let Some(why) = out_of_sight {
        return Err(ApiError::new("refused", why));
    }
    let (state, read) = (app.handle.paths.state.clone(), app.reload.clone());
    let kept = tokio::task::spawn_blocking(move || keep(&state, level, &*read));
    let kept = kept.await.map_err(|error| ApiError::new("internal", error.to_string()))?;
    kept.map_err(|(code, text)| ApiError::new(code, text))?;
    let reloaded = reload(&app).await?;
    let is = if reloaded.isolation == Some(level) { "is" } else { "is to be" };
    Ok(Json(Done { text: format!("the isolation of this bay {is} {level}"), notes: reloaded.notes }))
}

/// What the file says goes before it: then nothing is kept.
fn keep(
    state: &Path,
    level: Isolation,
    read: &dyn Fn() -> Result<Config, String>,
) -> Result<(), (&'static str, String)> {
    let internal = |error| ("internal", format!("the answer can't be kept: {error}"));
    let before = isolation::kept(state);
    isolation::keep(state, level).map_err(internal)?;
    // A configuration that can't be read is refused by the reload, in its own words.
    let Ok(config) = read() else { return Ok(()) };
    let rule = config.engine.isolation.level();
    if rule == level {
        return Ok(());
    }
    isolation::put_back(state, before).map_err(internal)?;
    Err(("invalid", format!("the configuration says what the isolation is: {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::isolation::IsolationRule;

    #[test]
    fn nothing_is_kept_that_the_file_goes_before() {
        let state = tempfile::tempdir().unwrap();
        let allowed = |file: IsolationRule, level| {
            let read = || {
                let mut config = Config::defaults().unwrap();
                config.engine.isolation = file;
                Ok(config.with_isolation(None, state.path()))
            };
            keep(state.path(), level, &read).map_err(|(code, _)| code)
        };
        let kept = || isolation::kept(state.path());
        assert_eq!((allowed(IsolationRule::None, Isolation::Landlock), kept()), (Err("invalid"), None));
        assert_eq!(allowed(IsolationRule::Ask, Isolation::Landlock), Ok(()));
        assert_eq!(
            (allowed(IsolationRule::None, Isolation::Namespaces), kept()),
            (Err("invalid"), Some(Isolation::Landlock))
        );
        assert_eq!((allowed(IsolationRule::None, Isolation::None), kept()), (Ok(()), Some(Isolation::None)));
    }
}
