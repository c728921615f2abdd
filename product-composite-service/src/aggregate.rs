//! A composite and its parts: pure split and join.

use shared::api::{
    Invalid, Product, ProductAggregate, Recommendation, RecommendationSummary, Review, ReviewSummary, ServiceAddresses,
    valid_id,
};
use std::collections::HashSet;

/// A composite in the parts that the core services own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) product: Product,
    pub(crate) recommendations: Vec<Recommendation>,
    pub(crate) reviews: Vec<Review>,
}

/// Names the first field that the landscape refuses, before anything becomes an event.
pub(crate) fn validate(aggregate: &ProductAggregate) -> Result<(), Invalid> {
    valid_id("productId", aggregate.product_id)?;
    if aggregate.name.is_none() {
        return Err(Invalid::new("name", serde_json::Value::Null));
    }
    let recommendations = aggregate.recommendations.iter().map(|part| part.recommendation_id);
    distinct("recommendations", "recommendationId", recommendations)?;
    distinct("reviews", "reviewId", aggregate.reviews.iter().map(|part| part.review_id))
}

fn distinct(list: &str, field: &str, ids: impl Iterator<Item = i32>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    for (at, id) in ids.enumerate() {
        let field = || format!("{list}[{at}].{field}");
        if id < 1 || !seen.insert(id) {
            return Err(Invalid::new(field(), id));
        }
    }
    Ok(())
}

/// What the composite says, in the parts that the core services own.
pub(crate) fn split(aggregate: ProductAggregate) -> Parts {
    let ProductAggregate { product_id, name, weight, recommendations, reviews, service_addresses: _ } = aggregate;
    Parts {
        product: Product { product_id, name, weight, service_address: None },
        recommendations: recommendations
            .into_iter()
            .map(|RecommendationSummary { recommendation_id, author, rate, content }| Recommendation {
                product_id,
                recommendation_id,
                author,
                rate,
                content,
                service_address: None,
            })
            .collect(),
        reviews: reviews
            .into_iter()
            .map(|ReviewSummary { review_id, author, subject, content }| Review {
                product_id,
                review_id,
                author,
                subject,
                content,
                service_address: None,
            })
            .collect(),
    }
}

/// The composite that the parts make, given out by the instance at `address`. A part that answered names its instance;
/// an empty list has nobody to name, as in Spring.
pub(crate) fn join(parts: Parts, address: &str) -> ProductAggregate {
    let Parts { product, recommendations, reviews } = parts;
    let service_addresses = ServiceAddresses {
        cmp: address.to_owned(),
        pro: product.service_address.unwrap_or_default(),
        rev: reviews.first().and_then(|review| review.service_address.clone()).unwrap_or_default(),
        rec: recommendations.first().and_then(|part| part.service_address.clone()).unwrap_or_default(),
    };
    ProductAggregate {
        product_id: product.product_id,
        name: product.name,
        weight: product.weight,
        recommendations: recommendations
            .into_iter()
            .map(|Recommendation { recommendation_id, author, rate, content, .. }| RecommendationSummary {
                recommendation_id,
                author,
                rate,
                content,
            })
            .collect(),
        reviews: reviews
            .into_iter()
            .map(|Review { review_id, author, subject, content, .. }| ReviewSummary {
                review_id,
                author,
                subject,
                content,
            })
            .collect(),
        service_addresses: Some(service_addresses),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::json;

    fn text() -> impl Strategy<Value = Option<String>> {
        option::of("\\PC{0,12}")
    }

    fn aggregates() -> impl Strategy<Value = ProductAggregate> {
        let recommendation =
            (any::<i32>(), text(), any::<i32>(), text()).prop_map(|(recommendation_id, author, rate, content)| {
                RecommendationSummary { recommendation_id, author, rate, content }
            });
        let review = (any::<i32>(), text(), text(), text())
            .prop_map(|(review_id, author, subject, content)| ReviewSummary { review_id, author, subject, content });
        (any::<i32>(), text(), any::<i32>(), vec(recommendation, 0..5), vec(review, 0..5)).prop_map(
            |(product_id, name, weight, recommendations, reviews)| ProductAggregate {
                product_id,
                name,
                weight,
                recommendations,
                reviews,
                service_addresses: None,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_split_joins_to_the_same(aggregate in aggregates()) {
            let parts = split(aggregate.clone());
            prop_assert!(parts.recommendations.iter().all(|part| part.product_id == aggregate.product_id));
            prop_assert!(parts.reviews.iter().all(|part| part.product_id == aggregate.product_id));
            let joined = join(parts, "here");
            let addresses = ServiceAddresses { cmp: "here".to_owned(), ..ServiceAddresses::default() };
            prop_assert_eq!(joined, ProductAggregate { service_addresses: Some(addresses), ..aggregate });
        }

        #[test]
        fn a_composite_survives_its_own_json(aggregate in aggregates()) {
            let json = serde_json::to_string(&aggregate).unwrap();
            prop_assert_eq!(serde_json::from_str::<ProductAggregate>(&json).unwrap(), aggregate);
        }

        #[test]
        fn a_valid_composite_has_distinct_ids_from_1_on(aggregate in aggregates()) {
            let mut ids: Vec<i32> = aggregate.reviews.iter().map(|review| review.review_id).collect();
            let positive = ids.iter().chain([&aggregate.product_id]).all(|id| *id > 0);
            ids.sort_unstable();
            ids.dedup();
            if validate(&aggregate).is_ok() {
                prop_assert!(positive && ids.len() == aggregate.reviews.len() && aggregate.name.is_some());
            }
        }
    }

    #[test]
    fn the_field_that_is_refused_is_named() {
        let refused = |json| {
            let aggregate: ProductAggregate = serde_json::from_value(json).unwrap();
            let invalid = validate(&aggregate).unwrap_err();
            (invalid.field.clone(), invalid.to_string())
        };
        let of = |field: &str, sentence: &str| (field.to_owned(), sentence.to_owned());
        assert_eq!(refused(json!({})), of("productId", "Invalid productId: 0"));
        assert_eq!(refused(json!({"productId": -1})), of("productId", "Invalid productId: -1"));
        assert_eq!(refused(json!({"productId": 1})), of("name", "Invalid name: null"));
        let recommendations = json!([{"recommendationId": 1}, {"recommendationId": 1}]);
        assert_eq!(
            refused(json!({"productId": 1, "name": "n", "recommendations": recommendations})),
            of("recommendations[1].recommendationId", "Invalid recommendationId: 1")
        );
        assert_eq!(
            refused(json!({"productId": 1, "name": "n", "reviews": [{"author": "a"}]})),
            of("reviews[0].reviewId", "Invalid reviewId: 0")
        );
    }

    #[test]
    fn addresses_are_those_of_who_answered() {
        let at = |address: &str| Some(address.to_owned());
        let parts = Parts {
            product: Product { service_address: at("p"), ..Product::default() },
            recommendations: Vec::new(),
            reviews: vec![Review { service_address: at("v"), ..Review::default() }],
        };
        let addresses = join(parts, "c").service_addresses.unwrap();
        assert_eq!(serde_json::to_string(&addresses).unwrap(), r#"{"cmp":"c","pro":"p","rev":"v","rec":""}"#);
    }
}
