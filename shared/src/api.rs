//! The wire types of the services: names, order and nulls are those of the Java landscape.

mod composite;
mod product;
mod recommendation;
mod review;

pub use composite::{ProductAggregate, RecommendationSummary, ReviewSummary, ServiceAddresses};
pub use product::Product;
pub use recommendation::Recommendation;
pub use review::Review;

use serde_json::Value;
use std::fmt;

/// A field whose value the landscape refuses.
///
/// Its sentence is the one Spring's services give: `Invalid productId: -1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    /// Where the value stood, such as `reviews[1].reviewId`.
    pub field: String,
    /// The value as it came.
    pub value: Value,
}

impl Invalid {
    /// Refuses `value` as `field`.
    pub fn new(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.field.rsplit('.').next().unwrap_or(&self.field);
        match &self.value {
            Value::String(text) => write!(f, "Invalid {name}: {text}"),
            value => write!(f, "Invalid {name}: {value}"),
        }
    }
}

impl std::error::Error for Invalid {}

/// Accepts an id, which is 1 or above.
pub fn valid_id(field: &str, id: i32) -> Result<(), Invalid> {
    if id < 1 { Err(Invalid::new(field, id)) } else { Ok(()) }
}

/// A destination of events, with the group of the service that owns what they speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Its name on the broker.
    pub name: &'static str,
    /// The group that gets each of its events, even if it never ran.
    pub group: &'static str,
}

/// Products that were created and deleted.
pub const PRODUCTS: Destination = Destination { name: "products", group: "productsGroup" };
/// Recommendations that were created and deleted.
pub const RECOMMENDATIONS: Destination = Destination { name: "recommendations", group: "recommendationsGroup" };
/// Reviews that were created and deleted.
pub const REVIEWS: Destination = Destination { name: "reviews", group: "reviewsGroup" };
