//! The frames of one event, each encoded once for all sessions with equal encodings. The frames of a group's message
//! differ between members only in the inbox seq: only the seq is encoded again.
//!
//! Owned by one core's turn. Invariant: a frame is what `encode_event` writes, byte for byte.

use crate::model::{Conversation, Entry, Event, Message, Millis, UserId};
use crate::wire::connection::encoding::{Encoding, encode_event, encode_message, push_seq};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;

/// The most frames of one event. Few encodings and seq lengths occur in one group.
const FRAMES_MAX: usize = 16;

/// The encoded frames of the current event.
#[derive(Default)]
pub struct SharedFrames {
    /// The message that all members of a group see alike, and the frames' timestamp; `None` for any other event.
    message: Option<(Arc<Message>, Millis)>,
    frames: SmallVec<[Frame; 4]>,
    bytes: Vec<u8>,
    /// The requested seq as the frame encodes it.
    seq: Vec<u8>,
}

struct Frame {
    encoding: Encoding,
    bytes: Range<usize>,
    /// Empty where the frame has no inbox seq, or is not shared between users.
    seq: Range<usize>,
}

/// What a frame carries.
enum FrameContent<'a> {
    /// An entry that many users see alike, but for its seq.
    Shared(&'a Entry),
    Event(&'a Event),
}

impl SharedFrames {
    /// Sets the current event and the wall-clock time of its frames.
    pub fn turn_to(&mut self, event: &Event, now: Millis) {
        let message = message_of_all(event);
        let is_known = match (&self.message, message) {
            (Some((known, then)), Some(message)) => Arc::ptr_eq(known, message) && *then == now,
            _ => false,
        };
        if !is_known {
            self.message = message.map(|message| (message.clone(), now));
            self.clear();
        }
    }

    /// Whether many users see the current event alike.
    pub fn are_shared(&self) -> bool {
        self.message.is_some()
    }

    /// The frame that carries the current event to `viewer`.
    pub fn frame(&mut self, encoding: Encoding, viewer: &UserId, event: &Event, now: Millis) -> &[u8] {
        let shared = match event {
            Event::Entry(entry) if self.message.is_some() => Some(entry),
            _ => None,
        };
        self.seq.clear();
        if let Some(entry) = shared {
            push_seq(encoding, entry.seq, &mut self.seq);
        }
        let is_meant = |frame: &Frame| frame.encoding == encoding && frame.seq.len() == self.seq.len();
        let at = match self.frames.iter().position(is_meant) {
            Some(at) => {
                self.bytes[self.frames[at].seq.clone()].copy_from_slice(&self.seq);
                at
            }
            None => self.add(encoding, viewer, shared.map_or(FrameContent::Event(event), FrameContent::Shared), now),
        };
        &self.bytes[self.frames[at].bytes.clone()]
    }

    /// Ends the current event. Returns the shared message, whose memory the caller may use again.
    pub fn finish(&mut self) -> Option<Arc<Message>> {
        self.message.take().map(|(message, _)| {
            self.clear();
            message
        })
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
    }

    fn add(&mut self, encoding: Encoding, viewer: &UserId, content: FrameContent<'_>, now: Millis) -> usize {
        if self.frames.len() == FRAMES_MAX {
            self.clear();
        }
        let from = self.bytes.len();
        let behind_seq = match content {
            FrameContent::Shared(entry) => encode_message(encoding, viewer, entry, now, &mut self.bytes),
            FrameContent::Event(event) => {
                encode_event(encoding, viewer, event, now, &mut self.bytes);
                0
            }
        };
        let (end, seq_end) = (self.bytes.len(), self.bytes.len() - behind_seq);
        self.frames.push(Frame { encoding, bytes: from..end, seq: seq_end - self.seq.len()..seq_end });
        self.frames.len() - 1
    }
}

/// The message of a group's member, which every member without an own name for the group sees alike.
fn message_of_all(event: &Event) -> Option<&Arc<Message>> {
    match event {
        Event::Entry(Entry { message, name: None, .. }) => {
            let is_of_group = matches!(message.conversation, Conversation::Group(_));
            Some(message).filter(|message| is_of_group && message.fact.is_none())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{plain_message, user};
    use crate::model::{Annotations, ConversationName, ConversationSeq, Extra, Fact, GroupId, MessageId, Seq};

    fn message(conversation: Conversation, content: usize, extra: &[(&str, &str)]) -> Message {
        Message {
            id: MessageId(7),
            conversation,
            conversation_seq: ConversationSeq(3),
            content: vec![b'x'; content].into(),
            send_time: 5,
            server_time: Millis(1_000),
            extra: Extra::new(extra.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
            ..plain_message()
        }
    }

    fn all_messages() -> Vec<Arc<Message>> {
        let group = || Conversation::Group(GroupId::new("team").expect("well formed"));
        let plain = |content| message(group(), content, &[]);
        let annotations = Some(Box::new(Annotations { expire_s: 9, ..Annotations::default() }));
        let fact = Some(Arc::new(Fact::Revoked { message: MessageId(6) }));
        let all = [
            plain(0),
            plain(30),
            plain(300),
            plain(70_000),
            message(group(), 3, &[("key", "value"), ("other", "")]),
            Message { annotations, ..plain(8) },
            Message { fact, ..plain(0) },
            message(Conversation::pair(user("alice"), user("bob")), 8, &[]),
        ];
        all.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn every_member_gets_the_frame_that_would_be_written_for_it_alone() {
        let encodings = [
            Encoding::Binary,
            Encoding::JsonRpc { version: 3 },
            Encoding::JsonRpc { version: 2 },
            Encoding::Wukong { version: 3 },
        ];
        let seqs = [1, 2, 9, 10, 127, 128, 16_383, 16_384, 99, 100, 5, 1 << 40, u64::MAX, 300, 7];
        let mut frames = SharedFrames::default();
        for message in all_messages() {
            for (number, seq) in seqs.into_iter().enumerate() {
                let name = (number == 5).then(|| ConversationName::new("ours").expect("well formed"));
                let event = Event::Entry(Entry { seq: Seq(seq), message: message.clone(), name });
                let (viewer, now) = (user(&format!("member-{number}")), Millis(2_000 + number as u64 / 6));
                frames.turn_to(&event, now);
                for encoding in encodings {
                    let mut alone = Vec::new();
                    encode_event(encoding, &viewer, &event, now, &mut alone);
                    assert_eq!(frames.frame(encoding, &viewer, &event, now), alone, "{encoding:?} {seq} {message:?}");
                }
            }
        }
    }

    #[test]
    fn a_group_message_is_let_go_of_in_the_end() {
        let message = all_messages().swap_remove(0);
        let mut frames = SharedFrames::default();
        let event = Event::Entry(Entry { seq: Seq(1), message: message.clone(), name: None });
        frames.turn_to(&event, Millis(1));
        frames.frame(Encoding::Binary, &user("bob"), &event, Millis(1));
        assert_eq!(frames.finish(), Some(message));
        assert!(frames.finish().is_none() && frames.frames.is_empty());
    }
}
