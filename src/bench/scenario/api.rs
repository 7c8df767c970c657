//! `mushan bench api`: messages that an application's backend sends over HTTP, one a request and many.

use crate::bench::load::api::ApiLoad;
use crate::bench::load::http::HttpConnection;
use crate::bench::load::options::LoadOptions;
use crate::bench::load::report::{Conditions, Percentiles, percentiles};
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, on_core};
use crate::bench::load::template::LoadDialect;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::run_id::run_id;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Messages sent over HTTP: per second, and the latency of their requests
///
/// Each connection sends in one user's name to another user and waits for the answer, which comes when the message is stored:
/// first with POST /v1/messages, then with POST /v1/messages/batch. Answers must be in order and without a gap.
#[derive(clap::Args)]
pub struct Arguments {
    /// Connections to the HTTP API, each with one request under way
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Messages of one batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    batch: u32,
    #[command(flatten)]
    options: LoadOptions,
}

/// What one way of sending has come to.
#[derive(Serialize)]
struct ApiRate {
    path: &'static str,
    messages_per_request: usize,
    messages_per_s: f64,
    requests: Percentiles,
    server_cpu_us_per_message: Option<f64>,
}

#[derive(Serialize)]
struct ApiRates {
    scenario: &'static str,
    conditions: Conditions,
    connections: usize,
    body_bytes: usize,
    seconds: f64,
    rates: Vec<ApiRate>,
}

/// The measured part of a run, after its warm-up.
#[derive(Clone, Copy)]
struct Measured {
    from: Instant,
    to: Instant,
}

/// The requests of one connection.
struct Sent {
    latency_ns: Histogram<u64>,
    messages: u64,
}

#[derive(Deserialize)]
struct SentAnswer {
    conversation_seq: u64,
}

#[derive(Deserialize)]
struct SentAnswers {
    answers: Vec<SentAnswer>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.options.check()?;
    let rates = arguments.measure()?;
    let json = || serde_json::to_string(&rates).expect("plain data");
    print(&if arguments.options.json { json() } else { rates.to_string() })
}

impl Arguments {
    fn measure(&self) -> Result<ApiRates, Failure> {
        let options = &self.options;
        let connections = options.scaled(self.connections as usize, 4);
        let settings = ComparedSettings::default();
        let load_request = LoadRequest { api: AdminApi::On, contents: Prefill::None, settings: &settings };
        let target = LoadTarget::open(options, LoadDialect::Binary, connections, load_request)?;
        let rates = on_core(options.client_core, || {
            let api = ApiLoad::of(target.data_dir())?;
            let batch = options.scaled(self.batch as usize, 10);
            [1, batch].into_iter().map(|batch| self.rate(&target, &api, connections, batch)).collect()
        })?;
        let conditions = target.conditions.clone();
        target.close()?;
        let seconds = options.span().as_secs_f64();
        Ok(ApiRates { scenario: "api", conditions, connections, body_bytes: options.body_bytes, seconds, rates })
    }

    fn rate(&self, target: &LoadTarget, api: &ApiLoad, connections: usize, batch: usize) -> Result<ApiRate, Failure> {
        let options = &self.options;
        let run = run_id()?;
        let from = Instant::now() + options.span().mul_f64(0.25).min(Duration::from_secs(2));
        let measured = Measured { from, to: from + options.span() };
        let (sent, cpu_ns) = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..connections)
                .map(|number| {
                    let (author, peer) = (format!("{run}-a{number}"), format!("{run}-b{number}"));
                    scope.spawn(move || send(api, Pair { author, peer }, (batch, options.body_bytes), measured))
                })
                .collect();
            let cpu_at = |at: Instant| {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                target.cpu().map(|(server, _)| server)
            };
            let (before, after) = (cpu_at(measured.from)?, cpu_at(measured.to)?);
            let died = |_| Err(Failure::new("a thread of the generator died"));
            let sent = senders.into_iter().map(|sender| sender.join().unwrap_or_else(died));
            Ok::<_, Failure>((sent.collect::<Result<Vec<Sent>, _>>()?, after.zip(before)))
        })?;
        let mut latency_ns = Histogram::new(3).expect("three digits");
        let mut messages = 0;
        for of_one in sent {
            latency_ns.add(&of_one.latency_ns).map_err(Failure::because("cannot add latencies"))?;
            messages += of_one.messages;
        }
        if messages == 0 {
            return Err(Failure::new("no message was sent within --seconds"));
        }
        Ok(ApiRate {
            path: if batch == 1 { "/v1/messages" } else { "/v1/messages/batch" },
            messages_per_request: batch,
            messages_per_s: messages as f64 / options.span().as_secs_f64(),
            requests: percentiles(&latency_ns),
            server_cpu_us_per_message: cpu_ns
                .map(|(after, before)| after.saturating_sub(before) as f64 / 1e3 / messages as f64),
        })
    }
}

struct Pair {
    author: String,
    peer: String,
}

impl Pair {
    fn message(&self, number: u64, body_bytes: usize) -> String {
        let Self { author, peer } = self;
        let text = "x".repeat(body_bytes);
        format!(
            r#"{{"from":"{author}","to":{{"user":"{peer}"}},"client_msg_id":"{number}","payload":{{"type":1,"content":"{text}"}}}}"#
        )
    }
}

/// Sends until the end, each request after the answer to the one before it.
fn send(api: &ApiLoad, pair: Pair, (batch, body_bytes): (usize, usize), measured: Measured) -> Result<Sent, Failure> {
    let mut connection: HttpConnection = api.connect()?;
    let mut sent = Sent { latency_ns: Histogram::new(3).expect("three digits"), messages: 0 };
    let mut number = 0;
    loop {
        let messages: Vec<String> = (1..).take(batch).map(|at| pair.message(number + at, body_bytes)).collect();
        let (path, body) = match batch {
            1 => ("/v1/messages", messages.concat()),
            _ => ("/v1/messages/batch", format!(r#"{{"messages":[{}]}}"#, messages.join(","))),
        };
        let began = Instant::now();
        if began >= measured.to {
            return Ok(sent);
        }
        let (status, answer) = connection.post(path, &body)?;
        let ended = Instant::now();
        let wrong = |_| Failure::new(format!("{path} answers {status}: {}", String::from_utf8_lossy(&answer)));
        let seqs: Vec<u64> = match batch {
            1 => serde_json::from_slice(&answer).map(|one: SentAnswer| vec![one.conversation_seq]).map_err(wrong)?,
            _ => {
                let all: SentAnswers = serde_json::from_slice(&answer).map_err(wrong)?;
                all.answers.iter().map(|one| one.conversation_seq).collect()
            }
        };
        if !seqs.iter().copied().eq(number + 1..=number + batch as u64) {
            return Err(Failure::new(format!("messages after {number} have the places {seqs:?}")));
        }
        number += batch as u64;
        if began >= measured.from && ended <= measured.to {
            sent.messages += batch as u64;
            let took_ns = u64::try_from((ended - began).as_nanos()).unwrap_or(u64::MAX);
            sent.latency_ns.record(took_ns).map_err(Failure::because("cannot record a latency"))?;
        }
    }
}

impl std::fmt::Display for ApiRates {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connections, body_bytes, seconds, .. } = self;
        writeln!(out, "api: {connections} connections, {body_bytes} bytes, {seconds:.1} s for each row")?;
        write!(out, "  conditions      {}", self.conditions)?;
        for ApiRate { path, messages_per_request, messages_per_s, requests, server_cpu_us_per_message } in &self.rates {
            write!(out, "\n  {path}, {messages_per_request} a request: {messages_per_s:.0} messages per second")?;
            if let Some(cpu) = server_cpu_us_per_message {
                write!(out, ", {cpu:.1} µs of the server's CPU each")?;
            }
            write!(out, "\n  a request       {requests}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_json_of_the_contract() {
        let pair = Pair { author: "a".to_owned(), peer: "b".to_owned() };
        let message: serde_json::Value = serde_json::from_str(&pair.message(7, 64)).expect("JSON");
        assert_eq!((&message["from"], &message["to"]["user"]), (&"a".into(), &"b".into()));
        assert_eq!(message["client_msg_id"], "7");
        assert_eq!(message["payload"]["content"].as_str().map(str::len), Some(64));
    }
}
