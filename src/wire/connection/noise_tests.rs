//! Whatever bytes come, a connection does not panic.

use super::tests::{BINARY, CONNECT, Peer, TEXT, frame, sync_request};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_bytes_panic_before_the_handshake(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        Peer::new().feed(&bytes);
    }

    #[test]
    fn no_payload_panics_after_it(payload in prop::collection::vec(any::<u8>(), 0..300), path in 0..3_usize) {
        let path = ["/ws", "/rpc", "/wukong"][path];
        Peer::open(path).feed(&frame(BINARY, &payload));
        Peer::upgraded(path).feed(&frame(BINARY, &payload));
    }

    #[test]
    fn no_json_panics(text in r#"[\[\]{}",:0-9eE.tfn\\u\- a-c]{0,60}"#, value in r#"(\{"type":[0-9]{1,12}\}|"[a-zA-Z0-9+/=]{0,20}"|[0-9e.\-]{1,20})"#) {
        let mut peer = Peer::open("/rpc");
        peer.feed(&frame(TEXT, text.as_bytes()));
        let send = format!(r#"{{"method":"send","id":{value},"params":{{"clientMsgNo":"c","channelId":"b","channelType":1,"payload":{value}}}}}"#);
        peer.feed(&frame(TEXT, send.as_bytes()));
    }

    #[test]
    fn damaged_requests_do_not_panic(at in 0..40_usize, byte in any::<u8>(), path in any::<bool>()) {
        let (path, mut bytes) = if path { ("/ws", sync_request(300)) } else { ("/rpc", frame(TEXT, CONNECT.as_bytes())) };
        if let Some(damaged) = bytes.get_mut(at) {
            *damaged ^= byte;
        }
        Peer::open(path).feed(&bytes);
    }
}
