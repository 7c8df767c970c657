//! What is read by hand against what prost reads of the same bytes, sound and broken.

use super::*;
use crate::model::Extra;
use crate::model::testing::chance::Chance;
use crate::wire::protobuf::im;
use prost::Message as _;

fn same_envelope(bytes: &[u8]) -> bool {
    let ours = Envelope::read(bytes);
    let theirs = im::WebSocketMessage::decode(bytes).ok();
    assert_eq!(
        ours.as_ref().map(|it| (it.command, it.sequence, it.body)),
        theirs.as_ref().map(|it| (it.command, it.sequence, &it.body[..])),
        "{bytes:x?}"
    );
    ours.is_some()
}

fn same_request(bytes: &[u8]) -> bool {
    let ours = SendRequest::read(bytes);
    let theirs = im::SendMessageRequest::decode(bytes).ok();
    if ours.is_none() && theirs.as_ref().is_some_and(|it| !it.extra.is_empty()) {
        // An entry of the map that has no length: prost reads one nevertheless.
        return false;
    }
    let ours = ours.map(|it| {
        let extra = Extra::new(it.extra).iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        im::SendMessageRequest {
            client_msg_id: it.client_msg_id.to_owned(),
            conversation_id: it.conversation_id.to_owned(),
            sender_id: it.sender_id.to_owned(),
            receiver_id: it.receiver_id.to_owned(),
            group_id: it.group_id.to_owned(),
            message_type: it.message_type,
            content: it.content.to_vec().into(),
            send_time: it.send_time,
            extra,
        }
    });
    assert_eq!(ours, theirs, "{bytes:x?}");
    ours.is_some()
}

fn request() -> im::SendMessageRequest {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    im::SendMessageRequest {
        client_msg_id: "0b2f7f8e".into(),
        conversation_id: "my bob".into(),
        sender_id: "alice".into(),
        receiver_id: "小明".into(),
        group_id: "g".into(),
        message_type: -1,
        content: vec![0x80; 9].into(),
        send_time: i64::MIN,
        extra: [pair("", ""), pair("k", "v"), pair("z", "")].into(),
    }
}

/// Calls `look` with each prefix of the bytes, and with many versions of them in which some are changed.
fn break_in_all_ways(sound: &[u8], mut look: impl FnMut(&[u8]) -> bool) -> usize {
    let mut sound_still = (0..=sound.len()).filter(|end| look(&sound[..*end])).count();
    let mut chance = Chance::new(0);
    for _ in 0..50_000 {
        let mut bytes = sound.to_vec();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = chance.next() as u8,
                1 => bytes.insert(at, chance.next() as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        sound_still += usize::from(look(&bytes));
    }
    sound_still
}

#[test]
fn whatever_comes_is_read_as_prost_reads_it() {
    let twice = [request().encode_to_vec(), request().encode_to_vec()].concat();
    assert!(same_request(&twice) && same_request(&[]));
    let sound = break_in_all_ways(&request().encode_to_vec(), same_request);
    assert!(sound > 1_000, "{sound} of the broken ones are sound");
    let body = vec![1, 2, 3, 4, 5].into();
    let envelope = im::WebSocketMessage { command: 201, sequence: u32::MAX, body, timestamp: -5 };
    // And a group, and a field that nobody knows.
    let bytes = [envelope.encode_to_vec(), vec![0x7b, 0x08, 0x01, 0x7c, 0xa2, 0x06, 0x01, 0x00]].concat();
    assert!(same_envelope(&bytes) && same_envelope(&[]));
    let sound = break_in_all_ways(&bytes, same_envelope);
    assert!(sound > 1_000, "{sound} of the broken ones are sound");
}

#[test]
fn a_varint_of_any_length_is_what_prost_writes() {
    let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    for value in edges.chain([u64::MAX, 0x0123_4567_89ab_cdef, 0x00ab_cdef_0123_4567]) {
        let (mut ours, mut theirs) = (vec![7], vec![7]);
        put_varint(&mut ours, value);
        prost::encoding::encode_varint(value, &mut theirs);
        assert_eq!(ours, theirs, "{value:x}");
        if value > 0 {
            put_number(&mut ours, varint_key(3), value);
            prost::encoding::uint64::encode(3, &value, &mut theirs);
            assert_eq!(ours, theirs, "{value:x} with a key");
        }
    }
}
