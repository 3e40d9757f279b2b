//! What a client means that was written for a host of development environments: a container with a port of its own on
//! the machine, or one of the pool's.

use super::ApiError;
use crate::api::types::SpawnRequest;
use crate::bay::template::{NetworkMode, Template};
use crate::config::Config;

/// The port of a development server, where such a client names none.
const USUAL_PORT: u16 = 3000;

/// Puts a request into podbay's words, and says what is done otherwise than asked.
///
/// # Errors
/// `pool: true` where no pool can be meant.
pub fn understood(request: &mut SpawnRequest, config: &Config) -> Result<Vec<String>, ApiError> {
    let mut notes = Vec::new();
    if request.pool == Some(true) && request.template.is_none() {
        request.template = Some(pooled(request, config)?.name.clone());
    }
    let template = request.template.as_ref().map_or(Some(&config.worker), |name| config.template(name));
    // One that is not there is the machine's to refuse.
    let Some(template) = template else { return Ok(notes) };
    let asked = &mut request.overrides;
    if let Some(volume) = asked.volume.clone() {
        if request.pool == Some(true) {
            asked.volume = None;
            notes.push(format!("the volume {:?} is not mounted: a pooled one was made before", volume.as_str()));
        } else if asked.ports.is_empty() && asked.network.is_none() {
            asked.ports = vec![USUAL_PORT];
        }
    }
    if !asked.ports.is_empty() && asked.network.is_none() && template.network == NetworkMode::Shared {
        asked.network = Some(NetworkMode::Bridge);
        notes.push("it has a network of its own, with a port of this machine: ports were asked for".to_owned());
    }
    Ok(notes)
}

/// The template whose pool is meant.
fn pooled<'a>(request: &SpawnRequest, config: &'a Config) -> Result<&'a Template, ApiError> {
    let all: Vec<&Template> = config.templates.iter().filter(|template| template.pool.is_some()).collect();
    let image = request.overrides.image.as_ref();
    let of_image = all.iter().filter(|template| image.is_some_and(|image| *image == template.image));
    let fits: Vec<&Template> = of_image.copied().collect();
    match (all.as_slice(), fits.as_slice()) {
        ([], _) => Err(ApiError::new("impossible", "no template has a pool")
            .field("pool")
            .hint("[[template]] pool = { target = 3 } makes one")),
        ([only], _) | (_, [only]) => Ok(only),
        _ => {
            let names: Vec<&str> = all.iter().map(|template| template.name.as_str()).collect();
            let text = format!("there are several pools: say which template, one of {}", names.join(", "));
            Err(ApiError::new("invalid", text).field("template"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(text: &str) -> Config {
        Config::parse("t", text).unwrap()
    }

    fn asked(body: serde_json::Value, config: &Config) -> Result<(SpawnRequest, usize), String> {
        let mut request: SpawnRequest = serde_json::from_value(body).unwrap();
        let notes = understood(&mut request, config).map_err(|error| error.0.code)?;
        Ok((request, notes.len()))
    }

    #[test]
    fn the_hosts_own_example_is_a_container_with_a_port() {
        let body = json!({"name": "my-project", "image": "node:24-slim", "ports": [3000],
                          "volumeName": "owner-repo-node_modules"});
        let (request, notes) = asked(body, &config("")).unwrap();
        assert_eq!((request.overrides.network, request.overrides.ports), (Some(NetworkMode::Bridge), vec![3000]));
        assert_eq!(notes, 1);
        assert_eq!(request.overrides.volume.unwrap().as_str(), "owner-repo-node_modules");
        let (request, _) = asked(json!({"name": "x", "volumeName": "v"}), &config("")).unwrap();
        assert_eq!(request.overrides.ports, [3000], "the default of such a client");
    }

    #[test]
    fn podbays_own_requests_mean_what_they_say() {
        for body in [json!({}), json!({"name": "x"}), json!({"pool": false}), json!({"network": "none"})] {
            let (request, notes) = asked(body.clone(), &config("")).unwrap();
            assert_eq!((request, notes), (serde_json::from_value(body).unwrap(), 0));
        }
        let (request, notes) = asked(json!({"ports": [80], "network": "shared"}), &config("")).unwrap();
        assert_eq!((request.overrides.network, notes), (Some(NetworkMode::Shared), 0), "for the machine to refuse");
    }

    #[test]
    fn a_pooled_one_is_of_the_pool_that_can_be_meant() {
        let template = |name: &str, image: &str| {
            format!(
                "[[template]]\nname = \"{name}\"\nimage = \"{image}\"\ncommand = [\"sh\"]\npool = {{ target = 1 }}\n"
            )
        };
        let body = json!({"name": "x", "pool": true});
        assert_eq!(asked(body.clone(), &config("")).unwrap_err(), "impossible");
        let one = config(&template("web", "img"));
        assert_eq!(asked(body.clone(), &one).unwrap().0.template.unwrap().as_str(), "web");
        let two = config(&(template("web", "img") + &template("api", "other")));
        assert_eq!(asked(body, &two).unwrap_err(), "invalid");
        let body = json!({"name": "x", "pool": true, "volumeName": "v"});
        let (request, notes) = asked(body, &one).unwrap();
        assert_eq!((request.overrides.volume, notes), (None, 1), "what is made already gets no mount");
        let by_image = json!({"name": "x", "pool": true, "image": "other"});
        assert_eq!(asked(by_image, &two).unwrap().0.template.unwrap().as_str(), "api");
    }
}
