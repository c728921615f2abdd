//! Where a key belongs, exactly as Spring's `PartitionHandler` computes it from Java's `hashCode`.
//!
//! One key stands in one partition, whoever sends: a Java producer beside ours must come to the same number.

/// `Integer.hashCode`.
pub fn hash_int(key: i32) -> i32 {
    key
}

/// `Long.hashCode`: differs from that of the same `int` for negative numbers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
pub fn hash_long(key: i64) -> i32 {
    (key ^ ((key as u64) >> 32) as i64) as i32
}

/// `String.hashCode`, over UTF-16 code units.
pub fn hash_text(key: &str) -> i32 {
    key.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `UUID.hashCode`.
pub fn hash_uuid(key: uuid::Uuid) -> i32 {
    let (most, least) = key.as_u64_pair();
    hash_long((most ^ least).cast_signed())
}

/// The partition among `count` for a Java `hash`: `|hash| mod count`, where the one number without an absolute value
/// counts as 0. A destination has at least one partition.
pub fn of(hash: i32, count: u32) -> u32 {
    let hash = hash.checked_abs().unwrap_or(0);
    hash.unsigned_abs() % count.max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(hash: i32, expected_hash: i32, [two, three, seven]: [u32; 3]) {
        assert_eq!(hash, expected_hash);
        assert_eq!([of(hash, 2), of(hash, 3), of(hash, 7)], [two, three, seven], "hash {hash}");
    }

    #[test]
    fn integers_go_where_java_puts_them() {
        for (key, partitions) in [
            (0, [0, 0, 0]),
            (1, [1, 1, 1]),
            (2, [0, 2, 2]),
            (13, [1, 1, 6]),
            (113, [1, 2, 1]),
            (-1, [1, 1, 1]),
            (-7, [1, 1, 0]),
            (i32::MAX, [1, 1, 1]),
            (i32::MIN, [0, 0, 0]),
            (i32::MIN + 1, [1, 1, 1]),
        ] {
            check(hash_int(key), key, partitions);
        }
    }

    #[test]
    fn longs_go_where_java_puts_them() {
        for (key, hash, partitions) in [
            (1, 1, [1, 1, 1]),
            (-1, 0, [0, 0, 0]),
            (-7, 6, [0, 0, 6]),
            (2_147_483_648, i32::MIN, [0, 0, 0]),
            (4_294_967_296, 1, [1, 1, 1]),
            (1_234_567_890_123, 1_912_276_436, [0, 2, 0]),
            (-1_234_567_890_123, 1_912_276_437, [1, 0, 1]),
            (i64::MAX, i32::MIN, [0, 0, 0]),
            (i64::MIN, i32::MIN, [0, 0, 0]),
        ] {
            check(hash_long(key), hash, partitions);
        }
    }

    #[test]
    fn texts_go_where_java_puts_them() {
        for (key, hash, partitions) in [
            ("", 0, [0, 0, 0]),
            ("1", 49, [1, 1, 0]),
            ("-1", 1444, [0, 1, 2]),
            ("abc", 96_354, [0, 0, 6]),
            ("product-1", -1_051_831_597, [1, 1, 5]),
            ("polygenelubricants", i32::MIN, [0, 0, 0]),
            ("åäö", 227_383, [1, 1, 2]),
            ("日本語", 25_921_943, [1, 2, 5]),
            ("😀", 1_772_899, [1, 1, 2]),
            ("550e8400-e29b-41d4-a716-446655440000", 1_716_781_005, [1, 0, 2]),
        ] {
            check(hash_text(key), hash, partitions);
        }
    }

    #[test]
    fn uuids_go_where_java_puts_them() {
        let key = uuid::Uuid::parse_str("550e8400-e29b-41d4-a716-446655440000").unwrap();
        check(hash_uuid(key), 1_170_702_770, [0, 2, 6]);
    }

    proptest! {
        #[test]
        fn a_key_has_one_partition_and_it_exists(key: i32, count in 1u32..1000) {
            let partition = of(hash_int(key), count);
            prop_assert!(partition < count);
            prop_assert_eq!(partition, of(hash_int(key), count));
            // Java's own words, in arithmetic that cannot overflow.
            let hash = if key == i32::MIN { 0 } else { i64::from(key).abs() };
            prop_assert_eq!(i64::from(partition), hash % i64::from(count));
        }

        #[test]
        fn a_text_of_ascii_hashes_as_the_polynomial_says(key in "[ -~]{0,40}") {
            let expected = key.bytes().fold(0i64, |hash, unit| (hash * 31 + i64::from(unit)) & 0xffff_ffff);
            prop_assert_eq!(i64::from(hash_text(&key).cast_unsigned()), expected);
        }
    }
}
