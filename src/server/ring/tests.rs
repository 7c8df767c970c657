//! The ring against a real kernel: receiving, sending, cancelling, waking.

use super::*;
use crate::server::base::waker::Waker;
use crate::server::state::socket::{PeerIdentity, Sockets};
use crate::server::turn::LinkKey;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

const SMALL: RingOptions =
    RingOptions { entries: 64, receive_buffers: 16, receive_buffer_bytes: 512, huge_pages: HugePages::Advise };

struct Rig {
    ring: Ring,
    waker: Waker,
    sockets: Sockets,
}

impl Rig {
    fn new() -> Self {
        let waker = Waker::new().expect("an eventfd");
        let ring = Ring::new(&SMALL).expect("a ring");
        Self { ring, waker, sockets: Sockets::default() }
    }

    fn next(&mut self) -> Completion {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(completion) = self.ring.next() {
                return completion;
            }
            assert!(Instant::now() < deadline, "no completion came");
            self.ring.enter().expect("entered");
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn connect(&mut self, key: u32) -> (SocketIndex, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        self.sockets.insert(LinkKey(key), OwnedFd::from(accepted).into(), PeerIdentity::Known);
        (self.sockets.of(LinkKey(key)).expect("inserted").place, client)
    }

    fn receive(&mut self, place: SocketIndex) {
        let socket = self.sockets.at(place).expect("there");
        self.ring.receive(place, socket.descriptor.as_fd());
    }
}

#[test]
fn accepting_goes_on_until_it_is_cancelled() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    rig.ring.accept(listener.as_fd());
    for _client in 0..3 {
        let _client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let completion = rig.next();
        assert!(matches!(completion, Completion::Accepted { result: Ok(_), next: Next::More }), "{completion:?}");
    }
    rig.ring.cancel_accept();
    let mut ended = 0;
    for _completion in 0..2 {
        match rig.next() {
            Completion::Accepted { result: Err(_), next: Next::Ended } => ended += 1,
            Completion::Chore => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ended, rig.ring.in_flight()), (1, 0));
}

#[test]
fn received_bytes_are_whole_and_in_order_beyond_the_number_of_buffers() {
    let mut rig = Rig::new();
    let (place, mut client) = rig.connect(7);
    let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&copy).map(|()| client).expect("written"));
    rig.receive(place);
    let (mut received, mut starved) = (Vec::new(), 0);
    while received.len() < sent.len() {
        let Completion::Received { place: at, result, next } = rig.next() else { panic!("only receives") };
        assert_eq!(at, place);
        match result {
            Ok(Some(buffer)) => {
                received.extend_from_slice(rig.ring.bytes_mut(&buffer));
                rig.ring.give_back(buffer);
            }
            Ok(None) => panic!("the client still writes"),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
                starved += 1;
            }
        }
        if next == Next::Ended {
            rig.receive(place);
        }
    }
    assert_eq!(received, sent);
    assert!(starved > 0, "16 buffers of 512 bytes run out");
    drop(writer.join().expect("ended"));
    let completion = rig.next();
    assert!(matches!(completion, Completion::Received { result: Ok(None), next: Next::Ended, .. }), "{completion:?}");
    assert_eq!(rig.ring.in_flight(), 0);
}

#[test]
fn a_cancelled_receive_ends_and_loses_no_byte() {
    let mut rig = Rig::new();
    let (place, mut client) = rig.connect(1);
    rig.receive(place);
    rig.ring.enter().expect("entered");
    client.write_all(b"before").expect("written");
    rig.ring.cancel_receive(place);
    let (mut received, mut has_ended) = (Vec::new(), false);
    while rig.ring.in_flight() > 0 {
        match rig.next() {
            Completion::Received { result, next, .. } => {
                if let Ok(Some(buffer)) = result {
                    received.extend_from_slice(rig.ring.bytes_mut(&buffer));
                    rig.ring.give_back(buffer);
                }
                has_ended |= next == Next::Ended;
            }
            Completion::ReceiveCancelled { place: at, .. } => assert_eq!(at, place),
            other => panic!("{other:?}"),
        }
    }
    assert!(has_ended);
    client.write_all(b" after").expect("written");
    let socket = rig.sockets.remove(place.key);
    let mut rest = [0; 12];
    let descriptor = socket.descriptor.as_fd().try_clone_to_owned().expect("a descriptor");
    let mut stream = TcpStream::from(descriptor);
    stream.read_exact(&mut rest[received.len()..]).expect("what was not received is still there");
    rest[..received.len()].copy_from_slice(&received);
    assert_eq!(&rest, b"before after");
}

#[test]
fn a_sends_bytes_come_back_with_its_completion() {
    let mut rig = Rig::new();
    let (place, mut client) = rig.connect(2);
    let send = SendInFlight { bytes: b"skip hello".to_vec(), sent: 5 };
    let socket = rig.sockets.at(place).expect("there");
    rig.ring.send(place, socket.descriptor.as_fd(), send);
    let Completion::Sent { result, send, .. } = rig.next() else { panic!("a send") };
    assert_eq!((result.expect("sent"), send.bytes.as_slice()), (5, b"skip hello".as_slice()));
    let mut received = [0; 5];
    client.read_exact(&mut received).expect("received");
    assert_eq!(&received, b"hello");
}

#[test]
fn a_sleep_without_completions_ends_in_its_time() {
    let mut rig = Rig::new();
    rig.ring.await_waker(rig.waker.eventfd());
    let start = Instant::now();
    rig.ring.sleep(Duration::from_millis(20)).expect("slept");
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(rig.ring.next().is_none());
}

#[test]
fn a_sleep_ends_when_a_waker_writes_also_before_it() {
    let mut rig = Rig::new();
    for _round in 0..3 {
        rig.waker.fall_asleep();
        rig.waker.wake();
        rig.ring.await_waker(rig.waker.eventfd());
        rig.ring.sleep(Duration::from_secs(3_600)).expect("slept");
        let completion = rig.next();
        assert!(matches!(completion, Completion::Woken), "{completion:?}");
    }
    rig.ring.await_waker(rig.waker.eventfd());
    let waker = &rig.waker;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            waker.fall_asleep();
            waker.wake();
        });
        rig.ring.sleep(Duration::from_secs(3_600)).expect("slept");
    });
    assert!(matches!(rig.next(), Completion::Woken));
}

#[test]
fn a_full_queue_holds_back_and_forgets_nothing() {
    let mut rig = Rig::new();
    let directory = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(directory.path().join("file")).expect("made");
    for _sync in 0..500 {
        rig.ring.sync(file.as_fd());
    }
    for _sync in 0..500 {
        let completion = rig.next();
        assert!(matches!(completion, Completion::Synced { result: Ok(()) }), "{completion:?}");
    }
    assert_eq!(rig.ring.in_flight(), 0);
}
