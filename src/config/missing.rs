//! What a configuration names that is not there: it can be used all the same, for that may be made later.

use std::path::{Path as File, PathBuf};

use crate::bay::name::Name;
use crate::bay::service::{ServiceConfig, ServiceRun};
use crate::bay::template::Template;

use super::Config;
use super::env::Env;
use super::error::{ConfigError, Fault};
use super::load::read_bounded;
use super::node::{Node, Path};
use super::paths::Paths;

/// One thing that is named and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// With the file, the line and the key.
    pub text: String,
    /// No worker can be made without it; else only a service can't be started.
    pub stops_workers: bool,
}

/// What is looked for, and where.
struct Search<'a> {
    env: &'a Env,
    secrets: PathBuf,
    found: Vec<(Fault, bool)>,
}

impl Config {
    /// Directories, programs and files that are named and not there. Asks the file system.
    #[must_use]
    pub fn missing(&self, env: &Env, paths: &Paths) -> Vec<Missing> {
        let mut search = Search { env, secrets: paths.secrets(), found: Vec::new() };
        search.template(&self.worker, None, &Path::of("worker"));
        for (index, template) in self.templates.iter().enumerate() {
            search.template(template, Some(&self.worker), &Path::of("template").item(index));
        }
        for (index, service) in self.services.iter().enumerate() {
            search.service(service, &Path::of("service").item(index));
        }
        let source =
            self.source.as_deref().map_or_else(|| "built-in defaults".to_owned(), |path| path.display().to_string());
        let bytes = self.source.as_deref().and_then(|path| read_bounded(path, &source).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        // It may have been changed since it was read: then the line is missing, and not the finding.
        let tree = Node::parse(&text).ok();
        let told = |(fault, stops_workers): (Fault, bool)| {
            let at = tree.as_ref().and_then(|tree| tree.place(&fault.path));
            Missing { text: ConfigError::at(&source, &text, at, &fault.text).to_string(), stops_workers }
        };
        search.found.into_iter().map(told).collect()
    }
}

impl Search<'_> {
    /// What a template has from `[worker]` is told there.
    fn template(&mut self, template: &Template, under: Option<&Template>, path: &Path) {
        if under.is_none_or(|under| under.env_file != template.env_file) {
            self.files(&template.env_file, &path.key("env_file"), true);
        }
        if under.is_none_or(|under| under.secrets != template.secrets) {
            self.named(&template.secrets, &path.key("secrets"), true);
        }
    }

    fn service(&mut self, service: &ServiceConfig, path: &Path) {
        self.files(&service.env_file, &path.key("env_file"), false);
        self.named(&service.secrets, &path.key("secrets"), false);
        let ServiceRun::Host { cwd, .. } = &service.run else { return };
        if !cwd.is_empty() {
            self.look(cwd, &path.key("cwd"), "directory", File::is_dir, false);
        }
        if let Some(program) = service.command.first().filter(|program| program.starts_with('/'))
            && !File::new(program).exists()
        {
            let what = format!("there is no {program}: service {} can't start until there is", service.name);
            self.found.push((Fault::new(path.key("command"), what), false));
        }
    }

    fn files(&mut self, files: &[String], path: &Path, stops_workers: bool) {
        for (index, file) in files.iter().enumerate() {
            self.look(file, &path.item(index), "file", File::is_file, stops_workers);
        }
    }

    /// Paths are expanded and stand in podbay's own directory, as they are when they are used.
    fn look(&mut self, written: &str, path: &Path, kind: &str, is: fn(&File) -> bool, stops_workers: bool) {
        let what = match self.env.expand(written) {
            Ok(expanded) => {
                let place = self.env.cwd.join(expanded);
                if is(&place) {
                    return;
                }
                format!("there is no {kind} {}: nothing that needs it can start until there is", place.display())
            }
            Err(why) => why,
        };
        self.found.push((Fault::new(path.clone(), what), stops_workers));
    }

    fn named(&mut self, secrets: &[Name], path: &Path, stops_workers: bool) {
        for (index, secret) in secrets.iter().enumerate() {
            let place = self.secrets.join(secret);
            if !place.exists() {
                let what = format!("there is no {}; put the secret there, with mode 0600", place.display());
                self.found.push((Fault::new(path.item(index), what), stops_workers));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said_with_its_line() {
        let room = tempfile::tempdir().unwrap();
        let at = |part: &str| room.path().join(part);
        let text = "[worker]\nsecrets = [\"token\"]\n[[template]]\nname = \"own\"\nenv_file = [\"~/own.env\"]\n\
                    [[service]]\nname = \"web\"\nrun = \"host\"\nreason = \"gpu\"\ncommand = [\"/no/such/program\"]\n\
                    cwd = \"~/there\"\nsecrets = [\"key\", \"other\"]\n";
        let file = at("podbay.toml");
        std::fs::write(&file, text).unwrap();
        let env = Env { cwd: room.path().to_owned(), home: room.path().to_owned(), ..Env::default() };
        let config = Config::load(Some(&file), &env).unwrap();
        let paths = Paths::of(&config.bay, &env);
        let said = || {
            let missing = config.missing(&env, &paths).into_iter();
            let room = room.path().display().to_string();
            missing.map(|one| (one.text.replace(&room, ""), one.stops_workers)).collect::<Vec<_>>()
        };
        let secrets = paths.secrets().display().to_string().replace(&room.path().display().to_string(), "");
        let put = "put the secret there, with mode 0600";
        let start = "nothing that needs it can start until there is";
        assert_eq!(
            said(),
            [
                (format!("/podbay.toml:2:12: worker.secrets[1]: there is no {secrets}/token; {put}"), true),
                (format!("/podbay.toml:5:13: template.env_file[1]: there is no file /own.env: {start}"), true),
                (format!("/podbay.toml:12:12: service.secrets[1]: there is no {secrets}/key; {put}"), false),
                (format!("/podbay.toml:12:19: service.secrets[2]: there is no {secrets}/other; {put}"), false),
                (format!("/podbay.toml:11:7: service.cwd: there is no directory /there: {start}"), false),
                (
                    "/podbay.toml:10:11: service.command: there is no /no/such/program: service web can't start until \
                     there is"
                        .to_owned(),
                    false
                ),
            ]
        );
        std::fs::create_dir_all(paths.secrets()).unwrap();
        for name in ["token", "key", "other"] {
            std::fs::write(paths.secrets().join(name), "x").unwrap();
        }
        std::fs::create_dir(at("there")).unwrap();
        std::fs::write(at("own.env"), "A=1\n").unwrap();
        assert_eq!(said().len(), 1);
    }
}
