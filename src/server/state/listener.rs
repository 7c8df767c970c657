//! One shard's listening socket: every shard accepts, and the kernel spreads connections over them (SO_REUSEPORT).
//!
//! Owned by one reactor. Accepted sockets inherit their TCP options from the listening one. When descriptors run out,
//! the listener closes its reserved one to accept and refuse the first waiting connection, so that its client does not
//! wait for nothing.

use crate::server::base::error::ConfigurationError;
use crate::server::{Options, StartError};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::fs::File;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener};
use std::time::{Duration, Instant};

/// The kernel frees a ring's listening sockets some time after its process has ended: a server that starts after one
/// that was killed retries for this time.
const TAKEN_PATIENCE: Duration = Duration::from_secs(2);
const TAKEN_RETRY: Duration = Duration::from_millis(10);

pub struct Listener {
    socket: Socket,
    reserve: Option<File>,
    backlog: i32,
}

/// The listening sockets of a server, one for each shard, all on one port.
pub struct Bound {
    pub address: SocketAddr,
    /// Connections are refused until `listen`.
    pub listeners: Vec<Listener>,
    /// To be held until all sockets listen.
    pub claim: Claim,
}

/// The exclusive claim of a port. Sockets that are bound and do not listen yet keep nobody else out.
///
/// The claim is an abstract socket name in the network namespace of the port; the kernel frees it with the process.
pub struct Claim {
    /// `None` beside a server that has the port.
    _socket: Option<Socket>,
    _name: Option<UnixListener>,
}

pub fn bind_all(options: &Options, shards: u16) -> Result<Bound, StartError> {
    let refuse = |error: io::Error| refused(options.listen, "--listen", error);
    let (address, claim) = await_free(options.listen).map_err(refuse)?;
    let listeners = (0..shards).map(|_shard| Listener::bind(address, options)).collect::<io::Result<Vec<_>>>();
    Ok(Bound { address, listeners: listeners.map_err(refuse)?, claim })
}

/// The same beside a server that still has the port. Its user must be this process's: the kernel shares a port with nobody
/// else (decision 0046).
pub fn bind_beside(options: &Options, shards: u16) -> Result<Bound, StartError> {
    let refuse = |error: io::Error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return refused(options.listen, "--listen", error);
        }
        let port = options.listen.port();
        let remedy = format!(
            "port {port} is another user's or another program's, which share it with nobody: --take-over wants the port \
             and the user of the server that runs"
        );
        ConfigurationError::Listen { address: options.listen, remedy, source: error }.into()
    };
    let name = if options.listen.port() == 0 { Ok(None) } else { name(options.listen.port()) };
    let claim = Claim { _socket: None, _name: name.map_err(refuse)? };
    let first = Listener::bind(options.listen, options).map_err(refuse)?;
    let address = first.socket.local_addr().map_err(refuse)?.as_socket().unwrap_or(options.listen);
    let others = (1..shards).map(|_shard| Listener::bind(address, options));
    let listeners = std::iter::once(Ok(first)).chain(others).collect::<io::Result<Vec<_>>>();
    Ok(Bound { address, listeners: listeners.map_err(refuse)?, claim })
}

/// The error for an address that cannot be listened on; `flag` is the option that chooses another one.
pub fn refused(address: SocketAddr, flag: &str, source: io::Error) -> StartError {
    let (ip, port) = (address.ip(), address.port());
    let other = |step: u16| SocketAddr::new(ip, port.checked_add(step).unwrap_or(port / 2));
    let remedy = match source.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            format!("port {port} is taken by another program; choose one with {flag}, such as {}", other(1_000))
        }
        Some(libc::EACCES | libc::EPERM) if port < 1_024 => format!(
            "ports below 1024 want CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit); {flag} takes a higher one, \
             such as {}",
            other(8_000)
        ),
        Some(libc::EADDRNOTAVAIL) => format!("this machine has no address {ip}; choose one that it has with {flag}"),
        _ => format!("{source}; choose another address with {flag}"),
    };
    ConfigurationError::Listen { address, remedy, source }.into()
}

fn await_free(address: SocketAddr) -> io::Result<(SocketAddr, Claim)> {
    let began = Instant::now();
    loop {
        match claim(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < TAKEN_PATIENCE => {
                std::thread::sleep(TAKEN_RETRY);
            }
            found => return found,
        }
    }
}

/// Binds the address without SO_REUSEPORT: with it another server on the address would not be noticed.
fn claim(address: SocketAddr) -> io::Result<(SocketAddr, Claim)> {
    let early = if address.port() == 0 { None } else { name(address.port())? };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or_else(|| io::Error::other("the address is not an internet address"))?;
    let name = if early.is_some() { early } else { name(address.port())? };
    Ok((address, Claim { _socket: Some(socket), _name: name }))
}

/// `None` where the system has no abstract names: then only servers that already listen are noticed.
fn name(port: u16) -> io::Result<Option<UnixListener>> {
    let name = net::SocketAddr::from_abstract_name(format!("mushan-port-{port}"))?;
    match UnixListener::bind_addr(&name) {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok(None),
    }
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

    /// May be called again, which changes nothing.
    pub fn listen(&mut self) -> io::Result<()> {
        self.reserve = Some(File::open("/dev/null")?);
        self.socket.listen(self.backlog)
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Refuses the first waiting connection when descriptors have run out.
    pub fn turn_one_away(&mut self, answer: &[u8]) {
        self.reserve = None;
        let mut waiting = [PollFd::new(&self.socket, PollFlags::IN)];
        let has_waiting = poll(&mut waiting, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0);
        if has_waiting && let Ok((socket, _peer)) = self.socket.accept() {
            // Writes as much as the socket takes at once: the reactor never waits for a peer.
            let _ = socket.set_nonblocking(true).and_then(|()| (&socket).write_all(answer));
            let _ = socket.shutdown(Shutdown::Write);
        }
        self.reserve = File::open("/dev/null").ok();
    }
}

/// The remote address of an accepted connection.
pub fn peer_of(socket: impl AsFd) -> io::Result<SocketAddr> {
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
        let Bound { address, mut listeners, claim } = bind_all(&options(), 2).expect("bound");
        assert!(TcpStream::connect(address).is_err(), "nobody listens yet");
        listeners.iter_mut().for_each(|listener| listener.listen().expect("listening"));
        drop(claim);
        assert!(TcpStream::connect(address).is_ok());
        let taken = Options { listen: address, ..options() };
        let error = bind_all(&taken, 1).err().expect("the port is taken");
        assert_eq!(error.exit_status(), 1, "{error}");
        let expected = format!("cannot listen on {address}: port {} is taken by another program", address.port());
        assert!(error.to_string().starts_with(&expected) && error.to_string().contains("--listen"), "{error}");
    }

    #[test]
    fn a_port_that_another_server_is_about_to_listen_on_is_taken() {
        let first = bind_all(&options(), 2).expect("bound");
        let same = Options { listen: first.address, ..options() };
        assert!(claim(same.listen).is_err(), "though nobody listens yet");
        drop(first);
        assert!(claim(same.listen).is_ok(), "and free again when its start has failed");
    }

    #[test]
    fn each_refusal_to_listen_names_the_address_and_a_remedy() {
        let text = |address: &str, code: i32| {
            refused(address.parse().expect("an address"), "--listen", io::Error::from_raw_os_error(code)).to_string()
        };
        let low = text("127.0.0.1:80", libc::EACCES);
        assert!(low.contains("127.0.0.1:80") && low.contains("below 1024") && low.contains("127.0.0.1:8080"), "{low}");
        assert!(text("10.1.2.3:8081", libc::EADDRNOTAVAIL).contains("no address 10.1.2.3"));
        assert!(text("[::]:65000", libc::EADDRINUSE).contains("[::]:32500"));
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
        let Bound { address, mut listeners, .. } = bind_all(&options(), 1).expect("bound");
        listeners[0].listen().expect("listening");
        let client = TcpStream::connect(address).expect("connected");
        let (accepted, _) = listeners[0].socket.accept().expect("accepted");
        assert!(accepted.tcp_nodelay().expect("readable"));
        assert!(accepted.keepalive().expect("readable"));
        assert_eq!(accepted.tcp_user_timeout().expect("readable"), Some(Duration::from_secs(30)));
        assert_eq!(peer_of(&accepted).expect("connected"), client.local_addr().expect("bound"));
    }

    #[test]
    fn what_the_configuration_says_of_sockets_holds_for_accepted_ones() {
        let options = Options { tcp_nodelay: 0, tcp_notsent_lowat_bytes: 16_384, listen_backlog: 1, ..options() };
        let Bound { address, mut listeners, .. } = bind_all(&options, 1).expect("bound");
        listeners[0].listen().expect("listening");
        let _client = TcpStream::connect(address).expect("connected");
        let (accepted, _) = listeners[0].socket.accept().expect("accepted");
        assert!(!accepted.tcp_nodelay().expect("readable"));
        assert_eq!(accepted.tcp_notsent_lowat().expect("readable"), 16_384);
    }

    #[test]
    fn turning_one_away_takes_one_from_the_queue_and_never_blocks() {
        let Bound { address, mut listeners, .. } = bind_all(&options(), 1).expect("bound");
        listeners[0].listen().expect("listening");
        listeners[0].turn_one_away(b"full");
        let mut client = TcpStream::connect(address).expect("connected");
        listeners[0].turn_one_away(b"full");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let mut answer = String::new();
        io::Read::read_to_string(&mut client, &mut answer).expect("an answer, and the end");
        assert_eq!(answer, "full");
    }
}
