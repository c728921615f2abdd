//! `landscape dead-letters`: the events that were given up, asked of the services that keep them.

mod letter;

use crate::output::{Out, Table, until_closed};
use anyhow::{Context, bail};
use clap::Subcommand;
use letter::{FullLetter, Page};
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::{io, time::Duration};

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List the open dead letters of all services, the oldest of each first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter with its headers, origin and body
    Show {
        /// The id of the event, as `list` shows it
        id: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// How many letters a service is asked for at once.
const PAGE: u32 = 100;

/// Writes to the standard output what `command` asks for. `services` are names and addresses.
pub async fn run(command: DeadLettersCommand, services: &[(&str, String)]) -> anyhow::Result<()> {
    let mut out = io::stdout();
    until_closed(match command {
        DeadLettersCommand::List { json } => list(services, json, &mut out).await,
        DeadLettersCommand::Show { id, json } => show(services, &id, json, &mut out).await,
    })
}

async fn list(services: &[(&str, String)], json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let client = client()?;
    let mut table = Table::new(letter::COLUMNS);
    let mut found = 0;
    let mut failures = Vec::new();
    for (service, url) in services {
        let mut after = Some(0);
        while let Some(sequence) = after {
            let path = ["actuator", "deadletters"];
            let query = [("after", sequence.to_string()), ("limit", PAGE.to_string())];
            let page = match ask::<Page>(&client, service, url, &path, &query).await {
                Ok(page) => page.unwrap_or_default(),
                Err(error) => {
                    failures.push(error.to_string());
                    break;
                }
            };
            found += page.dead_letters.len();
            if json {
                for letter in &page.dead_letters {
                    writeln!(out, "{}", letter.json(service)?)?;
                }
            } else if !page.dead_letters.is_empty() {
                let rows: Vec<_> = page.dead_letters.iter().map(|letter| letter.row(service)).collect();
                table.write(out, &rows)?;
            }
            // A service that does not go forward would be asked for ever.
            after = page.next.filter(|next| *next > sequence);
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    if found == 0 && !json {
        writeln!(out, "There are no dead letters.")?;
    }
    Ok(())
}

async fn show(services: &[(&str, String)], id: &str, json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let client = client()?;
    let mut found = false;
    let mut failures = Vec::new();
    for (service, url) in services {
        match ask::<FullLetter>(&client, service, url, &["actuator", "deadletters", id], &[]).await {
            Ok(None) => {}
            Ok(Some(letter)) => {
                found = true;
                writeln!(out, "{}", if json { letter.json(service)? } else { letter.text(service)? })?;
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    if !found {
        failures.insert(0, format!("no service has a dead letter with the id {id:?}"));
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn client() -> reqwest::Result<Client> {
    // The services stand on this network: a proxy for the way out of it does not know them.
    Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()
}

/// What the service answers, or nothing when it says that there is none; errors are one sentence.
async fn ask<T: DeserializeOwned>(
    client: &Client,
    service: &str,
    url: &str,
    path: &[&str],
    query: &[(&str, String)],
) -> anyhow::Result<Option<T>> {
    let mut asked = Url::parse(url).with_context(|| format!("the address of {service}, {url:?}, is no URL"))?;
    if let Ok(mut segments) = asked.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if !query.is_empty() {
        asked.query_pairs_mut().extend_pairs(query);
    }
    let sent = client.get(asked).send().await.and_then(Response::error_for_status);
    let answer = match sent {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => return Ok(None),
        Ok(response) => response.json().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.status() {
            Some(status) => bail!("{service} at {url} answers {status}"),
            None if error.is_decode() => bail!("{service} at {url} answers something else than dead letters"),
            None => bail!("{service} at {url} cannot be reached: {}", anyhow::Error::from(error).root_cause()),
        },
    }
}

#[cfg(test)]
mod tests;
