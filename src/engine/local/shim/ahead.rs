//! A shim that is made before its container is known: it has its namespaces, and a first process that has made as much of
//! a world as all containers have. It is the engine's that had it made: when that is gone, or does not want it, it takes
//! itself away, with all that was made for it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::Runtime;

use super::first::{First, Side};
use super::{Adopted, Begun, Birth, Ready, Taken, Word, enter, first_line, running, say, take};
use crate::engine::local::place::Place;
use crate::engine::local::wire::{MOST, News, Order, message, read, receive, send};
use crate::engine::local::{SHIM_VERB, SPARE_VERB, cgroup, title};

/// Makes it, and waits for its container. `fresh` is where that is being made.
pub fn begin(fresh: &Place, birth: &Birth, parent: &mut UnixStream) -> Result<Begun, String> {
    title::set(&[OsStr::new(SPARE_VERB), fresh.dir().as_os_str()]);
    enter(birth, parent)?;
    let groups = cgroup::prepare(fresh);
    let first = match First::fork(fresh, true, Some(groups)).map_err(|error| format!("fork: {error}"))? {
        Side::Shim(first) => first,
        Side::First(first) => return Ok(Begun::First(first)),
    };
    cgroup::put(fresh, first.id.pid);
    match adopted(&first, parent) {
        Ok(Fate::Wanted(taken, place, runtime)) => {
            let ready = Ready { grouped: true, runtime: Some(runtime), ..taken.with(&place, first, false) };
            Ok(Begun::Shim(Box::new(ready)))
        }
        // Nobody knows of it but who had it made: nothing of it may be left.
        other => {
            first.end();
            cgroup::leave(fresh);
            match other? {
                Fate::Held => Ok(Begun::Held),
                Fate::Wanted(..) | Fate::Unwanted => {
                    fresh.discard();
                    Ok(Begun::Unwanted)
                }
            }
        }
    }
}

/// What becomes of it.
enum Fate {
    Wanted(Box<Taken>, Place, Runtime),
    /// Its container has another shim.
    Held,
    Unwanted,
}

fn adopted(first: &First, parent: &mut UnixStream) -> Result<Fate, String> {
    hear(first)?;
    // Of one thread, as all of it.
    let runtime = running::runtime()?;
    say(parent, &Word::Ready);
    let Ok(Adopted(dir)) = first_line(parent) else { return Ok(Fate::Unwanted) };
    let place = Place::new(dir);
    title::set(&[OsStr::new(SHIM_VERB), place.dir().as_os_str()]);
    let plan = place.planned().ok_or_else(|| format!("{} can't be read", place.plan().display()))?;
    let told = |error: io::Error| format!("tell its first process: {error}");
    let order = message(&Order::Settle(Box::new(plan))).map_err(told)?;
    send(&first.control, &order, &[]).map_err(told)?;
    Ok(take(&place)?.map_or(Fate::Held, |taken| Fate::Wanted(Box::new(taken), place, runtime)))
}

/// Waits until the first process has made what it can.
fn hear(first: &First) -> Result<(), String> {
    let mut space = vec![0; MOST];
    let (count, _) =
        receive(&first.control, &mut space).map_err(|error| format!("hear of its first process: {error}"))?;
    match read::<News>(space.get(..count).unwrap_or_default()) {
        Ok(News::Ahead) => Ok(()),
        Ok(News::Failed(why)) => Err(why),
        _ => Err("its first process ended before it began".to_owned()),
    }
}
