//! The framer against tungstenite's own protocol machine, and against itself fed in other pieces.

use super::*;
use crate::model::testing::chance::Chance;
use std::io::{self, Read, Write};
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Message, protocol::CloseFrame};

const BYTES_MAX: usize = 300;
const RULES: Rules = Rules { message_bytes_max: BYTES_MAX, text_is_allowed: true };

/// What came out, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Failed(Closing),
}

/// A client's frame; `first` is the whole first byte.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(bit | length as u8),
        length @ ..65_536 => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let Some(mask) = mask else { return [bytes, payload.to_vec()].concat() };
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some([0x5a, 0, 0xff, 0x13]), payload)
}

/// All that the framer makes of `bytes`, fed in pieces that end at `cuts`. Every byte is taken or buffered.
fn handle_message(bytes: &[u8], cuts: &[usize]) -> Vec<Heard> {
    let mut framer = Framer::default();
    let mut heard = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let mut piece = bytes[start..end].to_vec();
        start = end;
        let mut chunk = ReceivedBytes::new(&mut piece);
        loop {
            let next = match framer.next(&mut chunk, RULES) {
                Ok(None) => break,
                Ok(Some(Piece::Fragment)) => continue,
                Ok(Some(Piece::Text(text))) => Heard::Text(text.as_bytes().to_vec()),
                Ok(Some(Piece::Binary(bytes))) => Heard::Binary(bytes.to_vec()),
                Ok(Some(Piece::Ping(payload))) => Heard::Ping(payload.to_vec()),
                Ok(Some(Piece::Pong)) => Heard::Pong,
                Ok(Some(Piece::Close(payload))) => close_code(payload).map_or_else(Heard::Failed, Heard::Close),
                Err(closing) => Heard::Failed(closing),
            };
            heard.push(next);
            if let Some(Heard::Close(_) | Heard::Failed(_)) = heard.last() {
                return heard;
            }
        }
        framer.buffer(chunk);
    }
    heard
}

/// What tungstenite reads from: bytes, then nothing yet.
struct Input<'a>(&'a [u8]);

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Input<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of `bytes`.
fn oracle(bytes: &[u8]) -> Vec<Heard> {
    let config = WebSocketConfig::default().max_message_size(Some(BYTES_MAX)).max_frame_size(Some(BYTES_MAX));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut input = Input(bytes);
    let mut heard = Vec::new();
    loop {
        let next = match context.read(&mut input) {
            Ok(Message::Text(text)) => Heard::Text(text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Heard::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Heard::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Heard::Pong,
            // So it reports a code that must not be sent.
            Ok(Message::Close(Some(CloseFrame { reason, .. }))) if reason.as_str() == "Protocol violation" => {
                Heard::Failed(Closing::ProtocolError)
            }
            Ok(Message::Close(frame)) => Heard::Close(frame.map(|CloseFrame { code, .. }| code.into())),
            Ok(Message::Frame(_)) => unreachable!("reading gives no raw frames"),
            Err(Error::Io(_)) => return heard,
            Err(Error::Utf8(_)) => Heard::Failed(Closing::BadText),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Heard::Failed(Closing::TooBig),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return heard,
            Err(Error::Protocol(_)) => Heard::Failed(Closing::ProtocolError),
            Err(error) => unreachable!("{error}"),
        };
        heard.push(next);
        if let Some(Heard::Close(_) | Heard::Failed(_)) = heard.last() {
            return heard;
        }
    }
}

/// Some frames, most of them as they should be: fragments, interleaved control frames, now and then a fault.
fn conversation(chance: &mut Chance) -> Vec<u8> {
    const TEXTS: [&[u8]; 4] = [b"plain", "小明😀é".as_bytes(), b"\xf0\x9f\x98", b"bad \xff text"];
    let mut bytes = Vec::new();
    let mut is_open = false;
    for _ in 0..1 + chance.below(8) {
        let long = chance.below(130);
        let payload: Vec<u8> = match chance.below(8) {
            0..4 => TEXTS[if chance.one_in(6) { 2 + chance.below(2) } else { chance.below(2) }].to_vec(),
            4 | 5 => vec![b'x'; long],
            6 => Vec::new(),
            _ => vec![b'y'; 120 + chance.below(200)],
        };
        let is_final = if chance.one_in(3) { 0 } else { 0x80 };
        let mut first = match chance.below(10) {
            0 => 0x89,
            1 => 0x8a,
            2 if chance.one_in(3) => 0x88,
            _ if is_open => is_final,
            number => is_final | if number < 6 { 1 } else { 2 },
        };
        if chance.one_in(25) {
            first ^= 1 << chance.below(8);
        }
        if first & 8 == 0 {
            is_open = first & 0x80 == 0;
        }
        let payload = match first & 15 {
            8 => close_payload(chance),
            9.. if !chance.one_in(10) => payload[..payload.len().min(125)].to_vec(),
            _ => payload,
        };
        let mask = (!chance.one_in(40)).then(|| (chance.next() as u32).to_ne_bytes());
        bytes.extend(frame(first, mask, &payload));
    }
    bytes
}

fn close_payload(chance: &mut Chance) -> Vec<u8> {
    let code: u16 =
        [1000, 1001, 1003, 1007, 1011, 3000, 4999, 999, 1004, 1005, 1006, 1015, 2999, 5000][chance.below(14)];
    match chance.below(5) {
        0 => Vec::new(),
        1 => code.to_be_bytes()[..1].to_vec(),
        _ => [code.to_be_bytes().as_slice(), b"bye"].concat(),
    }
}

#[test]
fn the_framer_hears_what_tungstenite_hears() {
    let mut chance = Chance::new(1);
    let (mut closed, mut failed, mut whole) = (0, 0, 0);
    for case in 0..30_000 {
        let bytes = conversation(&mut chance);
        let expected = oracle(&bytes);
        let heard = handle_message(&bytes, &[]);
        assert!(agree(&heard, &expected), "case {case}: {heard:?}, not {expected:?}: {bytes:02x?}");
        let cuts = sorted_cuts(&mut chance, bytes.len());
        assert_eq!(handle_message(&bytes, &cuts), heard, "case {case} cut at {cuts:?}: {bytes:02x?}");
        match expected.last() {
            Some(Heard::Close(_)) => closed += 1,
            Some(Heard::Failed(_)) => failed += 1,
            _ => whole += 1,
        }
    }
    assert!(closed > 500 && failed > 3_000 && whole > 3_000, "{closed} closed, {failed} failed, {whole} whole");
}

fn sorted_cuts(chance: &mut Chance, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..chance.below(6)).map(|_| chance.below(length + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// A frame with two faults is refused for the breach of protocol here, for its size there.
fn agree(heard: &[Heard], expected: &[Heard]) -> bool {
    match (heard, expected) {
        ([heard @ .., Heard::Failed(Closing::ProtocolError)], [expected @ .., Heard::Failed(Closing::TooBig)]) => {
            heard == expected
        }
        _ => heard == expected,
    }
}

#[test]
fn a_cut_anywhere_changes_nothing() {
    let bytes = [
        masked(0x01, "小".as_bytes()),
        masked(0x89, b"ping"),
        masked(0x80, "明".as_bytes()),
        masked(0x82, &[7; 200]),
        masked(0x8a, b""),
        masked(0x88, &[0x03, 0xe8]),
    ]
    .concat();
    let expected = [
        Heard::Ping(b"ping".to_vec()),
        Heard::Text("小明".into()),
        Heard::Binary(vec![7; 200]),
        Heard::Pong,
        Heard::Close(Some(1000)),
    ];
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            assert_eq!(handle_message(&bytes, &[first, second]), expected, "cut at {first} and {second}");
        }
    }
    let each: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(handle_message(&bytes, &each), expected, "byte by byte");
}

#[test]
fn random_bytes_fail_alike_however_they_are_cut() {
    let mut chance = Chance::new(2);
    for case in 0..20_000 {
        let bytes: Vec<u8> = (0..chance.below(60)).map(|_| chance.next() as u8).collect();
        let cuts = sorted_cuts(&mut chance, bytes.len());
        assert_eq!(
            handle_message(&bytes, &cuts),
            handle_message(&bytes, &[]),
            "case {case} cut at {cuts:?}: {bytes:02x?}"
        );
    }
}

#[test]
fn a_message_too_big_is_refused_by_its_header() {
    let header = &masked(0x82, &[0; BYTES_MAX + 1])[..8];
    assert_eq!(handle_message(header, &[]), [Heard::Failed(Closing::TooBig)]);
    assert_eq!(handle_message(&masked(0x82, &[0; BYTES_MAX]), &[]), [Heard::Binary(vec![0; BYTES_MAX])]);
    let endless = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(handle_message(&endless, &[]), [Heard::Failed(Closing::TooBig)]);
    let in_fragments = [masked(0x02, &[0; 200]), masked(0x80, &[0; 101])[..8].to_vec()].concat();
    assert_eq!(handle_message(&in_fragments, &[]), [Heard::Failed(Closing::TooBig)]);
}

#[test]
fn a_length_in_a_longer_form_than_needed_is_a_protocol_error() {
    for long in [vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 126, 0, 0, 0, 0]] {
        assert_eq!(handle_message(&long, &[]), [Heard::Failed(Closing::ProtocolError)]);
    }
}

#[test]
fn text_is_refused_where_only_binary_belongs_before_its_payload_is_there() {
    let mut framer = Framer::default();
    let rules = Rules { text_is_allowed: false, ..RULES };
    let mut bytes = masked(0x01, b"text")[..6].to_vec();
    assert_eq!(framer.next(&mut ReceivedBytes::new(&mut bytes), rules), Err(Closing::WrongKind));
}

#[test]
fn a_whole_frame_is_read_where_it_lies_and_a_cut_one_is_copied_only_to_its_end() {
    let mut framer = Framer::default();
    let mut first = [masked(0x82, b"one"), masked(0x82, b"two")[..5].to_vec()].concat();
    let range = first.as_ptr_range();
    let mut chunk = ReceivedBytes::new(&mut first);
    let Ok(Some(Piece::Binary(message))) = framer.next(&mut chunk, RULES) else { panic!("one message") };
    assert!(range.contains(&message.as_ptr()));
    assert_eq!(framer.next(&mut chunk, RULES), Ok(None));
    framer.buffer(chunk);
    assert_eq!(framer.buffered_bytes(), 5);

    let mut second = [masked(0x82, b"two")[5..].to_vec(), masked(0x82, b"three")].concat();
    let mut chunk = ReceivedBytes::new(&mut second);
    assert_eq!(framer.next(&mut chunk, RULES), Ok(Some(Piece::Binary(b"two"))));
    assert_eq!(chunk.rest().len(), masked(0x82, b"three").len());
    assert_eq!(framer.next(&mut chunk, RULES), Ok(Some(Piece::Binary(b"three"))));
    assert_eq!(framer.next(&mut chunk, RULES), Ok(None));
    assert_eq!((framer.buffered.capacity(), framer.assembly.bytes.capacity()), (0, 0), "an idle framer holds nothing");
}

#[test]
fn every_length_is_unmasked() {
    for length in 0..40 {
        let payload: Vec<u8> = (0..length).collect();
        assert_eq!(handle_message(&masked(0x82, &payload), &[]), [Heard::Binary(payload)]);
    }
}

#[test]
fn a_close_reason_that_is_not_utf_8_is_bad_text() {
    assert_eq!(close_code(&[0x03, 0xe8, 0xff]), Err(Closing::BadText));
    assert_eq!(close_code(&[0x03, 0xe8, b'b']), Ok(Some(1000)));
}

#[test]
fn a_usual_header_is_what_any_header_would_be_taken_for() {
    let lengths = [0, 1, 124, 125, 126, 127, 128, 300, 65_534, 65_535].map(|length: u16| length.to_be_bytes());
    let mut usual = 0;
    for (first, second) in (0..=u8::MAX).flat_map(|first| (0..=u8::MAX).map(move |second| (first, second))) {
        for length in lengths {
            let bytes = [&[first, second], &length[..], &[1, 2, 3, 4, 5, 6]].concat();
            for end in 0..=bytes.len() {
                let Some((header, length, start)) = usual_header(&bytes[..end]) else { continue };
                let (other, other_length, other_start) = any_header(&bytes[..end]).expect("sound").expect("whole");
                assert_eq!((length, start), (other_length, other_start));
                assert_eq!((header.opcode, header.mask, header.is_final), (other.opcode, other.mask, other.is_final));
                assert_eq!((header.rsv1, header.rsv2, header.rsv3), (other.rsv1, other.rsv2, other.rsv3));
                usual += 1;
            }
        }
    }
    assert!(usual > 1_000, "{usual}");
}
