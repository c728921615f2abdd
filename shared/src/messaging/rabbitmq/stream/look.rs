//! Finds the tables and lists in the headers of messages, as AMQP 0-9-1 and RabbitMQ write them, and calls those that
//! stand too deep byte arrays. These look the same from outside, a length and so many bytes, so nothing else changes.
//! And tells the [`Room`] what comes.
//!
//! Without recursion and without a copy: it takes the bytes as they come, in pieces of any size, and never waits for more.

use super::room::Room;

/// So many tables and lists may stand in each other. What Java and we send has one or two.
pub(super) const DEEPEST: usize = 32;

/// What a frame begins with: its kind and its channel.
const FRAME_START: u8 = 3;
const FRAME_END: u64 = 1;
/// The kinds of frame that a message consists of.
const CONTENT_HEADER: u64 = 2;
const BODY: u64 = 3;
/// What stands in the first before the size of the body: class and weight.
const BEFORE_SIZE: u64 = 4;
/// The flags of content type and encoding, which stand before the headers, and of these.
const TEXTS: [u64; 2] = [1 << 15, 1 << 14];
const HEADERS: u64 = 1 << 13;

/// Where in the frames of a connection it is.
#[derive(Debug)]
pub(super) struct Look {
    room: Room,
    channel: u16,
    /// How much is still to come of the bodies that were announced.
    awaited: u64,
    /// How many bytes came before.
    position: u64,
    /// Where the frame ends that it is in, and the next one begins.
    frame_end: u64,
    reads: Reads,
    /// The bytes of the number that is being read: how many are missing, and what those before them say.
    missing: u8,
    number: u64,
    /// How many bytes say nothing.
    skip: u64,
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
    Size { kind: u64 },
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
    Values { table: bool },
}

impl Look {
    /// Looks at a stream from its start.
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            channel: 0,
            awaited: 0,
            position: 0,
            frame_end: 0,
            reads: Reads::Frame,
            missing: FRAME_START,
            number: 0,
            skip: 0,
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
        let between = self.awaited == 0 && matches!(self.reads, Reads::Frame) && self.missing == FRAME_START;
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
                    CONTENT_HEADER => self.pass(BEFORE_SIZE, Reads::Body, 8),
                    BODY => {
                        self.awaited = self.awaited.saturating_sub(number);
                        self.leave_frame();
                    }
                    _ => self.leave_frame(),
                }
            }
            Reads::Body => {
                self.awaited = self.awaited.saturating_add(number);
                self.room.take(self.channel, number.saturating_add(self.frame_end - self.position));
                self.pass(0, Reads::Flags, 2);
            }
            Reads::Flags => {
                self.flags = number;
                self.pass_property(0);
            }
            Reads::Property => self.pass_property(number),
            Reads::Name => self.pass(number, Reads::Mark, 1),
            Reads::Mark => match *last {
                b'V' => self.pass_value(0),
                b't' | b'b' | b'B' => self.pass_value(1),
                b's' | b'U' | b'u' => self.pass_value(2),
                b'I' | b'i' | b'f' => self.pass_value(4),
                b'D' => self.pass_value(5),
                b'L' | b'l' | b'd' | b'T' => self.pass_value(8),
                b'S' | b'x' => self.pass(0, Reads::Bytes, 4),
                b'F' | b'A' if self.open.len() >= DEEPEST => {
                    *last = b'x';
                    self.pass(0, Reads::Bytes, 4);
                }
                mark @ (b'F' | b'A') => self.pass(0, Reads::Values { table: mark == b'F' }, 4),
                // lapin knows no other either, and ends the connection.
                _ => self.leave_frame(),
            },
            Reads::Bytes => self.pass_value(number),
            Reads::Values { table } => {
                self.open.push(Open { table, end: self.position + number });
                self.pass_value(0);
            }
        }
    }

    /// Behind `skip` bytes that say nothing it reads a number of so many bytes, if the frame is as long as that.
    fn pass(&mut self, skip: u64, reads: Reads, bytes: u8) {
        if self.position + skip + u64::from(bytes) + FRAME_END > self.frame_end {
            return self.leave_frame();
        }
        (self.skip, self.reads, self.missing) = (skip, reads, bytes);
    }

    /// Behind a property of `length`, and the headers are all that is read of them.
    fn pass_property(&mut self, length: u64) {
        let next = TEXTS.into_iter().chain([HEADERS]).find(|property| self.flags & property != 0);
        self.flags &= !next.unwrap_or_default();
        match next {
            Some(HEADERS) => self.pass(length, Reads::Values { table: true }, 4),
            Some(_) => self.pass(length, Reads::Property, 1),
            None => self.leave_frame(),
        }
    }

    /// Behind a value of `length`, which may be the last of one or more that it stands in.
    fn pass_value(&mut self, length: u64) {
        let end = self.position + length;
        while self.open.pop_if(|open| open.end <= end).is_some() {}
        match self.open.last() {
            Some(Open { table: true, .. }) => self.pass(length, Reads::Name, 1),
            Some(Open { table: false, .. }) => self.pass(length, Reads::Mark, 1),
            None => self.leave_frame(),
        }
    }

    fn leave_frame(&mut self) {
        self.open.clear();
        (self.flags, self.reads, self.missing) = (0, Reads::Frame, FRAME_START);
        self.skip = self.frame_end - self.position;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
