//! What clients say to a registry, kept on its way.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use http_body_util::BodyExt;
use reqwest::Client;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use testkit::Neighbour;

/// A way to a registry.
#[derive(Debug)]
pub(crate) struct Recorder {
    way: Neighbour,
    said: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// A way to the registry at `base`.
    pub(crate) async fn to(base: &str) -> Self {
        let (origin, said) = (base.strip_suffix("/eureka").unwrap().to_owned(), Arc::<Mutex<Vec<_>>>::default());
        let (client, kept) = (Client::builder().no_proxy().build().unwrap(), said.clone());
        let routes = Router::new().fallback(move |request: Request| forward(client, origin, kept, request));
        Self { way: Neighbour::serve(routes).await, said }
    }

    /// Where a client finds the registry by this way.
    pub(crate) fn base(&self) -> String {
        format!("{}/eureka/", self.way.url)
    }

    /// Everything that was said: a request line, headers, a body.
    pub(crate) fn said(&self) -> MutexGuard<'_, Vec<String>> {
        self.said.lock().unwrap()
    }
}

async fn forward(client: Client, origin: String, said: Arc<Mutex<Vec<String>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut text = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    write!(text, "\n{}", String::from_utf8_lossy(&body)).unwrap();
    said.lock().unwrap().push(text);
    let request = client.request(head.method, format!("{origin}{}", head.uri)).headers(head.headers).body(body);
    let Ok(answer) = request.send().await else {
        return Response::builder().status(502).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(answer.status());
    // How its body came is between it and this way.
    let kept = answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding" && *name != "connection");
    response.headers_mut().unwrap().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
