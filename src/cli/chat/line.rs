//! What `mushan chat` shows of an inbox: the messages of one conversation, and one line for each message of others.

use mushan_client::{EntryBody, GroupChange, Message, Target, text_of};
use serde_json::Value;

/// The two sides of a conversation.
pub struct ChatPair {
    pub user: String,
    pub peer: Target,
    /// Unique among all runs: the prefix of every client message id.
    pub run: String,
}

/// The line that an entry of the inbox is shown as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text { from: String, text: String },
    Note(String),
    Nothing,
}

impl ChatPair {
    pub fn client_message_id(&self, number: u32) -> String {
        format!("{}-{number}", self.run)
    }

    /// Whether this run sent the message: then its text is on the screen already.
    fn has_said(&self, message: &Message) -> bool {
        message.from == self.user
            && message.client_id.strip_prefix(&self.run[..]).is_some_and(|rest| rest.starts_with('-'))
    }

    pub fn line_of(&self, entry: &EntryBody) -> Line {
        match entry {
            EntryBody::Message(message) => self.line_of_message(message),
            EntryBody::Revoked(revoked) if revoked.conversation == self.peer => {
                let who = if revoked.by == self.user { "you" } else { &revoked.by };
                Line::Note(format!("{who} revoked a message"))
            }
            EntryBody::Receipt(receipt) if receipt.conversation == self.peer => {
                Line::Note(format!("{} has read your messages", receipt.by))
            }
            EntryBody::Group(change) => line_of_group_change(change),
            EntryBody::Revoked(_) | EntryBody::Receipt(_) | EntryBody::Cleared(_) => Line::Nothing,
        }
    }

    pub fn line_of_message(&self, said: &Message) -> Line {
        let is_mine = said.from == self.user;
        if self.has_said(said) {
            return Line::Nothing;
        }
        if said.conversation != self.peer {
            return if is_mine || said.is_revoked { Line::Nothing } else { Line::Note(self.elsewhere(said)) };
        }
        let is_to_oneself = self.peer == Target::user(&self.user);
        let from = if is_mine && !is_to_oneself { "you" } else { &said.from };
        let text = if said.is_revoked { "(message revoked)".to_owned() } else { text_of(said) };
        Line::Text { from: from.to_owned(), text }
    }

    fn elsewhere(&self, said: &Message) -> String {
        let (author, me) = (&said.from, &self.user);
        match &said.conversation {
            Target::User(peer) => format!("{author} wrote to you (mushan chat --user {me} --to {peer})"),
            Target::Group(group) => format!("{author} wrote in {group} (mushan chat --user {me} --group {group})"),
        }
    }
}

fn line_of_group_change(change: &GroupChange) -> Line {
    let (by, group, members) = (&change.by, &change.group, members_of(change));
    let role = change.more.get("role").and_then(Value::as_str).unwrap_or_default();
    Line::Note(match &change.change[..] {
        "created" => format!("{by} created the group {group} with {members}"),
        "added" => format!("{by} added {members} to the group {group}"),
        "removed" => format!("{by} removed {members} from the group {group}"),
        "changed" => match change.more.get("mutedUntil").and_then(Value::as_i64).unwrap_or_default() {
            0 => format!("{by} made {members} {role} of the group {group}"),
            _ => format!("{by} muted {members} in the group {group}"),
        },
        "dissolved" => format!("{by} dissolved the group {group}"),
        _ => return Line::Nothing,
    })
}

/// The first few members, and how many more there are.
fn members_of(change: &GroupChange) -> String {
    const SHOWN_MAX: usize = 5;
    let shown = &change.members[..change.members.len().min(SHOWN_MAX)];
    match (change.count as usize).max(change.members.len()).saturating_sub(shown.len()) {
        0 if shown.is_empty() => "nobody else".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Replaces control characters, so that a received text cannot control the terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn bob_with(peer: Target) -> ChatPair {
        ChatPair { user: "bob".to_owned(), peer, run: "r".to_owned() }
    }

    fn said(from: &str, conversation: Target, content: &'static [u8]) -> Message {
        Message {
            id: "1".to_owned(),
            client_id: "c-1".to_owned(),
            conversation,
            from: from.to_owned(),
            message_type: 1,
            content: Bytes::from_static(content),
            time_ms: 0,
            seq: 1,
            conversation_seq: None,
            extra: BTreeMap::new(),
            is_revoked: false,
            wants_receipt: false,
            topic: None,
            expire_seconds: None,
            stream: None,
        }
    }

    #[test]
    fn the_text_inside_a_json_object_is_shown_and_anything_else_as_it_is() {
        let bob = bob_with(Target::user("alice"));
        let shown = |content: &'static [u8]| match bob.line_of_message(&said("alice", Target::user("alice"), content)) {
            Line::Text { text, .. } => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown(br#"{"type":1,"content":"hello"}"#), "hello");
        assert_eq!(shown(br#"{"type":2,"url":"x"}"#), r#"{"type":2,"url":"x"}"#);
        assert_eq!(shown("你好".as_bytes()), "你好");
        assert_eq!(harmless(&shown(b"\x1b[2J\xff")), "\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn one_conversation_is_shown_and_of_others_where_to_read_them() {
        let bob = bob_with(Target::user("alice"));
        let line = |of: &ChatPair, from: &str, conversation| of.line_of_message(&said(from, conversation, b"hi"));
        let text = |from: &str| Line::Text { from: from.to_owned(), text: "hi".to_owned() };
        assert_eq!(line(&bob, "alice", Target::user("alice")), text("alice"));
        assert_eq!(line(&bob, "bob", Target::user("alice")), text("you"));
        assert_eq!(line(&bob_with(Target::user("bob")), "bob", Target::user("bob")), text("bob"));
        let carol = line(&bob, "carol", Target::user("carol"));
        assert_eq!(carol, Line::Note("carol wrote to you (mushan chat --user bob --to carol)".to_owned()));
        assert_eq!(line(&bob, "bob", Target::user("carol")), Line::Nothing);
        let team = line(&bob, "alice", Target::group("alice"));
        assert_eq!(team, Line::Note("alice wrote in alice (mushan chat --user bob --group alice)".to_owned()));
        let own = Message { client_id: bob.client_message_id(7), ..said("bob", Target::user("alice"), b"hi") };
        assert_eq!(bob.line_of_message(&own), Line::Nothing, "it is on the screen");
    }

    #[test]
    fn a_group_change_is_one_line_and_an_unknown_one_is_none() {
        let line = |change: Value| line_of_group_change(&serde_json::from_value(change).expect("a change"));
        let note = |text: &str| Line::Note(text.to_owned());
        let created = json!({"change": "created", "group": "team", "by": "alice", "members": ["bob"], "count": 1});
        assert_eq!(line(created), note("alice created the group team with bob"));
        let added = json!({"change": "added", "group": "team", "by": "a", "members": ["1", "2", "3", "4", "5", "6"], "count": 60});
        assert_eq!(line(added), note("a added 1, 2, 3, 4, 5 and 55 more to the group team"));
        let role = json!({"change": "changed", "group": "team", "by": "a", "members": ["b"], "role": "admin"});
        assert_eq!(line(role), note("a made b admin of the group team"));
        assert_eq!(line(json!({"change": "painted"})), Line::Nothing);
    }
}
