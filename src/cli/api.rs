//! The API's token for TCP.

use clap::{Args, Subcommand};

use super::context::Context;
use super::exit::{CliError, Exit};
use super::output::note;

/// Arguments of `api`.
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// What it is about
    #[command(subcommand)]
    pub what: ApiVerb,
}

/// Parts of the API.
#[derive(Debug, Subcommand)]
pub enum ApiVerb {
    /// The token that TCP needs
    Token {
        /// What to do with it
        #[command(subcommand)]
        verb: TokenVerb,
    },
}

/// What can be done with the token.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Put a new token into its file; connections with the old one are closed
    Rotate,
}

/// `podbay api`.
pub async fn run(context: &Context, args: &ApiArgs) -> Result<Exit, CliError> {
    let ApiVerb::Token { verb: TokenVerb::Rotate } = args.what;
    let done = context.client().await?.rotate_token().await?;
    context.out.answer(&done, &done.text)?;
    done.notes.iter().for_each(|text| note(text));
    Ok(Exit::Done)
}
