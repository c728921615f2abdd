//! Instances and applications as XML, as XStream writes them for the original; Python's client reads nothing else.
//!
//! - [`read`]: what a client sends
//! - [`write`]: what it gets
//! - this file: names, which both know

pub mod read;
pub mod write;

use std::fmt::Write as _;

/// A name as an element: `_` is written twice, `$` as `_-`, and what XML does not allow in a name as its code.
fn escaped_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, c) in name.chars().enumerate() {
        match c {
            '_' => escaped.push_str("__"),
            '$' => escaped.push_str("_-"),
            c if is_name(c, at == 0) => escaped.push(c),
            c => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "_.{:04x}", u32::from(c));
            }
        }
    }
    escaped
}

/// What [`escaped_name`] was given.
fn unescaped_name(escaped: &str) -> String {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('_') {
        name.push_str(before);
        let code = after.strip_prefix('.').and_then(|code| code.get(..4));
        let code = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        (name, rest) = match (after.chars().next(), code) {
            (Some('_'), _) => (name + "_", &after[1..]),
            (Some('-'), _) => (name + "$", &after[1..]),
            (Some('.'), Some(c)) => (name + c.encode_utf8(&mut [0; 4]), &after[5..]),
            _ => (name + "_", after),
        };
    }
    name + rest
}

/// Whether XML allows `c` in a name. A colon is left out, as XStream does: it would begin a prefix.
fn is_name(c: char, first: bool) -> bool {
    let begins = c.is_alphabetic();
    begins || !first && (c.is_numeric() || ['-', '.', '\u{b7}'].contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_escaped_as_xstream_escapes_them() {
        for (name, escaped) in [
            ("management.port", "management.port"),
            ("a_b", "a__b"),
            ("InstanceInfo$Port", "InstanceInfo_-Port"),
            ("with space", "with_.0020space"),
            ("1st", "_.0031st"),
            ("a:b", "a_.003ab"),
        ] {
            assert_eq!(escaped_name(name), escaped);
            assert_eq!(unescaped_name(escaped), name);
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[\\PC\u{0}-\u{ffff}]{1,20}") {
            let name: String = name.chars().filter(|c| u32::from(*c) <= 0xffff).collect();
            prop_assert_eq!(unescaped_name(&escaped_name(&name)), name);
        }
    }
}
