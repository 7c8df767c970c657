//! The relay as the server does its sockets: an io_uring of its own, driven by one task of a pinned glommio executor;
//! multishot accept and receive into provided buffers, one send in flight per connection, all submissions of a turn in
//! one call, a short spin before it sleeps on the ring's eventfd.

use super::book::{Account, Route, WELCOME};
use glommio::io::BufferedFile;
use glommio::{LocalExecutorBuilder, Placement};
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use memmap2::MmapMut;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// As in the profile `balanced`.
const ENTRIES: u32 = 4_096;
const BUFFERS: u16 = 1_024;
const BUFFER_BYTES: usize = 4_096;
const SPIN: Duration = Duration::from_micros(50);

const ACCEPT: u64 = 1 << 60;
const RECEIVE: u64 = 2 << 60;
const SEND: u64 = 3 << 60;
const OPERAND: u64 = (1 << 60) - 1;

pub fn serve(core: usize, route: Route, listening: impl FnOnce(SocketAddr) + Send + 'static) {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(core)).io_memory(1 << 20).spawn(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listening(listener.local_addr().expect("bound"));
        Relay::new(route, &listener).run().await;
    });
    executor.expect("an executor").join().expect("served");
}

/// The kernel picks a buffer for each received chunk.
struct Buffers {
    entries: MmapMut,
    memory: MmapMut,
    tail: u16,
}

impl Buffers {
    fn register(uring: &IoUring) -> Self {
        let entries = MmapMut::map_anon(usize::from(BUFFERS) * size_of::<BufRingEntry>()).expect("memory");
        let memory = MmapMut::map_anon(usize::from(BUFFERS) * BUFFER_BYTES).expect("memory");
        // SAFETY: page-aligned, large enough, and alive until the process ends.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, BUFFERS, 1, 0).expect("buffers");
        }
        let mut buffers = Self { entries, memory, tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.list(id));
        buffers
    }

    fn bytes(&self, id: u16, count: usize) -> &[u8] {
        &self.memory[usize::from(id) * BUFFER_BYTES..][..count]
    }

    fn list(&mut self, id: u16) {
        let address = self.memory.as_ptr() as u64 + (usize::from(id) * BUFFER_BYTES) as u64;
        let slot = usize::from(self.tail & (BUFFERS - 1));
        let base = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: the slot lies in the mapping; the kernel reads it only once the tail covers it.
        unsafe {
            let entry = &mut *base.add(slot);
            entry.set_addr(address);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            (*BufRingEntry::tail(base).cast::<AtomicU16>()).store(self.tail, Ordering::Release);
        }
    }
}

struct Connection {
    stream: TcpStream,
    account: Account,
    outbox: Vec<u8>,
    /// In the kernel's hands while a send is in flight.
    flight: Vec<u8>,
    sent: usize,
    is_sending: bool,
    is_dirty: bool,
}

struct Relay {
    route: Route,
    listener: Fd,
    uring: IoUring,
    sleep: BufferedFile,
    buffers: Buffers,
    connections: Vec<Connection>,
    dirty: Vec<usize>,
}

impl Relay {
    fn new(route: Route, listener: &TcpListener) -> Self {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(4 * ENTRIES)
            .build(ENTRIES)
            .expect("a ring");
        // SAFETY: a fresh eventfd, owned by the file from here on.
        let (eventfd, sleep) = unsafe {
            let eventfd = libc::eventfd(0, libc::EFD_CLOEXEC);
            (eventfd, BufferedFile::from_raw_fd(eventfd))
        };
        uring.submitter().register_eventfd(eventfd).expect("registered");
        let buffers = Buffers::register(&uring);
        let listener = Fd(listener.as_raw_fd());
        let mut relay = Self { route, listener, uring, sleep, buffers, connections: Vec::new(), dirty: Vec::new() };
        relay.accept();
        relay
    }

    async fn run(mut self) {
        let mut last_work = Instant::now();
        loop {
            self.enter();
            if self.gather() {
                last_work = Instant::now();
                glommio::yield_if_needed().await;
                continue;
            }
            if last_work.elapsed() < SPIN {
                std::hint::spin_loop();
                continue;
            }
            let queue = self.uring.submission();
            let is_idle = queue.is_empty() && !queue.taskrun();
            drop(queue);
            if is_idle && self.uring.completion().is_empty() {
                self.sleep.read_at(0, 8).await.expect("an eventfd");
                last_work = Instant::now();
            }
        }
    }

    fn accept(&mut self) {
        self.push(opcode::AcceptMulti::new(self.listener).build().user_data(ACCEPT));
    }

    fn enter(&mut self) {
        const GETEVENTS: u32 = 1;
        let queue = self.uring.submission();
        let (queued, has_deferred) = (queue.len() as u32, queue.taskrun() || queue.cq_overflow());
        drop(queue);
        if queued > 0 || has_deferred {
            // SAFETY: it waits for nothing and passes no argument.
            let entered = unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) };
            entered.expect("entered");
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what an entry points to is the relay's and stays where it is until its completion.
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.uring.submit().expect("submitted");
        }
    }

    /// Takes what has come, then sends what is to be said; whether there was anything.
    fn gather(&mut self) -> bool {
        let mut has_worked = false;
        loop {
            let next = self.uring.completion().next();
            let Some(done) = next else { break };
            has_worked = true;
            let operand = (done.user_data() & OPERAND) as usize;
            match done.user_data() & !OPERAND {
                ACCEPT => {
                    self.accepted(done.result());
                    // The kernel ends it when it pleases.
                    if !cqueue::more(done.flags()) {
                        self.accept();
                    }
                }
                RECEIVE => self.received(operand, &done),
                _ => self.sent(operand, done.result()),
            }
        }
        for place in std::mem::take(&mut self.dirty) {
            self.connections[place].is_dirty = false;
            self.send(place);
        }
        has_worked
    }

    fn accepted(&mut self, descriptor: i32) {
        assert!(descriptor >= 0, "{}", std::io::Error::from_raw_os_error(-descriptor));
        // SAFETY: an accepted descriptor that nobody else owns.
        let stream = unsafe { TcpStream::from_raw_fd(descriptor) };
        stream.set_nodelay(true).expect("a socket");
        let place = self.connections.len();
        self.connections.push(Connection {
            stream,
            account: Account::default(),
            outbox: WELCOME.to_vec(),
            flight: Vec::new(),
            sent: 0,
            is_sending: false,
            is_dirty: false,
        });
        self.receive(place);
        self.touch(place);
    }

    fn receive(&mut self, place: usize) {
        let descriptor = Fd(self.connections[place].stream.as_raw_fd());
        self.push(opcode::RecvMulti::new(descriptor, 1).build().user_data(RECEIVE | place as u64));
    }

    fn received(&mut self, place: usize, done: &cqueue::Entry) {
        if done.result() > 0 {
            let id = cqueue::buffer_select(done.flags()).expect("a buffer");
            let bytes = self.buffers.bytes(id, done.result() as usize);
            let readers = self.route.readers_of(place, self.connections.len());
            if !readers.is_empty() {
                let connection = &mut self.connections[place];
                connection.account.answer(bytes, &mut connection.outbox);
                for reader in readers.clone() {
                    self.connections[reader].outbox.extend_from_slice(bytes);
                }
                self.touch(place);
                readers.for_each(|reader| self.touch(reader));
            }
            self.buffers.list(id);
        }
        let is_over = done.result() == 0 || done.result() < 0 && done.result() != -libc::ENOBUFS;
        if !cqueue::more(done.flags()) && !is_over {
            self.receive(place);
        }
    }

    fn touch(&mut self, place: usize) {
        if !std::mem::replace(&mut self.connections[place].is_dirty, true) {
            self.dirty.push(place);
        }
    }

    fn send(&mut self, place: usize) {
        let connection = &mut self.connections[place];
        if connection.is_sending || connection.outbox.is_empty() {
            return;
        }
        connection.flight.clear();
        std::mem::swap(&mut connection.flight, &mut connection.outbox);
        connection.sent = 0;
        connection.is_sending = true;
        self.submit_send(place);
    }

    fn submit_send(&mut self, place: usize) {
        let connection = &self.connections[place];
        let rest = &connection.flight[connection.sent..];
        let send = opcode::Send::new(Fd(connection.stream.as_raw_fd()), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.push(send.user_data(SEND | place as u64));
    }

    fn sent(&mut self, place: usize, result: i32) {
        let connection = &mut self.connections[place];
        if result <= 0 {
            return connection.outbox.clear();
        }
        connection.sent += result as usize;
        if connection.sent < connection.flight.len() {
            return self.submit_send(place);
        }
        connection.is_sending = false;
        if !connection.outbox.is_empty() {
            self.touch(place);
        }
    }
}
