//! Looks at dead letters: nothing becomes of them.

use super::letter::{COLUMNS, FullLetter, Page};
use super::service::{Service, Services};
use crate::output::{Out, Table};
use anyhow::bail;
use clap::Args;

/// Which letters to list.
#[derive(Debug, Default, Args)]
pub struct Filter {
    /// Only letters of this productId
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub(super) key: Option<i32>,
    /// Only letters of this kind
    #[arg(long, value_name = "KIND", value_parser = ["failed", "parked", "invalid", "foreign"])]
    pub(super) kind: Option<String>,
}

/// How many letters a service is asked for at once.
const PAGE: u32 = 1000;

/// The letters of one service, page by page.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    service: &'a Service,
    filter: &'a Filter,
    after: Option<i64>,
}

impl<'a> Pages<'a> {
    /// Those behind `after`, by its sequence.
    pub(super) fn behind(service: &'a Service, filter: &'a Filter, after: i64) -> Self {
        Self { service, filter, after: Some(after) }
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Page>> {
        let Some(after) = self.after else { return Ok(None) };
        let mut query = vec![("after", after.to_string()), ("limit", PAGE.to_string())];
        query.extend(self.filter.key.map(|key| ("key", key.to_string())));
        query.extend(self.filter.kind.clone().map(|kind| ("kind", kind)));
        let page: Page = self.service.get(&[], &query).await?.unwrap_or_default();
        // A service that does not go forward would be asked for ever.
        self.after = page.next.filter(|next| *next > after);
        Ok(Some(page))
    }
}

pub(super) async fn list(services: &Services, filter: &Filter, json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(COLUMNS);
    let mut found = 0;
    let mut failures = Vec::new();
    for service in &services.0 {
        let mut pages = Pages::behind(service, filter, 0);
        loop {
            let letters = match pages.next().await {
                Ok(Some(page)) => page.dead_letters,
                Ok(None) => break,
                Err(error) => {
                    failures.push(error.to_string());
                    break;
                }
            };
            found += letters.len();
            if json {
                for letter in &letters {
                    writeln!(out, "{}", letter.json(&service.name)?)?;
                }
            } else if !letters.is_empty() {
                let rows: Vec<_> = letters.iter().map(|letter| letter.row(&service.name)).collect();
                table.write(out, &rows)?;
            }
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

pub(super) async fn show(services: &Services, id: &str, json: bool, out: Out<'_>) -> anyhow::Result<()> {
    let mut found = false;
    let mut failures = Vec::new();
    for service in &services.0 {
        match service.get::<FullLetter>(&[id], &[]).await {
            Ok(None) => {}
            Ok(Some(letter)) => {
                found = true;
                let name = &service.name;
                writeln!(out, "{}", if json { letter.json(name)? } else { letter.text(name)? })?;
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
