//! Short strings are UTF-8, says AMQP, and the broker takes any bytes. lapin ends a connection on which one comes that is
//! none: again and again, since the message stays.

use std::ops::RangeInclusive;

/// What may follow the first byte of a character, but for the narrower cases of the second.
const FOLLOWS: RangeInclusive<u8> = 0x80..=0xbf;

/// Makes UTF-8 of the bytes of one string, each by itself and no byte more or less: what is UTF-8 stays as it is, and what is
/// not becomes other text where it differs, nearly always.
#[derive(Debug)]
pub(super) struct Utf8 {
    /// How many bytes are missing of the character that has begun, and what the next one may be.
    missing: u8,
    next: RangeInclusive<u8>,
}

impl Default for Utf8 {
    fn default() -> Self {
        Self { missing: 0, next: FOLLOWS }
    }
}

impl Utf8 {
    /// Looks at the next byte, which so many others of the string come behind.
    pub(super) fn next(&mut self, byte: &mut u8, behind: u64) {
        if self.missing > 0 {
            if !self.next.contains(byte) {
                *byte = self.next.start() | *byte & 0x0f;
            }
            self.missing -= 1;
            self.next = FOLLOWS;
            return;
        }
        (self.missing, self.next) = match *byte {
            ..0x80 => return,
            0xc2..=0xdf => (1, FOLLOWS),
            0xe0 => (2, 0xa0..=0xbf),
            0xed => (2, 0x80..=0x9f),
            0xe1..=0xef => (2, FOLLOWS),
            0xf0 => (3, 0x90..=0xbf),
            0xf4 => (3, 0x80..=0x8f),
            0xf1..=0xf3 => (3, FOLLOWS),
            _ => (0, FOLLOWS),
        };
        if self.missing == 0 || u64::from(self.missing) > behind {
            self.missing = 0;
            // Something that can be read and stored, wherever a name goes.
            *byte = *byte & 0x7f | 0x20;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use testkit::Fuzz;

    fn looked(bytes: &[u8]) -> Vec<u8> {
        let (mut utf8, mut bytes) = (Utf8::default(), bytes.to_vec());
        let length = bytes.len();
        for (at, byte) in bytes.iter_mut().enumerate() {
            utf8.next(byte, (length - at - 1) as u64);
        }
        bytes
    }

    #[test]
    fn text_stays_as_it_is_and_what_is_none_becomes_text() {
        let mut fuzz = Fuzz::new(7);
        for _ in 0..20_000 {
            let bytes = fuzz.bytes(20);
            let text = String::from_utf8(looked(&bytes)).unwrap();
            assert_eq!(text.len(), bytes.len());
            let lossy = String::from_utf8_lossy(&bytes);
            assert_eq!(looked(lossy.as_bytes()), lossy.as_bytes());
            let characters: String = (0..5).filter_map(|_| char::from_u32(fuzz.below(0x11_0000) as u32)).collect();
            assert_eq!(looked(characters.as_bytes()), characters.as_bytes());
        }
    }

    #[test]
    fn what_differs_becomes_text_that_differs() {
        let ids: [&[u8]; 6] = [b"\xff", b"\xfe", b"gr\xf6\xdfe", b"gr\xe4\xdfe", b"\xe2\x82", b"\xc3("];
        let became: std::collections::HashSet<Vec<u8>> = ids.iter().map(|id| looked(id)).collect();
        assert_eq!(became.len(), ids.len(), "{became:?}");
    }
}
