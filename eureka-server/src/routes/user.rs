//! Who may ask: whoever, or one user by his password, as Spring Security has it.

use super::request::text;
use crate::directory::Directory;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use std::sync::Arc;

pub(super) async fn known(State(directory): State<Arc<Directory>>, request: Request, next: Next) -> Response {
    let Some((name, password)) = &directory.settings.user else { return next.run(request).await };
    let said = text(request.headers(), &header::AUTHORIZATION).strip_prefix("Basic ");
    let said = said.and_then(|said| STANDARD.decode(said.trim()).ok()).unwrap_or_default();
    if same(&said, format!("{name}:{password}").as_bytes()) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, r#"Basic realm="Realm""#)]).into_response()
}

/// Compares in a time that tells nothing of where they differ.
fn same(said: &[u8], known: &[u8]) -> bool {
    said.len() == known.len() && said.iter().zip(known).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
