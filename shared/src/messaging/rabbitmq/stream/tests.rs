use super::room::MOST;
use super::*;
use std::task::Waker;
use testkit::Fuzz;

const MIB: usize = 1 << 20;
const CHANNEL: u16 = 3;
/// So many bytes of a delivery come before its body.
const ANNOUNCED: usize = 37;

/// As it is written.
pub(super) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind][..], &channel.to_be_bytes(), &length, payload, &[0xce]].concat()
}

/// A delivery as a broker writes it, its body in several frames.
fn delivery(channel: u16, body: usize) -> Vec<u8> {
    let size = (body as u64).to_be_bytes();
    let mut written = frame(1, channel, b"deliver");
    written.extend(frame(2, channel, &[&[0, 60, 0, 0], &size[..], &[0, 0]].concat()));
    for part in vec![7; body].chunks(128 << 10) {
        written.extend(frame(3, channel, part));
    }
    written
}

fn looked(said: &[u8], room: &Room) -> Looked<futures_util::io::Cursor<Vec<u8>>> {
    Looked::new(futures_util::io::Cursor::new(said.to_vec()), room.clone())
}

/// Reads in pieces of up to `most` bytes until there is nothing more, or nothing more is let in.
fn read<S: AsyncRead + Unpin>(stream: &mut Looked<S>, fuzz: &mut Fuzz, most: usize) -> Vec<u8> {
    let (mut read, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
    let mut buffer = vec![0; most];
    loop {
        let piece = 1 + fuzz.below(most);
        match Pin::new(&mut *stream).poll_read(&mut context, &mut buffer[..piece]) {
            Poll::Ready(Ok(0)) | Poll::Pending => return read,
            Poll::Ready(came) => read.extend_from_slice(&buffer[..came.unwrap()]),
        }
    }
}

#[test]
fn a_full_room_lets_the_message_end_that_has_begun_and_none_begin() {
    let mut fuzz = Fuzz::new(7);
    for most in [9, 5_000, 200_000] {
        let room = Room::default();
        let (one, count) = (delivery(CHANNEL, MIB + 1), 24);
        let said = one.repeat(count);
        let mut stream = looked(&said, &room);
        let share = room.share(CHANNEL);
        // Up to where the next would begin: with the method that announces it, at the most.
        let mut came = read(&mut stream, &mut fuzz, most);
        let begun = came.len().div_ceil(one.len());
        assert!(came.len() as u64 >= MOST && came.len() as u64 <= MOST + (2 * MIB + most) as u64, "{}", came.len());
        // Each that is settled lets as much in.
        for settled in 1..=count as u64 {
            share.settled(settled);
            came.extend(read(&mut stream, &mut fuzz, most));
            assert!(came.len().div_ceil(one.len()) <= begun + settled as usize + 1);
        }
        assert_eq!(came, said);
    }
}

#[test]
fn what_nobody_settles_is_let_in() {
    let (mut fuzz, room) = (Fuzz::new(7), Room::default());
    // Of a channel without a share, or whose share is gone; whatever its number was before.
    let said = [&delivery(CHANNEL, 30 * MIB)[..], &delivery(9, 30 * MIB), &frame(8, 0, b"")].concat();
    let mut stream = looked(&said, &room);
    drop(room.share(CHANNEL));
    let left = room.share(9);
    let now = room.share(9);
    drop(left);
    let came = read(&mut stream, &mut fuzz, 100_000);
    assert_eq!(came.len(), said.len() - frame(8, 0, b"").len());
    drop(now);
    assert_eq!(read(&mut stream, &mut fuzz, 100_000), frame(8, 0, b""));
}

#[test]
fn who_is_held_up_for_long_hears_that_the_broker_lives() {
    let (mut fuzz, room) = (Fuzz::new(7), Room::default());
    let said = delivery(CHANNEL, 20 * MIB).repeat(2);
    let mut stream = looked(&said, &room);
    let share = room.share(CHANNEL);
    let mut came = read(&mut stream, &mut fuzz, 100_000);
    room.tick();
    assert_eq!(read(&mut stream, &mut fuzz, 3), HEARTBEAT);
    assert_eq!(read(&mut stream, &mut fuzz, 3), b"");
    share.settled(1);
    // Nobody waits any more.
    room.tick();
    came.extend(read(&mut stream, &mut fuzz, 100_000));
    assert_eq!(came, said);
}

#[test]
fn a_connection_begins_whatever_is_in_hand_of_the_one_before() {
    let (mut fuzz, room) = (Fuzz::new(7), Room::default());
    let said = delivery(CHANNEL, 20 * MIB).repeat(2);
    let mut before = looked(&said, &room);
    let old = room.share(CHANNEL);
    assert!(read(&mut before, &mut fuzz, 100_000).len() < said.len());
    let start = frame(1, 0, b"start");
    let mut stream = looked(&[&start[..], &said].concat(), &room);
    assert_eq!(read(&mut stream, &mut fuzz, start.len()), [&start[..], &said].concat());

    // Nor does who has it free what is in hand of this one.
    let mut stream = looked(&said, &room);
    let share = room.share(CHANNEL);
    let came = read(&mut stream, &mut fuzz, 100_000).len();
    old.settled(1);
    drop(old);
    assert_eq!(read(&mut stream, &mut fuzz, 100_000), b"");
    share.settled(1);
    assert_eq!(read(&mut stream, &mut fuzz, 100_000).len(), said.len() - came);
}

#[test]
fn a_message_that_is_broken_off_is_not_waited_for() {
    let (mut fuzz, room) = (Fuzz::new(7), Room::default());
    let whole = delivery(CHANNEL, 17 * MIB);
    let end = frame(1, CHANNEL, b"close");
    let first = [&delivery(CHANNEL, 2 * MIB)[..ANNOUNCED + (128 << 10) + 8], &end].concat();
    let said = [&first[..], &whole, &delivery(CHANNEL, 1)].concat();
    let mut stream = looked(&said, &room);
    let _share = room.share(CHANNEL);
    assert_eq!(read(&mut stream, &mut fuzz, 100_000).len(), first.len() + whole.len());

    // What the broker says of the connection is no end of a body.
    let room = Room::default();
    let blocked = frame(1, 0, b"blocked");
    let said = [&whole[..ANNOUNCED], &blocked, &whole[ANNOUNCED..]].concat();
    let mut stream = looked(&[&said[..], &whole].concat(), &room);
    let _share = room.share(CHANNEL);
    assert_eq!(read(&mut stream, &mut fuzz, 100_000).len(), said.len());
}

#[test]
fn headers_of_many_values_weigh_what_they_are_in_memory() {
    let (mut fuzz, room) = (Fuzz::new(7), Room::default());
    // A table of one list of bytes: each is two on the wire, and many times that when it is read.
    let values = b"b\x07".repeat(50_000);
    let list = [&b"\x04listA"[..], &(values.len() as u32).to_be_bytes(), &values].concat();
    let table = [&(list.len() as u32).to_be_bytes()[..], &list].concat();
    let header = frame(2, CHANNEL, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &table].concat());
    let said = [frame(1, CHANNEL, b"deliver"), header].concat().repeat(20);
    let mut stream = looked(&said, &room);
    let _share = room.share(CHANNEL);
    assert!(read(&mut stream, &mut fuzz, 10_000).len() < said.len() / 2);
}
