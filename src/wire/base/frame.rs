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
pub(in crate::wire) fn push_header(out: &mut Vec<u8>, kind: FrameKind, length: usize) {
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
    let mut header = [0_u8; 10];
    let mut rest = &mut header[..];
    let text = FrameHeader { opcode: FrameKind::Text.opcode(), ..FrameHeader::default() };
    text.format(length as u64, &mut rest).expect("a server's header has at most 10 bytes");
    let unused = rest.len();
    let header = &header[..10 - unused];
    if header.len() == RESERVED {
        out[start..start + RESERVED].copy_from_slice(header);
    } else {
        out.splice(start..start + RESERVED, header.iter().copied());
    }
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
