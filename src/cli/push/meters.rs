//! The counters of `mushan push`, and the address at which they are read.

use crate::cli::push::verdict::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long somebody who reads the metrics may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct PushMeters(Mutex<PushCounts>);

#[derive(Default)]
struct PushCounts {
    events: u64,
    connections: u64,
    /// By provider and result.
    notifications: BTreeMap<(&'static str, &'static str), u64>,
    /// By reason.
    skipped: BTreeMap<&'static str, u64>,
    tokens_removed: u64,
    lag_ms: u64,
}

impl PushMeters {
    fn change(&self, change: impl FnOnce(&mut PushCounts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn count_event(&self) {
        self.change(|counts| counts.events += 1);
    }

    pub fn count_connection(&self) {
        self.change(|counts| counts.connections += 1);
    }

    pub fn count_removed_token(&self) {
        self.change(|counts| counts.tokens_removed += 1);
    }

    /// A notification that is not sent, by its reason.
    pub fn skip(&self, reason: &'static str) {
        self.change(|counts| *counts.skipped.entry(reason).or_default() += 1);
    }

    pub fn count_request(&self, provider: &'static str, verdict: &Verdict) {
        let result = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Dead => "dead",
            Verdict::Refused(_) => "refused",
            Verdict::Retry(..) => "retried",
        };
        self.change(|counts| *counts.notifications.entry((provider, result)).or_default() += 1);
    }

    /// How old the newest message was when its notifications were done.
    pub fn note_lag(&self, lag_ms: u64) {
        self.change(|counts| counts.lag_ms = lag_ms);
    }

    fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let mut add = |name: &str, kind: &str, labels: &str, value: u64| {
            if !out.contains(&format!("# TYPE {name} ")) {
                let _ = writeln!(out, "# TYPE {name} {kind}");
            }
            let _ = writeln!(out, "{name}{labels} {value}");
        };
        add("mushan_push_events_total", "counter", "", counts.events);
        add("mushan_push_connections_total", "counter", "", counts.connections);
        add("mushan_push_tokens_removed_total", "counter", "", counts.tokens_removed);
        add("mushan_push_lag_milliseconds", "gauge", "", counts.lag_ms);
        for ((provider, result), count) in &counts.notifications {
            let labels = format!("{{provider=\"{provider}\",result=\"{result}\"}}");
            add("mushan_push_requests_total", "counter", &labels, *count);
        }
        for (reason, count) in &counts.skipped {
            add("mushan_push_skipped_total", "counter", &format!("{{reason=\"{reason}\"}}"), *count);
        }
        out
    }
}

/// Listens until the process ends. Returns the address.
pub async fn serve(listen: SocketAddr, meters: Arc<PushMeters>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                // One at a time: it takes no time.
                Ok((stream, _)) => drop(tokio::time::timeout(TIMEOUT, answer(stream, &meters)).await),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, meters: &PushMeters) -> std::io::Result<()> {
    let mut head = [0; 4_096];
    let mut read = 0;
    while !head[..read].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut head[read..]).await? {
            0 => return Ok(()),
            more => read += more,
        }
    }
    let (status, body) = match head.starts_with(b"GET /metrics ") {
        true => ("200 OK", meters.text()),
        false => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
