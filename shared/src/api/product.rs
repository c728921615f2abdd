use super::{Invalid, valid_id};
use crate::jackson;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A product as its service gives it, and as the data of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Product {
    /// Which product; 1 or above.
    #[serde(deserialize_with = "jackson::int")]
    pub product_id: i32,
    /// Its name, which every product has.
    #[serde(deserialize_with = "jackson::text")]
    pub name: Option<String>,
    /// Its weight, without a unit.
    #[serde(deserialize_with = "jackson::int")]
    pub weight: i32,
    /// The instance that answered, `host/ip:port`; null in events.
    #[serde(deserialize_with = "jackson::text")]
    pub service_address: Option<String>,
}

impl Product {
    /// Names the first field that no product may have.
    pub fn validate(&self) -> Result<(), Invalid> {
        valid_id("productId", self.product_id)?;
        if self.name.is_none() {
            return Err(Invalid::new("name", Value::Null));
        }
        Ok(())
    }
}
