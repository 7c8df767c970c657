//! What `mushan chat` shows of an inbox: the messages of one conversation, and one line for each message of others.

use crate::cli::chat::exchange::{ChatPair, ChatPeer, Line};
use serde_json::Value;

/// A message, from either protocol.
pub struct ChatMessage<'a> {
    pub author: &'a str,
    pub conversation: ChatPeer,
    pub content: &'a [u8],
    pub is_revoked: bool,
}

impl ChatPair {
    pub fn line_of_message(&self, said: &ChatMessage<'_>) -> Line {
        let is_mine = said.author == self.user;
        if said.conversation != self.peer {
            return if is_mine || said.is_revoked { Line::Nothing } else { Line::Note(self.elsewhere(said)) };
        }
        let is_to_oneself = self.peer == ChatPeer::User(self.user.clone());
        let from = if is_mine && !is_to_oneself { "you" } else { said.author };
        let text = if said.is_revoked { "(message revoked)".to_owned() } else { shown(said.content) };
        Line::Text { from: from.to_owned(), text }
    }

    fn elsewhere(&self, said: &ChatMessage<'_>) -> String {
        let (author, me) = (said.author, &self.user);
        match &said.conversation {
            ChatPeer::User(peer) => format!("{author} wrote to you (mushan chat --user {me} --to {peer})"),
            ChatPeer::Group(group) => format!("{author} wrote in {group} (mushan chat --user {me} --group {group})"),
        }
    }

    pub fn line_of_revocation(&self, by: &str, conversation: &ChatPeer) -> Line {
        if *conversation != self.peer {
            return Line::Nothing;
        }
        let who = if by == self.user { "you" } else { by };
        Line::Note(format!("{who} revoked a message"))
    }

    pub fn line_of_receipt(&self, reader: &str, conversation: &ChatPeer) -> Line {
        if *conversation != self.peer {
            return Line::Nothing;
        }
        Line::Note(format!("{reader} has read your messages"))
    }

    /// `change` has the members of a group notification (proto/jsonrpc.md).
    pub fn line_of_group_change(&self, change: &Value) -> Line {
        let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
        let (by, group, members) = (text("by"), text("group"), members_of(change));
        Line::Note(match text("change") {
            "created" => format!("{by} created the group {group} with {members}"),
            "added" => format!("{by} added {members} to the group {group}"),
            "removed" => format!("{by} removed {members} from the group {group}"),
            "changed" => match change.get("mutedUntil").and_then(Value::as_i64).unwrap_or_default() {
                0 => format!("{by} made {members} {} of the group {group}", text("role")),
                _ => format!("{by} muted {members} in the group {group}"),
            },
            "dissolved" => format!("{by} dissolved the group {group}"),
            _ => return Line::Nothing,
        })
    }
}

/// The first few members, and how many more there are.
fn members_of(change: &Value) -> String {
    const SHOWN_MAX: usize = 5;
    let members = change.get("members").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = members.iter().filter_map(Value::as_str).collect();
    let count = change.get("count").and_then(Value::as_u64).map_or(names.len(), |count| count as usize);
    let shown = &names[..names.len().min(SHOWN_MAX)];
    match count.saturating_sub(shown.len()) {
        0 if shown.is_empty() => "nobody else".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The text of a message's content: the field `text` if the content is JSON with one, otherwise the content itself.
pub fn shown(content: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(content).ok();
    let text = json.as_ref().and_then(|json| json.get("content")).and_then(Value::as_str);
    text.map_or_else(|| String::from_utf8_lossy(content).into_owned(), str::to_owned)
}

/// Replaces control characters, so that a received text cannot control the terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bob_with(peer: ChatPeer) -> ChatPair {
        let text = |text: &str| text.to_owned();
        ChatPair { user: text("bob"), peer, token: text("t"), run: text("r"), seen: None, epoch: None }
    }

    fn said<'a>(author: &'a str, conversation: ChatPeer) -> ChatMessage<'a> {
        ChatMessage { author, conversation, content: b"hi", is_revoked: false }
    }

    #[test]
    fn the_text_inside_a_json_object_is_shown_and_anything_else_as_it_is() {
        assert_eq!(shown(br#"{"type":1,"content":"hello"}"#), "hello");
        assert_eq!(shown(br#"{"type":2,"url":"x"}"#), r#"{"type":2,"url":"x"}"#);
        assert_eq!(shown("你好".as_bytes()), "你好");
        assert_eq!(harmless(&shown(b"\x1b[2J\xff")), "\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn one_conversation_is_shown_and_of_others_where_to_read_them() {
        let user = |id: &str| ChatPeer::User(id.to_owned());
        let bob = bob_with(user("alice"));
        let text = |from: &str| Line::Text { from: from.to_owned(), text: "hi".to_owned() };
        assert_eq!(bob.line_of_message(&said("alice", user("alice"))), text("alice"));
        assert_eq!(bob.line_of_message(&said("bob", user("alice"))), text("you"));
        assert_eq!(bob_with(user("bob")).line_of_message(&said("bob", user("bob"))), text("bob"));
        let carol = bob.line_of_message(&said("carol", user("carol")));
        assert_eq!(carol, Line::Note("carol wrote to you (mushan chat --user bob --to carol)".to_owned()));
        assert_eq!(bob.line_of_message(&said("bob", user("carol"))), Line::Nothing);
        let team = bob.line_of_message(&said("alice", ChatPeer::Group("alice".to_owned())));
        assert_eq!(team, Line::Note("alice wrote in alice (mushan chat --user bob --group alice)".to_owned()));
    }

    #[test]
    fn a_group_change_is_one_line_and_an_unknown_one_is_none() {
        let bob = bob_with(ChatPeer::Group("team".to_owned()));
        let line = |change: Value| bob.line_of_group_change(&change);
        let note = |text: &str| Line::Note(text.to_owned());
        let created = json!({"change": "created", "group": "team", "by": "alice", "members": ["bob"], "count": 1});
        assert_eq!(line(created), note("alice created the group team with bob"));
        let added = json!({"change": "added", "group": "team", "by": "a", "members": ["1", "2", "3", "4", "5", "6"], "count": 60});
        assert_eq!(line(added), note("a added 1, 2, 3, 4, 5 and 55 more to the group team"));
        let role = json!({"change": "changed", "group": "team", "by": "a", "members": ["b"], "role": "admin"});
        assert_eq!(line(role), note("a made b admin of the group team"));
        assert_eq!(line(json!({"change": "painted"})), Line::Nothing);
        assert_eq!(line(json!(7)), Line::Nothing);
    }
}
