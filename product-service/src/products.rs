//! Products: one row each, found by their id.

use shared::api::Product;
use shared::database::Database;
use shared::database::rows::{self, List};
use shared::database::together::{Statement, Together};
use shared::messaging::failure::Failure;
use shared::service::ServiceAddress;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// The products of this service. A clone is the same products.
#[derive(Debug, Clone)]
pub struct Products {
    reads: Together<Product>,
    address: ServiceAddress,
}

impl Products {
    /// The products in `database`, given out by the instance at `address`.
    pub fn new(database: Database, address: ServiceAddress) -> Self {
        let statement = Statement {
            select: "SELECT product_id, name, weight FROM products WHERE product_id IN ",
            after: "",
            row: |row| product(row).map(|product| (product.product_id, product)),
        };
        Self { reads: Together::new(database, statement), address }
    }

    /// The product with this id.
    pub async fn find(&self, product_id: i32) -> Result<Option<Product>, Arc<sqlx::Error>> {
        let found = self.reads.find(product_id).await?.pop();
        Ok(found.map(|found| Product { service_address: Some(self.address.to_string()), ..found }))
    }

    /// Creates products. One that stands there with the same content is done already; with other content it is invalid.
    pub async fn create(&self, connection: &mut AnyConnection, products: &[&Product]) -> Result<(), Failure> {
        for product in products {
            product.validate().map_err(|invalid| Failure::Invalid(invalid.to_string()))?;
        }
        let weight = |product: &&Product| product.name.iter().map(String::len).sum();
        let mut created = 0;
        for batch in rows::padded_lightly(rows::most(connection), products, weight) {
            let sql = rows::statement(
                "INSERT INTO products (product_id, name, weight) VALUES ",
                List::Rows { given: 0, shared: "", columns: 3 },
                batch.len(),
                " ON CONFLICT DO NOTHING",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, product| {
                query.bind(product.product_id).bind(product.name.as_deref()).bind(product.weight)
            });
            created += query.execute(&mut *connection).await?.rows_affected();
        }
        if created < products.len() as u64 {
            Self::compare(connection, products).await?;
        }
        Ok(())
    }

    /// Deletes products. One that is not there is fine.
    pub async fn delete(&self, connection: &mut AnyConnection, product_ids: &[i32]) -> Result<(), Failure> {
        for batch in rows::padded(rows::most(connection), product_ids) {
            let list = List::Keys { given: 0 };
            let sql = rows::statement("DELETE FROM products WHERE product_id IN ", list, batch.len(), "");
            let query = batch.into_iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Refuses the first of `products` that stands there with other content.
    async fn compare(connection: &mut AnyConnection, products: &[&Product]) -> Result<(), Failure> {
        let mut standing = HashMap::with_capacity(products.len());
        for batch in rows::padded(rows::most(connection), products) {
            let sql = rows::statement(
                "SELECT product_id, name, weight FROM products WHERE product_id IN ",
                List::Keys { given: 0 },
                batch.len(),
                "",
            );
            let query = batch.into_iter().fold(sqlx::query(sql), |query, product| query.bind(product.product_id));
            for row in query.fetch_all(&mut *connection).await? {
                let product = product(&row)?;
                standing.insert(product.product_id, product);
            }
        }
        let other = products.iter().find(|product| {
            let wanted = Product { service_address: None, ..(**product).clone() };
            standing.get(&product.product_id) != Some(&wanted)
        });
        match other {
            None => Ok(()),
            Some(Product { product_id, .. }) => {
                Err(Failure::Invalid(format!("Duplicate key, Product Id: {product_id}")))
            }
        }
    }
}

fn product(row: &AnyRow) -> Result<Product, sqlx::Error> {
    Ok(Product { product_id: row.try_get(0)?, name: row.try_get(1)?, weight: row.try_get(2)?, service_address: None })
}
