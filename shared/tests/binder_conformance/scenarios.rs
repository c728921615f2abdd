//! The promises, each by name and once for all binders.
//!
//! - [`delivery`]: who gets what, in which order
//! - [`durability`]: what a kill may not take away
//! - [`looking`]: topics, tails and health
//! - [`deciding`]: effect or dead letter
//! - [`parking`]: what comes behind an event that failed
//! - [`repairing`]: replays and drops; [`random`]: all that together, as it comes; [`importing`]: what others left
//! - [`outages`]: databases and brokers that are away, and stops meanwhile
//! - [`crashes`]: ends between any two steps
//! - [`owners`]: more than one owner, and none

mod crashes;
mod deciding;
pub(crate) mod delivery;
pub(crate) mod durability;
pub(crate) mod importing;
mod looking;
mod outages;
mod owners;
mod parking;
mod random;
mod repairing;

use crate::lab::World;
use futures_util::future::LocalBoxFuture;

/// A promise and its proof.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(World) -> LocalBoxFuture<'static, ()>,
}

/// Scenarios named after their functions.
macro_rules! scenarios {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$($crate::scenarios::Scenario {
            name: stringify!($name),
            run: |world| Box::pin(async move { $module::$name(&world).await }),
        }),+]
    };
}
pub(crate) use scenarios;

/// All promises that do not depend on the kind of broker.
pub(crate) fn all() -> Vec<Scenario> {
    scenarios![
        delivery::each_group_gets_each_event_once,
        delivery::two_consumers_of_a_group_share_its_events,
        delivery::a_partition_that_is_handed_over_goes_on_behind_what_was_settled,
        delivery::what_was_sent_before_a_named_group_first_ran_is_there,
        delivery::order_per_key_holds_while_instances_join_and_leave,
        delivery::what_was_not_settled_comes_again_and_what_was_settled_never_does,
        delivery::a_dropped_receive_loses_nothing,
        delivery::bodies_travel_unchanged_with_their_headers_and_ids,
        durability::a_send_that_returned_survives_the_kill_of_its_process,
        durability::the_events_of_a_request_are_taken_all_or_none,
        looking::topics_and_tails_look_without_consuming,
        looking::a_tail_follows_one_partition_or_starts_now,
        looking::health_is_up,
        deciding::what_cannot_be_read_is_invalid_at_once_and_parks_nothing,
        deciding::a_violated_constraint_is_invalid_at_once,
        deciding::a_failing_event_is_tried_as_often_as_configured_then_a_dead_letter,
        deciding::an_event_that_fails_for_a_while_takes_effect_once,
        deciding::a_bad_event_in_a_batch_costs_only_itself,
        deciding::an_event_twice_in_a_batch_takes_effect_once,
        deciding::an_event_sent_again_later_takes_effect_once,
        deciding::an_id_may_be_longer_than_a_database_can_look_for,
        deciding::a_closed_letter_is_remembered_longer_than_the_inbox_remembers,
        deciding::a_handler_that_panics_does_not_block_its_partition,
        parking::a_failed_event_parks_its_key_and_no_other,
        parking::a_key_stays_parked_across_a_restart,
        repairing::a_replay_applies_a_key_in_order_and_frees_it,
        repairing::a_replay_that_fails_again_keeps_the_rest_of_its_key,
        repairing::events_that_come_during_a_replay_come_behind_it,
        repairing::a_letter_that_is_invalid_now_lets_its_key_go_on,
        repairing::a_drop_has_no_effect_and_leaves_what_stands_behind,
        repairing::an_invalid_letter_is_replayed_by_its_id_as_a_new_event,
        repairing::replays_that_fail_again_hold_up_no_new_event,
        repairing::a_long_replay_holds_up_no_new_event,
        repairing::two_replays_at_once_are_one,
        repairing::a_redelivered_original_does_nothing_after_its_replay,
        repairing::a_crash_during_a_replay_leaves_one_effect,
        repairing::what_was_asked_for_while_nobody_ran_is_done_at_the_start,
        random::failures_replays_drops_and_crashes_lose_double_and_invert_nothing,
        outages::a_locked_database_costs_time_and_nothing_else,
        outages::a_full_disk_costs_time_and_nothing_else,
        outages::an_unavailable_handler_is_asked_until_it_is_back,
        outages::a_stop_ends_an_outage_and_leaves_the_event,
        outages::a_stop_finishes_the_batch_in_hand,
        outages::a_broker_that_takes_no_copy_now_holds_the_partition,
        outages::a_copy_that_cannot_be_noted_is_not_sent_again,
        outages::a_partition_that_cannot_be_settled_is_not_taken_again_and_again,
        outages::a_refused_copy_is_cut_and_then_done_without,
        crashes::a_crash_while_giving_up_leaves_an_effect_or_one_letter,
        crashes::a_crash_while_giving_up_the_unreadable_leaves_one_letter,
        crashes::a_crash_while_applying_leaves_one_effect,
        owners::an_owner_that_was_frozen_before_applying_does_nothing_twice,
        owners::an_owner_that_was_frozen_while_applying_does_nothing_twice,
        owners::two_owners_of_one_partition_double_and_invert_nothing,
        owners::two_owners_of_one_partition_write_one_letter_each_event,
        owners::the_partition_of_a_killed_process_is_taken_over,
    ]
}
