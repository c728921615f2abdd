//! The lab with a RabbitMQ broker: each trial has a virtual host there, and a PostgreSQL database for its service. What
//! Java declares, sends and gives up was captured from the landscape in Java; `golden/` holds it.
//!
//! - [`broker`]: a virtual host as an administrator sees it
//! - [`declaring`]: exchanges and queues; [`wire`]: messages, as Java has them
//! - [`foreign`]: what others send; looks that leave it there; [`bytes`]: names that are no text
//! - [`owning`]: who consumes; [`moving`]: another count of partitions
//! - [`outages`]: brokers that are away, in each way; [`weighing`]: what is too much to be in hand

mod broker;
mod bytes;
mod declaring;
mod foreign;
mod moving;
mod outages;
mod owning;
mod weighing;
mod wire;

use crate::lab::{GROUP, Lab, THINGS};
use crate::scenarios::{Scenario, importing, scenarios};
use async_trait::async_trait;
use broker::Broker;
use reqwest::Method;
use serde_json::Value;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, ConsumerBinding};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use testkit::{SOON, eventually, servers};

/// The binder for RabbitMQ.
pub(crate) struct Rabbit;

#[async_trait(?Send)]
impl Lab for Rabbit {
    fn name(&self) -> &'static str {
        "rabbit"
    }

    fn absent(&self) -> Option<String> {
        crate::runtime().block_on(async {
            let (broker, database) = (servers::rabbitmq().await, servers::postgres().await);
            broker.err().or(database.err())
        })
    }

    fn exempt(&self, scenario: &str) -> Option<&'static str> {
        if scenario == "an_id_may_be_longer_than_a_database_can_look_for" {
            return Some("RabbitMQ takes no message with an id of more than 255 bytes");
        }
        if scenario == "the_events_of_a_request_are_taken_all_or_none" {
            return Some(
                "RabbitMQ takes each message for itself: a request that was not promised may be there in part",
            );
        }
        // Others' brokers are not killed. Who checks a change has Docker.
        let own = scenario.starts_with("a_broker_that_is_frozen") || scenario.starts_with("a_broker_that_blocks");
        let docker = || Command::new("docker").arg("version").output().is_ok_and(|ran| ran.status.success());
        (own && std::env::var_os("CI").is_none() && !docker())
            .then_some("it needs a broker of its own, and Docker for that")
    }

    fn own_scenarios(&self) -> Vec<Scenario> {
        scenarios![
            declaring::what_is_declared_is_what_java_declares_in_every_order,
            declaring::a_consumer_alone_declares_what_is_its_own,
            declaring::a_queue_with_other_arguments_is_used_and_one_of_another_type_is_refused,
            declaring::a_hundred_partitions_are_declared_in_time,
            declaring::what_somebody_deletes_is_declared_again,
            declaring::a_queue_of_dead_letters_that_somebody_deletes_is_declared_for_the_next_copy,
            wire::what_is_sent_is_what_java_sends,
            wire::a_dead_letter_is_what_java_writes_with_more_headers,
            wire::the_messages_of_java_take_effect_or_become_letters,
            foreign::a_foreign_message_is_kept_to_the_last_bit_of_its_headers,
            foreign::a_message_without_an_id_is_known_by_what_it_says,
            foreign::no_message_is_too_odd_for_the_database_or_the_broker,
            foreign::headers_that_stand_in_each_other_ten_thousand_times_end_nobody,
            bytes::names_that_are_no_text_end_nobody,
            foreign::a_producer_alone_on_an_empty_broker_loses_nothing,
            foreign::what_java_left_is_imported_once,
            importing::letters_that_weigh_much_are_read_in_parts,
            foreign::letters_that_somebody_else_has_in_hand_are_not_taken_for_none,
            foreign::a_tail_leaves_the_audit_queues_as_they_were,
            owning::a_crashed_instance_is_stood_in_for_until_it_returns,
            owning::instances_of_a_service_with_a_file_find_each_other_too,
            owning::a_killed_and_a_frozen_process_are_stood_in_for,
            owning::without_takeover_an_instance_keeps_to_its_index,
            owning::members_without_an_index_share_evenly,
            owning::one_stands_by_and_takes_over_when_the_other_leaves,
            owning::beside_a_java_consumer_ours_stands_by_and_takes_over,
            moving::what_another_count_left_is_applied_before_what_this_one_brings,
            moving::the_queues_of_one_partition_get_no_copies_of_what_goes_to_two,
            outages::connections_that_are_cut_under_load_cost_no_promised_event,
            outages::a_broker_that_is_frozen_and_killed_under_load_costs_no_promised_event,
            outages::a_broker_that_blocks_is_not_waited_for_and_gets_nothing_afterwards,
            outages::health_says_what_is_wrong_with_the_url_and_no_password,
            weighing::what_weighs_too_much_to_be_in_hand_stays_with_the_broker,
            weighing::what_weighs_too_much_holds_up_neither_a_release_nor_the_next_owner,
            weighing::what_is_in_hand_of_a_connection_that_is_gone_holds_up_no_other,
        ]
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(240)
    }

    fn settling(&self) -> Duration {
        SOON
    }

    async fn space(&self, _: &Path) -> String {
        Broker::from(servers::rabbitmq().await.unwrap().vhost().await).to_string()
    }

    async fn remove(&self, address: &str) {
        let broker: Broker = address.parse().unwrap();
        broker.remove().await;
    }

    async fn database(&self, _: &Path) -> String {
        servers::postgres().await.unwrap().database().await
    }

    async fn binder(&self, address: &str) -> Arc<dyn Binder> {
        let broker: Broker = address.parse().unwrap();
        let url = broker.user().await.parse().unwrap();
        let binder = RabbitBinder::open(url, Some(broker.management()), "conformance").unwrap();
        eventually(SOON, "a connection to the broker", async || {
            let health = binder.health().await;
            if health.up { Ok(()) } else { Err(format!("{:?}", health.details)) }
        })
        .await;
        Arc::new(binder)
    }

    async fn copies(&self, address: &str) -> Option<u64> {
        let broker: Broker = address.parse().unwrap();
        Some(broker.count(&format!("{THINGS}.{GROUP}.dlq")).await)
    }

    async fn steal(&self, address: &str, _: &ConsumerBinding) {
        // Whoever consumes loses all connections, and gets no new one.
        let broker: Broker = address.parse().unwrap();
        for user in broker.until_consumed().await {
            broker.manage(Method::DELETE, &["users", &user], Value::Null).await.unwrap();
        }
    }
}
