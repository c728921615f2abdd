//! What is written, and what an answer shows of it.

use super::fault::{Fault, Kind};
use shared::api::ProductAggregate;
use std::collections::BTreeSet;
use std::fmt::{Debug, Write};

/// What all composites of a run look like. Text and numbers follow from id and version, so nothing has to be remembered
/// to verify them; they name the run, so what another run wrote is never taken for this one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) run: i32,
    pub(super) recommendations: u16,
    pub(super) reviews: u16,
}

/// What an answer shows of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is not there.
    Gone,
    /// It is there in this version, with these parts.
    There { product: u8, recommendations: List, reviews: List },
}

/// A list of parts, all of them of one version. Of an empty one nobody knows the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    pub(super) version: Option<u8>,
    pub(super) found: usize,
    pub(super) of: usize,
}

impl Shape {
    /// The body of the POST for `id` in its `version`, with names in the order in which a GET gives them.
    pub(super) fn body(&self, id: i32, version: u8) -> String {
        let mut body = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = self.write(id, version, &mut body);
        body
    }

    fn write(&self, id: i32, version: u8, body: &mut String) -> std::fmt::Result {
        let run = self.run;
        let comma = |n| if n == 1 { "" } else { "," };
        write!(
            body,
            r#"{{"productId":{id},"name":"product {id} of run {run}, version {version}","weight":{},"recommendations":["#,
            id % 1000
        )?;
        for n in 1..=self.recommendations {
            write!(
                body,
                r#"{}{{"recommendationId":{n},"author":"author {n}","rate":{},"content":"recommendation {n} of {id}, version {version}"}}"#,
                comma(n),
                n % 6,
            )?;
        }
        body.push_str(r#"],"reviews":["#);
        for n in 1..=self.reviews {
            write!(
                body,
                r#"{}{{"reviewId":{n},"author":"author {n}","subject":"subject {n}","content":"review {n} of {id}, version {version}"}}"#,
                comma(n),
            )?;
        }
        body.push_str("]}");
        Ok(())
    }

    /// What the body of an answer shows; `newest` is the latest version that was written.
    pub(super) fn read(&self, id: i32, newest: u8, answer: &[u8]) -> Result<Shown, Fault> {
        let body = self.body(id, newest);
        // Services that give names and lists in our order, as ours do, need no parser to be understood.
        let open = &body.as_bytes()[..body.len() - 1];
        if answer.strip_prefix(open).is_some_and(|rest| rest.starts_with(b",\"serviceAddresses\":") || rest == b"}") {
            return Ok(Shown::complete(self, newest));
        }
        let found: ProductAggregate = serde_json::from_slice(answer).map_err(|_| {
            Fault::new(Kind::Wrong, format!("the answer is no composite: {}", String::from_utf8_lossy(answer)))
        })?;
        let wrong = || {
            let sentence = format!("its product is {} {:?}, weight {}", found.product_id, found.name, found.weight);
            Fault::new(Kind::Wrong, sentence)
        };
        let product = version(found.name.as_deref(), newest).ok_or_else(wrong)?;
        let wanted = self.wanted(id, product)?;
        if (found.product_id, &found.name, found.weight) != (wanted.product_id, &wanted.name, wanted.weight) {
            return Err(wrong());
        }
        Ok(Shown::There {
            product,
            recommendations: list(
                "recommendations",
                &found.recommendations,
                |part| version(part.content.as_deref(), newest),
                |version| Ok(self.wanted(id, version)?.recommendations),
                wanted.recommendations.len(),
            )?,
            reviews: list(
                "reviews",
                &found.reviews,
                |part| version(part.content.as_deref(), newest),
                |version| Ok(self.wanted(id, version)?.reviews),
                wanted.reviews.len(),
            )?,
        })
    }

    fn wanted(&self, id: i32, version: u8) -> Result<ProductAggregate, Fault> {
        serde_json::from_str(&self.body(id, version)).map_err(|error| Fault::new(Kind::Wrong, error.to_string()))
    }
}

impl Shown {
    /// All of this version, and nothing else.
    pub(super) fn complete(shape: &Shape, version: u8) -> Self {
        let list = |of: u16| List { version: (of > 0).then_some(version), found: of.into(), of: of.into() };
        Self::There { product: version, recommendations: list(shape.recommendations), reviews: list(shape.reviews) }
    }
}

/// The version at the end of a text that we wrote.
fn version(text: Option<&str>, newest: u8) -> Option<u8> {
    text?.rsplit_once(", version ")?.1.parse().ok().filter(|version| (1..=newest).contains(version))
}

/// Each thing that is found must be one that was written, once, and all of one version.
fn list<T: Debug + PartialEq>(
    name: &str,
    found: &[T],
    version: impl Fn(&T) -> Option<u8>,
    wanted: impl Fn(u8) -> Result<Vec<T>, Fault>,
    of: usize,
) -> Result<List, Fault> {
    let versions: BTreeSet<_> = found.iter().map(&version).collect();
    let one = versions.first().copied();
    let Some(one) = one else { return Ok(List { version: None, found: 0, of }) };
    if versions.len() > 1 && !versions.contains(&None) {
        return Err(Fault::new(Kind::Stale, format!("{name} of more than one version: {found:?}")));
    }
    let wanted = one.map_or_else(|| Ok(Vec::new()), wanted)?;
    for (at, thing) in found.iter().enumerate() {
        if !wanted.contains(thing) {
            let sentence = format!("{} of {of} {name}, and one that was not written: {thing:?}", found.len());
            return Err(Fault::new(Kind::Wrong, sentence));
        }
        if found[..at].contains(thing) {
            let sentence = format!("{} of {of} {name}, and one that is there twice: {thing:?}", found.len());
            return Err(Fault::new(Kind::Doubled, sentence));
        }
    }
    Ok(List { version: one, found: found.len(), of })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { run: 5, recommendations: 2, reviews: 2 };

    /// What is seen of version 2 after a change.
    fn changed(change: impl FnOnce(&mut ProductAggregate)) -> Result<Shown, Kind> {
        let mut composite = SHAPE.wanted(7, 2).unwrap();
        change(&mut composite);
        SHAPE.read(7, 2, &serde_json::to_vec(&composite).unwrap()).map_err(|fault| fault.kind)
    }

    #[test]
    fn what_was_written_is_complete_in_any_order() {
        let complete = Ok(Shown::complete(&SHAPE, 2));
        assert_eq!(SHAPE.read(7, 2, SHAPE.body(7, 2).as_bytes()).map_err(|fault| fault.kind), complete);
        assert_eq!(changed(|composite| composite.service_addresses = Some(Default::default())), complete);
        assert_eq!(changed(|composite| composite.reviews.reverse()), complete);
    }

    #[test]
    fn each_part_shows_its_version() {
        let old = SHAPE.wanted(7, 1).unwrap();
        let two = |version| List { version: Some(version), found: 2, of: 2 };
        assert_eq!(
            changed(|composite| composite.reviews = old.reviews.clone()),
            Ok(Shown::There { product: 2, recommendations: two(2), reviews: two(1) })
        );
        assert_eq!(
            changed(|composite| {
                composite.recommendations.clear();
                composite.reviews.pop();
            }),
            Ok(Shown::There {
                product: 2,
                recommendations: List { version: None, found: 0, of: 2 },
                reviews: List { version: Some(2), found: 1, of: 2 },
            })
        );
        assert_eq!(changed(|composite| composite.reviews[0] = old.reviews[0].clone()), Err(Kind::Stale));
    }

    #[test]
    fn what_was_not_written_is_wrong_and_what_is_there_twice_is_doubled() {
        assert_eq!(changed(|composite| composite.name = Some("another".to_owned())), Err(Kind::Wrong));
        assert_eq!(changed(|composite| composite.weight = 1), Err(Kind::Wrong));
        assert_eq!(changed(|composite| composite.recommendations[1].rate = 9), Err(Kind::Wrong));
        assert_eq!(changed(|composite| composite.reviews[1].content = None), Err(Kind::Wrong));
        assert_eq!(changed(|composite| composite.reviews.push(composite.reviews[0].clone())), Err(Kind::Doubled));
        assert_eq!(changed(|composite| composite.reviews[1] = composite.reviews[0].clone()), Err(Kind::Doubled));
        for (shape, id, newest, answer) in [
            (SHAPE, 8, 2, SHAPE.body(7, 2)),
            (Shape { run: 6, ..SHAPE }, 7, 2, SHAPE.body(7, 2)),
            (SHAPE, 7, 1, SHAPE.body(7, 2)),
            (SHAPE, 7, 2, "?".to_owned()),
        ] {
            assert_eq!(shape.read(id, newest, answer.as_bytes()).unwrap_err().kind, Kind::Wrong);
        }
    }
}
