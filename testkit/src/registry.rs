//! A registry of services that fails as the test says, and remembers what it was asked.

use crate::Neighbour;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use shared::discovery::wire::read::Rooted;
use shared::discovery::wire::{Action, Application, Applications, Instance, Status, hash};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a registry does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It answers everything with this status.
    Status(u16),
    /// It answers changes with this status.
    Changes(u16),
    /// It has no version of its changes, as one that tells none.
    Unversioned,
    /// It tells a wrong hash with its changes.
    WrongHash,
    /// It tells who is there in JSON that says something else.
    Gibberish,
    /// It never answers.
    Silence,
}

/// A registry on a port of its own.
#[derive(Debug)]
pub struct Registry {
    neighbour: Neighbour,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    fault: Fault,
    calls: Vec<String>,
    bodies: Vec<Value>,
    authorization: Option<String>,
    instances: BTreeMap<String, Instance>,
    changes: BTreeMap<String, Instance>,
    version: i64,
}

impl Registry {
    /// A registry without anybody in it.
    pub async fn start() -> Self {
        let script = Script {
            fault: Fault::None,
            calls: Vec::new(),
            bodies: Vec::new(),
            authorization: None,
            instances: BTreeMap::new(),
            changes: BTreeMap::new(),
            version: 0,
        };
        let script = Arc::new(Mutex::new(script));
        let routes = Router::new().fallback(answer).with_state(script.clone());
        Self { neighbour: Neighbour::serve(routes).await, script }
    }

    /// Where it is, such as `http://127.0.0.1:41234/eureka`.
    pub fn url(&self) -> String {
        format!("{}/eureka", self.neighbour.url)
    }

    /// From now on it does this wrong.
    pub fn fault(&self, fault: Fault) {
        self.script().fault = fault;
    }

    /// Registers `instance`, as if it had done so itself.
    pub fn put(&self, instance: Instance) {
        self.script().put(instance);
    }

    /// Lets the instance of this id go, and tells so.
    pub fn cancel(&self, id: &str) {
        self.script().cancel(id);
    }

    /// Forgets everybody, as a restart does.
    pub fn forget(&self) {
        let mut script = self.script();
        script.instances.clear();
        script.changes.clear();
    }

    /// The instance of this id.
    pub fn instance(&self, id: &str) -> Option<Instance> {
        self.script().instances.get(id).cloned()
    }

    /// What it was asked since it was last asked for that: method and path with query, in order.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.script().calls)
    }

    /// What was registered since that was last asked, in order.
    pub fn registrations(&self) -> Vec<Value> {
        std::mem::take(&mut self.script().bodies)
    }

    /// Who asked last.
    pub fn authorization(&self) -> Option<String> {
        self.script().authorization.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

impl Script {
    fn put(&mut self, instance: Instance) {
        let instance = Instance { action: Some(Action::Added), ..instance };
        self.changes.insert(instance.id().to_owned(), instance.clone());
        self.instances.insert(instance.id().to_owned(), instance);
    }

    fn cancel(&mut self, id: &str) -> bool {
        let Some(gone) = self.instances.remove(id) else { return false };
        self.changes.insert(id.to_owned(), Instance { action: Some(Action::Deleted), ..gone });
        true
    }

    fn told(&mut self, of: &BTreeMap<String, Instance>, version: i64) -> Value {
        let hash = match self.fault {
            Fault::WrongHash => "UP_99_".to_owned(),
            _ => hash(self.instances.values().map(|instance| instance.status)),
        };
        let mut applications = BTreeMap::<String, Vec<Instance>>::new();
        for instance in of.values() {
            applications.entry(instance.app.clone()).or_default().push(instance.clone());
        }
        let applications = applications.into_iter().map(|(name, instances)| Application { name, instances }).collect();
        json!({ "applications": Applications { version, hash, applications } })
    }

    fn answer(&mut self, method: &Method, uri: &Uri, body: &Bytes) -> (StatusCode, Option<Value>) {
        // Of all that is escaped in a path, the tests have spaces.
        let (path, query) = (uri.path().replace("%20", " "), uri.query().unwrap_or_default());
        let path: Vec<_> = path.trim_start_matches("/eureka/").trim_end_matches('/').split('/').collect();
        let found = |found| (if found { StatusCode::OK } else { StatusCode::NOT_FOUND }, None);
        match (method.as_str(), path.as_slice(), self.fault) {
            ("GET", ["apps"] | ["apps", "delta"], Fault::Gibberish) => (StatusCode::OK, Some("nothing".into())),
            ("GET", ["apps"], _) => (StatusCode::OK, Some(self.told(&self.instances.clone(), 1))),
            ("GET", ["apps", "delta"], Fault::Changes(status)) => (StatusCode::from_u16(status).unwrap(), None),
            ("GET", ["apps", "delta"], fault) => {
                self.version += 1;
                let version = if fault == Fault::Unversioned { -1 } else { self.version };
                (StatusCode::OK, Some(self.told(&self.changes.clone(), version)))
            }
            ("POST", ["apps", _], _) => {
                let registered: Rooted<Instance> = serde_json::from_slice(body).unwrap();
                self.bodies.push(serde_json::from_slice(body).unwrap());
                self.put(registered.instance);
                (StatusCode::NO_CONTENT, None)
            }
            ("GET", ["apps", _, id], _) => match self.instances.get(*id) {
                Some(instance) => (StatusCode::OK, Some(json!({ "instance": instance }))),
                None => (StatusCode::NOT_FOUND, None),
            },
            ("PUT" | "DELETE", ["apps", _, id, "status"], _) => {
                let status = query.strip_prefix("value=").and_then(Status::named).unwrap();
                self.put(Instance { status, ..self.instances[*id].clone() });
                (StatusCode::OK, None)
            }
            ("PUT", ["apps", _, id], _) => found(self.instances.contains_key(*id)),
            ("DELETE", ["apps", _, id], _) => found(self.cancel(id)),
            _ => panic!("{method} {path:?} is nothing that a client asks"),
        }
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let fault = {
        let mut script = script.lock().unwrap();
        script.calls.push(format!("{} {}", head.method, head.uri.path_and_query().unwrap()));
        script.authorization = head.headers.get(header::AUTHORIZATION).map(|it| it.to_str().unwrap().to_owned());
        script.fault
    };
    match fault {
        Fault::Silence => std::future::pending::<()>().await,
        Fault::Status(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        _ => {}
    }
    let (status, body) = script.lock().unwrap().answer(&head.method, &head.uri, &body);
    let Some(body) = body else { return status.into_response() };
    assert_eq!(head.headers[header::ACCEPT], "application/json");
    if head.headers.get(header::ACCEPT_ENCODING).is_none_or(|it| it != "gzip") {
        return (status, body.to_string()).into_response();
    }
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(body.to_string().as_bytes()).unwrap();
    (status, [(header::CONTENT_ENCODING, "gzip")], compressed.finish().unwrap()).into_response()
}
