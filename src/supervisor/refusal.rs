//! What a command that can't be done is answered with. One place, so that the same trouble has the same words and code.

use crate::api::types::ErrorDetail;
use crate::bay::matching::MatchError;
use crate::bay::name::Name;
use crate::engine::EngineError;

use super::event::StepError;

/// A source of a mount may be gone, an agent's socket after a new login for one.
const ANEW: &str = "if what it mounts has changed meanwhile, `podbay refresh NAME` makes it anew, workspace kept";

/// Of a program that is not there.
pub const PROGRAM: &str =
    "the command must be a program of the image, or one in the workspace or on the PATH that it is given";

fn detail(code: &str, message: impl Into<String>, hint: Option<&str>) -> ErrorDetail {
    ErrorDetail { code: code.to_owned(), message: message.into(), hint: hint.map(str::to_owned), field: None }
}

/// The engine does not answer.
#[must_use]
pub fn away(why: &str) -> ErrorDetail {
    let hint = "podbay tries again by itself, and what was begun goes on then; `podbay status` says when";
    detail("engine-away", why, Some(hint))
}

/// Something else is under way.
#[must_use]
pub fn busy(why: &str) -> ErrorDetail {
    detail("busy", why, None)
}

/// The request itself is wrong.
#[must_use]
pub fn invalid(why: &str) -> ErrorDetail {
    detail("invalid", why, None)
}

/// Understood, and can't be had here.
#[must_use]
pub fn impossible(why: &str) -> ErrorDetail {
    detail("impossible", why, None)
}

/// Too much at once.
#[must_use]
pub fn capacity(why: &str) -> ErrorDetail {
    detail("capacity", why, Some("try again in a moment"))
}

/// Nothing, or too much, is called so.
#[must_use]
pub fn not_found(error: &MatchError) -> ErrorDetail {
    detail("not-found", error.to_string(), Some("`podbay ls` lists the names"))
}

/// No template is called so.
#[must_use]
pub fn no_template(name: &str) -> ErrorDetail {
    detail(
        "impossible",
        format!("the configuration has no template {name:?}"),
        Some("`podbay config show` lists those of the file; `podbay up` lets the supervisor read it again"),
    )
}

/// No template of this name has a pool.
#[must_use]
pub fn no_pool(name: &str) -> ErrorDetail {
    let what = if name.is_empty() { "no template has a pool".to_owned() } else { format!("there is no pool {name:?}") };
    detail("not-found", what, Some("[[template]] pool = { target = 3 } makes one; `podbay pool status` lists them"))
}

/// Several templates have pools.
#[must_use]
pub fn which_pool(names: &str) -> ErrorDetail {
    detail("invalid", format!("there are several pools: {names}"), Some("name one with --template"))
}

/// A warm worker is nobody's yet.
#[must_use]
pub fn warm() -> ErrorDetail {
    detail("refused", "it waits in the pool for a claim", Some("`podbay spawn -t TEMPLATE` claims one"))
}

/// A worker has the name already.
#[must_use]
pub fn name_taken(name: &Name) -> ErrorDetail {
    detail("name-taken", format!("there is a worker {:?} already", name.as_str()), None)
}

/// A container that podbay did not make has the name.
#[must_use]
pub fn name_foreign(name: &Name) -> ErrorDetail {
    detail(
        "name-taken",
        format!("a container that this bay did not make has the name of {:?}", name.as_str()),
        Some("podbay leaves it alone; choose another name"),
    )
}

/// A worker can't be started against a parent that is down.
#[must_use]
pub fn parent_down() -> ErrorDetail {
    detail(
        "refused",
        "the parent does not run, and this worker lives in its network",
        Some("`podbay restart parent` brings both back"),
    )
}

/// A goal that can't be reached.
#[must_use]
pub fn failed(why: &str) -> ErrorDetail {
    detail("refused", why, None)
}

/// A service that can't be brought to what was asked.
#[must_use]
pub fn service(name: &Name, why: &str) -> ErrorDetail {
    let hint = format!("`podbay why {name}` says more, `podbay service logs {name}` shows what it said");
    detail(if why.starts_with("port ") { "port-taken" } else { "refused" }, why, Some(&hint))
}

/// A worker that is not made yet.
#[must_use]
pub fn waits(name: &str, why: &str) -> ErrorDetail {
    let hint = format!(
        "it is made as soon as that is so; `podbay why {name}` says how far it is, `podbay rm {name}` gives it up"
    );
    detail("refused", why, Some(&hint))
}

/// A step that failed for good.
#[must_use]
pub fn of_step(what: &str, error: &StepError) -> ErrorDetail {
    let text = format!("{what} failed: {error}");
    match error {
        StepError::Workspace(error) | StepError::Fill(error) => {
            detail(if error.by_request { "invalid" } else { "refused" }, error.to_string(), error.hint.as_deref())
        }
        StepError::Ports(ports) => detail(
            "capacity",
            ports.to_string(),
            Some("remove a worker that has some (`podbay ports`), or widen worker.port_range"),
        ),
        StepError::Engine(error) => match error {
            EngineError::Away { .. } | EngineError::NoWalls { .. } => away(&error.to_string()),
            EngineError::Deadline { .. } => {
                detail("engine-away", text, Some("it may have happened all the same; `podbay ls` shows what is"))
            }
            EngineError::NotFound { .. } => detail("not-found", text, None),
            EngineError::NameTaken(_) => detail("name-taken", error.to_string(), None),
            EngineError::NoImage(_) => detail("impossible", error.to_string(), None),
            EngineError::PortTaken { .. } => detail(
                "port-taken",
                error.to_string(),
                Some(
                    "free the port, or name others in the configuration: [parent] ports, or worker.port_range for a bridge",
                ),
            ),
            EngineError::Conflict { .. } => detail("busy", text, None),
            // `exec: "nosuch": executable file not found in $PATH`, where no init stands in between.
            EngineError::Refused { message, .. } if message.contains("exec: \"") => {
                detail("refused", text, Some(PROGRAM))
            }
            EngineError::Refused { .. } => detail("refused", text, Some(ANEW)),
            EngineError::Failed { .. } => detail("internal", text, Some(ANEW)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_has_a_hint_of_its_own() {
        for (message, hint) in [
            ("exec: \"nosuch\": executable file not found in $PATH", PROGRAM),
            ("runc create failed: exec: \"/x\": stat /x: no such file or directory: unknown", PROGRAM),
            ("invalid mount config for type \"bind\": bind source path does not exist: /x", ANEW),
        ] {
            let error = EngineError::Refused { what: "start fox".to_owned(), message: message.to_owned() };
            assert_eq!(of_step("starting it", &error.into()).hint.as_deref(), Some(hint), "{message}");
        }
    }
}
