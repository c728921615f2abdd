//! How the events of a request are known, so that the same request takes effect once.

use uuid::Uuid;

/// Gives each event of one request its message id.
#[derive(Debug, Clone, Copy)]
pub struct MessageIds(Option<Uuid>);

/// The namespace of the ids that derive from requests.
const REQUESTS: Uuid = Uuid::from_u128(0x8f6f_7a52_2f5c_5d0b_9d4e_1f0a_6c3b_7e21);

impl MessageIds {
    /// New ids, in order of time, so that the inbox grows at its end.
    pub fn fresh() -> Self {
        Self(None)
    }

    /// Ids that derive from an `Idempotency-Key` and the request it came with: the same request gives the same ids,
    /// another request under an old key is another request.
    pub fn of_request(key: &str, method: &str, path: &str, body: &[u8]) -> Self {
        let mut name = Vec::with_capacity(key.len() + method.len() + path.len() + body.len() + 32);
        for part in [key.as_bytes(), method.as_bytes(), path.as_bytes(), body] {
            // The length goes first, so that no two requests run together into the same bytes.
            name.extend_from_slice(&part.len().to_be_bytes());
            name.extend_from_slice(part);
        }
        Self(Some(Uuid::new_v5(&REQUESTS, &name)))
    }

    /// The id of the event at `position` among those of the request for `destination`.
    pub fn id(&self, destination: &str, position: usize) -> String {
        match &self.0 {
            None => Uuid::now_v7(),
            Some(request) => Uuid::new_v5(request, format!("{destination}/{position}").as_bytes()),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_has_the_same_ids_and_every_other_has_others() {
        let ids = MessageIds::of_request("k", "POST", "/p", b"body");
        assert_eq!(ids.id("reviews", 1), MessageIds::of_request("k", "POST", "/p", b"body").id("reviews", 1));
        let mut all = vec![
            ids.id("reviews", 1),
            ids.id("reviews", 2),
            ids.id("products", 1),
            MessageIds::of_request("k2", "POST", "/p", b"body").id("reviews", 1),
            MessageIds::of_request("k", "DELETE", "/p", b"body").id("reviews", 1),
            MessageIds::of_request("k", "POST", "/p/1", b"body").id("reviews", 1),
            MessageIds::of_request("k", "POST", "/p", b"body2").id("reviews", 1),
            MessageIds::of_request("kP", "OST", "/p", b"body").id("reviews", 1),
            MessageIds::fresh().id("reviews", 1),
            MessageIds::fresh().id("reviews", 1),
        ];
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10);
    }
}
