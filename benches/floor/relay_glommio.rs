//! The relay on glommio's own TcpStream: a task per connection reads and writes.

use super::book::{Account, Route, WELCOME};
use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

type Shared = Rc<RefCell<TcpStream>>;

pub fn serve(core: usize, listening: impl FnOnce(SocketAddr) + Send + 'static) {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(core)).io_memory(1 << 20).spawn(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listening(listener.local_addr().expect("bound"));
        let streams: Rc<RefCell<Vec<Shared>>> = Rc::default();
        loop {
            let stream = listener.accept().await.expect("accepted");
            stream.set_nodelay(true).expect("a socket");
            let me = streams.borrow().len();
            let stream: Shared = Rc::new(RefCell::new(stream));
            streams.borrow_mut().push(stream.clone());
            write_all(&stream, &WELCOME).await.expect("it listens");
            glommio::spawn_local(relay(me, streams.clone())).detach();
        }
    });
    executor.expect("an executor").join().expect("served");
}

async fn relay(me: usize, streams: Rc<RefCell<Vec<Shared>>>) {
    let mine = streams.borrow()[me].clone();
    let (mut account, mut buffer, mut answers) = (Account::default(), vec![0; 4 << 10], Vec::new());
    let mut theirs: Option<Shared> = None;
    while let Ok(count @ 1..) = read(&mine, &mut buffer).await {
        let Some(reader) = Route::Pairs.readers_of(me, me + 1).next() else { continue };
        let theirs = theirs.get_or_insert_with(|| streams.borrow()[reader].clone());
        account.answer(&buffer[..count], &mut answers);
        let has_failed =
            write_all(theirs, &buffer[..count]).await.is_err() || write_all(&mine, &answers).await.is_err();
        answers.clear();
        if has_failed {
            return;
        }
    }
}

/// No borrow lasts beyond a poll: a writer may write to a reader that is waiting.
async fn read(stream: &Shared, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| Pin::new(&mut *stream.borrow_mut()).poll_read(context, buffer)).await
}

async fn write_all(stream: &Shared, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut *stream.borrow_mut()).poll_write(context, bytes)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}
