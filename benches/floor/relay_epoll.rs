//! The relay on plain epoll: a read per readable socket, then a write per socket with something to say.

use super::book::{Account, Route, WELCOME};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    account: Account,
    outbox: Vec<u8>,
    is_open: bool,
}

pub fn serve(route: Route, listening: impl FnOnce(SocketAddr)) {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    listening(listener.local_addr().expect("bound"));
    let mut poll = Poll::new().expect("epoll");
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("watched");
    let mut events = Events::with_capacity(1_024);
    let mut connections: Vec<Connection> = Vec::new();
    let mut dirty: Vec<usize> = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            continue;
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true).expect("a socket");
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(connections.len()), interest).expect("watched");
                    let account = Account::default();
                    dirty.push(connections.len());
                    connections.push(Connection { stream, account, outbox: WELCOME.to_vec(), is_open: true });
                }
                continue;
            }
            let me = event.token().0;
            if event.is_readable() {
                read(route, &mut connections, me, &mut buffer, &mut dirty);
            }
            dirty.push(me);
        }
        for me in dirty.drain(..) {
            write(&mut connections[me]);
        }
    }
}

fn read(route: Route, connections: &mut [Connection], me: usize, buffer: &mut [u8], dirty: &mut Vec<usize>) {
    while connections[me].is_open {
        let count = match connections[me].stream.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => 0,
        };
        if count == 0 {
            connections[me].is_open = false;
            return;
        }
        let readers = route.readers_of(me, connections.len());
        if !readers.is_empty() {
            let Connection { account, outbox, .. } = &mut connections[me];
            account.answer(&buffer[..count], outbox);
        }
        for reader in readers {
            connections[reader].outbox.extend_from_slice(&buffer[..count]);
            dirty.push(reader);
        }
        if count < buffer.len() {
            return;
        }
    }
}

fn write(connection: &mut Connection) {
    while !connection.outbox.is_empty() {
        match connection.stream.write(&connection.outbox) {
            Ok(count) => drop(connection.outbox.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return connection.outbox.clear(),
        }
    }
}
