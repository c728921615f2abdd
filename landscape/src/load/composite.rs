//! What is written, and whether an answer is that.

use shared::api::ProductAggregate;
use std::fmt::{Debug, Write};

/// What all composites of a run look like. Text and numbers follow from the id, so nothing has to be remembered to
/// verify them; they name the run, so what another run wrote is never taken for this one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) run: i32,
    pub(super) recommendations: u16,
    pub(super) reviews: u16,
}

/// What an answer says about a composite that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is there, and it is what was written.
    Complete,
    /// Something is not there, which time may bring.
    Incomplete(String),
    /// Something is there that was not written, or is there twice.
    Wrong(String),
}

impl Shape {
    /// The body of the POST for `id`, with names in the order in which a GET gives them.
    pub(super) fn body(&self, id: i32) -> String {
        let mut body = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = self.write(id, &mut body);
        body
    }

    fn write(&self, id: i32, body: &mut String) -> std::fmt::Result {
        let run = self.run;
        let comma = |n| if n == 1 { "" } else { "," };
        write!(
            body,
            r#"{{"productId":{id},"name":"product {id} of run {run}","weight":{},"recommendations":["#,
            id % 1000
        )?;
        for n in 1..=self.recommendations {
            write!(
                body,
                r#"{}{{"recommendationId":{n},"author":"author {n}","rate":{},"content":"recommendation {n} of {id}"}}"#,
                comma(n),
                n % 6,
            )?;
        }
        body.push_str(r#"],"reviews":["#);
        for n in 1..=self.reviews {
            write!(
                body,
                r#"{}{{"reviewId":{n},"author":"author {n}","subject":"subject {n}","content":"review {n} of {id}"}}"#,
                comma(n),
            )?;
        }
        body.push_str("]}");
        Ok(())
    }

    /// Compares the answer to a GET with what was written.
    pub(super) fn look(&self, id: i32, answer: &[u8]) -> Look {
        let body = self.body(id);
        // Services that give names and lists in our order, as ours do, need no parser to be understood.
        let open = &body.as_bytes()[..body.len() - 1];
        if answer.strip_prefix(open).is_some_and(|rest| rest.starts_with(b",\"serviceAddresses\":") || rest == b"}") {
            return Look::Complete;
        }
        let (Ok(wanted), Ok(found)) = (serde_json::from_str(&body), serde_json::from_slice(answer)) else {
            return Look::Wrong(format!("the answer is no composite: {}", String::from_utf8_lossy(answer)));
        };
        compare(wanted, found)
    }
}

fn compare(wanted: ProductAggregate, found: ProductAggregate) -> Look {
    if (found.product_id, &found.name, found.weight) != (wanted.product_id, &wanted.name, wanted.weight) {
        return Look::Wrong(format!("its product is {} {:?}, weight {}", found.product_id, found.name, found.weight));
    }
    let recommendations = compare_lists("recommendations", wanted.recommendations, found.recommendations);
    let reviews = compare_lists("reviews", wanted.reviews, found.reviews);
    match (recommendations, reviews) {
        (wrong @ Look::Wrong(_), _) | (_, wrong @ Look::Wrong(_)) => wrong,
        (Look::Complete, reviews) => reviews,
        (incomplete, _) => incomplete,
    }
}

/// Each thing that is found uses up one that is wanted, so that one that came twice is seen.
fn compare_lists<T: Debug + PartialEq>(name: &str, mut wanted: Vec<T>, found: Vec<T>) -> Look {
    let (count, of) = (found.len(), wanted.len());
    for thing in found {
        match wanted.iter().position(|wanted| *wanted == thing) {
            Some(at) => drop(wanted.swap_remove(at)),
            None => return Look::Wrong(format!("{count} of {of} {name}, and one that was not written: {thing:?}")),
        }
    }
    if wanted.is_empty() { Look::Complete } else { Look::Incomplete(format!("{count} of {of} {name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { run: 5, recommendations: 2, reviews: 2 };

    fn changed(change: impl FnOnce(&mut ProductAggregate)) -> Look {
        let mut composite = serde_json::from_str(&SHAPE.body(7)).unwrap();
        change(&mut composite);
        SHAPE.look(7, &serde_json::to_vec(&composite).unwrap())
    }

    #[test]
    fn what_was_written_is_complete_in_any_order() {
        assert_eq!(SHAPE.look(7, SHAPE.body(7).as_bytes()), Look::Complete);
        assert_eq!(changed(|composite| composite.service_addresses = Some(Default::default())), Look::Complete);
        assert_eq!(changed(|composite| composite.reviews.reverse()), Look::Complete);
    }

    #[test]
    fn what_is_missing_may_come() {
        assert_eq!(changed(|composite| drop(composite.reviews.pop())), Look::Incomplete("1 of 2 reviews".to_owned()));
        assert_eq!(
            changed(|composite| composite.recommendations.clear()),
            Look::Incomplete("0 of 2 recommendations".to_owned())
        );
    }

    #[test]
    fn what_was_not_written_is_wrong() {
        for look in [
            changed(|composite| composite.name = Some("another".to_owned())),
            changed(|composite| composite.reviews.push(composite.reviews[0].clone())),
            changed(|composite| composite.reviews[1] = composite.reviews[0].clone()),
            changed(|composite| composite.recommendations[1].rate = 9),
            SHAPE.look(8, SHAPE.body(7).as_bytes()),
            Shape { run: 6, ..SHAPE }.look(7, SHAPE.body(7).as_bytes()),
            SHAPE.look(7, b"?"),
        ] {
            assert!(matches!(look, Look::Wrong(_)), "{look:?}");
        }
    }
}
