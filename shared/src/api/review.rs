use super::{Invalid, valid_id};
use crate::jackson;
use serde::{Deserialize, Serialize};

/// A review as its service gives it, and as the data of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Review {
    /// The product it speaks of.
    #[serde(deserialize_with = "jackson::int")]
    pub product_id: i32,
    /// Which of the product's reviews; 1 or above.
    #[serde(deserialize_with = "jackson::int")]
    pub review_id: i32,
    /// Who wrote it.
    #[serde(deserialize_with = "jackson::text")]
    pub author: Option<String>,
    /// Its headline.
    #[serde(deserialize_with = "jackson::text")]
    pub subject: Option<String>,
    /// What was written.
    #[serde(deserialize_with = "jackson::text")]
    pub content: Option<String>,
    /// The instance that answered, `host/ip:port`; null in events.
    #[serde(deserialize_with = "jackson::text")]
    pub service_address: Option<String>,
}

impl Review {
    /// Names the first field that no review may have.
    pub fn validate(&self) -> Result<(), Invalid> {
        valid_id("productId", self.product_id)?;
        valid_id("reviewId", self.review_id)
    }
}
