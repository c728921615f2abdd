//! Recommendations: a list for each product, each found by the product's id and its own.

use shared::api::Recommendation;
use shared::database::Database;
use shared::database::rows::{self, List};
use shared::database::together::{Statement, Together};
use shared::messaging::failure::Failure;
use shared::service::ServiceAddress;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// The recommendations of this service. A clone is the same recommendations.
#[derive(Debug, Clone)]
pub struct Recommendations {
    reads: Together<Recommendation>,
    address: ServiceAddress,
}

impl Recommendations {
    /// The recommendations in `database`, given out by the instance at `address`.
    pub fn new(database: Database, address: ServiceAddress) -> Self {
        let statement = Statement {
            select: "SELECT product_id, recommendation_id, author, rate, content FROM recommendations WHERE product_id IN ",
            after: " ORDER BY product_id, recommendation_id",
            row: |row| recommendation(row).map(|recommendation| (recommendation.product_id, recommendation)),
        };
        Self { reads: Together::new(database, statement), address }
    }

    /// The recommendations of this product, by their ids.
    pub async fn find(&self, product_id: i32) -> Result<Vec<Recommendation>, Arc<sqlx::Error>> {
        let found = self.reads.find(product_id).await?;
        let from_here = |found| Recommendation { service_address: Some(self.address.to_string()), ..found };
        Ok(found.into_iter().map(from_here).collect())
    }

    /// Creates recommendations. One that stands there with the same content is done already; with other content it is
    /// invalid.
    pub async fn create(
        &self,
        connection: &mut AnyConnection,
        recommendations: &[&Recommendation],
    ) -> Result<(), Failure> {
        for recommendation in recommendations {
            recommendation.validate().map_err(|invalid| Failure::Invalid(invalid.to_string()))?;
        }
        let weight = |recommendation: &&Recommendation| {
            [&recommendation.author, &recommendation.content].into_iter().flatten().map(String::len).sum()
        };
        let mut created = 0;
        for batch in rows::padded_lightly(rows::most(connection), recommendations, weight) {
            let sql = rows::statement(
                "INSERT INTO recommendations (product_id, recommendation_id, author, rate, content) VALUES ",
                List::Rows { given: 0, shared: "", columns: 5 },
                batch.len(),
                " ON CONFLICT DO NOTHING",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, recommendation| {
                query
                    .bind(recommendation.product_id)
                    .bind(recommendation.recommendation_id)
                    .bind(recommendation.author.as_deref())
                    .bind(recommendation.rate)
                    .bind(recommendation.content.as_deref())
            });
            created += query.execute(&mut *connection).await?.rows_affected();
        }
        if created < recommendations.len() as u64 {
            Self::compare(connection, recommendations).await?;
        }
        Ok(())
    }

    /// Deletes all recommendations of products. A product without any is fine.
    pub async fn delete(&self, connection: &mut AnyConnection, product_ids: &[i32]) -> Result<(), Failure> {
        for batch in rows::padded(rows::most(connection), product_ids) {
            let list = List::Keys { given: 0 };
            let sql = rows::statement("DELETE FROM recommendations WHERE product_id IN ", list, batch.len(), "");
            let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Refuses the first of `recommendations` that stands there with other content.
    async fn compare(connection: &mut AnyConnection, recommendations: &[&Recommendation]) -> Result<(), Failure> {
        let mut standing = HashMap::with_capacity(recommendations.len());
        for batch in rows::padded(rows::most(connection), recommendations) {
            let sql = rows::statement(
                "SELECT product_id, recommendation_id, author, rate, content FROM recommendations WHERE product_id IN ",
                List::Keys { given: 0 },
                batch.len(),
                "",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, wanted| query.bind(wanted.product_id));
            for row in query.fetch_all(&mut *connection).await? {
                let found = recommendation(&row)?;
                standing.insert((found.product_id, found.recommendation_id), found);
            }
        }
        let other = recommendations.iter().find(|wanted| {
            let wanted = Recommendation { service_address: None, ..(***wanted).clone() };
            standing.get(&(wanted.product_id, wanted.recommendation_id)) != Some(&wanted)
        });
        match other {
            None => Ok(()),
            Some(Recommendation { product_id, recommendation_id, .. }) => {
                let sentence =
                    format!("Duplicate key, Product Id: {product_id}, Recommendation Id:{recommendation_id}");
                Err(Failure::Invalid(sentence))
            }
        }
    }
}

fn recommendation(row: &AnyRow) -> Result<Recommendation, sqlx::Error> {
    Ok(Recommendation {
        product_id: row.try_get(0)?,
        recommendation_id: row.try_get(1)?,
        author: row.try_get(2)?,
        rate: row.try_get(3)?,
        content: row.try_get(4)?,
        service_address: None,
    })
}
