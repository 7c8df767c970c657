//! A WebSocket frame's header (RFC 6455, 5.2): a client's is read, the server's written.
//!
//! Invariant: a length stands in its shortest form; a header that says otherwise is refused.

use crate::model::Closing;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Lengths from here on stand behind the first two bytes, in two bytes or in eight.
const MEDIUM: u64 = 126;
const LONG: u64 = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continue = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continue,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a client's frame says before its payload.
#[derive(Debug)]
pub(super) struct FrameHeader {
    pub opcode: Opcode,
    pub is_final: bool,
    /// A bit that only extensions give a meaning.
    pub is_extended: bool,
    pub mask: Option<[u8; 4]>,
    /// The payload's, as it is claimed.
    pub length: u64,
    /// The header's own length.
    pub bytes: usize,
}

impl FrameHeader {
    /// `None`: more bytes are needed.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Closing> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (length, shortest, rest) = match second & !MASKED {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), MEDIUM, rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), LONG, rest),
                None => return Ok(None),
            },
            length => (length.into(), 0, rest),
        };
        let (mask, rest) = match (second & MASKED, rest.split_first_chunk()) {
            (0, _) => (None, rest),
            (_, Some((mask, rest))) => (Some(*mask), rest),
            (_, None) => return Ok(None),
        };
        let opcode = Opcode::of(first & 0xf).filter(|_| length >= shortest).ok_or(Closing::ProtocolError)?;
        Ok(Some(Self {
            opcode,
            is_final: first & FINAL != 0,
            is_extended: first & RESERVED != 0,
            mask,
            length,
            bytes: bytes.len() - rest.len(),
        }))
    }
}

/// The header of a whole message of the server's, and how many of the bytes it has.
#[inline]
pub(super) fn server_header(opcode: Opcode, length: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = FINAL | opcode as u8;
    let header_bytes = match length as u64 {
        short @ ..MEDIUM => {
            header[1] = short as u8;
            2
        }
        medium @ ..LONG => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
            4
        }
        long => {
            header[1] = 127;
            header[2..].copy_from_slice(&long.to_be_bytes());
            10
        }
    };
    (header, header_bytes)
}
