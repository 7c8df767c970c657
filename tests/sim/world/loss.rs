//! What a power cut under a weak policy, or one shard's older disk, takes away: exactly what no log has any more is
//! forgotten here too, and everything else is held against the server as ever.

use crate::check::group::{Deed, Group};
use crate::check::ledger::{Answer, Ledger};
use crate::client::speech::{Chunk, Kind, Shown, group_of};
use crate::world::World;
use crate::world::operator::Operator;
use mushan::log::{Batch, MemoryStorage, Record, Segments, Side, TornTail, inspect};
use mushan::model::{BlockState, Conversation, Fact, Message, Position, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// What the logs of all shards say together.
#[derive(Default)]
pub struct Remains {
    /// By id: the conversation and the place in it, if it takes one.
    messages: BTreeMap<u64, (String, Option<u64>)>,
    /// By id, the author and the client id of what somebody said.
    said: BTreeMap<u64, (String, String)>,
    /// By id: its place in a stream.
    chunks: BTreeMap<u64, Chunk>,
    /// By user and inbox seq.
    inboxes: BTreeMap<String, BTreeMap<u64, u64>>,
    places: BTreeMap<String, BTreeMap<u64, u64>>,
    /// By conversation: how far any entry says that it had got, be it one that takes no place.
    reached: BTreeMap<String, u64>,
    revoked: BTreeSet<u64>,
    /// Readers, and what they have told to have read.
    read: BTreeSet<(String, u64)>,
    consumed: BTreeSet<(String, u64)>,
    /// By group, in its order.
    changes: BTreeMap<String, BTreeMap<u64, Deed>>,
    blocks: BTreeSet<(String, String)>,
}

pub fn name_of(conversation: &Conversation) -> String {
    match conversation {
        Conversation::Pair(a, b) => format!("single_{a}_{b}"),
        Conversation::Group(group) => format!("group_{group}"),
    }
}

impl Remains {
    pub fn of<'a>(disks: impl IntoIterator<Item = &'a MemoryStorage>) -> Self {
        let mut remains = Self::default();
        for (me, disk) in (0..).map(ShardId).zip(disks) {
            let mut bodies = BTreeMap::new();
            inspect(disk, me, |position, record| remains.take(position, &record, &mut bodies)).expect("it opens");
        }
        remains
    }

    fn take(&mut self, position: Position, record: &Record, bodies: &mut BTreeMap<Position, u64>) {
        match record {
            Record::Fanned { of, links } => {
                for member in links {
                    self.enter(member.user.as_str(), member.link.seq.0, bodies[of]);
                }
            }
            Record::Consumed { user, message } => drop(self.consumed.insert((user.to_string(), message.0))),
            Record::Block { by, other, state } => {
                let pair = (by.to_string(), other.to_string());
                match state {
                    BlockState::Blocked => self.blocks.insert(pair),
                    BlockState::Allowed => self.blocks.remove(&pair),
                };
            }
            _ => {}
        }
        let Some((message, links)) = record.message() else { return };
        bodies.insert(position, message.id.0);
        self.take_message(message);
        for link in links {
            let peer = message.peer_of(&message.author);
            match (link.side, peer) {
                (Side::Author, _) => self.enter(message.author.as_str(), link.seq.0, message.id.0),
                (Side::Peer, Some(peer)) => self.enter(peer.as_str(), link.seq.0, message.id.0),
                _ => {}
            }
        }
    }

    fn enter(&mut self, user: &str, seq: u64, message: u64) {
        self.inboxes.entry(user.to_owned()).or_default().insert(seq, message);
    }

    fn take_message(&mut self, message: &Message) {
        let (id, conversation) = (message.id.0, name_of(&message.conversation));
        let has_place = matches!(message.fact.as_deref(), None | Some(Fact::Group(_)));
        let place = has_place.then_some(message.conversation_seq.0);
        if let Some(place) = place {
            self.places.entry(conversation.clone()).or_default().insert(place, id);
        }
        let reached = self.reached.entry(conversation.clone()).or_default();
        *reached = message.conversation_seq.0.max(*reached);
        match message.fact.as_deref() {
            Some(Fact::Revoked { message }) => drop(self.revoked.insert(message.0)),
            Some(Fact::Read { messages, .. }) => {
                self.read.extend(messages.iter().map(|read| (message.author.to_string(), read.id.0)));
            }
            Some(Fact::Group(_) | Fact::Joining { .. } | Fact::Cleared { .. }) | None => {}
        }
        if let Some(chunk) = message.annotations.as_ref().and_then(|it| it.chunk.as_ref()) {
            self.chunks.insert(id, Chunk::of(chunk));
        }
        if message.fact.is_none() {
            self.said.insert(id, (message.author.to_string(), message.client_message_id.to_string()));
        }
        if let Some((_, deed)) = Deed::of(message) {
            self.changes.entry(conversation.clone()).or_default().insert(id, deed);
        }
        self.messages.insert(id, (conversation, place));
    }

    fn newest(&self, user: &str) -> u64 {
        self.inboxes.get(user).and_then(|inbox| inbox.keys().next_back()).copied().unwrap_or_default()
    }

    fn stands(&self, user: &str, seq: u64) -> Option<u64> {
        self.inboxes.get(user)?.get(&seq).copied()
    }

    /// What stands in the user's inbox of a conversation.
    pub fn standing(&self, user: &str, conversation: &str) -> impl Iterator<Item = u64> {
        let inbox = self.inboxes.get(user).into_iter().flat_map(BTreeMap::values).copied();
        inbox.filter(move |id| self.messages.get(id).is_some_and(|(of, _)| of == conversation))
    }

    pub fn conversations(&self) -> impl Iterator<Item = &String> {
        self.places.keys()
    }

    /// The messages of a conversation, each with its place.
    pub fn places(&self, conversation: &str) -> impl Iterator<Item = (u64, u64)> {
        self.places.get(conversation).into_iter().flatten().map(|(place, id)| (*id, *place))
    }

    /// The place that a message has in a stream.
    pub fn chunk(&self, message: u64) -> Option<&Chunk> {
        self.chunks.get(&message)
    }

    /// What was said in a conversation: the id, the author and the client id.
    pub fn said_in(&self, conversation: &str) -> impl Iterator<Item = (u64, &str, &str)> {
        let said = self.places(conversation).filter_map(|(id, _)| Some((id, self.said.get(&id)?)));
        said.map(|(id, (author, client_id))| (id, author.as_str(), client_id.as_str()))
    }

    /// Whether this, as somebody was shown it, is what is left of it.
    fn has(&self, shown: &Shown) -> bool {
        let is_there = self.messages.contains_key(&shown.message);
        is_there && (shown.kind != Kind::Tombstone || self.revoked.contains(&shown.message))
    }

    /// Whether what is left says that the user is to have the message: it stands in its inbox, or it is a member by the
    /// changes that are left. A change that is lost may have been the one that let it in.
    fn is_for(&self, user: &str, message: u64) -> bool {
        let Some((conversation, _)) = self.messages.get(&message) else { return false };
        let stands = self.inboxes.get(user).is_some_and(|inbox| inbox.values().any(|it| *it == message));
        if stands || !conversation.starts_with("group_") {
            return true;
        }
        let mut group: Option<Group> = None;
        let changes = self.changes.get(conversation).into_iter().flat_map(|changes| changes.range(..=message));
        changes.for_each(|(_, deed)| deed.apply(&mut group));
        group.is_some_and(|group| group.members.contains_key(user))
    }

    /// Whether any change that is left has let the user into the group; a pair's users are always in it.
    pub fn has_joined(&self, user: &str, conversation: &str) -> bool {
        let changes = self.changes.get(conversation).into_iter().flat_map(BTreeMap::values);
        let lets_in = |deed: &Deed| match deed {
            Deed::Created { owner, members } => owner == user || members.contains(user),
            Deed::Added(members) => members.contains(user),
            _ => false,
        };
        !conversation.starts_with("group_") || changes.into_iter().any(lets_in)
    }

    /// What became of each group, in its order.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &BTreeMap<u64, Deed>)> {
        self.changes.iter().map(|(name, changes)| (group_of(name).expect("only groups change"), changes))
    }

    /// Conversations of which places are missing below what is left.
    fn holed(&self) -> impl Iterator<Item = String> + '_ {
        let is_there = |(name, place): (&String, u64)| self.places.get(name).is_some_and(|it| it.contains_key(&place));
        let is_whole = move |name, reached| (1..=reached).all(|place| is_there((name, place)));
        self.reached.iter().filter(move |(name, reached)| !is_whole(*name, **reached)).map(|(name, _)| name.clone())
    }
}

impl Ledger {
    /// What is gone was never told.
    pub fn lose(&mut self, remains: &Remains) {
        self.losses += 1;
        self.groups.lose(remains);
        self.devices.lose();
        self.holed.extend(remains.holed());
        for (user, shown) in &mut self.shown {
            shown.retain(|seq, shown| remains.stands(user, *seq) == Some(shown.message) && remains.has(shown));
        }
        self.known.retain(|_, shown| remains.has(shown));
        self.places.retain(|_, id| remains.messages.contains_key(id));
        self.looked_at.retain(|(user, id)| remains.is_for(user, *id));
        self.notices.clear();
        self.unpushed.retain(|it| it.seq <= remains.newest(&it.user));
        self.revoked.retain(|id| remains.messages.contains_key(id) && remains.revoked.contains(id));
        self.receipts.retain(|(_, reader, id)| remains.read.contains(&(reader.clone(), *id)));
        self.chunks.retain(|id, _| remains.messages.contains_key(id));
        for (user, newest) in &mut self.newest {
            *newest = remains.newest(user).min(*newest);
        }
        for intent in &mut self.intents {
            let Some(id) = intent.answer.message else { continue };
            if !remains.messages.contains_key(&id) {
                intent.answer = Answer::default();
            }
            let author = &intent.author;
            intent.answer.seq = intent.answer.seq.filter(|seq| remains.stands(author, *seq) == Some(id));
        }
        self.vanishing.lose(
            &|user, message| remains.consumed.contains(&(user.to_owned(), message)),
            &|user, seq| seq <= remains.newest(user),
            &|conversation, place| remains.places.get(conversation).is_some_and(|it| it.contains_key(&place)),
        );
        for (user, conversation) in self.cleared.lose(&|id| remains.messages.contains_key(&id)) {
            self.vanishing.skipped.retain(|(of, _)| *of != user);
            self.unpushed.retain(|it| it.user != user);
            self.vanishing.skipped_places.retain(|(of, _)| *of != conversation);
        }
        self.count("cuts that lost something");
    }
}

impl Operator {
    /// What is left of its orders is as it is; the others are forgotten.
    pub fn lose(&mut self, remains: &Remains) {
        self.restore(remains.blocks.clone());
    }
}

impl World {
    /// Some shards lose what the kernel has not written: each another stretch.
    pub fn cut_power_of_some(&mut self, disk: &mut MemoryStorage, me: usize, torn_tail: TornTail) {
        if self.chance.one_in(3) {
            return;
        }
        let found = inspect(disk, ShardId(me as u16), |_, _| {}).expect("a log that is written is read");
        let first = Position::new(disk.segments().start, 0);
        // Lately written, mostly.
        let stretch = *self.chance.pick(&[500, 3_000, 20_000]);
        let lost = self.chance.below(stretch) as u64;
        let to = match found.end.offset() as u64 >= lost {
            true => Position(found.end.0 - lost),
            false => Position::new(found.end.segment(), 0),
        };
        if first < to {
            disk.sync(Batch { from: first, to });
        }
        disk.crash(torn_tail, || self.chance.next());
    }
}
