//! One shard's listening socket: every shard accepts, and the kernel spreads connections over them (SO_REUSEPORT).
//!
//! Owned by one reactor. Accepted sockets inherit their TCP options from the listening one. Out of descriptors it backs
//! off: one reserve is spent to turn the first in the queue away, so that its client is not left hanging.

use super::{Options, StartError};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The kernel takes rings apart after their process has ended, and what they listened on is not free before: a server
/// that follows one that was killed waits for that.
const TAKEN_PATIENCE: Duration = Duration::from_secs(2);
const TAKEN_RETRY: Duration = Duration::from_millis(10);

pub struct Listener {
    socket: Socket,
    reserve: Option<File>,
    backlog: i32,
}

/// One bound socket for each shard, all on one port. They refuse connections until `listen`.
pub fn bind_all(options: &Options, shards: u16) -> Result<(SocketAddr, Vec<Listener>), StartError> {
    let refuse = |error: io::Error| StartError::Configuration(format!("cannot listen on {}: {error}", options.listen));
    let address = await_free(options.listen).map_err(refuse)?;
    let listeners = (0..shards).map(|_shard| Listener::bind(address, options)).collect::<io::Result<Vec<_>>>();
    Ok((address, listeners.map_err(refuse)?))
}

fn await_free(address: SocketAddr) -> io::Result<SocketAddr> {
    let began = Instant::now();
    loop {
        match find_free(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < TAKEN_PATIENCE => {
                std::thread::sleep(TAKEN_RETRY);
            }
            found => return found,
        }
    }
}

/// Takes the address alone for a moment: with SO_REUSEPORT another server on it would not be noticed.
fn find_free(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the address is not an internet address"))
}

impl Listener {
    fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(options.tcp_nodelay != 0)?;
        if options.tcp_notsent_lowat_bytes > 0 {
            socket.set_tcp_notsent_lowat(options.tcp_notsent_lowat_bytes)?;
        }
        socket.set_tcp_user_timeout(Some(Duration::from_millis(options.tcp_user_timeout_ms)))?;
        let keepalive = Duration::from_millis(options.keepalive_ms);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4))?;
        socket.bind(&address.into())?;
        let backlog = i32::try_from(options.listen_backlog).unwrap_or(i32::MAX);
        Ok(Self { socket, reserve: None, backlog })
    }

    pub fn listen(&mut self) -> io::Result<()> {
        self.reserve = Some(File::open("/dev/null")?);
        self.socket.listen(self.backlog)
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Out of descriptors: turns away whoever waits first.
    pub fn turn_one_away(&mut self) {
        self.reserve = None;
        let mut waiting = [PollFd::new(&self.socket, PollFlags::IN)];
        let has_waiting = poll(&mut waiting, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0);
        if has_waiting {
            drop(self.socket.accept());
        }
        self.reserve = File::open("/dev/null").ok();
    }
}

/// Where an accepted connection comes from.
pub fn peer_of(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getpeername(socket)?;
    SocketAddr::try_from(address.ok_or(io::ErrorKind::NotConnected)?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn options() -> Options {
        Options { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Options::default() }
    }

    #[test]
    fn shards_share_a_port_and_refuse_until_they_listen() {
        let (address, mut listeners) = bind_all(&options(), 2).expect("bound");
        assert!(TcpStream::connect(address).is_err(), "nobody listens yet");
        listeners.iter_mut().for_each(|listener| listener.listen().expect("listening"));
        assert!(TcpStream::connect(address).is_ok());
        let taken = Options { listen: address, ..options() };
        let error = bind_all(&taken, 1).err().expect("the port is taken");
        assert_eq!(error.exit_status(), 1, "{error}");
    }

    #[test]
    fn an_address_that_is_about_to_be_free_is_waited_for() {
        let last = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let options = Options { listen: last.local_addr().expect("bound"), ..options() };
        let leaves = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(last);
        });
        assert!(bind_all(&options, 2).is_ok());
        leaves.join().expect("no panic");
    }

    #[test]
    fn accepted_sockets_inherit_their_options() {
        let (address, mut listeners) = bind_all(&options(), 1).expect("bound");
        listeners[0].listen().expect("listening");
        let client = TcpStream::connect(address).expect("connected");
        let (accepted, _) = listeners[0].socket.accept().expect("accepted");
        assert!(accepted.tcp_nodelay().expect("readable"));
        assert!(accepted.keepalive().expect("readable"));
        assert_eq!(accepted.tcp_user_timeout().expect("readable"), Some(Duration::from_secs(30)));
        assert_eq!(peer_of(&accepted.into()).expect("connected"), client.local_addr().expect("bound"));
    }

    #[test]
    fn what_the_configuration_says_of_sockets_holds_for_accepted_ones() {
        let options = Options { tcp_nodelay: 0, tcp_notsent_lowat_bytes: 16_384, listen_backlog: 1, ..options() };
        let (address, mut listeners) = bind_all(&options, 1).expect("bound");
        listeners[0].listen().expect("listening");
        let _client = TcpStream::connect(address).expect("connected");
        let (accepted, _) = listeners[0].socket.accept().expect("accepted");
        assert!(!accepted.tcp_nodelay().expect("readable"));
        assert_eq!(accepted.tcp_notsent_lowat().expect("readable"), 16_384);
    }

    #[test]
    fn turning_one_away_takes_one_from_the_queue_and_never_blocks() {
        let (address, mut listeners) = bind_all(&options(), 1).expect("bound");
        listeners[0].listen().expect("listening");
        listeners[0].turn_one_away();
        let mut client = TcpStream::connect(address).expect("connected");
        listeners[0].turn_one_away();
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        assert_eq!(io::Read::read(&mut client, &mut [0; 8]).expect("closed"), 0);
    }
}
