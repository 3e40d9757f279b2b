//! Prebuilt images of repositories: makes them, lists them, removes them.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::api::types::{SpawnRequest, Verb};
use crate::bay::name::Name;
use crate::bay::template::Overrides;
use crate::terminal::safe::Safe;

use super::act::confirmed;
use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;
use super::table::Table;
use super::{human, spawn, up};

/// Arguments of `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: ImageVerb,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Run a repository's setup command and make its image anew; without a repository: the host image
    Build(BuildArgs),
    /// List the images that podbay made, with their sizes
    Ls,
    /// Remove those that no container uses
    Prune {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Which image is made.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The template: its image, its setup command, and its repository if it names one
    #[arg(short, long)]
    pub template: Option<Name>,
    /// The repository
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// A branch of it
    #[arg(long)]
    pub branch: Option<String>,
}

/// `podbay image`.
pub async fn run(context: &Context, args: &ImageArgs) -> Result<Exit, CliError> {
    match &args.verb {
        ImageVerb::Build(args) => build(context, args).await,
        ImageVerb::Ls => list(context).await,
        ImageVerb::Prune { yes } => prune(context, *yes).await,
    }
}

/// An image is made by a worker that does nothing else, and goes again.
async fn build(context: &Context, args: &BuildArgs) -> Result<Exit, CliError> {
    let client = context.client().await?;
    if args.template.is_none() && args.repo.is_none() {
        let done = client.build_host_image().await?;
        context.out.answer(&done, &done.text)?;
        return Ok(Exit::Done);
    }
    let overrides = Overrides {
        repo: args.repo.as_deref().map(|repo| spawn::repository(repo, &context.env)).transpose()?,
        branch: args.branch.as_deref().map(spawn::branch).transpose()?,
        rebuild: true,
        rm: true,
        command: vec!["true".to_owned()],
        ..Overrides::default()
    };
    let request = SpawnRequest { template: args.template.clone(), overrides, ..SpawnRequest::default() };
    let reply = up::with_progress(&client, client.spawn(&request)).await?;
    reply.notes.iter().for_each(|text| note(text));
    // It may have gone by itself already; nobody has worked in its clone.
    drop(client.act(&reply.name, Verb::Discard).await);
    list(context).await
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let images = context.client().await?.images().await?;
    if context.out.json {
        context.out.json(&images)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["IMAGE", "STATE", "SIZE", "BUILT", "REPOSITORY", "BASE"]);
    let now = Timestamp::now();
    for image in &images {
        let safe = |text: &str| Safe::new(text).to_string();
        table.row(vec![
            safe(&image.reference).into(),
            safe(&image.state).into(),
            image.size.map(human::bytes).unwrap_or_default().into(),
            human::since(image.built_at, now).into(),
            safe(&image.repository).into(),
            safe(&image.base).into(),
        ]);
    }
    context.out.text(&table.render(context.out))?;
    Ok(Exit::Done)
}

async fn prune(context: &Context, yes: bool) -> Result<Exit, CliError> {
    let client = context.client().await?;
    if !confirmed("Remove all prebuilt images that no container uses?", yes, true)? {
        note("nothing removed");
        return Ok(Exit::Failed);
    }
    let done = client.prune_images().await?;
    done.notes.iter().for_each(|text| note(text));
    context.out.answer(&done, &done.text)?;
    Ok(Exit::Done)
}
