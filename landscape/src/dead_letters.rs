//! `landscape dead-letters`: the events that were given up, asked of the services that keep them.
//!
//! - this file: the commands
//! - `service`: how a service is asked; `letter`: what it says
//! - `look`: list and show
//! - `decide`: replay and drop; `scope`: of which letters; `confirm`: whether really
//! - `import`: what others left on the broker

mod confirm;
mod decide;
mod import;
mod letter;
mod look;
mod scope;
mod service;

use crate::output::until_closed;
use clap::{Args, Subcommand};
use decide::{Decision, Verb};
use look::Filter;
use service::Services;
use shared::service::config::Token;
use std::io;

/// What to look at, or to do.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List the open dead letters of all services, the oldest of each first
    List {
        /// Which
        #[command(flatten)]
        filter: Filter,
        /// Of whom
        #[command(flatten)]
        common: Common,
    },
    /// Show one dead letter with its headers, origin and body
    Show {
        /// The id of the event, as `list` shows it
        id: String,
        /// Of whom
        #[command(flatten)]
        common: Common,
    },
    /// Apply dead letters again: in order, until one of a key fails. The request is recorded before the wait for its end,
    /// which Ctrl-C may cut short
    Replay(Decision),
    /// Give dead letters up for good. The request is recorded before the wait for its end, which Ctrl-C may cut short
    Drop {
        /// Of which
        #[command(flatten)]
        decision: Decision,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take over what other services, such as Java's, left in the dead letters of the broker
    Import {
        /// Of whom
        #[command(flatten)]
        common: Common,
    },
}

/// Of whom to ask, and how to answer.
#[derive(Debug, Args)]
pub struct Common {
    /// Only this service; may be given again
    #[arg(long, value_name = "NAME", value_parser = ["product", "recommendation", "review"])]
    service: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Writes to the standard output what `command` asks for. `services` are names and addresses; `token` says by what they
/// let somebody decide.
pub async fn run(
    command: DeadLettersCommand,
    services: &[(&str, String)],
    token: impl FnOnce() -> anyhow::Result<Token>,
) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let of = |common: &Common| Services::new(services, &common.service);
    until_closed(match command {
        DeadLettersCommand::List { filter, common } => look::list(&of(&common)?, &filter, common.json, &mut out).await,
        DeadLettersCommand::Show { id, common } => look::show(&of(&common)?, &id, common.json, &mut out).await,
        DeadLettersCommand::Replay(decision) => {
            let services = of(&decision.common)?.with(token()?);
            decide::decide(&services, Verb::Replay, &decision, |_, _| Ok(true), &mut out).await
        }
        DeadLettersCommand::Drop { decision, yes } => {
            let services = of(&decision.common)?.with(token()?);
            let sure =
                |counts: &[(&str, u64)], away: &[String]| Ok(yes || confirm::drop(counts, away, &decision.scope)?);
            decide::decide(&services, Verb::Drop, &decision, sure, &mut out).await
        }
        DeadLettersCommand::Import { common } => {
            import::import(&of(&common)?.with(token()?), &import::RETRY, common.json, &mut out).await
        }
    })
}

#[cfg(test)]
mod tests;
