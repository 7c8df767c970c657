//! Open streams of this shard's users (PROTOCOL 3.11): their newest chunk numbers, and how long each is idle.
//!
//! Invariants: `number` and `began` follow from records and survive a restart; the rest concerns chunks under way; a
//! user has at most `open_streams_max` streams.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{ChunkPhase, Conversation, Message, MessageId, Refusal, SessionId, Steady, StreamChunk};
use crate::shard::peers::chunk::StreamKey;
use crate::shard::rows::conversation::{put_conversation, read_conversation};
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;
use compact_str::CompactString;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
pub(in crate::shard) struct OpenStream {
    pub conversation: Conversation,
    pub name: CompactString,
    /// The number of the newest chunk.
    pub number: u64,
    pub touched: Steady,
    /// The id of the first stored chunk, which identifies the stream among others with its name. 0: no chunk is stored.
    pub began: MessageId,
    /// Chunks that their conversation has neither accepted nor refused.
    flying: u32,
    /// The last chunk is among those under way.
    is_ending: bool,
    /// The session of the newest chunk; none for an end that this shard makes.
    session: Option<SessionId>,
    /// That session has ended: the stream is to be ended, whatever is under way.
    is_orphan: bool,
}

#[derive(Debug, Default)]
pub(in crate::shard) struct Streams {
    open: BTreeMap<StreamKey, OpenStream>,
    /// Streams by the time of their last chunk, without those that are ending.
    idle: BTreeSet<(Steady, StreamKey)>,
    /// The newest time seen, which streams without a time of their own get.
    latest: Steady,
}

/// A stream's conversation and name, where it may have to be made.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct NewStream<'a> {
    pub key: StreamKey,
    pub conversation: &'a Conversation,
    pub name: &'a CompactString,
}

impl Streams {
    /// Gives the next chunk of a stream its number and its phase.
    pub fn number(
        &mut self,
        now: Steady,
        named: NewStream<'_>,
        session: Option<SessionId>,
        phase: ChunkPhase,
        open_max: usize,
    ) -> Result<StreamChunk, Refusal> {
        let key = named.key;
        match self.open.get(&key) {
            Some(stream) if stream.is_ending => return Err(Refusal::Busy),
            None if self.of(key.0).count() >= open_max => return Err(Refusal::SendTooFast),
            _ => {}
        }
        self.find_or_begin(named);
        self.change(key, |stream| {
            stream.number += 1;
            stream.flying += 1;
            stream.touched = now;
            stream.session = session;
            stream.is_orphan = false;
            stream.is_ending = phase == ChunkPhase::Last;
        });
        let number = self.open.get(&key).map_or(1, |stream| stream.number);
        let phase = match phase {
            ChunkPhase::Last => ChunkPhase::Last,
            _ if number == 1 => ChunkPhase::First,
            _ => ChunkPhase::Next,
        };
        Ok(StreamChunk { stream: named.name.clone(), number, phase })
    }

    /// A chunk is in its author's inbox.
    pub fn take(&mut self, named: NewStream<'_>, message: &Message, chunk: &StreamChunk) {
        let key = named.key;
        if chunk.phase == ChunkPhase::Last {
            return self.remove(key);
        }
        self.find_or_begin(named);
        self.change(key, |stream| {
            stream.number = stream.number.max(chunk.number);
            stream.flying = stream.flying.saturating_sub(1);
            if stream.began == MessageId(0) {
                stream.began = message.id;
            }
        });
    }

    /// A chunk was passed on without being stored.
    pub fn passed(&mut self, key: StreamKey, chunk: &StreamChunk) {
        if chunk.phase == ChunkPhase::Last {
            return self.remove(key);
        }
        self.change(key, |stream| stream.flying = stream.flying.saturating_sub(1));
    }

    /// A chunk was refused: its number is free again if no later chunk is under way. A stream without a session is to
    /// be ended again at once, after those that are due already.
    pub fn declined(&mut self, now: Steady, idle_ms: u64, key: StreamKey, chunk: &StreamChunk, refusal: Refusal) {
        let may_be_tried_again = matches!(refusal, Refusal::StorageFull | Refusal::Busy | Refusal::GroupTooBusy);
        if chunk.phase == ChunkPhase::Last && !may_be_tried_again {
            return self.remove(key);
        }
        self.change(key, |stream| {
            stream.flying = stream.flying.saturating_sub(1);
            stream.is_orphan |= stream.session.is_none();
            stream.touched = if stream.is_orphan { Steady(now.0.saturating_sub(idle_ms)) } else { now };
            stream.is_ending &= chunk.phase != ChunkPhase::Last;
            stream.number -= u64::from(stream.number == chunk.number);
        });
        if self.open.get(&key).is_some_and(|stream| stream.number == 0 && stream.flying == 0) {
            self.remove(key);
        }
    }

    /// A session has ended: its streams are to be ended.
    pub fn orphan(&mut self, author_index: UserIndex, session: SessionId) {
        let orphans: Vec<StreamKey> =
            self.of(author_index).filter(|(_, stream)| stream.session == Some(session)).map(|(key, _)| *key).collect();
        for key in orphans {
            self.change(key, |stream| {
                stream.touched = Steady(0);
                stream.is_orphan = true;
            });
        }
    }

    /// At most `count` idle streams without a chunk under way.
    pub fn due(&mut self, now: Steady, idle_ms: u64, count: usize) -> Vec<StreamKey> {
        self.latest = now;
        let is_orphan = |key: &StreamKey| self.open.get(key).is_some_and(|stream| stream.is_orphan);
        let is_silent = |(touched, key): &&(Steady, StreamKey)| now.since(*touched) >= idle_ms || is_orphan(key);
        let silent = self.idle.iter().take_while(is_silent).map(|(_, key)| *key);
        silent.filter(|key| self.open.get(key).is_some_and(|stream| stream.flying == 0)).take(count).collect()
    }

    pub fn find(&self, key: StreamKey) -> Option<&OpenStream> {
        self.open.get(&key)
    }

    /// After a start: the time of the downtime counts for no stream's idleness.
    pub fn wake(&mut self, now: Steady) {
        self.latest = now;
        let keys: Vec<StreamKey> = self.open.keys().copied().collect();
        for key in keys {
            self.change(key, |stream| stream.touched = now);
        }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn authors(&self) -> impl Iterator<Item = UserIndex> + '_ {
        self.open.keys().map(|(author, _)| *author)
    }

    fn of(&self, author_index: UserIndex) -> impl Iterator<Item = (&StreamKey, &OpenStream)> {
        let (least, most) = ([0; 2], [u64::MAX; 2]);
        let bounds = [least, most].map(|halves| (author_index, Fingerprint::of_halves(halves)));
        self.open.range(bounds[0]..=bounds[1])
    }

    fn find_or_begin(&mut self, NewStream { key, conversation, name }: NewStream<'_>) {
        if self.open.contains_key(&key) {
            return;
        }
        let (conversation, name) = (conversation.clone(), name.clone());
        let (number, touched, began) = (0, self.latest, MessageId(0));
        let (flying, is_ending, session, is_orphan) = (0, false, None, false);
        let stream = OpenStream { conversation, name, number, touched, began, flying, is_ending, session, is_orphan };
        self.idle.insert((touched, key));
        self.open.insert(key, stream);
    }

    fn change(&mut self, key: StreamKey, change: impl FnOnce(&mut OpenStream)) {
        let Some(stream) = self.open.get_mut(&key) else { return };
        self.idle.remove(&(stream.touched, key));
        change(stream);
        if !stream.is_ending {
            self.idle.insert((stream.touched, key));
        }
    }

    fn remove(&mut self, key: StreamKey) {
        if let Some(stream) = self.open.remove(&key) {
            self.idle.remove(&(stream.touched, key));
        }
    }

    /// For a checkpoint: how many, then each. No time of its own: a start counts for no stream's silence.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.open.len()).expect("streams are bounded per user"));
        for ((author, name), stream) in &self.open {
            out.put_u32(author.0);
            name.put(out);
            put_conversation(&stream.conversation, out);
            out.put_short(stream.name.as_bytes());
            [stream.number, 0, stream.began.0].into_iter().for_each(|number| out.put_u64(number));
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut streams = Self::default();
        for _stream in 0..reader.u32()? {
            let key = (UserIndex(reader.u32()?), Fingerprint::read(reader)?);
            let conversation = read_conversation(reader)?;
            let name = CompactString::from_utf8(reader.short()?).ok()?;
            streams.find_or_begin(NewStream { key, conversation: &conversation, name: &name });
            let (number, _unused, began) = (reader.u64()?, reader.u64()?, MessageId(reader.u64()?));
            streams.change(key, |stream| {
                stream.number = number;
                stream.began = began;
            });
        }
        Some(streams)
    }
}
