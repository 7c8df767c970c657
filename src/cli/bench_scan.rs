//! Reads just enough of a server's message to tell what it says, without decoding it whole.

use super::bench_template::{DIGITS, number_of_sequence};
use super::chat::Protocol;
use crate::wire::proto::CommandType;

/// What the generator has to know of one server message.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned<'a> {
    Accepted {
        number: u32,
    },
    Refused(String),
    Pushed {
        number: u32,
        pair: u32,
        ack: AckName<'a>,
    },
    /// Nothing to do with the load.
    Other,
}

/// How the receiver names what it acknowledges.
#[derive(Debug, PartialEq, Eq)]
pub enum AckName<'a> {
    Seq(u64),
    Message { id: &'a str, seq: u64 },
}

/// `None`: the message is not understood.
pub fn scan(protocol: Protocol, message: &[u8]) -> Option<Scanned<'_>> {
    match protocol {
        Protocol::Binary => scan_binary(message),
        Protocol::Jsonrpc => scan_json_rpc(std::str::from_utf8(message).ok()?),
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
        command @ (CommandType::CmdUnknown | CommandType::CmdKickOut) => {
            Some(Scanned::Refused(command.as_str_name().to_owned()))
        }
        _ => Some(Scanned::Other),
    }
}

fn scan_answer(sequence: u32, mut body: &[u8]) -> Option<Scanned<'_>> {
    let mut refusal = (0, &[][..]);
    while let Some((number, field)) = next_field(&mut body)? {
        match (number, field) {
            (1, Field::Number(code)) => refusal.0 = code,
            (2, Field::Bytes(text)) => refusal.1 = text,
            _ => {}
        }
    }
    match refusal {
        (0, _) => Some(Scanned::Accepted { number: number_of_sequence(sequence)? }),
        (code, text) => Some(Scanned::Refused(format!("{} (error {code})", String::from_utf8_lossy(text)))),
    }
}

fn scan_push(mut body: &[u8]) -> Option<Scanned<'_>> {
    let (mut content, mut seq) = (&[][..], 0);
    while let Some((number, field)) = next_field(&mut body)? {
        match (number, field) {
            (8, Field::Bytes(bytes)) => content = bytes,
            (11, Field::Number(value)) => seq = value,
            _ => {}
        }
    }
    let (number, pair) = numbers(std::str::from_utf8(content.get(..2 * DIGITS)?).ok()?)?;
    Some(Scanned::Pushed { number, pair, ack: AckName::Seq(seq) })
}

/// The next field of a protobuf message; `Some(None)` at its end, `None` when it is none.
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
    if message.contains(r#""method":"recv""#) {
        let (number, pair) = numbers(behind(message, r#""content":""#)?.get(..2 * DIGITS)?)?;
        let id = behind(message, r#""messageId":""#)?;
        let id = &id[..id.find('"')?];
        let seq = behind(message, r#""messageSeq":"#)?;
        let seq = seq[..seq.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()?;
        return Some(Scanned::Pushed { number, pair, ack: AckName::Message { id, seq } });
    }
    if message.contains(r#""error":"#) || message.contains(r#""method":"disconnect""#) {
        return Some(Scanned::Refused(message.to_owned()));
    }
    let Some(id) = behind(message, r#""id":""#) else { return Some(Scanned::Other) };
    Some(Scanned::Accepted { number: u32::from_str_radix(id.get(..DIGITS)?, 16).ok()? })
}

fn behind<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).map(|at| &text[at + mark.len()..])
}

/// A message's number and its pair's.
fn numbers(digits: &str) -> Option<(u32, u32)> {
    let (number, pair) = digits.split_at_checked(DIGITS)?;
    Some((u32::from_str_radix(number, 16).ok()?, u32::from_str_radix(pair, 16).ok()?))
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
        let push = PushMessage { content: Bytes::from("000000ff00000007xxx"), seq: 300, ..Default::default() };
        let bytes = binary(CommandType::CmdPushMsg, 0, &push);
        let expected = Scanned::Pushed { number: 255, pair: 7, ack: AckName::Seq(300) };
        assert_eq!(scan(Protocol::Binary, &bytes), Some(expected));
        assert_eq!(scan(Protocol::Binary, &bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_binary_answer_is_told_by_its_sequence_and_error_code() {
        let answer = SendMessageResponse { seq: 1, ..Default::default() };
        let bytes = binary(CommandType::CmdSendMsgRsp, (1 << 28) | 9, &answer);
        assert_eq!(scan(Protocol::Binary, &bytes), Some(Scanned::Accepted { number: 9 }));
        let refused = SendMessageResponse { error_code: 201, error_msg: "too fast".to_owned(), ..Default::default() };
        let bytes = binary(CommandType::CmdSendMsgRsp, (1 << 28) | 9, &refused);
        assert_eq!(scan(Protocol::Binary, &bytes), Some(Scanned::Refused("too fast (error 201)".to_owned())));
    }

    #[test]
    fn json_messages_are_told_apart() {
        let push = concat!(
            r#"{"jsonrpc":"2.0","method":"recv","params":{"header":{},"messageId":"71","messageSeq":12,"fromUid":"a","#,
            r#""payload":{"type":1,"content":"000000ff00000007xxx"}}}"#
        );
        let expected = Scanned::Pushed { number: 255, pair: 7, ack: AckName::Message { id: "71", seq: 12 } };
        assert_eq!(scan(Protocol::Jsonrpc, push.as_bytes()), Some(expected));
        let answer = r#"{"jsonrpc":"2.0","id":"0000000a","result":{"messageId":"71","messageSeq":12,"reasonCode":0}}"#;
        assert_eq!(scan(Protocol::Jsonrpc, answer.as_bytes()), Some(Scanned::Accepted { number: 10 }));
        assert_eq!(scan(Protocol::Jsonrpc, br#"{"jsonrpc":"2.0","method":"pong"}"#), Some(Scanned::Other));
        let refused = br#"{"jsonrpc":"2.0","id":"0000000a","error":{"code":1104,"message":"m"}}"#;
        assert!(matches!(scan(Protocol::Jsonrpc, refused), Some(Scanned::Refused(_))));
    }
}
