//! XML from clients, by a reader that knows elements, attributes and text, and nothing else: no document type, no
//! entities but XML's own five, and no depth that an instance does not need.

use super::unescaped_name;
use anyhow::{Context, bail, ensure};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};
use shared::discovery::wire::{Instance, OWN_DATA_CENTER};

/// `instance`, `dataCenterInfo`, `metadata`, one of its entries, and room for what others may add.
const DEPTH: usize = 16;

/// Reads `<instance>`: as JSON, which says the same, and then as that is read.
pub fn instance(xml: &str) -> anyhow::Result<Instance> {
    let (name, mut instance) = root(xml)?;
    ensure!(name == "instance", "the root is {name:?}; expected \"instance\"");
    // What XStream takes more lightly than the reader of JSON does.
    if let Some(status) = instance.get_mut("status") {
        *status = status.as_str().map(str::to_uppercase).into();
    }
    if let Some(Value::Object(data_center)) = instance.get_mut("dataCenterInfo") {
        data_center.entry("@class").or_insert_with(|| OWN_DATA_CENTER.into());
    }
    if let Some(fields) = instance.as_object_mut() {
        for inner in ["metadata", "leaseInfo"] {
            // An element with nothing in it is an object with nothing in it.
            if fields.get(inner).and_then(Value::as_str).is_some_and(|text| text.trim().is_empty()) {
                fields.insert(inner.to_owned(), Map::new().into());
            }
        }
    }
    Ok(serde_json::from_value(instance)?)
}

/// An element that is open: its name, what is in it, its text.
struct Open {
    name: String,
    fields: Map<String, Value>,
    text: String,
}

impl Open {
    fn new(element: &BytesStart<'_>) -> anyhow::Result<Self> {
        let name = unescaped_name(element.name().as_ref());
        let mut fields = Map::new();
        for attribute in element.attributes() {
            let attribute = attribute?;
            let key: &str = attribute.key.as_ref();
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0)?.into_owned();
            // As the same thing is called in JSON.
            fields.insert(format!("@{key}"), value.into());
        }
        Ok(Self { name, fields, text: String::new() })
    }

    /// What JSON would have in its place: a text, or an object, with the text of a port under `$`.
    fn value(mut self) -> Value {
        if self.fields.is_empty() {
            return self.text.into();
        }
        if !self.text.trim().is_empty() {
            self.fields.insert("$".to_owned(), self.text.into());
        }
        self.fields.into()
    }
}

fn root(xml: &str) -> anyhow::Result<(String, Value)> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let event = reader.read_event()?;
        let closed = match event {
            Event::Start(element) => {
                ensure!(open.len() < DEPTH, "elements are more than {DEPTH} deep");
                open.push(Open::new(&element)?);
                None
            }
            Event::Empty(element) => Some(Open::new(&element)?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&text);
                }
                None
            }
            Event::CData(text) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&text);
                }
                None
            }
            Event::GeneralRef(reference) => {
                open.last_mut().context("a reference outside the root")?.text.push_str(&resolved(&reference)?);
                None
            }
            Event::DocType(_) => bail!("a document type is not allowed"),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => None,
            Event::Eof => bail!("there is no root, or it has no end"),
        };
        let Some(closed) = closed else { continue };
        let name = closed.name.clone();
        let value = closed.value();
        match open.last_mut() {
            Some(around) => {
                around.fields.insert(name, value);
            }
            None => return Ok((name, value)),
        }
    }
}

fn resolved(reference: &BytesRef<'_>) -> anyhow::Result<String> {
    if let Some(c) = reference.resolve_char_ref()? {
        return Ok(c.to_string());
    }
    let name: &str = reference;
    let text = resolve_xml_entity(name).with_context(|| format!("the entity {name:?} is not known"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::xml::write;
    use shared::discovery::wire::{DataCenter, Status};

    #[test]
    fn what_was_written_is_read_again() {
        let mut instance = Instance { app: "P".to_owned(), host_name: "h".to_owned(), ..Instance::unsaid(7) };
        instance.instance_id = "h:p:1".to_owned();
        instance.data_center = Some(DataCenter::own());
        assert_eq!(super::instance(&write::instance(&instance)).unwrap(), instance);
        for (key, value) in [("a_b", "c"), ("with space", "<&>'\""), ("$", "ä"), ("empty", "")] {
            instance.metadata.insert(key.to_owned(), value.to_owned());
        }
        assert_eq!(super::instance(&write::instance(&instance)).unwrap(), instance);
    }

    #[test]
    fn what_xstream_takes_lightly_is_taken() {
        let xml = "<?xml version=\"1.0\"?><!-- one --><instance><app>p</app><status>down</status><unknown><deep>1</deep>\
            </unknown><dataCenterInfo><name>MyOwn</name></dataCenterInfo><metadata> </metadata><hostName><![CDATA[h]]>&#x41;&amp;</hostName></instance>";
        let instance = super::instance(xml).unwrap();
        assert_eq!((instance.status, instance.data_center), (Status::Down, Some(DataCenter::own())));
        assert_eq!(instance.host_name, "hA&");
    }

    #[test]
    fn what_is_no_instance_or_dangerous_is_refused() {
        let deep = format!("<instance>{}", "<a>".repeat(10_000));
        for (xml, sentence) in [
            ("", "there is no root"),
            ("<instance>", "there is no root"),
            ("<foo/>", "the root is \"foo\""),
            ("<!DOCTYPE instance [<!ENTITY x \"y\">]><instance><app>&x;</app></instance>", "document type"),
            ("<instance><app>&x;</app></instance>", "the entity \"x\" is not known"),
            (deep.as_str(), "more than 16 deep"),
            ("<instance></app>", "expected"),
            ("<instance><app>a</app><port>many</port></instance>", "invalid type"),
        ] {
            let error = format!("{:#}", super::instance(xml).unwrap_err());
            assert!(error.contains(sentence), "{error}");
        }
    }
}
