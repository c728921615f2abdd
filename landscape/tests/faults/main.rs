//! The promises on RabbitMQ or Kafka, and PostgreSQL: a load on the containers of `docker-compose-partitions.yml` or
//! `docker-compose-kafka.yml`, of which one after the other is killed, while events wait. At the end everything that was
//! accepted has taken effect once and in order, and nothing else has.
//!
//! - this file: what is done to whom
//! - [`strike`]: a fault, and what is expected of the landscape meanwhile
//! - [`compose`]: the containers; [`broker`]: what waits in it, and its consumers; [`databases`]: history and verdict on PostgreSQL
//!
//! It takes images, ports and minutes, so it runs only where it is asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

mod broker;
mod compose;
mod databases;
mod strike;

use broker::Broker;
use compose::{INSTANCES, POSTGRES, REGISTRY};
use shared::service::config::Variables;
use std::time::{Duration, Instant, SystemTime};
use strike::{Fault, UnderLoad};
use testkit::eventually;
use testkit::workload::Random;
use tokio::sync::Mutex;

/// How many events a load has at the least.
const EVENTS: u64 = 100_000;
/// How long the landscape may take for what is missing of them after the last fault.
const LOAD: Duration = Duration::from_secs(300);

/// Set it to what a failed run has printed to have its choices again; and this one to have fewer events.
const SEED: &str = "FAULT_SEED";
const SOME: &str = "FAULT_EVENTS";

/// The ports are those of the compose file: there is one landscape at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[ignore = "needs the images of docker-compose-partitions.yml and its ports"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_rabbitmq_and_databases_that_are_killed_lose_double_and_reorder_nothing() {
    everybody_is_killed(Broker::RabbitMq).await;
}

#[ignore = "needs the images of docker-compose-kafka.yml and its ports"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_kafka_and_databases_that_are_killed_lose_double_and_reorder_nothing() {
    everybody_is_killed(Broker::Kafka).await;
}

#[ignore = "needs the images of docker-compose-partitions.yml and its ports"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rabbitmq_whose_application_is_stopped_loses_doubles_and_reorders_nothing() {
    let rounds = [vec![Fault::StopApplication], vec![Fault::StopApplication], vec![Fault::StopApplication]];
    endure(Broker::RabbitMq, rounds).await;
}

async fn everybody_is_killed(broker: Broker) {
    let servers = [broker.service(), POSTGRES];
    let alone = INSTANCES.map(|instance| vec![instance]).to_vec();
    let pairs = INSTANCES.chunks(2).map(<[_]>::to_vec).collect();
    let apart = || servers.map(|server| vec![server]).to_vec();
    // As when the machine loses its power.
    let all = vec![[&INSTANCES[..], &servers, &[REGISTRY]].concat()];
    // In each round everybody is killed, in an order of its own.
    let rounds = [[alone, apart()].concat(), [pairs, apart(), all].concat()];
    endure(broker, rounds.map(|round| round.into_iter().map(Fault::Kill).collect())).await;
}

/// Brings a landscape up, lets all of this happen to it under load, and compares.
async fn endure(broker: Broker, rounds: impl IntoIterator<Item = Vec<Fault>>) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let variables = Variables::from_env();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = variables.text(SEED).map_or(now.as_secs(), |seed| seed.parse().unwrap());
    let least = variables.text(SOME).map_or(EVENTS, |events| events.parse().unwrap());
    println!("{SEED}={seed}");
    let mut random = Random(seed);

    let mut landscape = UnderLoad::start(broker, seed).await;
    let started = Instant::now();
    let mut count = 0;
    for mut round in rounds {
        count += round.len();
        while !round.is_empty() {
            let fault = round.swap_remove(random.below(round.len()));
            landscape.strike(&fault, &mut random).await;
        }
    }
    let faults = started.elapsed();
    eventually(LOAD, "there are events enough", async || {
        let events = landscape.events();
        if events < least { Err(format!("{events} of {least}")) } else { Ok(()) }
    })
    .await;
    let load = started.elapsed();
    let events = landscape.verdict().await;
    println!(
        "{events} events in {:.1} s, {count} faults in the first {:.1} s of them",
        load.as_secs_f64(),
        faults.as_secs_f64()
    );
    assert!(events >= least, "only {events} events: that proves little");
}
