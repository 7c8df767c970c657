//! What the operator's hook has said of each message, and what may become of the message after that.

use crate::check::ledger::{Intent, Ledger};
use std::collections::BTreeMap;

/// What the hook says of a message, whenever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Allowed,
    Denied,
    Replaced,
}

/// The same for the same client id. Messages by which a run is judged in the end are allowed.
pub fn fate_of(client_id: &str) -> Fate {
    let sum = client_id.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    match (sum >> 2) % 10 {
        _ if client_id.starts_with("probe") => Fate::Allowed,
        0 => Fate::Denied,
        1 | 2 => Fate::Replaced,
        _ => Fate::Allowed,
    }
}

/// What the hook puts in the place of a body.
pub fn replaced(body: &str) -> String {
    format!("{body}~")
}

/// The answers about one client id.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// It may go on as its author said it: allowed, without an answer where that is enough, or not asked about.
    pub passed: bool,
    pub denied: bool,
    pub replaced: bool,
}

#[derive(Debug, Default)]
pub struct HookBook {
    /// The hook is asked about what sessions send.
    pub asks_sessions: bool,
    /// The hook is asked about what the backend sends as the user might.
    pub asks_backend: bool,
    /// The hook is asked about what the operator says in users' names.
    pub asks_system: bool,
    answers: BTreeMap<String, Answers>,
}

impl HookBook {
    pub fn note(&mut self, client_id: &str, note: impl FnOnce(&mut Answers)) {
        note(self.answers.entry(client_id.to_owned()).or_default());
    }

    fn of(&self, client_id: &str) -> Answers {
        self.answers.get(client_id).copied().unwrap_or_default()
    }

    /// A message was accepted: it must have been allowed.
    pub fn check_accepted(&self, intent: &Intent) {
        let Answers { passed, replaced, .. } = self.of(&intent.client_id);
        assert!(!self.asks_sessions || passed || replaced, "nobody allowed it, and it was accepted: {intent:?}");
    }

    /// A message is shown as its author said it, or as the hook has replaced it.
    pub fn check_body(&self, client_id: &str, said: &str, shown: &str) {
        let Answers { passed, replaced: is_replaced, .. } = self.of(client_id);
        let may_be_said = said == shown && (!self.asks_sessions || passed);
        let may_be_replaced = is_replaced && *shown == replaced(said);
        assert!(may_be_said || may_be_replaced, "{client_id} came out changed: {said:?} as {shown:?}");
    }

    pub fn was_denied(&self, client_id: &str) -> bool {
        self.of(client_id).denied
    }

    pub fn was_replaced(&self, client_id: &str) -> bool {
        self.of(client_id).replaced
    }
}

impl Ledger {
    /// Whether the hook has replaced the message of this id.
    pub fn was_replaced(&self, message: u64) -> bool {
        let mut sent = self.intents.iter().filter(|intent| intent.answer.message == Some(message));
        sent.any(|intent| self.hook.was_replaced(&intent.client_id))
    }
}
