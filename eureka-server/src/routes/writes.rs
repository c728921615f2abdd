//! Registering, renewing, leaving, and what operators say.

use super::ok;
use super::reads::instance_body;
use super::request::{body, content_type, form, origin, parameter, parameters, text};
use crate::directory::{Directory, Override};
use crate::registry::{Full, Origin, Renewed};
use crate::xml;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use shared::discovery::wire::read::Rooted;
use shared::discovery::wire::{Instance, Status};
use tracing::{debug, info, warn};

/// An instance of one or two kilobytes has room for much metadata in it.
const REGISTRATION: usize = 64 << 10;
/// What the original says of a body that is no instance.
const CANNOT_PARSE: &str = r#"{"error": "cannot parse request body"}"#;

pub(super) async fn register(directory: &Directory, app: &str, request: Request) -> Response {
    let content = text(request.headers(), &header::CONTENT_TYPE).to_ascii_lowercase();
    let origin = origin(request.headers());
    if !content.contains("json") && !content.contains("xml") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let body = match body(request, REGISTRATION).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let read = if content.contains("json") {
        serde_json::from_slice::<Rooted<Instance>>(&body).map(|read| read.instance).map_err(anyhow::Error::from)
    } else {
        std::str::from_utf8(&body).map_err(anyhow::Error::from).and_then(xml::read::instance)
    };
    let instance = match read {
        Ok(instance) => instance,
        Err(error) => {
            debug!(app, error = format!("{error:#}"), "a registration cannot be read");
            return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], CANNOT_PARSE)
                .into_response();
        }
    };
    if let Err(sentence) = valid(&instance, app) {
        return (StatusCode::BAD_REQUEST, sentence).into_response();
    }
    let (id, status) = (instance.id().to_owned(), instance.status.name());
    match directory.register(instance, origin) {
        Ok(()) => {
            info!(app, id, status, ?origin, "registered");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(Full) => full(app, &id),
    }
}

/// What an instance has to say, in the words and the order of the original.
pub(super) fn valid(instance: &Instance, app: &str) -> Result<(), String> {
    let blank = |text: &str| text.trim().is_empty();
    if blank(instance.id()) {
        Err("Missing instanceId".to_owned())
    } else if blank(&instance.host_name) {
        Err("Missing hostname".to_owned())
    } else if blank(&instance.ip_addr) {
        Err("Missing ip address".to_owned())
    } else if blank(&instance.app) {
        Err("Missing appName".to_owned())
    } else if instance.app != app {
        Err(format!("Mismatched appName, expecting {app} but was {}", instance.app))
    } else {
        match &instance.data_center {
            None => Err("Missing dataCenterInfo".to_owned()),
            Some(data_center) if blank(&data_center.name) => Err("Missing dataCenterInfo Name".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

pub(super) fn renew(directory: &Directory, app: &str, id: &str, request: &Request) -> Response {
    let last_dirty = parameter(request, "lastDirtyTimestamp");
    let number = last_dirty.as_deref().map(str::parse::<i64>);
    let origin = origin(request.headers());
    let renewed = directory.renew(app, id, number.clone().and_then(Result::ok), origin);
    match renewed {
        Renewed::Unknown => {
            // A peer that knows a later form of the instance knows what its operator said too.
            let said = parameter(request, "overriddenstatus").and_then(|said| Status::named(&said));
            if let Some(status) = said.filter(|said| origin == Origin::Peer && *said != Status::Unknown) {
                directory.table().adopt_override(app, id, status);
            }
            StatusCode::NOT_FOUND.into_response()
        }
        // The original answers so: a time that is no number is an accident to it.
        Renewed::Yes if matches!(number, Some(Err(_))) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Renewed::Yes => StatusCode::OK.into_response(),
        Renewed::Newer(instance) => {
            let form = form(request.headers());
            match instance_body(&instance, form) {
                Ok(body) => (StatusCode::CONFLICT, ok(content_type(form), body)).into_response(),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    }
}

pub(super) fn cancel(directory: &Directory, app: &str, id: &str, request: &Request) -> Response {
    let origin = origin(request.headers());
    let was_there = directory.cancel(app, id, origin);
    if was_there {
        info!(app, id, ?origin, "left");
    }
    found(was_there)
}

pub(super) fn override_status(directory: &Directory, app: &str, id: &str, request: &Request) -> Response {
    let status = parameter(request, "value").and_then(|value| Status::named(&value));
    said(directory, (app, id), status.map(Override::Set), request)
}

pub(super) fn remove_override(directory: &Directory, app: &str, id: &str, request: &Request) -> Response {
    let status = parameter(request, "value").map_or(Some(Status::Unknown), |value| Status::named(&value));
    said(directory, (app, id), status.map(Override::Remove), request)
}

/// Does what an operator said. A value that is none, or no status, is an accident to the original.
fn said(directory: &Directory, (app, id): (&str, &str), what: Option<Override>, request: &Request) -> Response {
    if directory.table().instance(app, id, directory.now()).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match (what, last_dirty(request)) {
        (Some(what), Ok(last_dirty)) => {
            info!(app, id, ?what, "an operator set the status");
            found(directory.override_status((app, id), what, last_dirty, origin(request.headers())))
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) fn add_metadata(directory: &Directory, app: &str, id: &str, request: &Request) -> Response {
    if request.uri().query().is_some_and(|query| query.len() > REGISTRATION) {
        return StatusCode::URI_TOO_LONG.into_response();
    }
    let more = parameters(request).map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    match directory.add_metadata(app, id, more) {
        Ok(was_there) => found(was_there),
        Err(Full) => full(app, id),
    }
}

fn last_dirty(request: &Request) -> Result<Option<i64>, std::num::ParseIntError> {
    parameter(request, "lastDirtyTimestamp").map(|text| text.parse()).transpose()
}

fn found(was_there: bool) -> Response {
    if was_there { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response()
}

fn full(app: &str, id: &str) -> Response {
    warn!(app, id, "the registry is full: nobody else is taken in");
    (StatusCode::TOO_MANY_REQUESTS, "the registry is full; MAX_INSTANCES says how many it takes").into_response()
}
