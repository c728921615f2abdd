//! What a request asks for: bodies, ids and parts of each version of a key.

use serde_json::json;
use shared::messaging::ids::MessageIds;
use std::collections::BTreeMap;

/// The ids of messages, by topic.
pub type Ids = BTreeMap<&'static str, Vec<String>>;

/// What a request asks for. A key has a new version whenever it is created.
#[derive(Debug, Clone, Copy)]
pub enum Write {
    /// The version is to be there.
    Create {
        /// Its number, from 1.
        version: u32,
    },
    /// The version is to be there no longer.
    Delete {
        /// Its number.
        version: u32,
    },
}

/// How many recommendations a version has: the next one has another number of them.
pub fn recommendations(version: u32) -> u32 {
    version % 3
}

/// How many reviews a version has.
pub fn reviews(version: u32) -> u32 {
    (version + 1) % 4
}

/// The text that names a version, in the product and in each of its parts.
pub fn text(version: u32) -> String {
    format!("v{version}")
}

impl Write {
    pub(super) fn idempotency_key(self, id: i32) -> String {
        format!("{id} {self:?}")
    }

    pub(super) fn body(self, id: i32) -> Option<String> {
        let Self::Create { version } = self else { return None };
        let text = text(version);
        let recommendations: Vec<_> = (1..=recommendations(version))
            .map(|number| json!({"recommendationId": number, "author": "a", "rate": 1, "content": text}))
            .collect();
        let reviews: Vec<_> = (1..=reviews(version))
            .map(|number| json!({"reviewId": number, "author": "a", "subject": "s", "content": text}))
            .collect();
        let body = json!({
            "productId": id, "name": text, "weight": version, "recommendations": recommendations, "reviews": reviews
        });
        Some(body.to_string())
    }

    /// How many events it makes.
    pub fn events(self) -> u64 {
        self.counts().into_iter().map(u64::from).sum()
    }

    /// How many events it makes of products, recommendations and reviews.
    fn counts(self) -> [u32; 3] {
        match self {
            Self::Create { version } => [1, recommendations(version), reviews(version)],
            Self::Delete { .. } => [1, 1, 1],
        }
    }

    /// The ids that its messages have, by topic.
    pub fn message_ids(self, id: i32) -> Ids {
        let key = self.idempotency_key(id);
        let ids = match self.body(id) {
            Some(body) => MessageIds::of_request(&key, "POST", "/product-composite", body.as_bytes()),
            None => MessageIds::of_request(&key, "DELETE", &format!("/product-composite/{id}"), b""),
        };
        let mut positions = 0..;
        ["products", "recommendations", "reviews"]
            .into_iter()
            .zip(self.counts())
            .map(|(topic, count)| {
                (topic, positions.by_ref().take(count as usize).map(|at| ids.id(topic, at)).collect())
            })
            .collect()
    }
}
