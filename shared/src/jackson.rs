//! Numbers, texts and objects as Jackson reads them, so that what a Spring service accepts is accepted here too.
//!
//! Jackson turns `"12"` into 12, `1.9` into 1, and null or a missing number into 0; a number where a text is wanted
//! becomes its text. What it refuses is refused here: numbers beyond 32 bits, truth values and nested values, and an
//! array of values in place of an object, which serde's structs alone take.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Reads a 32-bit integer as Jackson reads a Java `int`.
pub fn int<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    deserializer.deserialize_any(Int)
}

/// Reads a text as Jackson reads a Java `String`: null stays absent, numbers and truth values become text.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Text)
}

/// A value that is written as a JSON object and as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(
    /// What the object says.
    pub T,
);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

struct Int;

impl Visitor<'_> for Int {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 32-bit integer")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i32, E> {
        i32::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i32, E> {
        i32::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i32, E> {
        let whole = value.trunc();
        if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) {
            // The range was checked, so nothing is cut but the fraction, as Jackson does.
            #[expect(clippy::cast_possible_truncation)]
            return Ok(whole as i32);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<i32, E> {
        match value.trim() {
            "" => Ok(0),
            digits => digits.parse().map_err(|_| E::invalid_value(Unexpected::Str(value), &self)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<i32, E> {
        Ok(0)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<String>, E> {
        Ok(Some(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Option<String>, E> {
        Ok(Some(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<String>, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<String>, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<String>, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<String>, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    struct Thing {
        #[serde(default, deserialize_with = "int")]
        number: i32,
        #[serde(default, deserialize_with = "text")]
        word: Option<String>,
    }

    fn read(json: &str) -> Result<Thing, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn numbers_are_taken_as_jackson_takes_them() {
        for (json, number) in [
            (r#"{"number":12}"#, 12),
            (r#"{"number":"12"}"#, 12),
            (r#"{"number":1.9}"#, 1),
            (r#"{"number":-2147483648}"#, i32::MIN),
            (r#"{"number":null}"#, 0),
            (r#"{"number":""}"#, 0),
            ("{}", 0),
        ] {
            assert_eq!(read(json).ok().map(|thing| thing.number), Some(number), "{json}");
        }
        for json in [r#"{"number":2147483648}"#, r#"{"number":1e10}"#, r#"{"number":"x"}"#, r#"{"number":true}"#] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn texts_are_taken_as_jackson_takes_them() {
        for (json, word) in [
            (r#"{"word":"a"}"#, Some("a")),
            (r#"{"word":12}"#, Some("12")),
            (r#"{"word":true}"#, Some("true")),
            (r#"{"word":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(read(json).ok().and_then(|thing| thing.word).as_deref(), word, "{json}");
        }
        assert!(read(r#"{"word":[]}"#).is_err());
    }

    #[test]
    fn an_array_is_no_object() {
        let read = |json| serde_json::from_str::<Object<Thing>>(json).map(|Object(thing)| thing);
        assert_eq!(read(r#"{"number":12,"more":[]}"#).unwrap(), Thing { number: 12, word: None });
        for json in [r#"[12,"a"]"#, "[]", "null", "12", r#""a""#] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.starts_with("invalid type: ") && error.contains("expected an object"), "{error}");
        }
    }
}
