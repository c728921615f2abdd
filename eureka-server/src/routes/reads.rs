//! Reading the registry.

use super::ok;
use super::request::{accepts_gzip, content_type, form};
use crate::bodies::{Form, Which, grouped, json, text};
use crate::directory::Directory;
use crate::{compact, xml};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use shared::discovery::wire::{Application, Applications, Instance, hash};
use std::sync::Arc;
use tracing::error;

/// The whole registry, or what changed.
pub(super) async fn many(directory: &Arc<Directory>, which: Which, headers: &HeaderMap) -> Response {
    if !directory.is_open() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (form, gzip) = (form(headers), accepts_gzip(headers));
    let body = match directory.body(which, form).await {
        Ok(body) => body,
        Err(error) => return failed(&error),
    };
    if gzip {
        let headers = [(header::CONTENT_TYPE, content_type(form)), (header::CONTENT_ENCODING, "gzip")];
        return (headers, body.gzip.clone()).into_response();
    }
    ok(content_type(form), body.plain.clone())
}

/// One application.
pub(super) fn application(directory: &Directory, app: &str, headers: &HeaderMap) -> Response {
    if !directory.is_open() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let instances = directory.table().application(app);
    let Some(application) = grouped(&instances).pop() else { return StatusCode::NOT_FOUND.into_response() };
    let form = form(headers);
    let body = match form {
        Form { xml: true, compact: false } => Ok(xml::write::application(&application)),
        Form { xml: true, compact: true } => Ok(xml::write::compact_application(&application)),
        Form { xml: false, compact: false } => json::<Application>("application", &application),
        Form { xml: false, compact: true } => json("application", &compact::Application(&application)),
    };
    answer(body, form)
}

/// One instance, of one application or of any; this is told at any time.
pub(super) fn instance(directory: &Directory, app: Option<&str>, id: &str, headers: &HeaderMap) -> Response {
    let found = {
        let (table, now) = (directory.table(), directory.now());
        match app {
            Some(app) => table.instance(app, id, now),
            None => table.instance_of_any(id, now),
        }
    };
    let Some(found) = found else { return StatusCode::NOT_FOUND.into_response() };
    let form = form(headers);
    answer(instance_body(&found, form), form)
}

/// An instance as a body.
pub(super) fn instance_body(instance: &Instance, form: Form) -> anyhow::Result<String> {
    if form.xml { Ok(xml::write::instance(instance)) } else { json("instance", instance) }
}

/// The instances that are looked for under the name `vip`.
pub(super) fn by_vip(directory: &Directory, vip: &str, secure: bool, headers: &HeaderMap) -> Response {
    if !directory.is_open() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let named = |instance: &&Arc<Instance>| {
        let names = if secure { &instance.secure_vip_address } else { &instance.vip_address };
        names.iter().flat_map(|names| names.split(',')).any(|name| name == vip)
    };
    let instances: Vec<_> = directory.table().everything().iter().filter(named).map(Arc::clone).collect();
    let hash = hash(instances.iter().map(|instance| instance.status));
    let found = Applications { version: -1, hash, applications: grouped(&instances) };
    let form = form(headers);
    answer(text(&found, form), form)
}

/// How the registry itself is, in the words of Netflix's page.
pub(super) fn status(directory: &Directory, headers: &HeaderMap) -> Response {
    let form = form(headers);
    let (all, seen) = (directory.peers.names().join(","), directory.peers.reachable().join(","));
    let lost = directory.peers.unreachable().join(",");
    if form.xml {
        let stats = xml::write::status(&[
            ("registered-replicas", all.as_str()),
            ("available-replicas", seen.as_str()),
            ("unavailable-replicas", lost.as_str()),
        ]);
        return ok("application/xml", stats);
    }
    let stats = serde_json::json!({
        "generalStats": {},
        "applicationStats": {"registered-replicas": all, "available-replicas": seen, "unavailable-replicas": lost},
    });
    ok("application/json", stats.to_string())
}

fn answer(body: anyhow::Result<String>, form: Form) -> Response {
    match body {
        Ok(body) => ok(content_type(form), body),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> Response {
    error!(error = format!("{error:#}"), "a body could not be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
