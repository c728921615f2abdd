//! A registry of either kind, and what to ask it.

use crate::strict;
use eureka_server::settings::Settings;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use shared::service::config::{Limits, Variables};
use std::time::Duration;
use testkit::servers::Eureka;
use testkit::{Answer, SOON, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Which registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Ours,
    /// Spring's.
    Real,
}

impl Kind {
    /// Its name in trials.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Real => "real",
        }
    }

    /// Why there is none.
    pub(crate) fn absent(self) -> Option<String> {
        match self {
            Self::Ours => None,
            Self::Real => testkit::java::absent(),
        }
    }
}

/// A registry that a trial has for itself.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Where its clients find it, such as `http://127.0.0.1:41234/eureka`.
    pub(crate) base: String,
    client: Client,
    _server: Server,
}

/// What ends when it is dropped, if it is not lent.
#[derive(Debug)]
#[allow(dead_code)]
enum Server {
    Ours(DropGuard),
    Own(Eureka),
    Lent(MutexGuard<'static, Option<Eureka>>),
}

impl Lab {
    /// An empty registry that is set up as it is by itself.
    pub(crate) async fn new(kind: Kind) -> Self {
        // A start costs seconds, so that all trials take turns on one; it ends with its input, when this process does.
        static SERVER: Mutex<Option<Eureka>> = Mutex::const_new(None);
        if kind == Kind::Ours {
            return Self::with(kind, Settings::default()).await;
        }
        let mut server = SERVER.lock().await;
        if server.is_none() {
            *server = Some(Eureka::start(&[]).await.unwrap());
        }
        let lab = Self::at(server.as_ref().unwrap().url.clone(), Server::Lent(server));
        lab.wipe().await;
        lab
    }

    /// An empty registry with these settings, which both kinds take by the same names.
    pub(crate) async fn with(kind: Kind, settings: Settings) -> Self {
        match kind {
            Kind::Ours => Self::ours(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), settings),
            Kind::Real => {
                let variables = variables(&settings);
                let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let server = Eureka::start(&variables).await.unwrap();
                Self::at(server.url.clone(), Server::Own(server))
            }
        }
    }

    /// Ours, at a place that others may know already.
    pub(crate) fn ours(listener: TcpListener, settings: Settings) -> Self {
        let url = format!("http://{}/eureka", listener.local_addr().unwrap());
        let limits = Limits::read(&Variables::default()).unwrap();
        let service = eureka_server::service(settings, &limits).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(service.run(listener, stop.clone().cancelled_owned()));
        Self::at(url, Server::Ours(stop.drop_guard()))
    }

    fn at(base: String, server: Server) -> Self {
        Self { base, client: Client::builder().no_proxy().timeout(SOON).build().unwrap(), _server: server }
    }

    /// A request to a path under the base.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// What `GET path` answers to who reads JSON. Whatever it is, Spring's client can read it.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.get_as(path, "application/json").await;
        if answer.status == 200 {
            strict::read(answer.text());
        }
        answer
    }

    /// What `GET path` answers to who accepts this.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        Answer::to(self.request(Method::GET, path).header("accept", accept)).await
    }

    /// What `GET path` answers to who says nothing at all, head and body.
    pub(crate) async fn get_bare(&self, path: &str) -> String {
        let (host, base) = self.base.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("GET /{base}{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The instance at `path`.
    pub(crate) async fn instance(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?} at {path}");
        answer.json()["instance"].clone()
    }

    /// The hash of the whole registry.
    pub(crate) async fn hash(&self) -> String {
        self.get("/apps").await.json()["applications"]["apps__hashcode"].as_str().unwrap().to_owned()
    }

    /// What `POST path` with JSON answers to who reads it.
    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        let request = self.request(Method::POST, path).header("accept", "application/json");
        let request = request.header("content-type", "application/json");
        Answer::to(request.body(body.to_string())).await
    }

    /// Registers what the registry has to take.
    pub(crate) async fn register(&self, body: Value) {
        let path = format!("/apps/{}", body["instance"]["app"].as_str().unwrap());
        let answer = self.post(&path, &body).await;
        assert_eq!((answer.status, answer.text()), (204, ""), "to {body}");
    }

    /// The status of `PUT path`.
    pub(crate) async fn put(&self, path: &str) -> u16 {
        Answer::to(self.request(Method::PUT, path)).await.status
    }

    /// The status of `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> u16 {
        Answer::to(self.request(Method::DELETE, path)).await.status
    }

    /// Waits until `GET path` answers with this status.
    pub(crate) async fn answers(&self, path: &str, status: u16) {
        eventually(SOON, &format!("{status} at {path}"), async || {
            let answer = self.get(path).await;
            if answer.status == status { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    async fn wipe(&self) {
        let apps = self.get("/apps").await.json();
        for app in apps["applications"]["application"].as_array().unwrap() {
            for instance in app["instance"].as_array().unwrap() {
                // Whoever has no id goes by his host name.
                let id = instance["instanceId"].as_str().or(instance["hostName"].as_str()).unwrap();
                let id = id.replace('%', "%25").replace('/', "%2F").replace(' ', "%20");
                assert_eq!(self.delete(&format!("/apps/{}/{id}", app["name"].as_str().unwrap())).await, 200);
            }
        }
    }
}

/// What differs from a registry as it is by itself, by the names that both take.
fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    let (default, ms) = (Settings::default(), |time: Duration| time.as_millis().to_string());
    let mut variables = vec![
        ("EUREKA_SERVER_ENABLESELFPRESERVATION", settings.self_preservation.to_string()),
        ("EUREKA_SERVER_RENEWALPERCENTTHRESHOLD", settings.renewal_percent.to_string()),
        ("EUREKA_SERVER_EXPECTEDCLIENTRENEWALINTERVALSECONDS", settings.expected_renewal.as_secs().to_string()),
        ("EUREKA_SERVER_RENEWALTHRESHOLDUPDATEINTERVALMS", ms(settings.recount)),
        ("EUREKA_SERVER_EVICTIONINTERVALTIMERINMS", ms(settings.eviction_interval)),
        ("EUREKA_SERVER_RETENTIONTIMEINMSINDELTAQUEUE", ms(settings.delta_retention)),
        ("EUREKA_SERVER_DELTARETENTIONTIMERINTERVALINMS", ms(settings.delta_sweep)),
        ("EUREKA_SERVER_WAITTIMEINMSWHENSYNCEMPTY", ms(settings.wait_when_empty)),
    ];
    if !settings.peers.is_empty() {
        variables.push(("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", settings.peers.join(",")));
    }
    if settings.delta_retention != default.delta_retention {
        // What was rendered is kept for three minutes, however short changes are told.
        variables.push(("EUREKA_SERVER_RESPONSECACHEAUTOEXPIRATIONINSECONDS", "1".to_owned()));
    }
    if !settings.wait_when_empty.is_zero() {
        // Spring's pretends that a peer told it of one instance, and then waits for nobody.
        variables.push(("EUREKA_INSTANCE_REGISTRY_DEFAULTOPENFORTRAFFICCOUNT", "0".to_owned()));
    }
    variables
}
