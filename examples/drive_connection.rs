//! Drives a `Connection` without a socket: bytes of a JSON-RPC client go in, requests for a shard and bytes for the
//! socket come out. Run it with `cargo run --example drive_connection`.

use mushan::model::{Closing, Command, ConversationSeq, Limits, MessageId, Millis, Moment, Reply, Seq};
use mushan::wire::{Connection, Context, HandshakePolicy, Incoming, ReceivedBytes, Scratch, ServerKey, SessionGrant};

const UPGRADE: &str = "GET /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const CONNECT: &str = r#"{"method":"connect","id":"1","params":{"uid":"alice","token":"a token"}}"#;
const SEND: &str = r#"{"method":"send","id":"2","params":{"clientMsgNo":"c-1","channelId":"bob","channelType":1,
                       "payload":{"type":1,"content":"hello"}}}"#;

/// A connection with what its driver keeps for it: the clock, the shared context, and memory for decoding.
struct Driver {
    connection: Connection,
    context: Context,
    scratch: Scratch,
    now: Moment,
}

impl Driver {
    /// Feeds received bytes, which are changed in place, and returns the next request that needs a decision.
    fn feed(&mut self, bytes: &mut [u8]) -> Option<Incoming> {
        let mut chunk = ReceivedBytes::new(bytes);
        let incoming = self.connection.next(&mut chunk, self.now, &self.context, &mut self.scratch);
        // A driver calls `next` until it returns `None`, then hands over what is left, for instance half a frame.
        self.connection.buffer(chunk);
        incoming
    }

    /// What a driver would now write to the socket.
    fn print_outbox(&mut self) {
        let bytes = self.connection.drain_outbox(Vec::new());
        println!("<- {}", String::from_utf8_lossy(&bytes).escape_debug());
    }
}

/// A client's text frame, masked: RFC 6455 5.2 wants the shortest encoding of a length.
fn frame(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![0x81];
    match u16::try_from(text.len()).expect("a text below 64 KiB") {
        length @ 0..126 => bytes.push(0x80 | length.to_be_bytes()[1]),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

pub fn main() {
    let now = Moment::told(Millis(1_700_000_000_000));
    let (limits, handshake, server_key) = (Limits::default(), HandshakePolicy::default(), ServerKey::of([7; 32]));
    let context = Context { limits, handshake, server_version: "0.1.0", server_key, node_id: 1, inbox_epoch: 1 };
    let connection = Connection::new(now, &context);
    let mut driver = Driver { connection, context, scratch: Scratch::default(), now };

    // 1. The handshake needs no decision: its answer is in the outbox.
    assert_eq!(driver.feed(&mut UPGRADE.as_bytes().to_vec()), None);
    driver.print_outbox();

    // 2. The first request carries credentials. Who drives a connection checks the token and answers.
    let Some(Incoming::Authenticate(credentials)) = driver.feed(&mut frame(CONNECT)) else { panic!("a login") };
    println!("-> {} shows the token {:?}", credentials.user, credentials.token);
    let expires = now.wall.plus(3_600_000);
    let salt = *b"sixteen letters.";
    driver
        .connection
        .authenticate(SessionGrant { user: credentials.user, expires, salt }, now, &driver.context)
        .expect("there is no client key");
    driver.connection.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(0) }, now, &driver.context);
    driver.print_outbox();

    // 3. Every later request is a command for the user's shard, whose reply goes back under the request's tag.
    let Some(Incoming::Request { tag, command: Command::Send(send) }) = driver.feed(&mut frame(SEND)) else {
        panic!("a send")
    };
    println!("-> {:?} to {:?}", send.content, send.recipient);
    let (message_id, server_time) = (MessageId(1), now.wall);
    let sent = Reply::Sent { message_id, seq: Seq(1), conversation_seq: ConversationSeq(1), server_time };
    driver.connection.reply(&tag, &sent, now, &driver.context);
    driver.print_outbox();

    // 4. The end: the close frame is in the outbox, and nothing is read any more.
    driver.connection.close(Closing::Stopping, now, &driver.context);
    driver.print_outbox();
    assert_eq!(driver.connection.closing(), Some(Closing::Stopping));
}
