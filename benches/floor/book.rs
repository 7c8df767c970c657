//! What every relay does with bytes, whatever brings them: some connections write, some read, by the order in which
//! they come. What a writer says goes to its readers as it is; the writer gets an answer of a fixed form for each of
//! its messages. Nothing is parsed: the length of a frame is read once per connection, from its first one. Each
//! connection is welcomed when it has its place, so that the next one comes behind it.

use std::ops::Range;

/// As long as the generator takes an answer of a relay to be.
const ANSWER_BYTES: usize = 48;
const ANSWER: [u8; ANSWER_BYTES + 2] = {
    let mut frame = [b'A'; ANSWER_BYTES + 2];
    frame[0] = 0x82;
    frame[1] = ANSWER_BYTES as u8;
    frame
};

/// What a connection is told first.
pub const WELCOME: [u8; 3] = [0x82, 1, b'W'];

/// One connection's place in the books.
#[derive(Clone, Copy, Default)]
pub struct Account {
    frame_bytes: usize,
    /// Received beyond the last whole message.
    beyond: usize,
}

/// Who reads what a connection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The first of each two writes, the second reads.
    Pairs,
    /// The first of all writes, everybody else reads.
    Group,
}

impl Route {
    /// Of so many connections.
    pub fn readers_of(self, connection: usize, connections: usize) -> Range<usize> {
        match self {
            Self::Pairs if connection.is_multiple_of(2) => connection + 1..connection + 2,
            Self::Group if connection == 0 => 1..connections,
            _ => 0..0,
        }
    }
}

impl Account {
    /// Appends the answers that `bytes` deserve.
    pub fn answer(&mut self, bytes: &[u8], outbox: &mut Vec<u8>) {
        if self.frame_bytes == 0 {
            self.frame_bytes = frame_bytes(bytes);
        }
        self.beyond += bytes.len();
        while self.beyond >= self.frame_bytes {
            self.beyond -= self.frame_bytes;
            outbox.extend_from_slice(&ANSWER);
        }
    }
}

fn frame_bytes(first: &[u8]) -> usize {
    const MASK: usize = 4;
    match first[1] & 0x7f {
        126 => 2 + 2 + MASK + usize::from(u16::from_be_bytes([first[2], first[3]])),
        short => 2 + MASK + usize::from(short),
    }
}
