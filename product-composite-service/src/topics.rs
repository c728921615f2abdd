//! Writes as events: all events of a request are durable, or the request has failed.

use crate::aggregate::Parts;
use serde::Serialize;
use shared::api::{Destination, PRODUCTS, Product, RECOMMENDATIONS, REVIEWS, Recommendation, Review};
use shared::error::ApiError;
use shared::messaging::event::Event;
use shared::messaging::ids::MessageIds;
use shared::messaging::{Binder, BinderError, Headers, Outgoing, Producer, ProducerBinding};
use shared::service::telemetry::{TRACEPARENT, TraceContext};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The topics of the landscape, as the composite writes them. A clone is the same producer.
#[derive(Clone)]
pub(crate) struct Topics {
    producer: Arc<OnceLock<Box<dyn Producer>>>,
    partitions: u32,
    limit: Duration,
}

impl Topics {
    /// Topics of `partitions` each, still unbound; a send takes no longer than `limit`.
    pub(crate) fn new(partitions: u32, limit: Duration) -> Self {
        Self { producer: Arc::default(), partitions, limit }
    }

    /// Binds the producer, unless it is bound.
    pub(crate) async fn bind(&self, binder: &dyn Binder) -> Result<(), BinderError> {
        if self.producer.get().is_some() {
            return Ok(());
        }
        let bindings = [PRODUCTS, RECOMMENDATIONS, REVIEWS].map(|destination| ProducerBinding {
            destination: destination.name.to_owned(),
            partitions: self.partitions,
            required_groups: vec![destination.group.to_owned()],
        });
        let producer = binder.producer(&bindings).await?;
        // Whoever was first has bound the same.
        let _ = self.producer.set(producer);
        Ok(())
    }

    /// Creates a product with its recommendations and reviews, in this order.
    pub(crate) async fn create(&self, parts: Parts, request: &Request) -> Result<(), ApiError> {
        let key = parts.product.product_id;
        let mut events = Events::new(request);
        events.add(PRODUCTS, &Event::Create { key, data: parts.product })?;
        for data in parts.recommendations {
            events.add(RECOMMENDATIONS, &Event::Create { key, data })?;
        }
        for data in parts.reviews {
            events.add(REVIEWS, &Event::Create { key, data })?;
        }
        self.send(events.messages).await
    }

    /// Deletes a product with all its recommendations and reviews.
    pub(crate) async fn delete(&self, key: i32, request: &Request) -> Result<(), ApiError> {
        let mut events = Events::new(request);
        events.add(PRODUCTS, &Event::<Product>::Delete { key })?;
        events.add(RECOMMENDATIONS, &Event::<Recommendation>::Delete { key })?;
        events.add(REVIEWS, &Event::<Review>::Delete { key })?;
        self.send(events.messages).await
    }

    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), ApiError> {
        let away = |cause: anyhow::Error| ApiError::unavailable("The events could not be stored, try again", cause);
        let producer = self.producer.get().ok_or_else(|| away(anyhow::anyhow!("the topics are not bound yet")))?;
        let sent = tokio::time::timeout(self.limit, producer.send(messages)).await;
        match sent.map_err(|elapsed| away(elapsed.into()))? {
            Ok(()) => Ok(()),
            Err(error @ BinderError::Unavailable { .. }) => Err(away(error.into())),
            Err(error @ BinderError::Refused { .. }) => Err(ApiError::from(anyhow::Error::from(error))),
        }
    }
}

/// The request that events come from: how they are known, and which trace they belong to.
pub(crate) struct Request {
    pub(crate) ids: MessageIds,
    pub(crate) trace: TraceContext,
}

/// The messages of one request.
struct Events {
    ids: MessageIds,
    headers: Headers,
    messages: Vec<Outgoing>,
}

impl Events {
    fn new(request: &Request) -> Self {
        let headers = Headers::from_iter([(TRACEPARENT.to_owned(), request.trace.as_str().into())]);
        Self { ids: request.ids, headers, messages: Vec::new() }
    }

    fn add<T: Serialize>(&mut self, destination: Destination, event: &Event<T>) -> Result<(), ApiError> {
        let id = self.ids.id(destination.name, self.messages.len());
        let message = event.to_message(destination.name, id, self.headers.clone());
        self.messages.push(message.map_err(anyhow::Error::from)?);
        Ok(())
    }
}
