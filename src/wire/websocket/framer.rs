//! Reads WebSocket frames (RFC 6455, server side, no extensions) from received bytes, in place.
//!
//! Owned by one connection. Invariants: a frame that lies completely in a chunk is unmasked in place; only a frame that
//! is cut by a chunk's end is copied, and only up to its end; a message over its limit is refused by its header, before
//! any byte of it is stored; between messages nothing is allocated.

use crate::model::Closing;
use crate::wire::base::chunk::ReceivedBytes;
use std::io::Cursor;
use std::ops::Range;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

const CONTROL_BYTES_MAX: u64 = 125;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageKind {
    Text,
    Binary,
}

/// The content of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) enum Piece<'a> {
    /// A whole text message, unmasked.
    Text(&'a str),
    /// A whole binary message, unmasked.
    Binary(&'a [u8]),
    /// A fragment was stored.
    Fragment,
    Ping(&'a [u8]),
    Pong,
    /// The payload of a close frame.
    Close(&'a [u8]),
}

/// The rules of a path.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Rules {
    /// The most bytes of a message, all fragments together.
    pub message_bytes_max: usize,
    pub text_is_allowed: bool,
}

#[derive(Default)]
pub(in crate::wire) struct Framer {
    /// Bytes stored from earlier chunks; those before `buffered_taken` are consumed.
    buffered: Vec<u8>,
    buffered_taken: usize,
    assembly: Assembly,
}

/// A message whose fragments are being collected.
#[derive(Default)]
struct Assembly {
    kind: Option<MessageKind>,
    bytes: Vec<u8>,
    /// Bytes that are known to be UTF-8.
    checked: usize,
}

/// A frame's place in the bytes in which it was measured.
struct MeasuredFrame {
    header: FrameHeader,
    body: Range<usize>,
}

enum Measure {
    Whole(MeasuredFrame),
    /// The frame needs at least this many bytes in total.
    Wanted(usize),
}

/// The place of a frame.
#[derive(Clone, Copy)]
enum FrameSpan {
    Stowed,
    Chunk,
}

impl Framer {
    /// The next piece; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The client violated RFC 6455 or a rule.
    pub fn next<'a>(
        &'a mut self,
        chunk: &'a mut ReceivedBytes<'_>,
        rules: Rules,
    ) -> Result<Option<Piece<'a>>, Closing> {
        self.release_used();
        if chunk.is_empty() && self.buffered.is_empty() {
            return Ok(None);
        }
        let Some((place, frame)) = self.locate(chunk, rules)? else { return Ok(None) };
        let Self { buffered, buffered_taken, assembly } = self;
        let body = match place {
            FrameSpan::Stowed => {
                let start = *buffered_taken;
                *buffered_taken += frame.body.end;
                &mut buffered[start + frame.body.start..start + frame.body.end]
            }
            FrameSpan::Chunk => &mut chunk.take(frame.body.end)[frame.body],
        };
        unmask(body, frame.header.mask.unwrap_or_default());
        let kind = match frame.header.opcode {
            OpCode::Control(Control::Ping) => return Ok(Some(Piece::Ping(body))),
            OpCode::Control(Control::Close) => return Ok(Some(Piece::Close(body))),
            OpCode::Control(_) => return Ok(Some(Piece::Pong)),
            OpCode::Data(Data::Text) => Some(MessageKind::Text),
            OpCode::Data(Data::Binary) => Some(MessageKind::Binary),
            OpCode::Data(_) => None,
        };
        match kind {
            Some(kind) if frame.header.is_final => whole(kind, body).map(Some),
            _ => assembly.add(kind, body, frame.header.is_final).map(Some),
        }
    }

    /// Stores the rest of a chunk.
    pub fn buffer(&mut self, chunk: ReceivedBytes<'_>) {
        self.release_used();
        let rest = chunk.into_rest();
        if !rest.is_empty() {
            self.compact();
            self.buffered.extend_from_slice(rest);
        }
    }

    pub fn buffered_bytes(&self) -> usize {
        self.buffered.len() - self.buffered_taken
    }

    /// Moves up to `bytes_max` bytes of `chunk` to the end of the stored ones and returns all stored bytes.
    pub fn gather(&mut self, chunk: &mut ReceivedBytes<'_>, bytes_max: usize) -> &[u8] {
        self.compact();
        let lacking = bytes_max.saturating_sub(self.buffered.len()).min(chunk.rest().len());
        self.buffered.extend_from_slice(chunk.take(lacking));
        &self.buffered
    }

    /// Consumes the first `count` stored bytes.
    pub fn consume(&mut self, count: usize) {
        self.buffered_taken += count;
        self.release_used();
    }

    /// Frees everything received.
    pub fn discard(&mut self) {
        *self = Self::default();
    }

    /// Frees the bytes of the piece that was returned last.
    fn release_used(&mut self) {
        if self.buffered_taken == self.buffered.len() && self.buffered.capacity() > 0 {
            self.buffered = Vec::new();
            self.buffered_taken = 0;
        }
        if self.assembly.kind.is_none() && self.assembly.bytes.capacity() > 0 {
            self.assembly = Assembly::default();
        }
    }

    fn compact(&mut self) {
        if self.buffered_taken > 0 {
            self.buffered.drain(..self.buffered_taken);
            self.buffered_taken = 0;
        }
    }

    /// Finds the next whole frame, moving bytes of the chunk to the stored ones up to the frame's end.
    fn locate(
        &mut self,
        chunk: &mut ReceivedBytes<'_>,
        rules: Rules,
    ) -> Result<Option<(FrameSpan, MeasuredFrame)>, Closing> {
        if self.buffered.is_empty() {
            return match self.measure(chunk.rest(), rules)? {
                Measure::Whole(frame) => Ok(Some((FrameSpan::Chunk, frame))),
                Measure::Wanted(_) => Ok(None),
            };
        }
        loop {
            let wanted = match self.measure(&self.buffered[self.buffered_taken..], rules)? {
                Measure::Whole(frame) => return Ok(Some((FrameSpan::Stowed, frame))),
                Measure::Wanted(wanted) => wanted,
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            self.gather(chunk, wanted);
        }
    }

    fn measure(&self, bytes: &[u8], rules: Rules) -> Result<Measure, Closing> {
        let Some((header, length, start)) = usual_header(bytes).map_or_else(|| any_header(bytes), |it| Ok(Some(it)))?
        else {
            return Ok(Measure::Wanted(bytes.len() + 1));
        };
        self.check(&header, length, rules)?;
        let end = start + length as usize;
        if end > bytes.len() {
            return Ok(Measure::Wanted(end));
        }
        Ok(Measure::Whole(MeasuredFrame { header, body: start..end }))
    }

    /// Refuses a frame by its header alone. Afterwards the length is at most the message limit.
    fn check(&self, header: &FrameHeader, length: u64, rules: Rules) -> Result<(), Closing> {
        if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
            return Err(Closing::ProtocolError);
        }
        let data = match header.opcode {
            OpCode::Control(_) if !header.is_final || length > CONTROL_BYTES_MAX => {
                return Err(Closing::ProtocolError);
            }
            OpCode::Control(_) => return Ok(()),
            OpCode::Data(data) => data,
        };
        if (data == Data::Continue) != self.assembly.kind.is_some() {
            return Err(Closing::ProtocolError);
        }
        if data == Data::Text && !rules.text_is_allowed {
            return Err(Closing::WrongKind);
        }
        let assembled = if data == Data::Continue { self.assembly.bytes.len() } else { 0 };
        if length > rules.message_bytes_max.saturating_sub(assembled) as u64 {
            return Err(Closing::TooBig);
        }
        Ok(())
    }
}

/// Parses the header that most frames have: of a whole message below 64 KiB. Returns the header, the length, and the
/// offset of the body.
fn usual_header(bytes: &[u8]) -> Option<(FrameHeader, u64, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let opcode = match first {
        0x81 => OpCode::Data(Data::Text),
        0x82 => OpCode::Data(Data::Binary),
        _ => return None,
    };
    let (length, rest) = match second.checked_sub(0x80)? {
        127 => return None,
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u16::from_be_bytes(*length), rest)
        }
        short => (short.into(), rest),
    };
    let (mask, rest) = rest.split_first_chunk()?;
    let header = FrameHeader { opcode, mask: Some(*mask), ..FrameHeader::default() };
    let start = bytes.len() - rest.len();
    (start == header.len(length.into())).then(|| (header, length.into(), start))
}

/// As `usual_header`, for any header; `None` when more bytes are needed.
fn any_header(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Closing> {
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Closing::ProtocolError)?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let start = cursor.position() as usize;
    if start == header.len(length) { Ok(Some((header, length, start))) } else { Err(Closing::ProtocolError) }
}

fn whole(kind: MessageKind, body: &[u8]) -> Result<Piece<'_>, Closing> {
    match kind {
        MessageKind::Text => simdutf8::basic::from_utf8(body).map(Piece::Text).map_err(|_| Closing::BadText),
        MessageKind::Binary => Ok(Piece::Binary(body)),
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
        whole(kind, &self.bytes)
    }

    /// A fragment may end within a character, the message may not.
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

/// The code in a client's close frame, if it has one (RFC 6455, 7.4): the server answers with the same.
pub(in crate::wire) fn close_code(payload: &[u8]) -> Result<Option<u16>, Closing> {
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
#[path = "framer_tests.rs"]
mod tests;
