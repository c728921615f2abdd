//! The lab that needs no server: a log in a folder.

mod keeping;
mod owning;
mod repartitioning;

use crate::lab::Lab;
use crate::scenarios::{Scenario, scenarios};
use async_trait::async_trait;
use shared::messaging::embedded::EmbeddedBinder;
use shared::messaging::{Binder, ConsumerBinding};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The embedded binder.
pub(crate) struct Embedded;

#[async_trait(?Send)]
impl Lab for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn own_scenarios(&self) -> Vec<Scenario> {
        scenarios![
            keeping::several_processes_may_start_on_nothing_at_once,
            keeping::what_all_groups_have_settled_is_forgotten_when_it_is_old,
            keeping::the_audit_group_holds_only_from_its_first_reader_on,
            owning::a_batch_is_what_is_there_up_to_its_limit,
            owning::a_partition_stays_with_its_owner_until_it_lets_go,
            repartitioning::a_new_count_of_partitions_holds_once_everything_is_settled,
            repartitioning::a_late_group_without_messages_does_not_hold_the_old_count,
            repartitioning::order_per_key_survives_every_new_count_of_partitions,
        ]
    }

    async fn space(&self, folder: &Path) -> String {
        folder.join("log").to_str().unwrap().to_owned()
    }

    async fn binder(&self, address: &str) -> Arc<dyn Binder> {
        Arc::new(EmbeddedBinder::open(Path::new(address), Duration::from_secs(3600)).await.unwrap())
    }

    async fn steal(&self, address: &str, binding: &ConsumerBinding) {
        // The lock of a file that has no name any more stays with its owner, and nobody else ever asks for it.
        let prefix = format!("{}.{}", binding.destination, binding.group);
        for entry in std::fs::read_dir(Path::new(address).join("locks")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with(&prefix) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}
