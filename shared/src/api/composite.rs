use crate::jackson;
use serde::{Deserialize, Deserializer, Serialize};

/// A product with what others say of it: the body of `POST` and `GET /product-composite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProductAggregate {
    /// Which product; 1 or above.
    #[serde(deserialize_with = "jackson::int")]
    pub product_id: i32,
    /// Its name, which every product has.
    #[serde(deserialize_with = "jackson::text")]
    pub name: Option<String>,
    /// Its weight, without a unit.
    #[serde(deserialize_with = "jackson::int")]
    pub weight: i32,
    /// Its recommendations; a missing list is an empty one.
    #[serde(deserialize_with = "list")]
    pub recommendations: Vec<RecommendationSummary>,
    /// Its reviews; a missing list is an empty one.
    #[serde(deserialize_with = "list")]
    pub reviews: Vec<ReviewSummary>,
    /// Who answered; ignored in a POST.
    pub service_addresses: Option<ServiceAddresses>,
}

/// A recommendation inside a composite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RecommendationSummary {
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
}

/// A review inside a composite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReviewSummary {
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
}

/// The instances a composite was read from, `host/ip:port` each; empty where nothing was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceAddresses {
    /// The composite service.
    pub cmp: String,
    /// The product service.
    pub pro: String,
    /// The review service.
    pub rev: String,
    /// The recommendation service.
    pub rec: String,
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Option::<Vec<jackson::Object<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(list.into_iter().map(|jackson::Object(part)| part).collect())
}
