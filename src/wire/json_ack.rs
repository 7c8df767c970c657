//! A client's acknowledgement in JSON-RPC, read where it stands: there is one for every message that is pushed, and it
//! says little.
//!
//! Invariant: what is read here is what `jsonrpc` would make of it. All that is out of the ordinary is left to that: an
//! escape, a member that no acknowledgement needs, one of two of a name, and whatever is malformed.

use super::exchange::{self, Outcome};
use super::json_scan::plain_bytes;
use super::jsonrpc::TAG_BYTES_MAX;
use crate::model::{Ack, Command, RequestTag};
use compact_str::CompactString;

/// More of them may be more than an integer holds.
const DIGITS_MAX: usize = 18;

/// The request that an ordinary acknowledgement is; `None` for anything else.
pub(super) fn read(text: &[u8]) -> Option<Outcome> {
    let (mut method, mut params, mut message, mut tag) = (None, None, None, None);
    let mut reader = Reader { rest: text };
    reader.object(|reader, key| match key {
        b"jsonrpc" => (reader.text()? == b"2.0").then_some(()),
        b"method" => once(&mut method, (reader.text()? == b"recvack").then_some(())?),
        b"params" => {
            once(&mut params, ())?;
            reader.object(|reader, key| match key {
                b"messageId" => {
                    let id = str::from_utf8(reader.text()?).ok()?;
                    once(&mut message, exchange::message_id(id)?)
                }
                b"messageSeq" => reader.number().map(|_| ()),
                _ => None,
            })
        }
        b"id" => once(&mut tag, reader.tag()?),
        _ => None,
    })?;
    reader.end()?;
    method?;
    Some(Outcome::Request { tag: tag.unwrap_or(RequestTag::None), command: Command::Ack(Ack::Message(message?)) })
}

/// Of two the last counts, and which that is others know.
fn once<T>(known: &mut Option<T>, value: T) -> Option<()> {
    known.replace(value).is_none().then_some(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    fn end(&mut self) -> Option<()> {
        self.skip_space();
        self.rest.is_empty().then_some(())
    }

    /// An object that has members; `member` reads the value of each.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            member(self, key)?;
            if self.expect(b'}').is_some() {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// A string without escapes; whether it is UTF-8 is still to be seen.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let (text, behind) = self.rest.split_at(plain_bytes(self.rest));
        self.rest = behind.strip_prefix(b"\"")?;
        Some(text)
    }

    /// The digits of an integer that has no sign.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, behind) = self.rest.split_at(count);
        self.rest = behind;
        let is_usual = (1..=DIGITS_MAX).contains(&count) && (digits[0] != b'0' || count == 1);
        is_usual.then_some(digits)
    }

    fn tag(&mut self) -> Option<RequestTag> {
        self.skip_space();
        if self.rest.first()? != &b'"' {
            return CompactString::from_utf8(self.number()?).ok().map(RequestTag::Number);
        }
        let text = str::from_utf8(self.text()?).ok()?;
        (text.len() <= TAG_BYTES_MAX).then(|| RequestTag::Text(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::Dialect;
    use super::super::exchange::Exchange;
    use super::super::jsonrpc::hear_any;
    use super::super::scratch::Scratch;
    use super::*;
    use crate::model::{Limits, MessageId, Millis, UserId};

    /// What any request is read by.
    fn heard(text: &[u8]) -> Outcome {
        let (user, limits) = (UserId::new("alice").expect("well formed"), Limits::default());
        let (mut out, mut scratch, mut bytes) = (Vec::new(), Scratch::default(), text.to_vec());
        let mut exchange = Exchange {
            user: Some(&user),
            message_key: None,
            limits: &limits,
            now: Millis(1),
            out: &mut out,
            scratch: &mut scratch,
        };
        hear_any(&mut bytes, Dialect::JsonRpc, &mut exchange)
    }

    fn ack(tag: RequestTag, message: u64) -> Option<Outcome> {
        Some(Outcome::Request { tag, command: Command::Ack(Ack::Message(MessageId(message))) })
    }

    #[test]
    fn what_clients_send_is_read() {
        let bare = br#"{"method":"recvack","params":{"messageId":"18446744073709551615","messageSeq":3}}"#;
        assert_eq!(read(bare), ack(RequestTag::None, u64::MAX));
        let named =
            br#"{"jsonrpc": "2.0", "id": "a-7", "method": "recvack", "params": {"messageSeq": 0, "messageId": "12"}}"#;
        assert_eq!(read(named), ack(RequestTag::Text("a-7".into()), 12));
        let numbered = br#"{"params":{"messageId":"5"},"id":70,"method":"recvack"}"#;
        assert_eq!(read(numbered), ack(RequestTag::Number("70".into()), 5));
    }

    /// Every text of some hundred thousand, most of them wrong somewhere, is read as any request is or left to that.
    #[test]
    fn what_is_read_is_what_it_would_be_taken_for() {
        let ids = [r#","id":1"#, r#","id":"x""#, r#","id":01"#, r#","id":1.5"#, r#","id":null"#, r#","id":-1"#, ""];
        let long = format!(r#","id":"{}""#, "é".repeat(129));
        let methods = [r#""method":"recvack""#, r#""method":"ping""#, r#""m\u0065thod":"recvack""#, r#""method":1"#];
        let versions = [r#","jsonrpc":"2.0""#, r#","jsonrpc":"1.0""#, r#","jsonrpc":2"#, ""];
        let seqs = [r#","messageSeq":1"#, r#","messageSeq":99999999999999999999"#, r#","messageSeq":1e2"#, ""];
        let messages = ["1", "", "18446744073709551616", "00000000000000000000007", "+1", "1\\u0030", "é", "1\u{7f}"];
        let others = [r#","inboxSeq":4"#, r#","header":{}"#, r#","messageId":"8""#, ",", ""];
        let ends = ["}}", "} } ", "}", "}}}", r#"},"params":{}}"#, r#"},"id":2}"#, r#"},"method":"ping"}"#];
        let mut read_here = 0;
        for id in ids.into_iter().chain([long.as_str()]) {
            for (method, version) in methods.iter().flat_map(|it| versions.map(|version| (it, version))) {
                for (message, seq) in messages.iter().flat_map(|it| seqs.map(|seq| (it, seq))) {
                    for (other, end) in others.iter().flat_map(|it| ends.map(|end| (it, end))) {
                        let params = format!(r#""params":{{"messageId":"{message}"{seq}{other}{end}"#);
                        let text = format!("{{{method}{version}{id},{params}");
                        if let Some(outcome) = read(text.as_bytes()) {
                            assert_eq!(outcome, heard(text.as_bytes()), "{text}");
                            read_here += 1;
                        }
                    }
                }
            }
        }
        assert!(read_here > 50, "{read_here}");
    }

    #[test]
    fn no_cut_and_no_changed_byte_is_read_as_something_else() {
        let whole = br#"{"jsonrpc":"2.0","method":"recvack","params":{"messageId":"12","messageSeq":3},"id":"x"}"#;
        for at in 0..whole.len() {
            assert_eq!(read(&whole[..at]), None);
            for byte in 0..=u8::MAX {
                let mut changed = *whole;
                changed[at] = byte;
                if let Some(outcome) = read(&changed) {
                    assert_eq!(outcome, heard(&changed), "{byte} at {at}");
                }
            }
        }
    }
}
