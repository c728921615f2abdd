//! What HTTP alone allows: a server that has its answers, and one that asks three others and hands on what they say.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::future::try_join3;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

type Cores = (Client<HttpConnector, Empty<Bytes>>, [String; 3]);

/// Serves until the process is killed, and says where; `cores` are product, recommendation, review.
pub(crate) async fn serve(cores: [String; 3]) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let cores: Cores = (Client::builder(TokioExecutor::new()).build(connector), cores);
    let routes = Router::new()
        .route("/product/{id}", get(|Path(id): Path<i32>| async move { Json(crate::layer::product(id)) }))
        .route("/product-composite/{id}", get(fan_out))
        .route("/actuator/health/readiness", get(|| async {}))
        .with_state(cores);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // As the landscape says it, four times.
    (0..4).for_each(|_| println!("http://{address}"));
    axum::serve(listener, routes).await.unwrap();
}

async fn fan_out(State((client, cores)): State<Cores>, Path(id): Path<i32>) -> impl IntoResponse {
    let read = async |path: String| {
        let answer = client.get(path.parse().unwrap()).await.map_err(|_| ())?;
        answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| ())
    };
    let [product, recommendation, review] = &cores;
    let read = try_join3(
        read(format!("{product}/product/{id}")),
        read(format!("{recommendation}/recommendation?productId={id}")),
        read(format!("{review}/review?productId={id}")),
    );
    let (product, recommendations, reviews) = read.await.unwrap();
    let body = [b"[", &product[..], b",", &recommendations, b",", &reviews, b"]"].concat();
    ([(CONTENT_TYPE, "application/json")], body)
}
