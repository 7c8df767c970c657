//! Streams (PROTOCOL 3.11): the author's shard numbers the chunks of each stream, and ends abandoned streams.
//!
//! Invariant: a repeated chunk is not numbered again; a stream that a start finds open is ended once.

use crate::log::Storage;
use crate::model::{
    Annotations, Authority, ChunkPhase, ClientMessageId, Conversation, ConversationSeq, Extra, HeaderFlags, Message,
    MessageContent, MessageId, Millis, Moment, Refusal, Reply, Send, SessionId, StreamChunk, UnsequencedMessage,
    UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::live::streams::{NewStream, OpenStream};
use crate::shard::peers::chunk::{ChunkUnderWay, StreamKey};
use crate::shard::peers::message::{ConversationRequest, RequestKind};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{Shard, State};

/// The most streams that one tick ends, and the end of a session; the others wait for the next tick.
const ENDED_AT_ONCE_MAX: usize = 256;
const ENDED_WITH_SESSION_MAX: usize = 64;
/// The most ids that are tried for one end.
const END_IDS_MAX: u32 = 8;

impl State {
    fn stream_key(&self, author_index: UserIndex, conversation: &Conversation, name: &str) -> StreamKey {
        let whole = self.identity.fingerprints.of_conversation(conversation);
        (author_index, self.identity.fingerprints.of_two(whole, name))
    }

    /// Notes a message in the author's inbox: if it is a chunk, its stream has reached that number.
    pub(in crate::shard) fn on_chunk(&mut self, author_index: UserIndex, message: &Message) {
        let Some(chunk) = message.annotations.as_ref().and_then(|notes| notes.chunk.as_ref()) else { return };
        let key = self.stream_key(author_index, &message.conversation, &chunk.stream);
        let named = NewStream { key, conversation: &message.conversation, name: &chunk.stream };
        self.live.streams.take(named, message, chunk);
    }
}

impl<S: Storage> Shard<S> {
    /// Assigns number and phase to a send that is a chunk.
    pub(in crate::shard) fn number_chunk(
        &mut self,
        now: Moment,
        session: SessionId,
        author: &UserId,
        conversation: &Conversation,
        send: &mut Send,
    ) -> Result<(), Refusal> {
        let Some(chunk) = send.annotations.as_mut().and_then(|notes| notes.chunk.as_mut()) else { return Ok(()) };
        let author = self.state.tables.inboxes.find_or_add(author);
        let key = self.state.stream_key(author, conversation, &chunk.stream);
        let named = NewStream { key, conversation, name: &chunk.stream };
        let open_max = self.settings.limits.open_streams_max;
        *chunk = self.state.live.streams.number(now.steady, named, Some(session), chunk.phase, open_max)?;
        Ok(())
    }

    /// The chunk in a request of a user of this shard, if it contains one.
    pub(in crate::shard) fn chunk_of(&self, request: &ConversationRequest) -> Option<Box<ChunkUnderWay>> {
        let RequestKind::Send(message, _) = &request.ask else { return None };
        let chunk = message.annotations.as_ref()?.chunk.as_ref()?;
        let author = self.state.tables.inboxes.find(&message.author)?;
        let key = self.state.stream_key(author, &message.conversation, &chunk.stream);
        Some(Box::new(ChunkUnderWay { key, chunk: chunk.clone() }))
    }

    /// Notes that a chunk's conversation has answered without storing it: it was forwarded or refused.
    pub(in crate::shard) fn finish_chunk(&mut self, now: Moment, chunk: Option<&ChunkUnderWay>, reply: &Reply) {
        let Some(ChunkUnderWay { key, chunk }) = chunk else { return };
        match reply {
            Reply::Refused(refused) => {
                let idle_ms = self.settings.limits.stream_idle_ms;
                self.state.live.streams.declined(now.steady, idle_ms, *key, chunk, refused.refusal);
            }
            _ => self.state.live.streams.passed(*key, chunk),
        }
    }

    /// Ends the streams of a session that is gone.
    pub(in crate::shard) fn end_streams_of(&mut self, ctx: &mut Ctx<'_>, author_index: UserIndex, session: SessionId) {
        if self.state.live.streams.len() > 0 {
            self.state.live.streams.orphan(author_index, session);
            self.end_some_streams(ctx, ENDED_WITH_SESSION_MAX);
        }
    }

    /// Ends streams that have been silent for too long. Not before every shard has sent its unconfirmed deliveries,
    /// which may contain an end from before the start.
    pub(in crate::shard) fn end_idle_streams(&mut self, ctx: &mut Ctx<'_>) {
        self.end_some_streams(ctx, ENDED_AT_ONCE_MAX);
    }

    fn end_some_streams(&mut self, ctx: &mut Ctx<'_>, count: usize) {
        if !self.is_ready() || self.has_done_its_share() {
            return;
        }
        for key in self.state.live.streams.due(ctx.now.steady, self.settings.limits.stream_idle_ms, count) {
            self.end_stream(ctx, key);
        }
    }

    /// The same end of the same stream has the same client message id, whenever it is made, and clients may not use ids
    /// with this prefix. If nothing of the stream is stored, its end is not stored either, and its id is valid only
    /// now. `None`: this end is under way already.
    fn id_of_end(&mut self, author: &UserId, stream: &OpenStream) -> Option<(ClientMessageId, Fingerprint)> {
        let prefix = ClientMessageId::SERVER_PREFIX;
        for attempt in 0..END_IDS_MAX {
            let id = match stream.began {
                MessageId(0) => {
                    compact_str::format_compact!("{prefix}now-{}", self.state.peers.requests.next_request())
                }
                began => compact_str::format_compact!("{prefix}{began}-{}-{attempt}", stream.number + 1),
            };
            let id = ClientMessageId::new(&id).expect("letters and decimal digits, below 128 bytes");
            let key = self.state.identity.fingerprints.of_client_message(author, &id);
            if self.state.peers.requests.find_mut(key).is_some() {
                return None;
            }
            // A client may have used the id before the prefix was reserved.
            if self.state.tables.dedupe.find(key).is_none() {
                return Some((id, key));
            }
        }
        None
    }

    /// Sends an empty last chunk as the author. An end that cannot be sent is tried again at the next tick.
    fn end_stream(&mut self, ctx: &mut Ctx<'_>, key: StreamKey) {
        let Some(stream) = self.state.live.streams.find(key) else { return };
        let conversation_key = self.state.identity.fingerprints.of_conversation(&stream.conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        // Deliveries without room in the log may include this very end, made before a restart.
        if !self.state.peers.outbound.has_room_for_request(owner) || self.state.peers.outbound.peer(owner).is_ahead() {
            return;
        }
        let stream = stream.clone();
        let author = self.state.tables.inboxes.user_at(key.0).clone();
        let Some((id, request_key)) = self.id_of_end(&author, &stream) else { return };
        let message = last_chunk(ctx.now, author, id, &stream);
        let named = NewStream { key, conversation: &stream.conversation, name: &stream.name };
        if self.state.live.streams.number(ctx.now.steady, named, None, ChunkPhase::Last, usize::MAX).is_err() {
            return;
        }
        let ask = RequestKind::Send(UnsequencedMessage::new(message), Authority::User);
        let request = ConversationRequest { conversation_key, key: request_key, ask };
        self.start_request(ctx, owner, request, Requester::Nobody);
    }
}

/// An empty last chunk.
fn last_chunk(now: Moment, author: UserId, id: ClientMessageId, stream: &OpenStream) -> Message {
    let chunk = StreamChunk { stream: stream.name.clone(), number: stream.number + 1, phase: ChunkPhase::Last };
    // If nothing of the stream is stored, its end is not stored either.
    let header = HeaderFlags { no_persist: stream.began.0 == 0, ..HeaderFlags::default() };
    Message {
        id: MessageId(0),
        conversation: stream.conversation.clone(),
        conversation_seq: ConversationSeq(0),
        author,
        client_message_id: id,
        conversation_name: None,
        message_type: 1,
        content: MessageContent::new(),
        send_time: now.wall.0.cast_signed(),
        server_time: Millis(0),
        extra: Extra::default(),
        annotations: Some(Box::new(Annotations { header, chunk: Some(chunk), ..Annotations::default() })),
        fact: None,
    }
}
