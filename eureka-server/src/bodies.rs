//! The bodies that readers ask for again and again: rendered and compressed once for each change, by the first who asks
//! after it.

use crate::directory::Directory;
use crate::registry::Registry;
use crate::{compact, xml};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use shared::discovery::wire::{Application, Applications, Instance};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// A body is rendered anew after this time even if nothing changed, in milliseconds: renewals are no change, and what is
/// told of leases should not be old.
const KEPT: i64 = 30_000;

/// Which instances are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// All.
    Everything,
    /// Those that changed lately.
    Changed,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// XML, else JSON.
    pub xml: bool,
    /// Only what is needed to call an instance.
    pub compact: bool,
}

/// A body, plain and compressed.
#[derive(Debug)]
pub struct Body {
    /// As it is.
    pub plain: Bytes,
    /// By gzip.
    pub gzip: Bytes,
    version: u64,
    at: i64,
}

/// The bodies of the last change.
#[derive(Debug, Default)]
pub struct Bodies {
    rendered: Mutex<HashMap<(Which, Form), Arc<Body>>>,
    /// Held by who renders: the others take what he rendered.
    rendering: tokio::sync::Mutex<()>,
}

impl Bodies {
    fn rendered(&self, which: Which, form: Form, version: u64, now: i64) -> Option<Arc<Body>> {
        let rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let body = rendered.get(&(which, form))?;
        (body.version >= version && now - body.at < KEPT).then(|| Arc::clone(body))
    }
}

impl Directory {
    /// The body of `which` in `form`, with every change in it that was made before this call.
    pub async fn body(self: &Arc<Self>, which: Which, form: Form) -> anyhow::Result<Arc<Body>> {
        let version = self.table().version();
        if let Some(body) = self.bodies.rendered(which, form, version, self.now()) {
            return Ok(body);
        }
        let _rendering = self.bodies.rendering.lock().await;
        if let Some(body) = self.bodies.rendered(which, form, version, self.now()) {
            return Ok(body);
        }
        let directory = Arc::clone(self);
        let body = tokio::task::spawn_blocking(move || render(&directory, which, form)).await??;
        let body = Arc::new(body);
        let mut rendered = self.bodies.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        rendered.insert((which, form), Arc::clone(&body));
        Ok(body)
    }
}

fn render(directory: &Directory, which: Which, form: Form) -> anyhow::Result<Body> {
    let (told, version) = {
        let table = directory.table();
        (Told::of(&table, which), table.version())
    };
    let plain = text(&told.grouped(), form)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plain.as_bytes())?;
    Ok(Body { gzip: gzip.finish()?.into(), plain: plain.into(), version, at: directory.now() })
}

/// What is told, taken from the table in as short a time as can be.
struct Told {
    version: i64,
    hash: String,
    instances: Vec<Arc<Instance>>,
}

impl Told {
    fn of(table: &Registry, which: Which) -> Self {
        let (version, instances) = match which {
            Which::Everything => (1, table.everything()),
            Which::Changed => (i64::try_from(table.version()).unwrap_or(i64::MAX), table.changed()),
        };
        Self { version, hash: table.hash(), instances }
    }

    fn grouped(&self) -> Applications {
        Applications { version: self.version, hash: self.hash.clone(), applications: grouped(&self.instances) }
    }
}

/// Instances by their applications, in the order of the first of each.
pub fn grouped(instances: &[Arc<Instance>]) -> Vec<Application> {
    let mut places = HashMap::<&str, usize>::new();
    let mut applications: Vec<Application> = Vec::new();
    for instance in instances {
        let place = *places.entry(&instance.app).or_insert(applications.len());
        if place == applications.len() {
            applications.push(Application { name: instance.app.clone(), instances: Vec::new() });
        }
        applications[place].instances.push(Instance::clone(instance));
    }
    applications
}

/// Applications as a body.
pub fn text(applications: &Applications, form: Form) -> anyhow::Result<String> {
    Ok(match form {
        Form { xml: true, compact: false } => xml::write::applications(applications),
        Form { xml: true, compact: true } => xml::write::compact_applications(applications),
        Form { xml: false, compact: false } => json("applications", applications)?,
        Form { xml: false, compact: true } => json("applications", &compact::Applications(applications))?,
    })
}

/// A body of JSON: an object whose one field is named after what it holds.
pub fn json<T: serde::Serialize>(root: &str, value: &T) -> anyhow::Result<String> {
    Ok(format!("{{\"{root}\":{}}}", serde_json::to_string(value)?))
}
