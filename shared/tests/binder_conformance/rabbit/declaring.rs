//! What stands on the broker is what Java declares, whoever comes first.

use super::broker::Broker;
use crate::lab::{GROUP, SOON, THINGS, World, consuming, producing, thing, valued};
use crate::reader::take;
use crate::rows::{DESTINATIONS, reading};
use crate::service::{Setup, hook};
use reqwest::Method;
use serde_json::{Value, json};
use shared::messaging::BinderError;
use shared::messaging::failure::Failure;
use testkit::eventually;

const PLAIN: &str = include_str!("golden/declared-plain.json");
const PARTITIONED: &str = include_str!("golden/declared-partitioned.json");

/// Who declares.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Producer,
    Consumer(usize),
}

pub(crate) async fn what_is_declared_is_what_java_declares_in_every_order(world: &World) {
    use Who::{Consumer, Producer};
    let broker = Broker::of(world);
    let orders: [&[Who]; 5] = [
        &[Producer],
        &[Producer, Consumer(0), Consumer(1), Consumer(2)],
        &[Consumer(2), Consumer(1), Consumer(0), Producer],
        &[Consumer(1), Producer, Consumer(0), Producer, Consumer(2), Consumer(1)],
        &[Consumer(0), Producer],
    ];
    for (partitions, golden) in [(1, PLAIN), (2, PARTITIONED)] {
        let golden = sorted(&serde_json::from_str(golden).unwrap());
        for order in orders {
            let binder = world.binder().await;
            for who in order {
                match who {
                    Producer => {
                        let bindings = DESTINATIONS.map(|(name, group)| producing(name, partitions, &[group]));
                        drop(binder.producer(&bindings).await.unwrap());
                    }
                    Consumer(at) => {
                        let consumer = world.join(&*binder, &reading(DESTINATIONS[*at], partitions)).await;
                        consumer.leave().await;
                    }
                }
            }
            assert_eq!(declared(&broker).await, golden, "{partitions} partitions, {order:?}");
            clear(&broker).await;
        }
    }
}

pub(crate) async fn a_consumer_alone_declares_what_is_its_own(world: &World) {
    let broker = Broker::of(world);
    for (partitions, golden) in [(1, PLAIN), (2, PARTITIONED)] {
        let binder = world.binder().await;
        world.join(&*binder, &reading(DESTINATIONS[0], partitions)).await.leave().await;
        let mut golden: Value = serde_json::from_str(golden).unwrap();
        for (kind, field) in [("exchanges", "name"), ("queues", "name"), ("bindings", "destination")] {
            golden[kind].as_array_mut().unwrap().retain(|object| {
                let name = object[field].as_str().unwrap();
                ["DLX", "products"].contains(&name) || name.starts_with("products.productsGroup")
            });
        }
        assert_eq!(declared(&broker).await, sorted(&golden), "{partitions} partitions");
        clear(&broker).await;
    }
}

pub(crate) async fn a_queue_with_other_arguments_is_used_and_one_of_another_type_is_refused(world: &World) {
    let broker = Broker::of(world);
    let (queue, binder) = ("things.thingsGroup", world.binder().await);
    let path = ["queues", broker.vhost(), queue];
    let quorum = json!({"x-queue-type": "quorum", "x-dead-letter-exchange": "DLX", "x-dead-letter-routing-key": queue});
    for (arguments, is_used) in [
        (Some(json!({"x-max-length": 1000})), true),
        (Some(quorum), false),
        // The type that a queue gets of which nobody says more.
        (None, false),
    ] {
        match &arguments {
            Some(arguments) => {
                let queue = json!({"durable": true, "arguments": arguments});
                broker.manage(Method::PUT, &path, queue).await.unwrap();
            }
            None => {
                let quorum = json!({"default_queue_type": "quorum"});
                broker.manage(Method::PUT, &["vhosts", broker.vhost()], quorum).await.unwrap();
            }
        }
        let producer = binder.producer(&[producing("things", 1, &["thingsGroup"])]).await;
        let consumer = binder.consumer(&consuming("thingsGroup", 1), &world.database).await;
        if is_used {
            producer.unwrap().send(vec![thing(1, 1)]).await.unwrap();
            let mut consumer = consumer.unwrap();
            let mut partition = consumer.assigned().await.unwrap();
            assert_eq!(take(&mut *partition, 1).await[0].id, "1-1");
            partition.release().await;
            consumer.leave().await;
        } else {
            for refused in [producer.map(drop).unwrap_err(), consumer.map(drop).unwrap_err()] {
                assert!(matches!(refused, BinderError::Refused { .. }), "{arguments:?}: {refused:?}");
                let sentence = refused.to_string();
                assert!(sentence.contains(queue) && sentence.contains("classic"), "{sentence}");
            }
        }
        broker.manage(Method::DELETE, &path, Value::Null).await.unwrap();
    }
}

pub(crate) async fn a_hundred_partitions_are_declared_in_time(world: &World) {
    let binder = world.binder().await;
    let producer = binder.producer(&[producing(THINGS, 100, &[GROUP])]).await.unwrap();
    producer.send((0..100).map(|key| thing(key, 1)).collect()).await.unwrap();
    let service = world.start(Setup { partitions: 100, ..Setup::default() }).await;
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.effects().await.len(), 100);
}

pub(crate) async fn what_somebody_deletes_is_declared_again(world: &World) {
    let broker = Broker::of(world);
    let producer = world.producer(1).await;
    let service = world.start(Setup::default()).await;
    producer.send(vec![thing(1, 1)]).await.unwrap();
    world.until_applied(&["1-1"]).await;
    for (seq, (kind, name)) in (2..).zip([("queues", "things.thingsGroup"), ("exchanges", THINGS)]) {
        broker.manage(Method::DELETE, &[kind, broker.vhost(), name], Value::Null).await.unwrap();
        // The member that consumed declares its queue, the producer all that it needs, at the latest for the next send.
        eventually(SOON, &format!("an effect without the {kind}"), async || {
            producer.send(vec![thing(1, seq)]).await.map_err(|error| format!("{error:?}"))?;
            world.effects().await.iter().any(|effect| effect.seq == seq).then_some(()).ok_or("no effect".to_owned())
        })
        .await;
    }
    service.stop().await;
    assert_eq!(world.applied().await, ["1-1", "1-2", "1-3"]);
}

pub(crate) async fn a_queue_of_dead_letters_that_somebody_deletes_is_declared_for_the_next_copy(world: &World) {
    let (broker, dead) = (Broker::of(world), "things.thingsGroup.dlq");
    let refusing = hook(|thing| async move {
        if thing.value == "bad" { Err(Failure::Invalid("no thing".to_owned())) } else { Ok(()) }
    });
    let service = world.start(Setup { partitions: 2, hook: refusing, ..Setup::default() }).await;
    let producer = world.producer(2).await;
    producer.send(vec![valued(0, 1, "bad"), valued(1, 1, "bad")]).await.unwrap();
    world.until_letters(2).await;
    for (seq, copies) in [(2, 2), (3, 4)] {
        if seq == 2 {
            broker.manage(Method::DELETE, &["queues", broker.vhost(), dead], Value::Null).await.unwrap();
        } else {
            // Or only what brings them there.
            for binding in broker.list("bindings").await.iter().filter(|binding| binding["source"] == "DLX") {
                let key = binding["properties_key"].as_str().unwrap();
                let path = ["bindings", broker.vhost(), "e", "DLX", "q", dead, key];
                broker.manage(Method::DELETE, &path, Value::Null).await.unwrap();
            }
        }
        producer.send(vec![valued(0, seq, "bad"), valued(1, seq, "bad"), thing(2, seq)]).await.unwrap();
        world.until_letters(2 * usize::try_from(seq).unwrap()).await;
        assert_eq!(broker.count(dead).await, copies);
    }
    world.until_settled().await;
    service.stop().await;
    assert_eq!(world.applied().await, ["2-2", "2-3"]);
}

/// What is declared now, as the captures have it.
async fn declared(broker: &Broker) -> Value {
    let mut exchanges = broker.list("exchanges").await;
    exchanges.retain(|exchange| !exchange["name"].as_str().unwrap().starts_with("amq.") && exchange["name"] != "");
    let mut queues = broker.list("queues").await;
    for queue in &mut queues {
        // The broker writes a type that comes from the virtual host into the arguments.
        let of_the_vhost = queue["arguments"].as_object_mut().unwrap().remove("x-queue-type");
        assert!(of_the_vhost.is_none_or(|kind| kind == "classic"), "{queue}");
    }
    let mut bindings = broker.list("bindings").await;
    bindings.retain(|binding| binding["source"] != "");
    sorted(&json!({"exchanges": exchanges, "queues": queues, "bindings": bindings}))
}

/// The fields that matter, in an order that does not.
fn sorted(declared: &Value) -> Value {
    const QUEUE: &[&str] = &["name", "durable", "auto_delete", "arguments"];
    const EXCHANGE: &[&str] = &["name", "type", "durable", "auto_delete", "internal", "arguments"];
    const BINDING: &[&str] = &["source", "destination", "routing_key", "arguments"];
    let kinds = [("exchanges", EXCHANGE), ("queues", QUEUE), ("bindings", BINDING)];
    let sorted = kinds.map(|(kind, fields)| {
        let pick = |object: &Value| fields.iter().map(|&field| (field.to_owned(), object[field].clone())).collect();
        let mut objects: Vec<Value> = declared[kind].as_array().unwrap().iter().map(pick).collect();
        objects.sort_by_key(Value::to_string);
        (kind.to_owned(), Value::from(objects))
    });
    Value::Object(sorted.into_iter().collect())
}

async fn clear(broker: &Broker) {
    for kind in ["queues", "exchanges"] {
        for object in broker.list(kind).await {
            let named = object["name"].as_str().unwrap();
            if !named.starts_with("amq.") && !named.is_empty() {
                broker.manage(Method::DELETE, &[kind, broker.vhost(), named], Value::Null).await.unwrap();
            }
        }
    }
}
