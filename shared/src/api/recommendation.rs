use super::{Invalid, valid_id};
use crate::jackson;
use serde::{Deserialize, Serialize};

/// A recommendation as its service gives it, and as the data of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Recommendation {
    /// The product it speaks of.
    #[serde(deserialize_with = "jackson::int")]
    pub product_id: i32,
    /// Which of the product's recommendations; 1 or above.
    #[serde(deserialize_with = "jackson::int")]
    pub recommendation_id: i32,
    /// Who wrote it.
    #[serde(deserialize_with = "jackson::text")]
    pub author: Option<String>,
    /// The rate given.
    #[serde(deserialize_with = "jackson::int")]
    pub rate: i32,
    /// What was written.
    #[serde(deserialize_with = "jackson::text")]
    pub content: Option<String>,
    /// The instance that answered, `host/ip:port`; null in events.
    #[serde(deserialize_with = "jackson::text")]
    pub service_address: Option<String>,
}

impl Recommendation {
    /// Names the first field that no recommendation may have.
    pub fn validate(&self) -> Result<(), Invalid> {
        valid_id("productId", self.product_id)?;
        valid_id("recommendationId", self.recommendation_id)
    }
}
