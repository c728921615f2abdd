//! The layers of this crate, and how the sources of all crates are laid out: rules that the compiler does not know.

// Outside the test functions too, a test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// What each module of this crate may use of its siblings, in reading order. Only `service` uses all.
const LAYERS: [(&str, &[&str]); 8] = [
    ("jackson", &[]),
    ("api", &["jackson"]),
    ("error", &["api", "jackson"]),
    ("actuator", &["error"]),
    ("database", &[]),
    ("messaging", &["database", "jackson"]),
    ("discovery", &[]),
    ("service", &["jackson", "api", "error", "actuator", "database", "messaging", "discovery"]),
];

/// The modules that do not know how they are asked, and the crates that would tell them.
const WITHOUT_HTTP: [&str; 4] = ["jackson", "api", "database", "messaging"];
/// What makes a server: finding others is no part of being found.
const SERVERS: [&str; 2] = ["axum", "tower_http"];
const HTTP: [&str; 7] = ["axum", "http", "http_body_util", "hyper", "hyper_util", "tower", "tower_http"];

/// No file is longer: who opens one reads it.
const LINES: usize = 400;

#[test]
fn every_module_uses_only_the_layers_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&source) {
        let path = file.strip_prefix(&source).unwrap().with_extension("");
        let module = path.iter().next().unwrap().to_str().unwrap();
        if module != "lib" {
            assert_eq!(violations(module, &fs::read_to_string(&file).unwrap()), [""; 0], "in {}", file.display());
        }
    }
}

#[test]
fn a_violation_is_seen_and_what_is_allowed_is_not() {
    for source in [
        "use crate::api::Product;",
        "fn f() -> crate::service::Service {}",
        "use axum::Router;",
        "fn f() -> ::http::StatusCode {}",
        // These two forms hide what they use, so they are not used at all.
        "use crate::{api, database};",
        "use super::super::api;",
    ] {
        assert_eq!(violations("messaging", source).len(), 1, "{source}");
    }
    for source in [
        "use crate::database::rows;",
        "use crate::messaging::Binder;",
        "use super::event::Event;",
        "//! speaks of [`crate::api`] and axum::Router",
        "fn f() -> my_http::Thing {}",
    ] {
        assert_eq!(violations("messaging", source), [""; 0], "{source}");
    }
    assert_eq!(violations("discovery", "use axum::Router; use http::Uri;"), ["axum"]);
    assert_eq!(violations("service", "use axum::Router; use crate::api::Product;"), [""; 0]);
}

#[test]
fn no_source_of_any_crate_is_too_long_or_a_mod_rs() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let crates = fs::read_dir(workspace).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let sources: Vec<PathBuf> = crates.filter(|source| source.is_dir()).collect();
    assert!(sources.len() > 5, "only {sources:?}");
    for file in sources.iter().flat_map(|source| rust_files(source)) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LINES, "{} has {lines} lines", file.display());
        assert!(!file.ends_with("mod.rs"), "{} stands beside its folder under the name of that", file.display());
    }
}

/// What `source`, a file of `module`, uses that it may not.
fn violations(module: &str, source: &str) -> Vec<String> {
    let (_, allowed) = LAYERS.iter().find(|(layer, _)| *layer == module).expect("every module has a layer");
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = Vec::new();
    for (_, after) in code.match_indices("crate::").map(|(at, it)| (at, &code[at + it.len()..])) {
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // A name that is no module is an item of the crate's root; an empty one begins a list.
        let sibling = LAYERS.iter().any(|(layer, _)| *layer == name);
        if name.is_empty() || (sibling && name != module && !allowed.contains(&name.as_str())) {
            found.push(format!("crate::{name}"));
        }
    }
    let strangers: &[&str] = match module {
        "discovery" => &SERVERS,
        module if WITHOUT_HTTP.contains(&module) => &HTTP,
        _ => &[],
    };
    for name in strangers {
        let path = format!("{name}::");
        let mut starts = code.match_indices(&path).map(|(at, _)| code[..at].chars().next_back());
        if starts.any(|before| !before.is_some_and(|c| c.is_alphanumeric() || c == '_')) {
            found.push((*name).to_owned());
        }
    }
    if code.contains("super::super::") {
        found.push("super::super".to_owned());
    }
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
