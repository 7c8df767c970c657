//! The fingerprint of a send's content. Of two sends with one client message id, the second repeats the first when both
//! fingerprints are equal.
//!
//! The author's clock, the mark as a duplicate and the number of a chunk are not part of it. Invariant: the length of
//! each part precedes the part, so that different contents give different input to the hash.

use crate::model::{Annotations, ChunkPhase, ConversationName, Extra, Message, Send};
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The input of the fingerprint. The author is not part of it, because client message ids are compared for one author.
struct SendContent<'a> {
    /// The fingerprint of the conversation.
    conversation_key: Fingerprint,
    conversation_name: Option<&'a ConversationName>,
    message_type: i32,
    content: &'a [u8],
    extra: &'a Extra,
    annotations: Option<&'a Annotations>,
}

/// The input of the hash. 256 bytes hold all but the content of most sends.
type HashInput = SmallVec<[u8; 256]>;

impl Fingerprints {
    /// The fingerprint of a send; `conversation_key` is the fingerprint of its conversation.
    pub fn of_send_content(self, conversation_key: Fingerprint, send: &Send) -> Fingerprint {
        let Send { conversation_name, message_type, content, extra, annotations, .. } = send;
        let (conversation_name, annotations) = (conversation_name.as_ref(), annotations.as_deref());
        self.of_content(&SendContent {
            conversation_key,
            conversation_name,
            message_type: *message_type,
            content,
            extra,
            annotations,
        })
    }

    /// The fingerprint of the send that a message came from.
    pub fn of_message_content(self, conversation_key: Fingerprint, message: &Message) -> Fingerprint {
        let Message { conversation_name, message_type, content, extra, annotations, .. } = message;
        let (conversation_name, annotations) = (conversation_name.as_ref(), annotations.as_deref());
        self.of_content(&SendContent {
            conversation_key,
            conversation_name,
            message_type: *message_type,
            content,
            extra,
            annotations,
        })
    }

    fn of_content(self, said: &SendContent<'_>) -> Fingerprint {
        let mut parts = HashInput::new();
        said.conversation_key.halves().into_iter().for_each(|half| parts.extend_from_slice(&half.to_le_bytes()));
        parts.extend_from_slice(&said.message_type.to_le_bytes());
        parts.extend_from_slice(&xxh3_128_with_seed(said.content, self.seed()).to_le_bytes());
        put(&mut parts, said.conversation_name.map_or("", ConversationName::as_str));
        parts.extend_from_slice(&(said.extra.iter().len() as u64).to_le_bytes());
        for (key, value) in said.extra.iter() {
            put(&mut parts, key);
            put(&mut parts, value);
        }
        if let Some(annotations) = said.annotations {
            put_annotations(&mut parts, annotations);
        }
        Fingerprint::of_digest(said.conversation_key.slot(), xxh3_128_with_seed(&parts, self.seed()))
    }
}

fn put(parts: &mut HashInput, text: &str) {
    parts.extend_from_slice(&(text.len() as u64).to_le_bytes());
    parts.extend_from_slice(text.as_bytes());
}

/// Default annotations count as none.
fn put_annotations(parts: &mut HashInput, annotations: &Annotations) {
    let mut said = annotations.clone();
    said.header.dup = false;
    if let Some(chunk) = &mut said.chunk {
        chunk.number = 0;
        chunk.phase = if chunk.phase == ChunkPhase::Last { ChunkPhase::Last } else { ChunkPhase::Next };
    }
    if said == Annotations::default() {
        return;
    }
    let Annotations { header, setting, topic, message_key, expire_s, chunk, is_replaced: _ } = said;
    let flags = [header.no_persist, header.red_dot, header.sync_once, setting.receipt, setting.topic];
    parts.extend_from_slice(&flags.map(u8::from));
    parts.extend_from_slice(&expire_s.to_le_bytes());
    for text in [topic, message_key] {
        parts.push(text.is_some().into());
        put(parts, text.as_deref().unwrap_or_default());
    }
    if let Some(chunk) = chunk {
        parts.push((chunk.phase == ChunkPhase::Last).into());
        put(parts, &chunk.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{name, plain_message, plain_send, user};
    use crate::model::{Conversation, HeaderFlags, Recipient, StreamChunk};

    fn send() -> Send {
        let pairs = vec![("a".into(), "b".into()), ("c".into(), "".into())];
        let chunk = StreamChunk { stream: "s".into(), number: 0, phase: ChunkPhase::Next };
        Send {
            conversation_name: Some(name("us")),
            send_time: 7,
            extra: Extra::new(pairs),
            annotations: Some(Box::new(Annotations { chunk: Some(chunk), ..Annotations::default() })),
            ..plain_send("m", Recipient::User(user("bob")), "hello")
        }
    }

    fn said(send: &Send) -> Fingerprint {
        let fingerprints = Fingerprints::new(3);
        let peer = match &send.recipient {
            Recipient::User(peer) => Conversation::pair(user("alice"), peer.clone()),
            Recipient::Group(group) => Conversation::Group(group.clone()),
        };
        fingerprints.of_send_content(fingerprints.of_conversation(&peer), send)
    }

    #[test]
    fn each_part_of_a_sends_content_changes_its_fingerprint() {
        let changes: [fn(&mut Send); 12] = [
            |send| send.recipient = Recipient::User(user("carol")),
            |send| send.recipient = Recipient::Group(crate::model::GroupId::new("bob").expect("well formed")),
            |send| send.conversation_name = None,
            |send| send.message_type = 2,
            |send| send.content = "hullo".into(),
            |send| send.extra = Extra::new(vec![("a".into(), "bc".into())]),
            |send| send.extra = Extra::default(),
            |send| send.annotations = None,
            |send| send.annotations.as_mut().expect("has some").topic = Some("t".into()),
            |send| send.annotations.as_mut().expect("has some").message_key = Some("t".into()),
            |send| send.annotations.as_mut().expect("has some").expire_s = 1,
            |send| send.annotations.as_mut().expect("has some").header.sync_once = true,
        ];
        let mut all = vec![said(&send())];
        for change in changes {
            let mut other = send();
            change(&mut other);
            all.push(said(&other));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "no two are equal");
    }

    #[test]
    fn clocks_marks_of_duplicates_and_numbers_of_chunks_do_not_change_the_fingerprint() {
        let changes: [fn(&mut Send); 4] = [
            |send| send.send_time = 8,
            |send| send.annotations.as_mut().expect("has some").header.dup = true,
            |send| send.annotations.as_mut().expect("has some").chunk.as_mut().expect("has one").number = 9,
            |send| {
                send.annotations.as_mut().expect("has some").chunk.as_mut().expect("has one").phase = ChunkPhase::First;
            },
        ];
        for change in changes {
            let mut other = send();
            change(&mut other);
            assert_eq!(said(&other), said(&send()));
        }
        let mut without = send();
        without.annotations = None;
        let mut marked = without.clone();
        let header = HeaderFlags { dup: true, ..HeaderFlags::default() };
        marked.annotations = Some(Box::new(Annotations { header, ..Annotations::default() }));
        assert_eq!(said(&without), said(&marked));
    }

    #[test]
    fn a_message_has_the_fingerprint_of_its_send() {
        let send = send();
        let fingerprints = Fingerprints::new(3);
        let conversation = Conversation::pair(user("alice"), user("bob"));
        let conversation_key = fingerprints.of_conversation(&conversation);
        let message = Message {
            conversation,
            client_message_id: send.client_message_id.clone(),
            conversation_name: send.conversation_name.clone(),
            message_type: send.message_type,
            content: send.content.clone(),
            extra: send.extra.clone(),
            annotations: send.annotations.clone(),
            ..plain_message()
        };
        assert_eq!(fingerprints.of_message_content(conversation_key, &message), said(&send));
    }
}
