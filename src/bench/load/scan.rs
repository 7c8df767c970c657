//! Reads just as much of a server's message as the generator needs, without decoding all of it.

use crate::bench::load::template::{DIGITS, LoadDialect, number_of_sequence};
use crate::wire::proto::CommandType;

/// The information in one server message that the generator needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned<'a> {
    /// `None`: answers arrive in the order of their requests and name none.
    Accepted {
        number: Option<u32>,
    },
    Refused(String),
    Pushed {
        number: u32,
        stream: u32,
        ack: AckName<'a>,
    },
    Welcome,
    Page(RawPage<'a>),
    /// The answer to a receipt.
    Noted,
    /// A message without meaning for the load.
    Other,
}

/// The ids by which the receiver acknowledges an entry.
#[derive(Debug, PartialEq, Eq)]
pub struct AckName<'a> {
    pub id: &'a str,
    /// The conversation seq in JSON-RPC; the binary protocol has only inbox seqs.
    pub seq: u64,
    pub inbox_seq: u64,
}

/// The answer to a sync, not yet decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct RawPage<'a> {
    dialect: LoadDialect,
    body: &'a [u8],
}

/// The contents of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageContents {
    pub entries: u64,
    pub last: u64,
    pub has_hole: bool,
    pub has_more: bool,
}

/// The size of a relay's answer; none of our messages has this size.
pub const BARE_ANSWER_BYTES: usize = 48;
/// The size of a relay's welcome.
const BARE_WELCOME_BYTES: usize = 1;

/// `None`: the message cannot be decoded.
pub fn scan(dialect: LoadDialect, message: &[u8]) -> Option<Scanned<'_>> {
    match dialect {
        LoadDialect::Binary => scan_binary(message),
        LoadDialect::JsonRpc => scan_json_rpc(std::str::from_utf8(message).ok()?),
        LoadDialect::Bare if message.len() == BARE_ANSWER_BYTES => Some(Scanned::Accepted { number: None }),
        LoadDialect::Bare if message.len() == BARE_WELCOME_BYTES => Some(Scanned::Welcome),
        LoadDialect::Bare => {
            let (number, stream) = numbers_of(message.get(..2 * DIGITS)?)?;
            let seq = u64::from(number) + 1;
            Some(Scanned::Pushed { number, stream, ack: AckName { id: "", seq, inbox_seq: seq } })
        }
    }
}

impl RawPage<'_> {
    /// `each` gets the seq, number and stream of every message of the load in the page.
    pub fn read(&self, after: u64, mut each: impl FnMut(u64, u32, u32)) -> Option<PageContents> {
        let mut contents = PageContents { last: after, ..PageContents::default() };
        let mut take = |contents: &mut PageContents, seq: u64, numbered: Option<(u32, u32)>| {
            contents.has_hole |= seq != contents.last + 1;
            contents.last = seq;
            contents.entries += 1;
            if let Some((number, stream)) = numbered {
                each(seq, number, stream);
            }
        };
        match self.dialect {
            LoadDialect::Binary => {
                let mut rest = self.body;
                while let Some((number, field)) = next_field(&mut rest)? {
                    match (number, field) {
                        (3, Field::Bytes(entry)) => {
                            let PushedEntry { content, seq, .. } = entry_of(entry)?;
                            take(&mut contents, seq, content.get(..2 * DIGITS).and_then(numbers_of));
                        }
                        (5, Field::Number(flag)) => contents.has_more = flag != 0,
                        _ => {}
                    }
                }
            }
            LoadDialect::JsonRpc | LoadDialect::Bare => {
                let text = std::str::from_utf8(self.body).ok()?;
                contents.has_more = text.contains(r#""hasMore":true"#);
                let mut rest = text;
                while let Some(entry) = behind(rest, r#""inboxSeq":"#) {
                    let end = entry.find(|letter: char| !letter.is_ascii_digit())?;
                    let payload = behind(entry, r#""payload":{"#);
                    let content = payload.and_then(|payload| behind(payload.get(..64)?, r#""content":""#));
                    let numbered = content.and_then(|content| numbers(content.get(..2 * DIGITS)?));
                    take(&mut contents, entry[..end].parse().ok()?, numbered);
                    rest = &entry[end..];
                }
            }
        }
        Some(contents)
    }
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn scan_binary(message: &[u8]) -> Option<Scanned<'_>> {
    let (mut code, mut sequence, mut body) = (0, 0, &[][..]);
    let mut rest = message;
    while let Some((number, field)) = next_field(&mut rest)? {
        match (number, field) {
            (1, Field::Number(value)) => code = i32::try_from(value).ok()?,
            (2, Field::Number(value)) => sequence = u32::try_from(value).ok()?,
            (3, Field::Bytes(bytes)) => body = bytes,
            _ => {}
        }
    }
    match CommandType::try_from(code).ok()? {
        CommandType::CmdSendMsgRsp => scan_answer(sequence, body),
        CommandType::CmdPushMsg => scan_push(body),
        CommandType::CmdAuthRsp => scan_done(body, Scanned::Welcome),
        CommandType::CmdReadReceiptRsp => scan_done(body, Scanned::Noted),
        CommandType::CmdSyncRsp => scan_done(body, Scanned::Page(RawPage { dialect: LoadDialect::Binary, body })),
        command @ (CommandType::CmdUnknown | CommandType::CmdKickOut) => {
            Some(Scanned::Refused(command.as_str_name().to_owned()))
        }
        _ => Some(Scanned::Other),
    }
}

fn scan_answer(sequence: u32, body: &[u8]) -> Option<Scanned<'_>> {
    scan_done(body, Scanned::Accepted { number: Some(number_of_sequence(sequence)?) })
}

/// Every answer begins with an error code and a text.
fn scan_done<'a>(mut body: &'a [u8], done: Scanned<'a>) -> Option<Scanned<'a>> {
    let mut refusal = (0, &[][..]);
    while let Some((number, field)) = next_field(&mut body)? {
        match (number, field) {
            (1, Field::Number(code)) => refusal.0 = code,
            (2, Field::Bytes(text)) => refusal.1 = text,
            _ => break,
        }
    }
    match refusal {
        (0, _) => Some(done),
        (code, text) => Some(Scanned::Refused(format!("{} (error {code})", String::from_utf8_lossy(text)))),
    }
}

struct PushedEntry<'a> {
    id: &'a [u8],
    content: &'a [u8],
    seq: u64,
}

fn entry_of(mut body: &[u8]) -> Option<PushedEntry<'_>> {
    let mut entry = PushedEntry { id: &[], content: &[], seq: 0 };
    while let Some((number, field)) = next_field(&mut body)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => entry.id = bytes,
            (8, Field::Bytes(bytes)) => entry.content = bytes,
            (11, Field::Number(value)) => entry.seq = value,
            _ => {}
        }
    }
    Some(entry)
}

fn scan_push(body: &[u8]) -> Option<Scanned<'_>> {
    let PushedEntry { id, content, seq } = entry_of(body)?;
    let (number, stream) = numbers_of(content.get(..2 * DIGITS)?)?;
    Some(Scanned::Pushed { number, stream, ack: AckName { id: std::str::from_utf8(id).ok()?, seq, inbox_seq: seq } })
}

fn numbers_of(digits: &[u8]) -> Option<(u32, u32)> {
    numbers(std::str::from_utf8(digits).ok()?)
}

/// The next field of a protobuf message; `Some(None)` at its end, `None` if the bytes are not one.
#[expect(clippy::option_option, reason = "the outer one is the failure, for `?`")]
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<Option<(u64, Field<'a>)>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let key = varint(bytes)?;
    let field = match key & 7 {
        0 => Field::Number(varint(bytes)?),
        1 => Field::Bytes(split(bytes, 8)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Field::Bytes(split(bytes, length)?)
        }
        5 => Field::Bytes(split(bytes, 4)?),
        _ => return None,
    };
    Some(Some((key >> 3, field)))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn scan_json_rpc(message: &str) -> Option<Scanned<'_>> {
    // A page contains whole messages, so their fields must not be taken for those of the page.
    if let Some(id) = behind(message.get(..64).unwrap_or(message), r#""id":"sync""#)
        && !id.starts_with(r#","error""#)
    {
        return Some(Scanned::Page(RawPage { dialect: LoadDialect::JsonRpc, body: message.as_bytes() }));
    }
    if message.contains(r#""method":"recv""#) {
        let (number, stream) = numbers(behind(message, r#""content":""#)?.get(..2 * DIGITS)?)?;
        let id = behind(message, r#""messageId":""#)?;
        let id = &id[..id.find('"')?];
        let digits = |text: &str| text[..text.find(|letter: char| !letter.is_ascii_digit())?].parse().ok();
        let seq = digits(behind(message, r#""messageSeq":"#)?)?;
        // Some messages have no inbox seq.
        let inbox_seq = behind(message, r#""inboxSeq":"#).and_then(digits).unwrap_or(0);
        return Some(Scanned::Pushed { number, stream, ack: AckName { id, seq, inbox_seq } });
    }
    if message.contains(r#""error":"#) || message.contains(r#""method":"disconnect""#) {
        return Some(Scanned::Refused(message.to_owned()));
    }
    let Some(id) = behind(message, r#""id":""#) else { return Some(Scanned::Other) };
    match &id[..id.find('"')?] {
        "connect" => Some(Scanned::Welcome),
        "receipt" => Some(Scanned::Noted),
        "sync" => Some(Scanned::Page(RawPage { dialect: LoadDialect::JsonRpc, body: message.as_bytes() })),
        number => Some(Scanned::Accepted { number: Some(u32::from_str_radix(number, 16).ok()?) }),
    }
}

fn behind<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).map(|at| &text[at + mark.len()..])
}

/// The number of a message, and the number of its stream.
fn numbers(digits: &str) -> Option<(u32, u32)> {
    let (number, stream) = digits.split_at_checked(DIGITS)?;
    Some((u32::from_str_radix(number, 16).ok()?, u32::from_str_radix(stream, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::{PushMessage, SendMessageResponse, WebSocketMessage};
    use bytes::Bytes;
    use prost::Message as _;

    fn binary(command: CommandType, sequence: u32, body: &impl prost::Message) -> Vec<u8> {
        let body = Bytes::from(body.encode_to_vec());
        WebSocketMessage { command: command.into(), sequence, body, timestamp: 1 }.encode_to_vec()
    }

    #[test]
    fn a_binary_push_tells_number_pair_and_seq() {
        let push = PushMessage {
            content: Bytes::from("000000ff00000007xxx"),
            seq: 300,
            message_id: "9".to_owned(),
            ..Default::default()
        };
        let bytes = binary(CommandType::CmdPushMsg, 0, &push);
        let expected = Scanned::Pushed { number: 255, stream: 7, ack: AckName { id: "9", seq: 300, inbox_seq: 300 } };
        assert_eq!(scan(LoadDialect::Binary, &bytes), Some(expected));
        assert_eq!(scan(LoadDialect::Binary, &bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_binary_answer_is_told_by_its_sequence_and_error_code() {
        let answer = SendMessageResponse { seq: 1, ..Default::default() };
        let bytes = binary(CommandType::CmdSendMsgRsp, (1 << 28) | 9, &answer);
        assert_eq!(scan(LoadDialect::Binary, &bytes), Some(Scanned::Accepted { number: Some(9) }));
        let refused = SendMessageResponse { error_code: 201, error_msg: "too fast".to_owned(), ..Default::default() };
        let bytes = binary(CommandType::CmdSendMsgRsp, (1 << 28) | 9, &refused);
        assert_eq!(scan(LoadDialect::Binary, &bytes), Some(Scanned::Refused("too fast (error 201)".to_owned())));
    }

    #[test]
    fn json_messages_are_told_apart() {
        let push = concat!(
            r#"{"jsonrpc":"2.0","method":"recv","params":{"header":{},"messageId":"71","messageSeq":12,"inboxSeq":90,"#,
            r#""payload":{"type":1,"content":"000000ff00000007xxx"}}}"#
        );
        let expected = Scanned::Pushed { number: 255, stream: 7, ack: AckName { id: "71", seq: 12, inbox_seq: 90 } };
        assert_eq!(scan(LoadDialect::JsonRpc, push.as_bytes()), Some(expected));
        let answer = r#"{"jsonrpc":"2.0","id":"0000000a","result":{"messageId":"71","messageSeq":12,"reasonCode":0}}"#;
        assert_eq!(scan(LoadDialect::JsonRpc, answer.as_bytes()), Some(Scanned::Accepted { number: Some(10) }));
        assert_eq!(scan(LoadDialect::JsonRpc, br#"{"jsonrpc":"2.0","method":"pong"}"#), Some(Scanned::Other));
        let refused = br#"{"jsonrpc":"2.0","id":"0000000a","error":{"code":1104,"message":"m"}}"#;
        assert!(matches!(scan(LoadDialect::JsonRpc, refused), Some(Scanned::Refused(_))));
    }
}
