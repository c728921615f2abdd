//! The promises, those first that take longest.
//!
//! - [`reading`]: what is read; [`refusing`]: what is registered and what not
//! - [`changing`]: overrides, metadata, leaving, deltas; [`status`]: whom a registry believes
//! - [`leases`]: what time does
//! - [`peers`]: what registries tell each other

mod changing;
mod leases;
mod peers;
mod reading;
mod refusing;
mod status;

use crate::lab::Kind;
use crate::{Run, clients, dashboard, golden};
use std::pin::Pin;

/// A promise.
pub(crate) struct Check {
    name: &'static str,
    absent: fn() -> Option<String>,
    run: Box<dyn Fn(Kind) -> Run>,
}

impl Check {
    /// Its name on this kind of registry, why it cannot be tried, and how.
    pub(crate) fn on(&self, kind: Kind) -> (String, Option<String>, Run) {
        let absent = kind.absent().or_else(self.absent);
        (format!("{}::{}", kind.name(), self.name), absent, (self.run)(kind))
    }
}

/// All of these functions, by their names.
macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        vec![$(Check {
            name: stringify!($name),
            absent: || None,
            run: Box::new(|kind| Box::new(move || Box::pin($module::$name(kind)) as Pin<Box<dyn Future<Output = ()>>>)),
        }),*]
    };
}

/// All promises.
pub(crate) fn all() -> Vec<Check> {
    let mut all: Vec<Check> = checks![clients::clients_of_all_kinds_work_with_each_other,];
    all.iter_mut().for_each(|check| check.absent = clients::missing);
    all.extend(promises());
    all
}

/// What is tried on one kind only.
pub(crate) fn alone() -> Vec<(Kind, Check)> {
    let mut page = checks![dashboard::the_page_shows_what_is_registered_as_text_and_on_a_phone,].remove(0);
    page.absent = dashboard::missing;
    vec![(Kind::Ours, page), (Kind::Real, checks![golden::ours_answers_the_same_to_the_letter,].remove(0))]
}

fn promises() -> Vec<Check> {
    checks![
        leases::check_22_self_preservation_evicts_only_while_enough_renew,
        leases::check_21_a_lease_lasts_once_its_duration_and_twice_after_a_renewal,
        leases::check_21_what_is_over_is_evicted,
        changing::check_15_deltas_tell_each_change_once_and_forget_it,
        peers::check_23_nothing_is_told_before_peers_were_waited_for,
        peers::check_24_a_batch_is_answered_item_by_item_and_not_forwarded,
        changing::check_16_deltas_lead_to_the_same_hash_as_the_whole_registry,
        peers::check_26_what_one_registry_learns_the_other_knows,
        peers::check_27_our_client_finds_and_is_found,
        golden::recorded_clients_are_answered_as_they_expect,
        reading::check_01_an_empty_registry_is_empty_to_the_letter,
        reading::check_02_xml_is_for_who_does_not_ask_for_json,
        reading::check_03_registering_answers_204_and_serves_the_exact_shape,
        reading::check_04_gzip_changes_nothing_but_the_encoding,
        reading::check_05_an_instance_is_found_by_application_and_alone,
        reading::check_06_what_is_unknown_is_404_without_a_body_and_no_vip_is_none,
        status::check_07_a_heartbeat_is_404_only_when_the_client_should_register_again,
        status::check_08_a_peer_with_an_older_record_is_told_the_newer_one,
        status::check_09_an_older_record_does_not_replace_a_newer_one,
        changing::check_10_an_override_outlives_heartbeats_and_registrations,
        changing::check_11_without_its_override_an_instance_is_unknown_until_it_registers,
        changing::check_12_an_illegal_status_is_500_and_an_unknown_instance_404,
        changing::check_13_metadata_is_merged,
        changing::check_14_who_leaves_is_gone,
        refusing::check_17_what_is_missing_is_named,
        refusing::check_18_only_what_cannot_be_read_is_refused,
        refusing::check_19_springs_form_and_xml_are_taken_and_served_in_the_same_shape,
        status::check_20_whose_status_is_believed,
        reading::check_25_the_compact_form_has_twelve_fields,
    ]
}
