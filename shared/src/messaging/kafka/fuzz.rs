//! Headers that nobody sends on purpose: each is read, and kept to the last byte.

use super::headers::{append_exact, insert, read};
use rdkafka::message::{Headers as _, OwnedHeaders};
use serde_json::{Value, json};
use testkit::Fuzz;

const TYPES: &str = "spring_json_header_types";

fn headers(fuzz: &mut Fuzz) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for _ in 0..fuzz.below(6) {
        let name = if fuzz.one_in(4) { TYPES.to_owned() } else { fuzz.text() };
        let types = json!({ &name: "java.lang.Integer", "contentType": "java.lang.String", "": 7 });
        let value = match fuzz.below(4) {
            0 => None,
            1 => Some(fuzz.bytes(100)),
            2 => Some(fuzz.mutated(&types)),
            _ => Some(fuzz.text().into_bytes()),
        };
        headers = insert(headers, &name, value.as_deref());
    }
    headers
}

fn bytes(headers: &OwnedHeaders) -> Vec<(String, Option<Vec<u8>>)> {
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

fn read_all(seed: u64, count: u32) {
    let mut fuzz = Fuzz::new(seed);
    for _ in 0..count {
        let given = headers(&mut fuzz);
        let (shown, exact) = read(given.as_borrowed());
        assert!(!shown.contains_key(TYPES));
        // Through columns of text, as a dead letter is kept.
        let kept: Value = serde_json::from_str(&exact.to_string()).unwrap();
        assert_eq!(bytes(&append_exact(OwnedHeaders::new(), &kept)), bytes(&given));
        assert_eq!(
            serde_json::from_str::<Value>(&Value::Object(shown.clone()).to_string()).unwrap(),
            Value::Object(shown)
        );
    }
}

#[test]
fn all_headers_are_read_and_kept() {
    read_all(1, 2_000);
}

#[test]
#[ignore = "takes a minute: cargo test --profile profiling -p shared fuzz -- --ignored"]
fn all_headers_of_a_hundred_thousand_records_are_read_and_kept() {
    read_all(2, 100_000);
}
