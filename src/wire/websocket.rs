//! The reading half of a WebSocket (RFC 6455, server side, no extensions): frames out of received bytes, in place.
//!
//! Owned by one connection. Invariants: a frame that lies wholly in a chunk is unmasked where it lies; only the frame
//! that a chunk cuts in two is copied, and only as far as that frame goes; a message over its limit is refused by its
//! header, before a byte of it is kept; nothing is allocated between messages.

use super::chunk::Chunk;
use super::frame_header::{FrameHeader, Opcode};
use crate::model::Closing;
use std::ops::Range;

const CONTROL_BYTES_MAX: u64 = 125;

/// Which of the two kinds a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Text,
    Binary,
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A whole message, unmasked; text is UTF-8.
    Message(MessageKind, &'a mut [u8]),
    /// A fragment was put aside.
    Fragment,
    Ping(&'a [u8]),
    Pong,
    /// The close frame's payload.
    Close(&'a [u8]),
}

/// What a path allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// All fragments of a message together.
    pub message_bytes_max: usize,
    pub text_is_allowed: bool,
}

#[derive(Default)]
pub(super) struct Framer {
    /// Bytes kept from earlier chunks; before `stowed_taken` they are used up.
    stowed: Vec<u8>,
    stowed_taken: usize,
    assembly: Assembly,
}

/// A message whose fragments are being put together.
#[derive(Default)]
struct Assembly {
    kind: Option<MessageKind>,
    bytes: Vec<u8>,
    /// Up to here the bytes are known to be UTF-8.
    checked: usize,
}

/// A frame's place in the bytes it was measured in.
struct Measured {
    header: FrameHeader,
    body: Range<usize>,
}

enum Measure {
    Whole(Measured),
    /// At least so many bytes are needed in all.
    Wanted(usize),
}

/// Where a frame lies.
#[derive(Clone, Copy)]
enum Place {
    Stowed,
    Chunk,
}

impl Framer {
    /// The next piece; `None` when more bytes are needed.
    pub fn next<'a>(&'a mut self, chunk: &'a mut Chunk<'_>, rules: Rules) -> Result<Option<Piece<'a>>, Closing> {
        self.release_used();
        let Some((place, frame)) = self.locate(chunk, rules)? else { return Ok(None) };
        let Self { stowed, stowed_taken, assembly } = self;
        let body = match place {
            Place::Stowed => {
                let start = *stowed_taken;
                *stowed_taken += frame.body.end;
                &mut stowed[start + frame.body.start..start + frame.body.end]
            }
            Place::Chunk => &mut chunk.take(frame.body.end)[frame.body],
        };
        unmask(body, frame.header.mask.unwrap_or_default());
        let kind = match frame.header.opcode {
            Opcode::Ping => return Ok(Some(Piece::Ping(body))),
            Opcode::Close => return Ok(Some(Piece::Close(body))),
            Opcode::Pong => return Ok(Some(Piece::Pong)),
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
            Opcode::Continue => None,
        };
        match kind {
            Some(kind) if frame.header.is_final => {
                if kind == MessageKind::Text && simdutf8::basic::from_utf8(body).is_err() {
                    return Err(Closing::BadText);
                }
                Ok(Some(Piece::Message(kind, body)))
            }
            _ => assembly.add(kind, body, frame.header.is_final).map(Some),
        }
    }

    /// Keeps the rest of a chunk.
    pub fn stow(&mut self, chunk: Chunk<'_>) {
        self.release_used();
        let rest = chunk.into_rest();
        if !rest.is_empty() {
            self.compact();
            self.stowed.extend_from_slice(rest);
        }
    }

    pub fn stowed_bytes(&self) -> usize {
        self.stowed.len() - self.stowed_taken
    }

    /// Moves up to `bytes_max` bytes of `chunk` behind the stowed ones and gives all that are stowed.
    pub fn gather(&mut self, chunk: &mut Chunk<'_>, bytes_max: usize) -> &[u8] {
        self.compact();
        let lacking = bytes_max.saturating_sub(self.stowed.len()).min(chunk.rest().len());
        self.stowed.extend_from_slice(chunk.take(lacking));
        &self.stowed
    }

    /// The first `count` stowed bytes are used up.
    pub fn consume(&mut self, count: usize) {
        self.stowed_taken += count;
        self.release_used();
    }

    /// Forgets everything received.
    pub fn discard(&mut self) {
        *self = Self::default();
    }

    /// Frees what the piece given last lay in.
    fn release_used(&mut self) {
        if self.stowed_taken == self.stowed.len() && self.stowed.capacity() > 0 {
            self.stowed = Vec::new();
            self.stowed_taken = 0;
        }
        if self.assembly.kind.is_none() && self.assembly.bytes.capacity() > 0 {
            self.assembly = Assembly::default();
        }
    }

    fn compact(&mut self) {
        if self.stowed_taken > 0 {
            self.stowed.drain(..self.stowed_taken);
            self.stowed_taken = 0;
        }
    }

    /// Finds the next whole frame, topping up the stowed bytes as far as it goes.
    fn locate(&mut self, chunk: &mut Chunk<'_>, rules: Rules) -> Result<Option<(Place, Measured)>, Closing> {
        if self.stowed.is_empty() {
            return match self.measure(chunk.rest(), rules)? {
                Measure::Whole(frame) => Ok(Some((Place::Chunk, frame))),
                Measure::Wanted(_) => Ok(None),
            };
        }
        loop {
            let wanted = match self.measure(&self.stowed[self.stowed_taken..], rules)? {
                Measure::Whole(frame) => return Ok(Some((Place::Stowed, frame))),
                Measure::Wanted(wanted) => wanted,
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            self.gather(chunk, wanted);
        }
    }

    fn measure(&self, bytes: &[u8], rules: Rules) -> Result<Measure, Closing> {
        let Some(header) = FrameHeader::read(bytes)? else { return Ok(Measure::Wanted(bytes.len() + 1)) };
        self.check(&header, rules)?;
        let body = header.bytes..header.bytes + header.length as usize;
        if body.end > bytes.len() {
            return Ok(Measure::Wanted(body.end));
        }
        Ok(Measure::Whole(Measured { header, body }))
    }

    /// What a header alone can be refused for. Afterwards the length is at most the message limit.
    fn check(&self, header: &FrameHeader, rules: Rules) -> Result<(), Closing> {
        let FrameHeader { opcode, is_final, is_extended, mask, length, .. } = *header;
        if is_extended || mask.is_none() {
            return Err(Closing::ProtocolError);
        }
        if opcode.is_control() {
            let is_sound = is_final && length <= CONTROL_BYTES_MAX;
            return if is_sound { Ok(()) } else { Err(Closing::ProtocolError) };
        }
        if (opcode == Opcode::Continue) != self.assembly.kind.is_some() {
            return Err(Closing::ProtocolError);
        }
        if opcode == Opcode::Text && !rules.text_is_allowed {
            return Err(Closing::WrongKind);
        }
        let assembled = if opcode == Opcode::Continue { self.assembly.bytes.len() } else { 0 };
        if length > rules.message_bytes_max.saturating_sub(assembled) as u64 {
            return Err(Closing::TooBig);
        }
        Ok(())
    }
}

impl Assembly {
    /// `kind` comes with the first fragment.
    fn add(&mut self, kind: Option<MessageKind>, body: &[u8], is_final: bool) -> Result<Piece<'_>, Closing> {
        let kind = *self.kind.get_or_insert(kind.unwrap_or(MessageKind::Binary));
        self.bytes.extend_from_slice(body);
        if kind == MessageKind::Text {
            self.check_text(is_final)?;
        }
        if !is_final {
            return Ok(Piece::Fragment);
        }
        self.kind = None;
        Ok(Piece::Message(kind, &mut self.bytes))
    }

    /// A character may be cut in two by a fragment's end, but not by the message's.
    fn check_text(&mut self, is_final: bool) -> Result<(), Closing> {
        let Err(error) = simdutf8::compat::from_utf8(&self.bytes[self.checked..]) else {
            self.checked = self.bytes.len();
            return Ok(());
        };
        if is_final || error.error_len().is_some() {
            return Err(Closing::BadText);
        }
        self.checked += error.valid_up_to();
        Ok(())
    }
}

/// Undoes a client's masking, eight bytes at a time.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The code in a client's close frame, if it carries one (RFC 6455, 7.4): what the server answers with.
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Closing> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Closing::ProtocolError),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Closing::ProtocolError);
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Closing::BadText);
    }
    Ok(Some(code))
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
