//! The operator's hook: it answers late and in any order, denies, replaces, and sometimes gives no answer.

use crate::chance::Chance;
use crate::check::hook::{Fate, fate_of, replaced};
use crate::client::speech::body_bytes;
use crate::world::World;
use mushan::model::{Denial, DenialCode, HookPolicy, HookVerdict, OnHookFailure, Replacement, SendKind, SendKinds};

/// The code of every denial; both protocols have it, each in its own way.
pub const DENIAL: u64 = 150;

/// Whether a run has a hook, and what it is asked about.
pub fn policy_of(chance: &mut Chance) -> HookPolicy {
    let asked = match chance.below(6) {
        0 => SendKinds::OF_CLIENTS,
        1 => SendKind::ALL.into_iter().collect(),
        _ => SendKinds::default(),
    };
    HookPolicy { asked, on_failure: *chance.pick(&[OnHookFailure::Open, OnHookFailure::Closed]) }
}

impl World {
    /// The hook answers a question that a shard has asked, be it the last one.
    pub fn answer_question(&mut self) {
        let at = self.chance.below(self.cores.len());
        let questions = &mut self.cores[at].questions;
        if questions.is_empty() {
            return;
        }
        let question = questions.swap_remove(self.chance.below(questions.len()));
        let client_id = question.send.client_message_id.as_str();
        let content = String::from_utf8(question.send.content.to_vec()).expect("JSON");
        let body = content.strip_prefix(r#"{"content":""#).and_then(|rest| rest.strip_suffix(r#"","type":1}"#));
        let body = body.expect("what clients of this run say");
        let fails = self.hook_fails && self.chance.one_in(8);
        let is_open = self.scale.policies.hook.on_failure == OnHookFailure::Open;
        self.ledger.count(if fails { "questions without an answer" } else { "questions answered" });
        let verdict = match fate_of(client_id) {
            _ if fails => {
                self.ledger.hook.note(client_id, |answers| answers.passed |= is_open);
                HookVerdict::Failed
            }
            Fate::Allowed => {
                self.ledger.hook.note(client_id, |answers| answers.passed = true);
                HookVerdict::Allowed
            }
            Fate::Denied => {
                self.ledger.hook.note(client_id, |answers| answers.denied = true);
                let code = DenialCode::new(DENIAL).expect("in range");
                HookVerdict::Denied(Box::new(Denial { code, text: "not here".into() }))
            }
            Fate::Replaced => {
                self.ledger.hook.note(client_id, |answers| answers.replaced = true);
                let content = body_bytes(&replaced(body)).into();
                HookVerdict::Replaced(Box::new(Replacement { content, message_type: None, extra: None }))
            }
        };
        self.cores[at].turn.hook_answered(self.now, question.ticket, verdict);
        self.carry_out(at);
    }
}
