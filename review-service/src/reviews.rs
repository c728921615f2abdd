//! Reviews: a list for each product, each found by the product's id and its own.

use shared::api::Review;
use shared::database::Database;
use shared::database::rows::{self, List};
use shared::database::together::{Statement, Together};
use shared::messaging::failure::Failure;
use shared::service::ServiceAddress;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// The reviews of this service. A clone is the same reviews.
#[derive(Debug, Clone)]
pub struct Reviews {
    reads: Together<Review>,
    address: ServiceAddress,
}

impl Reviews {
    /// The reviews in `database`, given out by the instance at `address`.
    pub fn new(database: Database, address: ServiceAddress) -> Self {
        let statement = Statement {
            select: "SELECT product_id, review_id, author, subject, content FROM reviews WHERE product_id IN ",
            after: " ORDER BY product_id, review_id",
            row: |row| review(row).map(|review| (review.product_id, review)),
        };
        Self { reads: Together::new(database, statement), address }
    }

    /// The reviews of this product, by their ids.
    pub async fn find(&self, product_id: i32) -> Result<Vec<Review>, Arc<sqlx::Error>> {
        let found = self.reads.find(product_id).await?;
        let from_here = |found| Review { service_address: Some(self.address.to_string()), ..found };
        Ok(found.into_iter().map(from_here).collect())
    }

    /// Creates reviews. One that stands there with the same content is done already; with other content it is
    /// invalid.
    pub async fn create(&self, connection: &mut AnyConnection, reviews: &[&Review]) -> Result<(), Failure> {
        for review in reviews {
            review.validate().map_err(|invalid| Failure::Invalid(invalid.to_string()))?;
        }
        let weight = |review: &&Review| {
            [&review.author, &review.subject, &review.content].into_iter().flatten().map(String::len).sum()
        };
        let mut created = 0;
        for batch in rows::padded_lightly(rows::most(connection), reviews, weight) {
            let sql = rows::statement(
                "INSERT INTO reviews (product_id, review_id, author, subject, content) VALUES ",
                List::Rows { given: 0, shared: "", columns: 5 },
                batch.len(),
                " ON CONFLICT DO NOTHING",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, review| {
                query
                    .bind(review.product_id)
                    .bind(review.review_id)
                    .bind(review.author.as_deref())
                    .bind(review.subject.as_deref())
                    .bind(review.content.as_deref())
            });
            created += query.execute(&mut *connection).await?.rows_affected();
        }
        if created < reviews.len() as u64 {
            Self::compare(connection, reviews).await?;
        }
        Ok(())
    }

    /// Deletes all reviews of products. A product without any is fine.
    pub async fn delete(&self, connection: &mut AnyConnection, product_ids: &[i32]) -> Result<(), Failure> {
        for batch in rows::padded(rows::most(connection), product_ids) {
            let list = List::Keys { given: 0 };
            let sql = rows::statement("DELETE FROM reviews WHERE product_id IN ", list, batch.len(), "");
            let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Refuses the first of `reviews` that stands there with other content.
    async fn compare(connection: &mut AnyConnection, reviews: &[&Review]) -> Result<(), Failure> {
        let mut standing = HashMap::with_capacity(reviews.len());
        for batch in rows::padded(rows::most(connection), reviews) {
            let sql = rows::statement(
                "SELECT product_id, review_id, author, subject, content FROM reviews WHERE product_id IN ",
                List::Keys { given: 0 },
                batch.len(),
                "",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, wanted| query.bind(wanted.product_id));
            for row in query.fetch_all(&mut *connection).await? {
                let found = review(&row)?;
                standing.insert((found.product_id, found.review_id), found);
            }
        }
        let other = reviews.iter().find(|wanted| {
            let wanted = Review { service_address: None, ..(***wanted).clone() };
            standing.get(&(wanted.product_id, wanted.review_id)) != Some(&wanted)
        });
        match other {
            None => Ok(()),
            Some(Review { product_id, review_id, .. }) => {
                let sentence = format!("Duplicate key, Product Id: {product_id}, Review Id:{review_id}");
                Err(Failure::Invalid(sentence))
            }
        }
    }
}

fn review(row: &AnyRow) -> Result<Review, sqlx::Error> {
    Ok(Review {
        product_id: row.try_get(0)?,
        review_id: row.try_get(1)?,
        author: row.try_get(2)?,
        subject: row.try_get(3)?,
        content: row.try_get(4)?,
        service_address: None,
    })
}
