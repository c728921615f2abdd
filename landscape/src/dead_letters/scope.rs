//! Which letters are decided on, and how they stand.

use super::letter::{FullLetter, Letter, Page};
use super::look::{Filter, Pages};
use super::service::Service;
use clap::Args;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt;

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Scope {
    /// One dead letter, as `list` shows it; of those that park a key, the first
    #[arg(long)]
    id: Option<String>,
    /// All dead letters that park this productId
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    key: Option<i32>,
    /// All dead letters that park a key; invalid and foreign ones are decided on by their ids
    #[arg(long)]
    all: bool,
}

/// How the letters of a scope stand in one service.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Those that are meant and open.
    pub(super) open: u64,
    /// Those of them that something is wanted of.
    pub(super) wanted: u64,
    /// Those that a replay found invalid are among these, which are not meant.
    pub(super) found_invalid: u64,
    /// The last of the service, by its sequence: what came behind it is not among them.
    pub(super) last: Option<i64>,
}

/// How many keys are named that have stopped.
const MOST_NAMED: usize = 20;

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.id, self.key) {
            (Some(id), _) => write!(f, "with the id {id:?}"),
            (_, Some(key)) => write!(f, "that park key {key}"),
            _ => f.write_str("that park a key"),
        }
    }
}

impl Scope {
    /// Whether it means one letter, which only one service can have.
    pub(super) fn is_one(&self) -> bool {
        self.id.is_some()
    }

    /// Whether it means a key, of which most services have no letters.
    pub(super) fn is_key(&self) -> bool {
        self.key.is_some()
    }

    /// What is asked for; of what stands behind `upto`, nothing.
    pub(super) fn body(&self, upto: Option<i64>) -> Value {
        let mut body = match (&self.id, self.key) {
            (Some(id), _) => return json!({ "id": id }),
            (_, Some(key)) => json!({ "key": key }),
            _ => json!({ "all": true }),
        };
        if let Some(upto) = upto {
            body["upto"] = upto.into();
        }
        body
    }

    pub(super) async fn standing(&self, service: &Service) -> anyhow::Result<Standing> {
        match (&self.id, self.key) {
            (Some(id), _) => Ok(match service.get::<FullLetter>(&[id], &[]).await? {
                Some(FullLetter { letter, .. }) if letter.is_open() => {
                    Standing { open: 1, wanted: letter.wanted.is_some().into(), ..Standing::default() }
                }
                _ => Standing::default(),
            }),
            (_, Some(_)) => self.behind(service, 0).await,
            _ => {
                let page: Page = service.get(&[], &[("limit", "1".to_owned())]).await?.unwrap_or_default();
                let of = page.summary;
                Ok(Standing {
                    open: of.failed + of.parked,
                    wanted: of.wanted_replay + of.wanted_drop,
                    found_invalid: of.found_invalid,
                    last: page.last,
                })
            }
        }
    }

    /// How those stand that came behind `last`, read one by one; of one letter there are none.
    pub(super) async fn behind(&self, service: &Service, last: i64) -> anyhow::Result<Standing> {
        let mut standing = Standing::default();
        if self.is_one() {
            return Ok(standing);
        }
        let filter = Filter { key: self.key, kind: None };
        let mut pages = Pages::behind(service, &filter, last);
        while let Some(page) = pages.next().await? {
            for letter in &page.dead_letters {
                standing.last = Some(letter.sequence);
                if letter.parks() {
                    standing.open += 1;
                    standing.wanted += u64::from(letter.wanted.is_some());
                } else if letter.kind == "invalid" {
                    // One that arrived so has never been replayed.
                    standing.found_invalid += u64::from(letter.generation > 0);
                }
            }
        }
        Ok(standing)
    }

    /// The first open letter of each key that has one, of some keys.
    pub(super) async fn stopped(&self, service: &Service) -> anyhow::Result<Vec<Letter>> {
        if let Some(id) = &self.id {
            let letter = service.get::<FullLetter>(&[id], &[]).await?;
            return Ok(letter.map(|whole| whole.letter).into_iter().filter(Letter::is_open).collect());
        }
        let (mut keys, mut stopped) = (HashSet::new(), Vec::new());
        let filter = Filter { key: self.key, kind: None };
        let mut pages = Pages::behind(service, &filter, 0);
        while let Some(page) = pages.next().await? {
            for letter in page.dead_letters {
                if letter.parks() && keys.insert(letter.key) {
                    stopped.push(letter);
                }
            }
            if stopped.len() >= MOST_NAMED {
                stopped.truncate(MOST_NAMED);
                break;
            }
        }
        Ok(stopped)
    }
}
