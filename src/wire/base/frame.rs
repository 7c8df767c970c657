//! Encodes server frames: whole and unmasked, appended to a buffer (RFC 6455, 5).
//!
//! Invariant: each call appends one complete frame with the shortest length encoding.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The frames that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum FrameKind {
    Text,
    Binary,
    Close,
    Pong,
}

impl FrameKind {
    /// Of a whole message.
    fn first_byte(self) -> u8 {
        0x80 | u8::from(self.opcode())
    }

    fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Data(Data::Text),
            Self::Binary => OpCode::Data(Data::Binary),
            Self::Close => OpCode::Control(Control::Close),
            Self::Pong => OpCode::Control(Control::Pong),
        }
    }
}

/// Appends the header of a frame with `length` bytes of payload; the caller appends exactly those next.
#[inline]
pub(in crate::wire) fn push_header(out: &mut Vec<u8>, kind: FrameKind, length: usize) {
    match length {
        0..126 => out.extend_from_slice(&[kind.first_byte(), length as u8]),
        126..0x1_0000 => out.extend_from_slice(&usual_header(kind, length)),
        _ => push_long_header(out, kind, length),
    }
}

/// Of a frame with 126 to 65,535 bytes of payload.
fn usual_header(kind: FrameKind, length: usize) -> [u8; 4] {
    let [.., high, low] = length.to_be_bytes();
    [kind.first_byte(), 126, high, low]
}

fn push_long_header(out: &mut Vec<u8>, kind: FrameKind, length: usize) {
    let header = FrameHeader { opcode: kind.opcode(), ..FrameHeader::default() };
    header.format(length as u64, out).expect("writing to a Vec cannot fail");
}

/// Appends a frame with this payload.
pub(in crate::wire) fn push_frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    push_header(out, kind, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a text frame whose payload `write` appends. Space for the header of the usual length, 126 to 65,535 bytes,
/// is reserved first and corrected afterwards.
pub(in crate::wire) fn push_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const RESERVED: usize = 4;
    let start = out.len();
    out.extend_from_slice(&[0; RESERVED]);
    write(out);
    let length = out.len() - start - RESERVED;
    if let (126..0x1_0000, Some(header)) = (length, out[start..].first_chunk_mut::<RESERVED>()) {
        *header = usual_header(FrameKind::Text, length);
        return;
    }
    let mut header = Vec::new();
    push_header(&mut header, FrameKind::Text, length);
    out.splice(start..start + RESERVED, header);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        let lengths_and_headers: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (70_000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ];
        for (length, header) in lengths_and_headers {
            let payload = vec![b'x'; length];
            let expected = [b"before".as_slice(), header, &payload].concat();
            let mut at_once = b"before".to_vec();
            push_frame(&mut at_once, FrameKind::Text, &payload);
            assert_eq!(at_once, expected, "{length} bytes");
            let mut behind = b"before".to_vec();
            push_text(&mut behind, |out| out.extend_from_slice(&payload));
            assert_eq!(behind, expected, "{length} bytes");
        }
    }
}
