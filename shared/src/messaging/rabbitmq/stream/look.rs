//! Finds the tables and lists in the headers of messages, as AMQP 0-9-1 and RabbitMQ write them, and calls those that
//! stand too deep byte arrays. These look the same from outside, a length and so many bytes, so nothing else changes.
//! Makes [text](Utf8) of short strings that are none. And tells the [`Room`] what comes.
//!
//! Without recursion and without a copy: it takes the bytes as they come, in pieces of any size, and never waits for more.

mod utf8;

use super::room::Room;
use std::collections::BTreeMap;
use utf8::Utf8;

/// So many tables and lists may stand in each other. What Java and we send has one or two.
pub(super) const DEEPEST: usize = 32;

/// What a frame begins with: its kind and its channel.
const FRAME_START: u8 = 3;
const FRAME_END: u64 = 1;
/// The kinds of frame that a message consists of.
const METHOD: u64 = 1;
const CONTENT_HEADER: u64 = 2;
const BODY: u64 = 3;
/// The methods that announce a message to us: class and number.
const DELIVER: u64 = 60 << 16 | 60;
const GET_OK: u64 = 60 << 16 | 71;
/// What these say before the exchange: the tag of the delivery, and whether it is one more.
const BEFORE_WAY: u64 = 9;
/// What stands in a content header before the size of the body: class and weight.
const BEFORE_SIZE: u64 = 4;
/// The flags of the properties that are short strings, of the headers, and of those that are numbers of a size. They come in
/// the order of their flags, the highest first.
const TEXTS: u64 = 0b1100_0111_1011_1100;
const HEADERS: u64 = 1 << 13;
const OCTETS: u64 = 0b1_1000_0000_0000;
const TIMESTAMP: u64 = 1 << 6;
/// What a value in the headers weighs in memory, at the least, beside the bytes that it came as.
const VALUE: u64 = 64;

/// Where in the frames of a connection it is.
#[derive(Debug)]
pub(super) struct Look {
    room: Room,
    channel: u16,
    /// How much is still to come of the bodies that were announced, by channel.
    awaited: BTreeMap<u16, u64>,
    /// What the message weighs of which this is the content header.
    weight: Option<u64>,
    /// How many bytes came before.
    position: u64,
    /// Where the frame ends that it is in, and the next one begins.
    frame_end: u64,
    reads: Reads,
    /// The bytes of the number that is being read: how many are missing, and what those before them say.
    missing: u8,
    number: u64,
    /// How many bytes are of a short string, and how many behind it say nothing.
    text: u64,
    skip: u64,
    utf8: Utf8,
    /// The properties that are still to come.
    flags: u64,
    /// The tables and lists that it is in, the innermost last.
    open: Vec<Open>,
}

/// A table or list, and where it ends.
#[derive(Debug)]
struct Open {
    table: bool,
    end: u64,
}

/// What number comes next.
#[derive(Debug, Clone, Copy)]
enum Reads {
    /// The kind of a frame and its channel.
    Frame,
    /// How long its payload is.
    Size {
        kind: u64,
    },
    /// Which method it is.
    Method,
    /// The length of the tag of a consumer, which only a delivery has.
    ConsumerTag,
    /// The length of the exchange's name, then that of the routing key.
    Exchange,
    RoutingKey,
    /// How long the body is that follows.
    Body,
    /// Which properties there are.
    Flags,
    /// The length of a text among the properties.
    Property,
    /// The length of a name in a table.
    Name,
    /// The mark of a value.
    Mark,
    /// The length of a text or of bytes.
    Bytes,
    /// The length of a table or of a list.
    Values {
        table: bool,
    },
}

impl Look {
    /// Looks at a stream from its start.
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            channel: 0,
            awaited: BTreeMap::new(),
            weight: None,
            position: 0,
            frame_end: 0,
            reads: Reads::Frame,
            missing: FRAME_START,
            number: 0,
            text: 0,
            skip: 0,
            utf8: Utf8::default(),
            flags: 0,
            open: Vec::new(),
        }
    }

    /// What is told of the messages that come.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// How many bytes may be read without any of the next message; none between two messages.
    pub(super) fn begun(&self) -> Option<usize> {
        let between = self.awaited.is_empty() && matches!(self.reads, Reads::Frame) && self.missing == FRAME_START;
        let rest = self.frame_end.saturating_sub(self.position);
        if rest == 0 && between {
            return None;
        }
        Some(usize::try_from(rest).unwrap_or(usize::MAX).max(self.missing.into()))
    }

    /// Looks at the next `bytes` of the stream.
    pub(super) fn at(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        loop {
            while self.text > 0 {
                let Some(byte) = bytes.get_mut(at) else { return };
                self.text -= 1;
                self.utf8.next(byte, self.text);
                self.position += 1;
                at += 1;
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len() - at);
            self.skip -= skipped as u64;
            self.position += skipped as u64;
            at += skipped;
            let Some(byte) = bytes.get_mut(at) else { return };
            at += 1;
            self.position += 1;
            self.number = self.number << 8 | u64::from(*byte);
            self.missing = self.missing.saturating_sub(1);
            if self.missing == 0 {
                let number = std::mem::take(&mut self.number);
                self.read(number, byte);
            }
        }
    }

    /// What was to be read is `number`, and `last` its last byte.
    fn read(&mut self, number: u64, last: &mut u8) {
        match self.reads {
            Reads::Frame => {
                self.channel = u16::try_from(number & 0xffff).unwrap_or_default();
                (self.reads, self.missing) = (Reads::Size { kind: number >> 16 }, 4);
            }
            Reads::Size { kind } => {
                self.frame_end = self.position + number + FRAME_END;
                match kind {
                    METHOD => {
                        // Whoever says something else has no more to say of the message before.
                        self.awaited.remove(&self.channel);
                        self.pass(0, Reads::Method, 4);
                    }
                    CONTENT_HEADER => self.pass(BEFORE_SIZE, Reads::Body, 8),
                    BODY => {
                        self.came(number);
                        self.leave_frame();
                    }
                    _ => self.leave_frame(),
                }
            }
            Reads::Method => match number {
                DELIVER => self.pass(0, Reads::ConsumerTag, 1),
                GET_OK => self.pass(BEFORE_WAY, Reads::Exchange, 1),
                _ => self.leave_frame(),
            },
            Reads::ConsumerTag => self.pass_text(number, BEFORE_WAY, Reads::Exchange),
            Reads::Exchange => self.pass_text(number, 0, Reads::RoutingKey),
            Reads::RoutingKey => {
                self.begin_text(number);
                self.leave_frame();
            }
            Reads::Body => {
                if number > 0 {
                    self.awaited.insert(self.channel, number);
                }
                self.weight = Some(number.saturating_add(self.frame_end - self.position));
                self.pass(0, Reads::Flags, 2);
            }
            Reads::Flags => {
                self.flags = number;
                self.pass_property(0);
            }
            Reads::Property => {
                self.begin_text(number);
                self.pass_property(0);
            }
            Reads::Name => {
                self.begin_text(number);
                self.pass(0, Reads::Mark, 1);
            }
            Reads::Mark => self.read_mark(last),
            Reads::Bytes => self.pass_value(number),
            Reads::Values { table } => {
                self.open.push(Open { table, end: self.position + number });
                self.pass_value(0);
            }
        }
    }

    /// What a value is.
    fn read_mark(&mut self, mark: &mut u8) {
        self.weight = self.weight.map(|weight| weight.saturating_add(VALUE));
        match *mark {
            b'V' => self.pass_value(0),
            b't' | b'b' | b'B' => self.pass_value(1),
            b's' | b'U' | b'u' => self.pass_value(2),
            b'I' | b'i' | b'f' => self.pass_value(4),
            b'D' => self.pass_value(5),
            b'L' | b'l' | b'd' | b'T' => self.pass_value(8),
            b'S' | b'x' => self.pass(0, Reads::Bytes, 4),
            b'F' | b'A' if self.open.len() >= DEEPEST => {
                *mark = b'x';
                self.pass(0, Reads::Bytes, 4);
            }
            values @ (b'F' | b'A') => self.pass(0, Reads::Values { table: values == b'F' }, 4),
            // lapin knows no other either, and ends the connection.
            _ => self.leave_frame(),
        }
    }

    /// So much of a body came.
    fn came(&mut self, bytes: u64) {
        if let Some(awaited) = self.awaited.get_mut(&self.channel) {
            *awaited = awaited.saturating_sub(bytes);
            if *awaited == 0 {
                self.awaited.remove(&self.channel);
            }
        }
    }

    /// The next `length` bytes are of a short string, as far as the frame goes.
    fn begin_text(&mut self, length: u64) {
        self.text = length.min((self.frame_end - self.position).saturating_sub(FRAME_END));
        self.utf8 = Utf8::default();
    }

    /// Behind a short string and `skip` bytes it reads the length of another.
    fn pass_text(&mut self, length: u64, skip: u64, reads: Reads) {
        self.begin_text(length);
        self.pass(skip, reads, 1);
    }

    /// Behind the text and `skip` bytes that say nothing it reads a number of so many bytes, if the frame is as long as that.
    fn pass(&mut self, skip: u64, reads: Reads, bytes: u8) {
        if self.position + self.text + skip + u64::from(bytes) + FRAME_END > self.frame_end {
            return self.leave_frame();
        }
        (self.skip, self.reads, self.missing) = (skip, reads, bytes);
    }

    /// Behind `skip` bytes of a property.
    fn pass_property(&mut self, mut skip: u64) {
        while let Some(highest) = self.flags.checked_ilog2() {
            let property = 1 << highest;
            self.flags &= !property;
            match property {
                HEADERS => return self.pass(skip, Reads::Values { table: true }, 4),
                TIMESTAMP => skip += 8,
                _ if TEXTS & property != 0 => return self.pass(skip, Reads::Property, 1),
                _ if OCTETS & property != 0 => skip += 1,
                _ => {}
            }
        }
        self.leave_frame();
    }

    /// Behind a value of `length`, which may be the last of one or more that it stands in.
    fn pass_value(&mut self, length: u64) {
        let end = self.position + length;
        while self.open.pop_if(|open| open.end <= end).is_some() {}
        match self.open.last() {
            Some(Open { table: true, .. }) => self.pass(length, Reads::Name, 1),
            Some(Open { table: false, .. }) => self.pass(length, Reads::Mark, 1),
            None => self.pass_property(length),
        }
    }

    fn leave_frame(&mut self) {
        if let Some(weight) = self.weight.take() {
            self.room.take(self.channel, weight);
        }
        self.open.clear();
        (self.flags, self.reads, self.missing) = (0, Reads::Frame, FRAME_START);
        self.skip = self.frame_end - self.position - self.text;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
