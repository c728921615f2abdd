//! Replay and drop: asked of each service, followed until nothing is wanted any more, told as it ended.

use super::Common;
use super::letter::Letter;
use super::scope::{Scope, Standing};
use super::service::{Service, Services};
use crate::output::{Out, Table, plain};
use anyhow::{Result, bail};
use clap::Args;
use futures_util::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Of which letters, and how long to wait.
#[derive(Debug, Args)]
pub struct Decision {
    #[command(flatten)]
    pub(super) scope: Scope,
    /// Seconds to wait while nothing moves, such as while a database is away; the request is recorded anyway
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout: u16,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What is decided.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Replay,
    Drop,
}

/// What became of the letters of one service.
#[derive(Debug, Serialize)]
struct Outcome {
    service: String,
    wanted: u64,
    done: u64,
    /// A replay found them invalid: they stay, and their keys went on without them.
    invalid: u64,
    left: u64,
    /// The first letter of each key that has stopped, of some keys.
    stopped: Vec<Letter>,
}

/// The pauses between two looks at a request that is carried out.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }
}

/// Asks all services, waits for the end, and writes what became of it; an error unless nothing is left. Nothing is asked
/// for unless `sure`, which is told how many letters each service has, and which services do not say; those are left out.
pub(super) async fn decide(
    services: &Services,
    verb: Verb,
    decision: &Decision,
    sure: impl FnOnce(&[(&str, u64)], &[String]) -> Result<bool>,
    out: Out<'_>,
) -> Result<()> {
    let scope = &decision.scope;
    let looked = join_all(services.0.iter().map(async |service| (service, scope.standing(service).await))).await;
    let (mut seen, mut failures) = (Vec::new(), Vec::new());
    for (service, standing) in looked {
        match standing {
            Ok(standing) => seen.push((service, standing)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let counts: Vec<_> = seen.iter().map(|(service, standing)| (service.name.as_str(), standing.open)).collect();
    let counts: Vec<_> = counts.into_iter().filter(|(_, open)| *open > 0).collect();
    if !seen.is_empty() && !sure(&counts, &failures)? {
        return if counts.is_empty() && !failures.is_empty() { bail!("{}", failures.join("\n")) } else { Ok(()) };
    }

    let progress = ProgressBar::new(0)
        .with_style(ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len}")?)
        .with_message(verb.name());
    let decided = seen.into_iter().map(|(service, before)| one(service, before, verb, decision, &progress));
    let decided = join_all(decided).await;
    progress.finish_and_clear();

    let mut outcomes = Vec::new();
    for decided in decided {
        match decided {
            Ok(outcome) => outcomes.extend(outcome),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if !outcomes.is_empty() {
        write(&outcomes, decision.common.json, out)?;
    } else if failures.is_empty() {
        let letters = if scope.is_one() { "a dead letter" } else { "dead letters" };
        failures.push(format!("no service has {letters} {scope}"));
    }
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (left, invalid) = (sum(|outcome| outcome.left), sum(|outcome| outcome.invalid));
    if left > 0 {
        failures.push(format!("{left} dead letters {scope} are left; `dead-letters show ID` says all of one"));
    }
    if invalid > 0 {
        failures.push(format!("{invalid} were found invalid and stay; `dead-letters list --kind invalid` shows them"));
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// Asks one service, which was looked at `before`, and follows what it does; nothing where it has no such letter.
async fn one(
    service: &Service,
    before: Standing,
    verb: Verb,
    decision: &Decision,
    progress: &ProgressBar,
) -> Result<Option<Outcome>> {
    #[derive(Deserialize)]
    struct Marked {
        wanted: u64,
        /// Nothing is wanted of what stands behind it.
        #[serde(default)]
        upto: i64,
    }
    let scope = &decision.scope;
    // What came after the look has been seen by nobody: a replay takes it along, a drop does not, not even the first.
    let upto = matches!(verb, Verb::Drop).then(|| before.last.unwrap_or(0));
    let Some(Marked { wanted, upto: last }) = service.post(&[verb.name()], &scope.body(upto)).await? else {
        if scope.is_one() {
            return Ok(None);
        }
        bail!("{service} answers 404 Not Found: it does not know how to {} dead letters", verb.name());
    };
    if wanted == 0 && scope.is_key() {
        return Ok(None);
    }
    progress.inc_length(wanted);
    let patience = Duration::from_secs(decision.timeout.into());
    let after = follow(service, scope, wanted, patience, progress).await?;
    let (left, invalid) = match verb {
        Verb::Replay => (after.open, after.found_invalid.saturating_sub(before.found_invalid)),
        Verb::Drop => (after.open, 0),
    };
    let late = match left + invalid {
        0 => Standing::default(),
        _ => scope.behind(service, last.max(before.last.unwrap_or(0))).await?,
    };
    let stopped = if left > 0 { scope.stopped(service).await? } else { Vec::new() };
    // What came meanwhile is none of those that something was wanted of.
    let undone = left.saturating_sub(late.open) + invalid.saturating_sub(late.found_invalid);
    let done = wanted.saturating_sub(undone);
    Ok(Some(Outcome { service: service.name.clone(), wanted, done, invalid, left, stopped }))
}

/// Looks until nothing is wanted any more; gives up when nothing has moved for as long as `patience`.
async fn follow(
    service: &Service,
    scope: &Scope,
    wanted: u64,
    patience: Duration,
    progress: &ProgressBar,
) -> Result<Standing> {
    let (mut pause, mut moved_at, mut open, mut shown) = (PAUSES.0, Instant::now(), u64::MAX, 0);
    loop {
        let looked = scope.standing(service).await;
        if let Ok(standing) = &looked {
            if standing.open != open {
                (open, moved_at) = (standing.open, Instant::now());
            }
            let done = wanted.saturating_sub(open);
            progress.inc(done.saturating_sub(shown));
            shown = shown.max(done);
            if standing.wanted == 0 {
                return Ok(*standing);
            }
        }
        if moved_at.elapsed() >= patience {
            let why = match looked {
                Ok(Standing { wanted, .. }) => format!("{service} has {wanted} letters left of it and does not get on"),
                Err(error) => error.to_string(),
            };
            bail!("{why}; the request is recorded there, and is carried out as soon as it can be");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

fn write(outcomes: &[Outcome], json: bool, out: Out<'_>) -> Result<()> {
    if json {
        for outcome in outcomes {
            writeln!(out, "{}", serde_json::to_string(outcome)?)?;
        }
        return Ok(());
    }
    let row = |Outcome { service, wanted, done, invalid, left, .. }: &Outcome| {
        [service.clone(), wanted.to_string(), done.to_string(), invalid.to_string(), left.to_string()]
    };
    let rows: Vec<_> = outcomes.iter().map(row).collect();
    Table::new(["SERVICE", "WANTED", "DONE", "INVALID", "LEFT"]).write(out, &rows)?;
    let stopped: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| outcome.stopped.iter().map(|letter| letter.stopped(&outcome.service)))
        .collect();
    if !stopped.is_empty() {
        writeln!(out, "\nThese keys have stopped at their first letter:")?;
        Table::new(["SERVICE", "KEY", "ID", "ATTEMPTS", "CAUSE"]).write(out, &stopped)?;
    }
    Ok(())
}

impl Letter {
    fn stopped(&self, service: &str) -> [String; 5] {
        let key = self.key.map_or_else(|| "-".to_owned(), |key| key.to_string());
        [service.to_owned(), key, plain(&self.id), self.attempts.to_string(), self.short_cause()]
    }
}
