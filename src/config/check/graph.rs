//! What depends on what: every name is there, nothing waits for itself, and nothing waits for what never comes.

use crate::bay::graph::{Condition, Graph, GraphError, Member, Needs};
use crate::bay::name::Name;
use crate::bay::service::RestartPolicy;
use crate::config::Config;

use super::super::error::{Fault, suggestion};
use super::super::file::{File, ServiceTable};
use super::super::node::Path;
use super::Checked;

/// Every dependency of every service and template.
pub fn dependencies(file: &File) -> Checked {
    Graph::new(members(file)).map_err(|error| fault(file, error))?;
    members(file).try_for_each(|(member, needs)| needs.iter().try_for_each(|need| comes(file, &member, need)))
}

fn members(file: &File) -> impl Iterator<Item = (Member, &Needs)> {
    let services = file.service.iter().map(|service| (Member::Service(service.name.clone()), &service.depends_on));
    let templates = std::iter::once(&file.worker).chain(&file.template);
    services.chain(templates.map(|template| (Member::Template(template.name.clone()), &template.depends_on)))
}

/// What ends only to be started again never counts as ended.
fn comes(file: &File, member: &Member, (needed, condition): (&Name, &Condition)) -> Checked {
    let again = |service: &ServiceTable| {
        service.name == *needed && matches!(service.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped)
    };
    if *condition == Condition::Exited && file.service.iter().any(again) {
        let what =
            format!("waits for {:?} to end, which restarts after every end; give it restart = \"no\"", needed.as_str());
        return Err(Fault::new(place(file, member, needed), what));
    }
    Ok(())
}

fn fault(file: &File, error: GraphError) -> Fault {
    let said = error.to_string();
    match error {
        GraphError::Unknown { member, needs } => {
            let at = place(file, &member, &needs);
            Fault::new(at, format_args!("{said}; {}", instead(file, &member, &needs)))
        }
        GraphError::Itself { name } => Fault::new(place(file, &Member::Service(name.clone()), &name), said),
        GraphError::Cycle { round } => {
            let at = match round.as_slice() {
                [first, second, ..] => place(file, &Member::Service(first.clone()), second),
                _ => Path::of("service"),
            };
            Fault::new(at, said)
        }
    }
}

fn instead(file: &File, member: &Member, needs: &Name) -> String {
    if file.template.iter().any(|template| template.name == *needs) {
        return format!("{:?} is a template, and only services are waited for", needs.as_str());
    }
    let others = file.service.iter().filter(|service| Member::Service(service.name.clone()) != *member);
    let names: Vec<&str> = others.map(|service| service.name.as_str()).collect();
    if names.is_empty() { "no other is configured".to_owned() } else { suggestion(needs.as_str(), &names) }
}

/// Where a member says that it waits for something.
fn place(file: &File, member: &Member, needed: &Name) -> Path {
    let table = match member {
        Member::Template(name) if name.as_str() == Config::DEFAULT_TEMPLATE => Path::of("worker"),
        Member::Template(name) => {
            let index = file.template.iter().position(|template| template.name == *name);
            Path::of("template").item(index.unwrap_or_default())
        }
        Member::Service(name) => {
            let index = file.service.iter().position(|service| service.name == *name);
            Path::of("service").item(index.unwrap_or_default())
        }
    };
    table.key("depends_on").key(needed.as_str())
}
