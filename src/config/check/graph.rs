//! What depends on what: every name is there, and nothing waits for itself.

use std::collections::BTreeMap;

use crate::bay::name::Name;
use crate::config::service::{Condition, RestartPolicy};

use super::super::error::{Fault, suggestion};
use super::super::file::ServiceTable;
use super::super::node::Path;
use super::Checked;

/// Every dependency of every service.
pub fn dependencies(services: &[ServiceTable]) -> Checked {
    let by_name: BTreeMap<&Name, &ServiceTable> = services.iter().map(|service| (&service.name, service)).collect();
    for (index, service) in services.iter().enumerate() {
        for (needed, condition) in &service.depends_on {
            let path = Path::of("service").item(index).key("depends_on").key(needed.as_str());
            let Some(other) = by_name.get(needed) else {
                let names: Vec<&str> =
                    by_name.keys().map(|name| name.as_str()).filter(|n| *n != service.name.as_str()).collect();
                let hint = suggestion(needed.as_str(), &names);
                return Err(Fault::new(path, format_args!("there is no service {:?}; {hint}", needed.as_str())));
            };
            if needed == &service.name {
                return Err(Fault::new(path, format_args!("service {:?} depends on itself", needed.as_str())));
            }
            let again = matches!(other.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped);
            if *condition == Condition::Exited && again {
                let what = format!(
                    "waits for {:?} to end, which restarts after every end; give it restart = \"no\"",
                    needed.as_str()
                );
                return Err(Fault::new(path, what));
            }
        }
    }
    cycle(services, &by_name).map_or(Ok(()), Err)
}

/// A cycle, if there is one. Without recursion: a chain may be as long as a file allows.
fn cycle(services: &[ServiceTable], by_name: &BTreeMap<&Name, &ServiceTable>) -> Option<Fault> {
    let mut open: BTreeMap<&Name, usize> = services.iter().map(|s| (&s.name, s.depends_on.len())).collect();
    let mut dependants: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    for service in services {
        for needed in service.depends_on.keys() {
            dependants.entry(needed).or_default().push(&service.name);
        }
    }
    let mut free: Vec<&Name> = open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        open.remove(name);
        for dependant in dependants.get(name).into_iter().flatten() {
            if let Some(count) = open.get_mut(dependant) {
                *count -= 1;
                if *count == 0 {
                    free.push(dependant);
                }
            }
        }
    }
    // What is left waits for something that is left: following it must come round.
    let first = services.iter().map(|service| &service.name).find(|name| open.contains_key(name))?;
    let next = |name: &Name| by_name.get(name)?.depends_on.keys().find(|needed| open.contains_key(needed));
    let mut way = vec![first];
    let mut place = BTreeMap::from([(first, 0)]);
    while let Some(needed) = way.last().and_then(|name| next(name)) {
        way.push(needed);
        if let Some(start) = place.insert(needed, way.len() - 1) {
            return Some(described(services, way.get(start..)?));
        }
    }
    None
}

fn described(services: &[ServiceTable], round: &[&Name]) -> Fault {
    let words: Vec<&str> = round.iter().map(|name| name.as_str()).collect();
    let index = services.iter().position(|service| Some(&service.name) == round.first().copied()).unwrap_or_default();
    let at = Path::of("service").item(index).key("depends_on");
    let at = round.get(1).map_or(at.clone(), |next| at.key(next.as_str()));
    Fault::new(at, format_args!("these wait for each other: {}", words.join(" -> ")))
}
