//! A service of ours on a port of its own, run as its program runs it.

use crate::{Answer, SOON, eventually};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use shared::service::platform::Platform;
use shared::service::{Service, ServiceAddress, service_address};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A service that runs. It must be stopped: then it must have nothing to say against that, and no dead letters but
/// those that the test has looked at.
#[derive(Debug)]
pub struct Running {
    /// Where it is, such as `http://127.0.0.1:41234`.
    pub url: String,
    /// How it names itself.
    pub address: ServiceAddress,
    client: Client,
    socket: SocketAddr,
    stop: CancellationToken,
    grace: Duration,
    task: Option<JoinHandle<anyhow::Result<()>>>,
    letters: usize,
}

impl Running {
    /// Runs the service that `wire` makes of `platform`.
    pub async fn start<F>(platform: Platform, wire: impl FnOnce(Platform, ServiceAddress) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<Service>>,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (socket, address) = (listener.local_addr().unwrap(), service_address(&listener).await.unwrap());
        let grace = platform.config.limits.grace;
        let wired = timeout(SOON, wire(platform, address.clone())).await.expect("the service is wired in time");
        Self::run(wired.unwrap(), listener, address, socket, grace)
    }

    /// Runs a service that is wired, on a port that is taken.
    pub async fn wired(service: Service, listener: TcpListener, grace: Duration) -> Self {
        let (socket, address) = (listener.local_addr().unwrap(), service_address(&listener).await.unwrap());
        Self::run(service, listener, address, socket, grace)
    }

    fn run(
        service: Service,
        listener: TcpListener,
        address: ServiceAddress,
        socket: SocketAddr,
        grace: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = Some(tokio::spawn(service.run(listener, stop.clone().cancelled_owned())));
        let client = Client::builder().no_proxy().timeout(SOON).build().unwrap();
        Self { url: format!("http://{socket}"), address, client, socket, stop, grace, task, letters: 0 }
    }

    /// A request that is still to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// What `GET path` answers.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// What `DELETE path` answers.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    /// What `POST path` answers to a JSON body.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        Answer::to(request.body(body)).await
    }

    /// What `GET path` answers, where a client would tidy the path first.
    pub async fn get_as_is(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.socket).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
        Answer::parse(&answer)
    }

    /// Waits until `GET path` answers with this body.
    pub async fn shows(&self, path: &str, body: &str) {
        eventually(SOON, &format!("{body} at {path}"), async || {
            let answer = self.get(path).await;
            if answer.status == 200 && answer.text() == body { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    /// Waits until `GET path` answers with this status.
    pub async fn answers(&self, path: &str, status: u16) -> Answer {
        eventually(SOON, &format!("{status} at {path}"), async || {
            let answer = self.get(path).await;
            if answer.status == status { Ok(answer) } else { Err(format!("{answer:?}")) }
        })
        .await
    }

    /// Waits until there are `count` dead letters, and returns them. They are no surprise at the stop.
    pub async fn letters(&mut self, count: usize) -> Vec<Value> {
        self.letters = count;
        eventually(SOON, &format!("{count} dead letters"), async || {
            let listed = self.get("/actuator/deadletters").await.json();
            let letters = listed["deadLetters"].as_array().expect("a list").clone();
            let complete = letters.len() == count && letters.iter().all(|letter| letter["state"] == "waiting");
            if complete { Ok(letters) } else { Err(listed.to_string()) }
        })
        .await
    }

    /// Stops the service as SIGTERM does.
    pub async fn stop(self) {
        let listed = self.get("/actuator/deadletters").await;
        // A service that consumes nothing has none.
        if listed.status != 404 {
            assert_eq!(listed.json()["total"], self.letters, "there are unexpected dead letters: {}", listed.text());
        }
        self.stop_unseen().await;
    }

    /// Stops the service as SIGTERM does, without a look at its dead letters: its database is away.
    pub async fn stop_unseen(mut self) {
        self.stop.cancel();
        let task = self.task.take().expect("the service runs until it is stopped");
        // Whoever needs all of the grace time was waiting for something that had to be cut off.
        let ended = timeout(self.grace, task).await.expect("the service stops within its grace time");
        ended.expect("the service does not panic").expect("the service ends well");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        assert!(self.task.is_none() || std::thread::panicking(), "the test did not stop the service at {}", self.url);
    }
}
