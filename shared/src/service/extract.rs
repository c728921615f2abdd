//! What handlers take from a request, where Spring's answers to a bad one differ from axum's.

mod id;
mod json_body;

pub use id::{ProductIdPath, ProductIdQuery};
pub use json_body::{BodyLimit, JsonBody};
