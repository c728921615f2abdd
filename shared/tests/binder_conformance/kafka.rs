//! The lab with a Kafka broker: each trial has names of its own there, and a PostgreSQL database for its service.
//!
//! - [`space`]: the names of a trial, as an administrator sees them
//! - [`spaced`]: a binder that knows no others, and does not see that they are no usual ones
//! - [`raw`]: records as they stand there; `golden/` holds what the landscape in Java wrote
//! - [`wire`]: records, as Java has them; [`foreign`]: what others send and make; [`fresh`]: partitions that were just made
//! - [`owning`]: who consumes; [`outages`]: brokers that are away, in each way

mod foreign;
mod fresh;
mod outages;
mod owning;
mod raw;
mod space;
mod spaced;
mod wire;

use crate::lab::Lab;
use crate::scenarios::{Scenario, importing, scenarios};
use async_trait::async_trait;
use shared::messaging::kafka::KafkaBinder;
use shared::messaging::{Binder, ConsumerBinding};
use space::Space;
use spaced::Spaced;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::{SOON, eventually, servers};
use uuid::Uuid;

/// The binder for Kafka.
pub(crate) struct Kafka;

#[async_trait(?Send)]
impl Lab for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn absent(&self) -> Option<String> {
        crate::runtime().block_on(async {
            let (broker, database) = (servers::kafka().await, servers::postgres().await);
            broker.err().or(database.err())
        })
    }

    fn exempt(&self, scenario: &str) -> Option<&'static str> {
        let of_network = ["an_owner_that_was_frozen", "two_owners", "what_is_refused"];
        let of_network = of_network.iter().any(|name| scenario.starts_with(name));
        let proxied = || crate::runtime().block_on(servers::kafka()).is_ok_and(|broker| broker.proxy().is_some());
        (of_network && !proxied()).then_some("it needs a broker behind a network of ours, and Docker for that")
    }

    fn own_scenarios(&self) -> Vec<Scenario> {
        scenarios![
            wire::what_is_sent_is_what_java_sends,
            wire::a_dead_letter_is_what_java_writes_with_more_headers,
            wire::the_records_of_java_take_effect_or_become_letters,
            foreign::no_record_is_too_odd_for_the_database_or_the_broker,
            foreign::records_are_read_whatever_they_were_compressed_with,
            foreign::a_topic_with_another_count_of_partitions_is_used_as_it_stands,
            foreign::what_is_made_keeps_dead_letters_forever,
            foreign::a_topic_that_is_deleted_under_a_running_service_is_made_again,
            foreign::partitions_that_somebody_adds_are_not_used_before_the_next_start,
            foreign::partitions_that_somebody_adds_are_counted_by_whom_they_are_assigned_to,
            foreign::what_java_left_is_imported_once,
            importing::letters_that_weigh_much_are_read_in_parts,
            foreign::the_neighbours_of_a_refused_record_are_sent_once,
            foreign::copies_are_weighed_one_by_one,
            foreign::a_batch_weighs_its_headers_too,
            foreign::what_is_removed_before_it_is_read_holds_up_nothing_behind_it,
            foreign::what_a_topic_keeps_is_remembered_as_long,
            fresh::what_is_refused_is_not_taken_for_sent_since_what_follows_was_taken,
            owning::a_killed_process_and_one_that_comes_back_as_a_zombie_do_nothing_twice,
            owning::a_slow_handler_keeps_its_membership,
            owning::beside_another_client_in_its_group_each_gets_a_share,
            outages::connections_that_are_cut_under_load_cost_no_promised_event,
            outages::a_broker_that_is_frozen_and_killed_under_load_costs_no_promised_event,
            outages::a_producer_that_dies_in_a_transaction_does_not_hold_readers_for_long,
            outages::health_says_what_is_wrong_with_the_brokers,
        ]
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(240)
    }

    fn settling(&self) -> Duration {
        SOON
    }

    fn offsets_count_messages(&self) -> bool {
        false
    }

    async fn space(&self, _: &Path) -> String {
        Space::new(servers::kafka().await.unwrap()).to_string()
    }

    async fn remove(&self, address: &str) {
        let space: Space = address.parse().unwrap();
        space.remove().await;
    }

    async fn database(&self, _: &Path) -> String {
        servers::postgres().await.unwrap().database().await
    }

    async fn binder(&self, address: &str) -> Arc<dyn Binder> {
        let space: Space = address.parse().unwrap();
        // A name of its own, by which the network knows it.
        let name = format!("{}-{}", space.name(), Uuid::new_v4().simple());
        let binder = KafkaBinder::open(space.brokers().parse().unwrap(), &name).unwrap();
        eventually(SOON, "a connection to the broker", async || {
            let health = binder.health().await;
            if health.up { Ok(()) } else { Err(format!("{:?}", health.details)) }
        })
        .await;
        Arc::new(Spaced::new(space.name(), binder))
    }

    async fn steal(&self, address: &str, binding: &ConsumerBinding) {
        let space: Space = address.parse().unwrap();
        let proxy = servers::kafka().await.unwrap().proxy().expect("a network of ours");
        let members = space.until_consumed(&binding.group).await;
        // Whoever consumes hears and says nothing any more, by none of its connections.
        for member in &members {
            proxy.silence(&format!("{} ", member.binder));
        }
        for member in &members {
            space.leave(&binding.group, &member.id).await;
        }
    }
}
