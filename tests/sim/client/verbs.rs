//! What a client says of its own accord: every verb, at random.

use crate::chance::Chance;
use crate::check::ledger::{Intent, Ledger};
use crate::client::frames::Protocol;
use crate::client::speech::{Ask, Channel, Edge, Manner, Piece, SHORT_S, group_of};
use crate::client::{Client, Expectation};

/// Whom there is to talk to.
pub struct Scene<'a> {
    pub users: &'a [String],
    pub groups: &'a [String],
    /// Nobody has ever been them.
    pub strangers: &'a [String],
}

impl Client {
    /// Something to say, now that the connection is open.
    pub fn act(&mut self, scene: &Scene<'_>, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.moment = ledger.moment;
        let can_sync = self.protocol != Protocol::Wukong;
        if ledger.aged > 0
            && chance.one_in(8)
            && let Some(said) = self.say_again(ledger, chance)
        {
            return said;
        }
        if ledger.is_about_groups && chance.one_in(3) {
            return self.ask_of_group(scene, ledger, chance);
        }
        if ledger.cleared.is_wanted && chance.one_in(16) {
            return self.clear(self.someone(scene, chance), ledger, chance);
        }
        if ledger.devices.are_wanted && chance.one_in(4) {
            return self.ask_of_devices(chance);
        }
        match chance.below(56) {
            0..14 => self.send_new(scene, ledger, chance),
            14..17 => self.repeat(ledger, chance).unwrap_or_default(),
            17 => self.misuse(ledger, chance).unwrap_or_default(),
            18..21 if can_sync => {
                let (after, limit) = (chance.below(30) as u64, chance.between(1, 30) as u64);
                self.ask(&Ask::Sync { after, limit }, Expectation::Page { after }, chance)
            }
            21..23 if can_sync => {
                let (before, limit) = (chance.below(30) as u64, chance.between(1, 20) as u64);
                self.ask(&Ask::SyncBack { before, limit }, Expectation::PageBack { before }, chance)
            }
            23..25 => self.look_back(scene, chance),
            25..27 => {
                let before = if chance.one_in(2) { 0 } else { chance.between(1, 40) as u64 };
                let limit = chance.between(1, 8) as u64;
                self.ask(&Ask::Conversations { before, limit }, Expectation::List, chance)
            }
            27 => {
                let (of, through) = (self.someone(scene, chance), chance.below(30) as u64);
                self.ask(&Ask::MarkRead { of, through }, Expectation::Marked { conversation: None, through }, chance)
            }
            43..46 => self.mark(ledger, chance).unwrap_or_default(),
            46..49 => self.say_again(ledger, chance).unwrap_or_default(),
            28..31 => self.revoke(ledger, chance),
            31..33 => self.receipt(ledger, chance),
            33 => {
                let ask = Ask::Typing { of: self.someone(scene, chance) };
                // Binary typing is answered only when it is refused.
                let is_answered = self.protocol != Protocol::Binary;
                self.ask(&ask, if is_answered { Expectation::Typed } else { Expectation::Anything }, chance)
            }
            34 if self.protocol != Protocol::Binary => self.pass(scene, ledger, chance),
            35..38 => match self.heard.pop() {
                Some((message, seq)) => {
                    let bytes = self.ask(&Ask::Ack { message, seq }, Expectation::Anything, chance);
                    self.acknowledges(message, seq, ledger);
                    bytes
                }
                None => Vec::new(),
            },
            38..40 => self.wish(scene.users, chance),
            40..43 if self.protocol != Protocol::Binary => self.send_in_some_manner(scene, ledger, chance),
            50..54 => self.ask_of_group(scene, ledger, chance),
            54..56 => self.ask_of_devices(chance),
            49 => self.renew(scene.users, ledger, chance),
            _ => self.ask(&Ask::Beat, Expectation::Anything, chance),
        }
    }

    fn someone(&self, scene: &Scene<'_>, chance: &mut Chance) -> Channel {
        if !scene.groups.is_empty() && chance.one_in(2) {
            Channel::Group(chance.pick(scene.groups).clone())
        } else {
            let is_stranger = !scene.strangers.is_empty() && chance.one_in(8);
            Channel::Person(chance.pick(if is_stranger { scene.strangers } else { scene.users }).clone())
        }
    }

    fn client_id(&self, ledger: &Ledger) -> String {
        format!("{}-{}", self.device, ledger.intents.len() + ledger.transients.len())
    }

    fn send_new(&mut self, scene: &Scene<'_>, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.send(self.someone(scene, chance), Manner::default(), ledger, chance)
    }

    /// What only one protocol can say. Where messages are dropped, nobody knows why one is not there: then only
    /// streams.
    fn send_in_some_manner(&mut self, scene: &Scene<'_>, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let to = self.someone(scene, chance);
        let manner = match chance.below(3) {
            0 if !ledger.may_drop => {
                let expire_s =
                    if chance.one_in(3) { 2_000_000_000 } else { chance.between(1, SHORT_S as usize) as u64 };
                Manner { expire_s, ..Manner::default() }
            }
            1 if !ledger.may_drop => Manner { is_once: true, ..Manner::default() },
            _ => {
                let (stream, is_last) = (format!("stream-{}", chance.below(2)), chance.one_in(4));
                Manner { piece: Some(Piece { stream, is_last }), ..Manner::default() }
            }
        };
        self.send(to, manner, ledger, chance)
    }

    fn send(&mut self, to: Channel, manner: Manner, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let body = "x".repeat(if chance.one_in(8) { chance.below(3_000) } else { chance.below(60) });
        let client_id = self.client_id(ledger);
        let at = ledger.intend(&self.user, to, client_id, body, manner);
        ledger.intents[at].by = Some((self.device.clone(), self.since.step));
        let bytes = self.say_intent(at, ledger, chance);
        self.fresh.insert(self.tags());
        bytes
    }

    pub fn say_intent(&mut self, at: usize, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let Intent { to, client_id: id, body, manner, .. } = ledger.says(at).clone();
        self.ask(&Ask::Send { id, to, body, manner }, Expectation::Sent(at), chance)
    }

    fn can_say(&self, intent: &Intent) -> bool {
        intent.author == self.user
            && !intent.is_systems()
            && (self.protocol != Protocol::Binary || intent.manner.is_plain())
    }

    /// Says one of this user's messages once more, from whichever device this is.
    fn repeat(&mut self, ledger: &mut Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let own: Vec<usize> = ledger.repeatable().filter(|at| self.can_say(&ledger.intents[*at])).collect();
        if own.is_empty() {
            return None;
        }
        let at = *chance.pick(&own);
        Some(self.say_intent(at, ledger, chance))
    }

    /// Says all of this user's messages that have no answer yet.
    pub fn repeat_unanswered(&mut self, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.moment = ledger.moment;
        let is_due = |intent: &Intent| self.can_say(intent) && !intent.answer.is_final();
        let due: Vec<usize> = ledger.repeatable().filter(|at| is_due(&ledger.intents[*at])).collect();
        due.into_iter().flat_map(|at| self.say_intent(at, ledger, chance)).collect()
    }

    /// Marks a place that is there for certain, as this user has written behind it. In whose name the operator has
    /// written to a group, that user may be outside of it and have none of its places.
    fn mark(&mut self, ledger: &Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let is_outside = |intent: &Intent| intent.is_systems() && matches!(intent.to, Channel::Group(_));
        let is_own = |intent: &&Intent| intent.author == self.user && intent.answer.conversation_seq > Some(0);
        let all: Vec<&Intent> = ledger.intents.iter().filter(is_own).filter(|intent| !is_outside(intent)).collect();
        if all.is_empty() {
            return None;
        }
        let intent = *chance.pick(&all);
        let newest = intent.answer.conversation_seq?;
        let through = if chance.one_in(4) { newest } else { 1 + chance.below(newest as usize) as u64 };
        let (of, conversation) = (intent.to.clone(), intent.conversation());
        let mut bytes = self.mark_through(of.clone(), &conversation, through, chance);
        // Whoever scrolls says so again before the first is counted.
        if through < newest && chance.one_in(2) {
            let further = through + 1 + chance.below((newest - through) as usize) as u64;
            bytes.extend(self.mark_through(of, &conversation, further, chance));
        }
        Some(bytes)
    }

    fn mark_through(&mut self, of: Channel, conversation: &str, through: u64, chance: &mut Chance) -> Vec<u8> {
        let conversation = Some(conversation.to_owned());
        self.ask(&Ask::MarkRead { of, through }, Expectation::Marked { conversation, through }, chance)
    }

    /// Says one of this user's messages that the server need not know any more: then it is a new one, but only one,
    /// from how many devices ever it is said.
    fn say_again(&mut self, ledger: &mut Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let may = |at: &usize| {
            let intent = &ledger.intents[*at];
            let is_good = self.can_say(intent) && intent.manner.is_plain() && intent.answer.message.is_some();
            is_good && (ledger.again.contains_key(at) || !ledger.left_open.contains(at))
        };
        // Mostly what another device has just said again, and has not been answered.
        let is_open = |at: &usize| ledger.again[at].is_none();
        let mut said: Vec<usize> = ledger.again.keys().copied().filter(may).collect();
        if said.iter().any(is_open) {
            said.retain(is_open);
        }
        let at = match said.is_empty() || chance.one_in(3) {
            true => {
                let old: Vec<usize> = (0..ledger.aged).filter(may).collect();
                if old.is_empty() {
                    return None;
                }
                *chance.pick(&old)
            }
            false => *chance.pick(&said),
        };
        ledger.left_open.insert(at);
        ledger.again.entry(at).or_default();
        let Intent { to, client_id: id, body, manner, .. } = ledger.intents[at].clone();
        Some(self.ask(&Ask::Send { id, to, body, manner }, Expectation::SentAgain(at), chance))
    }

    /// Uses the id of an accepted message for another one.
    fn misuse(&mut self, ledger: &mut Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let accepted = |intent: &&Intent| intent.author == self.user && intent.answer.message.is_some();
        let Intent { to, client_id: id, .. } = ledger.intents[ledger.repeatable()].iter().rfind(accepted)?.clone();
        let ask = Ask::Send { id, to, body: "another".into(), manner: Manner::default() };
        ledger.misuses += 1;
        Some(self.ask(&ask, Expectation::Refusal, chance))
    }

    /// Says what is never stored.
    fn pass(&mut self, scene: &Scene<'_>, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.say_unstored(self.someone(scene, chance), ledger, chance)
    }

    pub fn say_unstored(&mut self, to: Channel, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let (id, body) = (self.client_id(ledger), "now".to_owned());
        ledger.transients.insert(id.clone(), (self.user.clone(), to.clone(), body.clone()));
        self.passed.insert(id.clone());
        let manner = Manner { is_passing: true, ..Manner::default() };
        self.ask(&Ask::Send { id, to, body, manner }, Expectation::Passed, chance)
    }

    fn look_back(&mut self, scene: &Scene<'_>, chance: &mut Chance) -> Vec<u8> {
        let (of, edge) = (self.someone(scene, chance), chance.below(20) as u64);
        let from = if chance.one_in(2) { Edge::After(edge) } else { Edge::Before(edge) };
        let ask = Ask::History { of: of.clone(), from, limit: chance.between(1, 30) as u64 };
        self.ask(&ask, Expectation::History { of, from }, chance)
    }

    /// Takes a message back that this device has seen or its user has sent: its own, or another's.
    fn revoke(&mut self, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let own = |intent: &&Intent| intent.author == self.user && intent.answer.message.is_some();
        let (conversation, message, author) = match ledger.intents.iter().rfind(own) {
            Some(intent) if chance.one_in(2) => {
                (intent.conversation(), intent.answer.message.expect("accepted"), self.user.clone())
            }
            _ if self.seen.is_empty() => return Vec::new(),
            _ => chance.pick(&self.seen).clone(),
        };
        // What a cut took may have left its id to another message.
        let may_be_another = ledger.losses > 0 && !ledger.known.contains_key(&message);
        // Who may in a group is known in the end.
        let is_good = author == self.user || group_of(&conversation).is_some() || may_be_another;
        ledger.asked_to_revoke.insert((self.user.clone(), message));
        let of = Channel::of(&self.user, &conversation);
        self.ask(&Ask::Revoke { of, message }, Expectation::Revoked { message, is_good }, chance)
    }

    /// Has read some messages of one conversation, and once in a while one that is not there.
    fn receipt(&mut self, ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        if self.seen.is_empty() {
            return Vec::new();
        }
        let (conversation, message, _) = chance.pick(&self.seen).clone();
        let mut messages = vec![message];
        for _ in 0..chance.below(3) {
            let (other, message, _) = chance.pick(&self.seen).clone();
            if other == conversation && !messages.contains(&message) {
                messages.push(message);
            }
        }
        let known = ledger.known.keys().next();
        messages.extend(known.filter(|id| chance.one_in(6) && !messages.contains(id)));
        let of = Channel::of(&self.user, &conversation);
        let expectation = Expectation::Received { of: of.clone(), messages: messages.clone() };
        self.ask(&Ask::Receipt { of, messages }, expectation, chance)
    }
}
