//! Makes a worker, and attaches to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::api::types::SpawnRequest;
use crate::bay::name::Name;
use crate::bay::remote::{Branch, Remote};
use crate::bay::template::{NetworkMode, Overrides};
use crate::config::env::Env;

use super::args::SpawnArgs;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;
use super::{attach, consent, tty, up};

/// `podbay spawn`.
pub async fn run(context: &Context, args: SpawnArgs) -> Result<Exit, CliError> {
    let wants_attach = !args.detach && !context.out.json;
    let attaches = wants_attach && attach::at_terminal();
    let request = request(args, &context.env)?;
    let request = SpawnRequest { size: attaches.then(tty::size), ..request };
    let client = context.client().await?;
    consent::ask(context, &client).await?;
    let reply = up::with_progress(&client, client.spawn(&request)).await?;
    reply.notes.iter().for_each(|text| note(text));
    if attaches {
        return attach::session(&client, &reply.name).await;
    }
    if wants_attach {
        note("not a terminal: nothing is attached to it");
    }
    context.out.answer(&reply, &reply.name)?;
    Ok(Exit::Done)
}

/// The request that the arguments mean.
fn request(args: SpawnArgs, env: &Env) -> Result<SpawnRequest, CliError> {
    if let Some(name) = &args.name {
        Name::worker(name).map_err(|error| CliError::usage(error.to_string()))?;
    }
    if !args.port.is_empty() && args.network.is_some_and(|mode| mode != NetworkMode::Bridge) {
        return Err(CliError::usage("--port publishes ports of a worker with --network bridge")
            .hint("ports of the shared network are published by the parent: [parent] ports"));
    }
    let overrides = Overrides {
        project: args.project.map(|project| directory("project directory", &project, env)).transpose()?,
        repo: args.repo.map(|repo| repository(&repo, env)).transpose()?,
        branch: args.branch.as_deref().map(branch).transpose()?,
        rebuild: false,
        image: args.image,
        memory: args.memory,
        cpus: args.cpus,
        pids: args.pids,
        env: variables(&args.env, env)?,
        network: args.network,
        ports: args.port,
        volume: None,
        rm: args.rm,
        command: args.command,
    };
    Ok(SpawnRequest { name: args.name, template: args.template, overrides, ..SpawnRequest::default() })
}

/// An existing directory, absolute: the supervisor has another working directory.
fn directory(what: &str, text: &str, env: &Env) -> Result<PathBuf, CliError> {
    let wrong = |why: &dyn std::fmt::Display| CliError::usage(format!("{what} {text:?}: {why}"));
    let expanded = env.expand(text).map_err(|error| wrong(&error))?;
    let path = env.cwd.join(expanded);
    let path = path.canonicalize().map_err(|error| wrong(&error))?;
    if path.is_dir() { Ok(path) } else { Err(wrong(&"it is not a directory")) }
}

/// A URL, checked here so that one with a password in it goes nowhere; a repository of this machine by its path, too.
pub fn repository(text: &str, env: &Env) -> Result<String, CliError> {
    let is_path = text == "." || ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    let text =
        if is_path { format!("file://{}", directory("repository", text, env)?.display()) } else { text.to_owned() };
    text.parse::<Remote>().map(|remote| remote.url().to_owned()).map_err(|error| CliError::usage(error.to_string()))
}

pub fn branch(text: &str) -> Result<String, CliError> {
    text.parse::<Branch>().map(String::from).map_err(CliError::usage)
}

/// `KEY=VALUE`, or `KEY` for the value of this environment.
fn variables(words: &[String], env: &Env) -> Result<BTreeMap<String, String>, CliError> {
    let mut variables = BTreeMap::new();
    for word in words {
        let (key, value) = if let Some((key, value)) = word.split_once('=') {
            (key, value.to_owned())
        } else {
            let value = env.vars.get(word).cloned();
            (word.as_str(), value.ok_or_else(|| CliError::usage(format!("--env {word}: it is not set here")))?)
        };
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(CliError::usage(format!("--env {word:?}: write KEY=VALUE")));
        }
        variables.insert(key.to_owned(), value);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        let vars = BTreeMap::from([("TOKEN".to_owned(), "t".to_owned())]);
        Env { vars, cwd: "/".into(), ..Env::default() }
    }

    #[test]
    fn variables_are_given_or_taken_from_here() {
        let words = ["A=1", "B=", "C=x=y", "TOKEN"].map(str::to_owned);
        let got = variables(&words, &env()).unwrap();
        let expected = [("A", "1"), ("B", ""), ("C", "x=y"), ("TOKEN", "t")];
        assert_eq!(got, expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        for bad in ["MISSING", "=x", "a b=1", ""] {
            assert_eq!(variables(&[bad.to_owned()], &env()).unwrap_err().kind.code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused_before_anything_is_asked() {
        let named = |name: &str| SpawnArgs { name: Some(name.to_owned()), ..SpawnArgs::default() };
        for args in [
            named("parent"),
            named("../x"),
            SpawnArgs { project: Some("/no/such/dir".to_owned()), ..SpawnArgs::default() },
            SpawnArgs { project: Some("/dev/null".to_owned()), ..SpawnArgs::default() },
            SpawnArgs { repo: Some("https://ann:hunter2@github.com/ann/app".to_owned()), ..SpawnArgs::default() },
            SpawnArgs { repo: Some("--upload-pack=x".to_owned()), ..SpawnArgs::default() },
            SpawnArgs { branch: Some("-x".to_owned()), ..SpawnArgs::default() },
            SpawnArgs { port: vec![80], network: Some(NetworkMode::None), ..SpawnArgs::default() },
        ] {
            let text = format!("{args:?}");
            assert_eq!(request(args, &env()).unwrap_err().kind.code(), 2, "{text}");
        }
        assert!(request(named("fox"), &env()).is_ok());
    }
}
