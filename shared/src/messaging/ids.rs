//! How events are known: those of a request, so that the same request takes effect once; and those of others, whatever
//! they call them.

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

/// The longest id that is kept as it is: RabbitMQ's, and less than any database can look for.
const LONGEST: usize = 255;
/// The namespace of the ids that stand for longer ones.
const LONGER: Uuid = Uuid::from_u128(0x5d1c_6be0_93a4_5f0e_b7c2_e8d0_4a61_9f35);

/// What a message with this id is known by: a text that every database takes and finds. Its headers keep the id itself.
pub(super) fn known(id: &str) -> String {
    // No database has a NUL in a text.
    let id = id.replace('\0', "\u{fffd}");
    if id.len() <= LONGEST { id } else { Uuid::new_v5(&LONGER, id.as_bytes()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_call_a_message_is_kept_where_a_database_can_find_it() {
        let longest = "i".repeat(255);
        for id in ["", "id", &longest] {
            assert_eq!(known(id), id);
        }
        assert_eq!(known("nul\0"), "nul\u{fffd}");
        for long in ["i".repeat(256), "\0".repeat(100)] {
            let id = known(&long);
            assert!(id.len() == 36 && id == known(&long) && id != known(&format!("{long}i")), "{id}");
        }
    }

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
