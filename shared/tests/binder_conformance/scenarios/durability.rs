//! What a kill may not take away.

use crate::lab::{GROUP, SOON, THINGS, World, producing, thing};
use crate::reader::ids;
use futures_util::future::join_all;
use shared::messaging::{Binder, Outgoing};
use std::collections::{BTreeMap, BTreeSet};
use testkit::eventually;

pub(crate) async fn a_send_that_returned_survives_the_kill_of_its_process(world: &World) {
    let child = world.child("send");
    let said = eventually(SOON, "100 sends of the child", async || match child.lines().len() {
        enough if enough >= 100 => Ok(()),
        said => Err(format!("{said}")),
    });
    said.await;
    let said = child.kill();
    let there = world.drain(THINGS, GROUP, 1).await;
    let there = ids(&there[&0]);
    let sent: Vec<&str> = said.iter().map(|line| line.strip_prefix("sent ").unwrap()).collect();
    assert!(there.len() >= sent.len(), "{} were sent and {} are there", sent.len(), there.len());
    assert_eq!(there[..sent.len()], sent, "everything that was sent is there, in order");
    assert!(there.len() <= sent.len() + 1, "at most the one that was being sent stands behind it");
}

/// The destinations of a request, and how many events it has for each.
const REQUEST: [(&str, usize); 3] = [("things", 1), ("parts", 3), ("views", 3)];

pub(crate) async fn the_events_of_a_request_are_taken_all_or_none(world: &World) {
    let mut said = BTreeSet::new();
    for run in 0..8 {
        let child = world.child(&format!("requests of {run}"));
        eventually(SOON, "10 requests of the child", async || match child.lines().len() {
            enough if enough >= 10 => Ok(()),
            said => Err(format!("{said}")),
        })
        .await;
        said.extend(child.kill());
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (destination, _) in REQUEST {
        for message in world.drain(destination, GROUP, 2).await.into_values().flatten() {
            let (request, _) = message.id.split_once('/').unwrap();
            *taken.entry(format!("sent {request}")).or_default() += 1;
        }
    }
    let torn: Vec<_> = taken.iter().filter(|(_, count)| **count != 7).collect();
    assert!(torn.is_empty(), "requests with some of their 7 events: {torn:?}");
    let lost: Vec<_> = said.iter().filter(|request| !taken.contains_key(*request)).collect();
    assert!(lost.is_empty(), "requests that were promised and are not there: {lost:?}");
}

/// A child's work: requests side by side, each to three destinations, until it is killed.
pub(crate) async fn send_requests(binder: &dyn Binder, name: &str) {
    let bindings = REQUEST.map(|(destination, _)| producing(destination, 2, &[GROUP]));
    let producer = binder.producer(&bindings).await.unwrap();
    let client = async |client: i32| {
        for number in 0.. {
            let request = format!("{name}: {client}.{number}");
            let event = |(destination, at): (&str, usize)| Outgoing {
                destination: destination.to_owned(),
                id: format!("{request}/{destination}/{at}"),
                ..thing(client, number)
            };
            let events = REQUEST.iter().flat_map(|&(destination, count)| (0..count).map(move |at| (destination, at)));
            producer.send(events.map(event).collect()).await.unwrap();
            println!("sent {request}");
        }
    };
    join_all((0..8).map(client)).await;
}
