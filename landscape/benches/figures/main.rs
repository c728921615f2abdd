//! What the landscape reaches, beside what is possible on the same machine in the same run: one table.
//!
//! `cargo bench -p landscape --bench figures`, or with some of the words `layer`, `growth`, `scale`, `gets`, `ours`,
//! `overload`, `slow` behind `--` for these parts alone. Servers come from Docker, or from `RABBITMQ_URL`, `KAFKA_BROKERS` and
//! `DATABASE_URL`. Machines differ and are never quiet: quote the ratios. What they mean says `docs/performance.md`.
//!
//! - [`load`], [`process`], [`slow`], [`bare`]: generators, and what is measured
//! - [`layer`] with [`embedded`], [`rabbitmq`], [`kafka`]: the event layer, and its floors
//! - [`growth`], [`scale`]: when there is much, and when there are more
//! - [`gets`], [`ours`], [`overload`]: the landscape

// A benchmark prints, and ends where something does not work.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, missing_docs)]

mod bare;
mod embedded;
mod gets;
mod growth;
mod kafka;
mod layer;
mod load;
mod ours;
mod overload;
mod process;
mod rabbitmq;
mod scale;
mod slow;

use process::Process;
use testkit::servers;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is printed, row by row as it is known.
pub(crate) struct Table;

impl Table {
    fn start() -> Self {
        println!("| on | what | figure | beside it |\n|---|---|---|---|");
        Self
    }

    pub(crate) fn row(&mut self, on: &str, what: &str, figure: &str, beside: &str) {
        println!("| {on} | {what} | {figure} | {beside} |");
    }

    /// The event layer on a broker, in events a second.
    pub(crate) fn layer(&mut self, on: &str, how: &str, [bare, posted, consumed, rows, written, applied]: [f64; 6]) {
        let possible = 1.0 / (1.0 / consumed + 1.0 / written);
        let mut row = |what: &str, figure: f64, beside: String| self.row(on, what, &format!("{figure:.0}/s"), &beside);
        row("durable events of a bare client", bare, how.to_owned());
        row("durable events of POSTs", posted, format!("{:.2} of bare", posted / bare));
        row("consumed alone", consumed, "bare".to_owned());
        row("rows of many a statement", rows, "bare".to_owned());
        row("inbox and table alone", written, format!("{:.2} of bare rows", written / rows));
        row("events applied", applied, format!("{:.2} of both in turn", applied / possible));
    }
}

/// The one in the middle.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [overload::SLOW] => return slow::serve().await,
        [overload::FLOOD, at, per_second, first_id] => return overload::flood(at, per_second, first_id).await,
        [gets::BARE, product, recommendation, review] => {
            return bare::serve([product, recommendation, review].map(str::to_owned)).await;
        }
        _ => {}
    }
    let wanted = |word: &str| words.is_empty() || words.iter().any(|wanted| wanted == word);
    let mut table = Table::start();
    if wanted("layer") {
        embedded::embedded(&mut table).await;
        rabbitmq::rabbitmq(&mut table).await;
        kafka::kafka(&mut table).await;
    }
    if wanted("growth") {
        growth(&mut table).await;
    }
    if wanted("scale") {
        scale::scale(&mut table).await;
    }
    let landscapes = if ["gets", "ours", "overload"].into_iter().any(wanted) { brokers().await } else { Vec::new() };
    for (name, variables) in &landscapes {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if wanted("gets") {
            gets::gets(&mut table, name, &variables).await;
        }
        if wanted("ours") {
            ours::ours(&mut table, name, &variables).await;
        }
        if wanted("overload") {
            // The same one would find its topics full of what came before.
            overload::overload(&mut table, name, &Process::start(&variables).await).await;
        }
    }
    if wanted("overload") || wanted("slow") {
        overload::slow(&mut table).await;
    }
}

/// The variables of a landscape on each binder; beside brokers the data is in PostgreSQL.
pub(crate) async fn brokers() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let vhost = servers::rabbitmq().await.unwrap().vhost().await;
    let (kafka, postgres) = (servers::kafka().await.unwrap(), servers::postgres().await.unwrap());
    let rabbitmq = vec![
        ("BINDER", "rabbitmq".to_owned()),
        ("RABBITMQ_URL", vhost.url),
        ("RABBITMQ_MANAGEMENT_URL", vhost.management),
    ];
    let kafka = vec![("BINDER", "kafka".to_owned()), ("KAFKA_BROKERS", kafka.bootstrap().to_owned())];
    let mut all =
        vec![("embedded, SQLite", Vec::new()), ("RabbitMQ, PostgreSQL", rabbitmq), ("Kafka, PostgreSQL", kafka)];
    for (_, variables) in &mut all[1..] {
        for service in ["PRODUCT_DATABASE_URL", "RECOMMENDATION_DATABASE_URL", "REVIEW_DATABASE_URL"] {
            variables.push((service, postgres.database().await));
        }
    }
    all
}

async fn growth(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}/{name}.db", folder.path().display());
    growth::growth(table, "SQLite", &file("little"), &file("much")).await;
    let server = servers::postgres().await.unwrap();
    growth::growth(table, "PostgreSQL", &server.database().await, &server.database().await).await;
}
