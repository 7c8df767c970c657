//! Streams: a text that its author writes bit by bit, such as an answer of a language model. Every chunk is a message.

use crate::client::{Client, new_id};
use crate::model::{Message, Outgoing, Refused, Sent, StreamChunk, Target};
use crate::wire::text::{text_content, text_of};
use std::collections::{BTreeMap, BTreeSet};

/// Unfinished streams that a reader remembers; beyond it the one of which a chunk is longest ago is forgotten.
const STREAMS_MAX: usize = 1_000;

/// A stream as its readers have it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamText {
    /// The author's name for it.
    pub no: String,
    /// The author.
    pub from: String,
    /// Where it is written.
    pub conversation: Target,
    /// The chunks so far, put together.
    pub text: String,
    /// It has ended, and no chunk is missing.
    pub is_done: bool,
}

#[derive(Default)]
struct Collected {
    chunks: BTreeMap<u32, String>,
    last: Option<u32>,
    touched: u64,
}

type StreamKey = (Target, String, String);

/// Puts chunks together, in the order of their numbers.
#[derive(Default)]
pub struct StreamReader {
    streams: BTreeMap<StreamKey, Collected>,
    by_touch: BTreeSet<(u64, StreamKey)>,
    clock: u64,
}

impl StreamReader {
    /// The text so far, if the message is a chunk.
    pub fn take(&mut self, message: &Message) -> Option<StreamText> {
        let StreamChunk { no, chunk, is_last } = message.stream.clone()?;
        let key = (message.conversation.clone(), message.from.clone(), no.clone());
        self.clock += 1;
        let collected = self.streams.entry(key.clone()).or_default();
        self.by_touch.remove(&(collected.touched, key.clone()));
        collected.touched = self.clock;
        self.by_touch.insert((self.clock, key.clone()));
        collected.chunks.insert(chunk, text_of(message));
        if is_last {
            collected.last = Some(chunk);
        }
        let text = collected.chunks.values().map(String::as_str).collect();
        let is_done = collected.last.is_some_and(|last| collected.chunks.len() >= last as usize);
        if is_done {
            self.forget(&(self.clock, key));
        } else if self.streams.len() > STREAMS_MAX {
            self.by_touch.first().cloned().iter().for_each(|oldest| self.forget(oldest));
        }
        let (from, conversation) = (message.from.clone(), message.conversation.clone());
        Some(StreamText { no, from, conversation, text, is_done })
    }

    fn forget(&mut self, touched: &(u64, StreamKey)) {
        self.by_touch.remove(touched);
        self.streams.remove(&touched.1);
    }
}

/// Writes one stream.
pub struct StreamWriter {
    client: Client,
    to: Target,
    no: String,
    chunk: u32,
}

impl StreamWriter {
    pub(crate) fn new(client: Client, to: Target) -> Self {
        Self { client, to, no: new_id(), chunk: 0 }
    }

    /// Adds to the text. Returns when the server has stored it.
    ///
    /// # Errors
    ///
    /// The server refuses it for good, or the session ends.
    pub async fn write(&mut self, text: &str) -> Result<Sent, Refused> {
        self.chunk += 1;
        let stream = StreamChunk { no: self.no.clone(), chunk: self.chunk, is_last: false };
        self.put(text, stream).await
    }

    /// Ends the stream with the last of its text.
    ///
    /// # Errors
    ///
    /// As `write`.
    pub async fn end(self, text: &str) -> Result<Sent, Refused> {
        let stream = StreamChunk { no: self.no.clone(), chunk: self.chunk + 1, is_last: true };
        self.put(text, stream).await
    }

    async fn put(&self, text: &str, stream: StreamChunk) -> Result<Sent, Refused> {
        let message = Outgoing::new(new_id(), self.to.clone(), text_content(text));
        self.client.send_outgoing(Outgoing { stream: Some(stream), ..message }).await
    }
}
