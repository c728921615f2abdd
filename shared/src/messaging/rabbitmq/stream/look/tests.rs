use super::*;
use crate::messaging::rabbitmq::fuzz;
use crate::messaging::rabbitmq::stream::tests::frame;
use lapin::BasicProperties;
use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use std::io::Cursor;
use testkit::Fuzz;

fn header(properties: &BasicProperties) -> Vec<u8> {
    let mut room = vec![0; 64 << 10];
    let (_, written) = gen_properties(properties)(Cursor::new(&mut room[..]).into()).unwrap().into_inner();
    let written = usize::try_from(written).unwrap();
    frame(2, 1, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], &room[..written]].concat())
}

/// A table in a table, and so on; or in a list, every other time.
fn nested(levels: usize, lists: bool) -> FieldTable {
    let table =
        |value| FieldTable::from([("n".into(), value)].into_iter().collect::<std::collections::BTreeMap<_, _>>());
    (0..levels).fold(FieldTable::default(), |inner, _| {
        let inner = AMQPValue::FieldTable(inner);
        table(if lists { AMQPValue::FieldArray(FieldArray::from(vec![inner])) } else { inner })
    })
}

fn depth(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::FieldTable(table) => 1 + table.inner().values().map(depth).max().unwrap_or(0),
        AMQPValue::FieldArray(list) => 1 + list.as_slice().iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What comes out, in pieces of up to `most` bytes.
fn looked(look: &mut Look, mut bytes: Vec<u8>, fuzz: &mut Fuzz, most: usize) -> Vec<u8> {
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let piece = (1 + fuzz.below(most)).min(rest.len());
        let (now, later) = rest.split_at_mut(piece);
        look.at(now);
        rest = later;
    }
    bytes
}

#[test]
fn what_is_not_too_deep_comes_as_it_was_sent() {
    let (mut fuzz, mut look) = (Fuzz::new(7), Look::new(Room::default()));
    for _ in 0..2_000 {
        let deep = nested(fuzz.below(16), fuzz.one_in(2));
        let headers = if fuzz.one_in(3) { deep } else { fuzz::table(&mut fuzz, 0) };
        let mut properties = BasicProperties::default().with_headers(headers).with_message_id("id".into());
        if fuzz.one_in(2) {
            properties = properties.with_content_type("application/json".into()).with_content_encoding("".into());
        }
        let none = BasicProperties::default().with_timestamp(7);
        let body = fuzz.bytes(300);
        let sent = [frame(1, 1, b"a method"), header(&properties), frame(3, 1, &body), header(&none), frame(8, 1, b"")]
            .concat();
        let most = 1 + fuzz.below(200);
        assert_eq!(looked(&mut look, sent.clone(), &mut fuzz, most), sent);
    }
}

#[test]
fn what_is_too_deep_becomes_bytes_and_what_follows_is_read_as_ever() {
    let (mut fuzz, mut look) = (Fuzz::new(7), Look::new(Room::default()));
    for (levels, lists) in [(31, false), (32, false), (200, false), (16, true), (100, true)] {
        let mut headers = nested(levels, lists);
        headers.insert("z".into(), AMQPValue::FieldTable(nested(2, true)));
        let properties = BasicProperties::default().with_headers(headers.clone()).with_reply_to("r".into());
        let (sent, most) = (header(&properties), 1 + fuzz.below(50));
        let came = looked(&mut look, sent.clone(), &mut fuzz, most);
        assert!(came.iter().zip(&sent).filter(|(came, sent)| came != sent).all(|(came, _)| *came == b'x'));
        let (_, read) = parse_properties(&came[19..came.len() - 1]).unwrap();
        let read_headers = read.headers().clone().unwrap();
        let deepest = depth(&AMQPValue::FieldTable(headers.clone())).min(DEEPEST);
        assert_eq!(depth(&AMQPValue::FieldTable(read_headers.clone())), deepest, "{levels} {lists}");
        assert_eq!(read_headers == headers, deepest < DEEPEST || levels == 31, "{levels} {lists}");
        assert_eq!((read.reply_to(), &read_headers.inner()["z"]), (properties.reply_to(), &headers.inner()["z"]));
    }
}

#[test]
fn short_strings_that_are_no_text_become_text_and_no_other_byte_changes() {
    let (mut fuzz, mut look) = (Fuzz::new(7), Look::new(Room::default()));
    // What stands for a byte that is no text by itself, and is what becomes of it.
    let (no_text, text) = (0xff, b'\x7f');
    let name = |of: &str| format!("{of}\x7f").into();
    let mut headers = FieldTable::default();
    headers.insert(
        name("n"),
        AMQPValue::FieldTable(
            [(name("inner"), AMQPValue::Void)].into_iter().collect::<std::collections::BTreeMap<_, _>>().into(),
        ),
    );
    let properties = BasicProperties::default()
        .with_content_type(name("content"))
        .with_content_encoding(name("encoding"))
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(0)
        .with_correlation_id(name("correlation"))
        .with_reply_to(name("reply"))
        .with_expiration(name("expiration"))
        .with_message_id(name("id"))
        .with_timestamp(0xffff_ffff_ffff_ffff)
        .with_type(name("type"))
        .with_user_id(name("user"))
        .with_app_id(name("app"))
        .with_cluster_id(name("cluster"));
    let way = [&[0xff; 9][..], b"\x09exchange\x7f", b"\x04key\x7f"].concat();
    let deliver = frame(1, 1, &[&[0, 60, 0, 60][..], b"\x04tag\x7f", &way].concat());
    let get_ok = frame(1, 1, &[&[0, 60, 0, 71][..], &way, &[0xff; 4]].concat());
    let body = frame(3, 1, &[0xff; 5]);
    let bare = header(&BasicProperties::default().with_message_id(name("id")));
    let expected = [&deliver[..], &header(&properties), &body, &get_ok, &bare, &body].concat();
    let sent: Vec<u8> = expected.iter().map(|byte| if *byte == text { no_text } else { *byte }).collect();
    for most in 1..300 {
        assert_eq!(looked(&mut look, sent.clone(), &mut fuzz, most), expected);
    }
    // Of a message with fewer properties, and of any other method, nothing is looked at.
    for properties in [BasicProperties::default(), BasicProperties::default().with_priority(0xff)] {
        let sent = [&header(&properties)[..], &body, &frame(1, 1, &[&[0, 60, 0, 40][..], &way].concat())].concat();
        assert_eq!(looked(&mut look, sent.clone(), &mut fuzz, 9), sent);
    }
}

#[test]
fn what_is_no_frame_at_all_ends_nothing() {
    let mut fuzz = Fuzz::new(7);
    for _ in 0..2_000 {
        let mut look = Look::new(Room::default());
        let headers = BasicProperties::default().with_headers(fuzz::table(&mut fuzz, 0));
        let mut sent = header(&headers);
        for _ in 0..1 + fuzz.below(5) {
            let at = fuzz.below(sent.len());
            sent[at] = fuzz.number() as u8;
        }
        let most = 1 + fuzz.below(200);
        assert_eq!(looked(&mut look, sent.clone(), &mut fuzz, most).len(), sent.len());
    }
}
