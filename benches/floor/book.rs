//! The work of every relay, independent of its I/O. The order of connecting decides which connections write and which
//! read. A writer's bytes go to its readers unchanged, and the writer gets a fixed answer for each of its messages.
//! Nothing is parsed: the length of a frame is read once per connection, from its first one. Each connection is
//! welcomed after it has been numbered, so that the next one gets a later number.

use std::ops::Range;

/// The length of an answer, as the load generator expects it.
const ANSWER_BYTES: usize = 48;
const ANSWER: [u8; ANSWER_BYTES + 2] = {
    let mut frame = [b'A'; ANSWER_BYTES + 2];
    frame[0] = 0x82;
    frame[1] = ANSWER_BYTES as u8;
    frame
};

/// The first bytes to a connection.
pub const WELCOME: [u8; 3] = [0x82, 1, b'W'];

/// The state of one connection.
#[derive(Clone, Copy, Default)]
pub struct Account {
    frame_bytes: usize,
    /// Bytes received after the last complete message.
    beyond: usize,
}

/// Which connections receive a writer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In each pair the first connection writes and the second reads.
    Pairs,
    /// The first connection writes, and all others read.
    Group,
}

impl Route {
    /// The readers of `connection` among `connections`.
    pub fn readers_of(self, connection: usize, connections: usize) -> Range<usize> {
        match self {
            Self::Pairs if connection.is_multiple_of(2) => connection + 1..connection + 2,
            Self::Group if connection == 0 => 1..connections,
            _ => 0..0,
        }
    }
}

impl Account {
    /// Appends an answer for each message that `bytes` completes.
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
