//! What nobody sends on purpose: valid JSON with something changed, and headers that no client of ours writes.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Makes odd things, the same ones for the same seed.
#[derive(Debug)]
pub struct Fuzz(Rng);

/// Bytes that hurt a reader somewhere.
const SCARS: &[&[u8]] = &[
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b"\x7f",
    b"\\ud800",
    b"\\u0000",
    b"\\u12",
    b"\\",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b",,",
    b":",
    b"//",
    b"/*",
    b"\n",
    b"\xe2\x80\xae",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"\"productId\":",
    b"\"reviews\":[",
    b"\"key\":7,",
];

/// Numbers that fit nowhere, or only just.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "00",
    "-1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e5",
    "1E+5",
    "1e-5",
    "1.5",
    "1.",
    ".5",
    "1e999",
    "-1e999",
    "1e-999",
    "0x10",
    "1_000",
    "+1",
    "--1",
    "1e",
    "0.1e1000000000",
    "99999999999999999999999999999999999999999999999999",
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{7f}",
    "\u{feff}",
    "\u{202e}abc",
    "\u{10ffff}",
    "a\u{300}",
    "\r\n",
    "\\",
    "\"",
    "'; DROP TABLE x; --",
    "1",
    "2147483648",
    "true",
    "null",
    "CREATE",
    "DELETE",
    "%00",
    "../..",
    "${x}",
    "{{x}}",
    "é",
];

impl Fuzz {
    /// Of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Whether this is one of `many`.
    pub fn one_in(&mut self, many: u32) -> bool {
        self.0.u32(0..many) == 0
    }

    /// One of these.
    pub fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.0.usize(0..all.len())]
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.usize(0..end)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A text that is odd in some way, mostly short.
    pub fn text(&mut self) -> String {
        match self.below(12) {
            0 => self.one_of(TEXTS).repeat(self.below(300)),
            1 => (0..self.below(40)).map(|_| self.0.char(..)).collect(),
            2 => (*self.one_of(NUMBERS)).to_owned(),
            _ => (*self.one_of(TEXTS)).to_owned(),
        }
    }

    /// Any bytes.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.0.u8(..)).collect()
    }

    /// The text of `whole` with some of its values and some of its bytes changed; now and then as it is.
    pub fn mutated(&mut self, whole: &Value) -> Vec<u8> {
        let mut value = whole.clone();
        for _ in 0..self.below(4) {
            self.change(&mut value);
        }
        let mut text = value.to_string().into_bytes();
        if self.0.bool() {
            for _ in 0..=self.below(3) {
                self.scar(&mut text);
            }
        }
        text
    }

    /// Any JSON value, odd or not.
    pub fn value(&mut self) -> Value {
        match self.below(11) {
            0 => Value::Null,
            1 => self.0.bool().into(),
            2 => self.0.i64(..).into(),
            3 => self.0.u64(..).into(),
            4 => self.0.i32(..).into(),
            5 => f64::from_bits(self.0.u64(..)).into(),
            6 => json!([self.text(), self.0.i32(..)]),
            7 => json!({ self.text(): self.text() }),
            8 => (0..self.below(200)).fold(Value::Null, |inner, _| json!([inner])),
            9 => (0..self.below(200)).fold(Value::Null, |inner, _| json!({ "reviews": inner })),
            _ => self.text().into(),
        }
    }

    fn change(&mut self, value: &mut Value) {
        let inside = !self.one_in(4);
        match value {
            Value::Object(map) if inside && !map.is_empty() => self.change_map(map),
            Value::Array(list) if inside && !list.is_empty() => {
                let at = self.below(list.len());
                match self.below(8) {
                    0 => drop(list.swap_remove(at)),
                    1 => list.push(list[at].clone()),
                    2 => list.clear(),
                    3 => *list = vec![list[at].clone(); self.below(100)],
                    4 => list.insert(at, self.value()),
                    _ => self.change(&mut list[at]),
                }
            }
            other => *other = self.value(),
        }
    }

    fn change_map(&mut self, map: &mut Map<String, Value>) {
        let name = map.keys().nth(self.below(map.len())).cloned().unwrap_or_default();
        match self.below(8) {
            0 => drop(map.remove(&name)),
            1 => drop(map.remove(&name).map(|value| map.insert(self.text(), value))),
            2 => drop(map.insert(self.text(), self.value())),
            3 => drop(map.insert(name, self.value())),
            _ => self.change(&mut map[&name]),
        }
    }

    fn scar(&mut self, text: &mut Vec<u8>) {
        let (a, b) = (self.below(text.len() + 1), self.below(text.len() + 1));
        let range = a.min(b)..a.max(b);
        match self.below(16) {
            0 => text.truncate(a),
            1 => drop(text.drain(range)),
            2 => text.extend_from_within(range),
            3 => text.extend_from_within(..),
            4 => text.iter_mut().skip(a).take(1).for_each(|byte| *byte = self.0.u8(..)),
            5 | 6 => self.renumber(text, a),
            7 => self.nest(text),
            // As some programs on Windows write every text.
            8 if self.one_in(8) => {
                *text = String::from_utf8_lossy(text).encode_utf16().flat_map(u16::to_le_bytes).collect();
            }
            _ => drop(text.splice(a..a, self.one_of(SCARS).iter().copied())),
        }
    }

    /// Puts an odd number into the place of the next one.
    fn renumber(&mut self, text: &mut Vec<u8>, from: usize) {
        let digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        let Some(start) = text[from..].iter().position(digit).map(|at| from + at) else { return };
        let end = text[start..].iter().position(|byte| !digit(byte)).map_or(text.len(), |length| start + length);
        text.splice(start..end, self.one_of(NUMBERS).bytes());
    }

    /// Puts the whole text deep into others, which may never end.
    fn nest(&mut self, text: &mut Vec<u8>) {
        let depth = if self.one_in(50) { 20_000 } else { self.below(300) };
        let (open, close): (&[u8], &[u8]) = if self.0.bool() { (b"[", b"]") } else { (b"{\"reviews\":", b"}") };
        let mut nested = open.repeat(depth);
        nested.append(text);
        if self.0.bool() {
            nested.extend(close.repeat(depth));
        }
        *text = nested;
    }
}
