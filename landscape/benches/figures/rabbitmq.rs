//! The event layer over RabbitMQ and PostgreSQL, beside what their clients reach alone.

use crate::Table;
use crate::layer::{BATCH, MANY, apply, body, platform, posts, rows, write};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use shared::api::PRODUCTS;
use shared::messaging::rabbitmq::RabbitBinder;
use shared::messaging::{Binder, ProducerBinding};
use std::time::Instant;
use testkit::servers::{self, Vhost};

/// So many messages wait for a confirm or an acknowledgement.
const WINDOW: usize = 1_000;

pub(crate) async fn rabbitmq(table: &mut Table) {
    let (broker, database) = (servers::rabbitmq().await.unwrap(), servers::postgres().await.unwrap());
    let vhost = broker.vhost().await;
    let on = |vhost: &Vhost, database: String| {
        let (url, management) = (vhost.url.clone(), vhost.management.clone());
        async move {
            let broker = [("BINDER", "rabbitmq"), ("RABBITMQ_URL", &url), ("RABBITMQ_MANAGEMENT_URL", &management)];
            platform([broker[0], broker[1], broker[2], ("DATABASE_URL", &database)]).await
        }
    };
    let bare = publish(&vhost).await;
    let posted = posts(on(&vhost, String::new()).await).await;
    let consumed = consume(&vhost).await;
    let rows = rows(&database.database().await).await;
    let written = write(&database.database().await).await;
    let (vhost, url) = (broker.vhost().await, database.database().await);
    publish(&vhost).await;
    let applied = apply(on(&vhost, url.clone()).await, &url).await;
    let how = format!("{WINDOW} confirms in flight");
    table.layer("RabbitMQ, PostgreSQL", &how, [bare, posted, consumed, rows, written, applied]);
}

/// A channel of the bare client on a broker where everything is declared, as the composite declares it.
async fn channel(vhost: &Vhost) -> (Channel, Connection) {
    let binder = RabbitBinder::open(vhost.url.parse().unwrap(), Some(&vhost.management), "bench").unwrap();
    let binding = ProducerBinding {
        destination: PRODUCTS.name.to_owned(),
        partitions: 1,
        required_groups: vec![PRODUCTS.group.to_owned()],
    };
    binder.producer(&[binding]).await.unwrap();
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    (connection.create_channel().await.unwrap(), connection)
}

async fn publish(vhost: &Vhost) -> f64 {
    let (channel, _connection) = channel(vhost).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let started = Instant::now();
    let mut confirms = FuturesUnordered::new();
    for id in 1..=MANY {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_message_id(uuid::Uuid::now_v7().to_string().into());
        let options = BasicPublishOptions::default();
        let body = body(id);
        let sent = channel.basic_publish("products".into(), "products".into(), options, &body, properties);
        confirms.push(sent.await.unwrap());
        if confirms.len() >= WINDOW {
            assert!(confirms.next().await.unwrap().unwrap().is_ack());
        }
    }
    while let Some(confirm) = confirms.next().await {
        assert!(confirm.unwrap().is_ack());
    }
    f64::from(MANY) / started.elapsed().as_secs_f64()
}

async fn consume(vhost: &Vhost) -> f64 {
    let (channel, _connection) = channel(vhost).await;
    channel.basic_qos(u16::try_from(WINDOW).unwrap(), BasicQosOptions::default()).await.unwrap();
    let started = Instant::now();
    let options = BasicConsumeOptions::default();
    let queue = format!("{}.{}", PRODUCTS.name, PRODUCTS.group);
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap();
    for number in 1..=MANY {
        let delivery = consumer.next().await.unwrap().unwrap();
        if number % i32::try_from(BATCH).unwrap() == 0 {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
        }
    }
    f64::from(MANY) / started.elapsed().as_secs_f64()
}
