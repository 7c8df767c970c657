//! One shard's thread, from its pinned executor to its end: opens the log, waits for the signal to start, runs the
//! reactor.

use crate::log::{LogEnd, OpenError, OpenedLog};
use crate::model::Steady;
use crate::model::{Policies, ShardId};
use crate::server::auth::keyring::Keyring;
use crate::server::auth::secret;
use crate::server::base::clock::Clock;
use crate::server::base::descriptors::Descriptors;
use crate::server::base::error::{DiskError, HostError};
use crate::server::base::error::{RunError, StartError, advice};
use crate::server::config::options::Options;
use crate::server::data::epoch::Epoch;
use crate::server::disk::checkpoints::{self, Mapped};
use crate::server::disk::jobs::{Jobs, Queues};
use crate::server::disk::reply::ReplySender;
use crate::server::disk::{Disk, Supplies};
use crate::server::hook::asker::HookSender;
use crate::server::host;
use crate::server::host::memory::SmallPages;
use crate::server::peer::places::AddressPlaces;
use crate::server::peer::rates::{AddressRates, Pace};
use crate::server::reactor::event_loop::{Parts, Reactor};
use crate::server::ring::{Ring, RingOptions};
use crate::server::state::accepting::{AcceptBounds, Accepting};
use crate::server::state::control::ControlEndpoint;
use crate::server::state::counters::Counters;
use crate::server::state::half_open::HalfOpen;
use crate::server::state::listener::{self, Listener};
use crate::server::state::mesh::Mesh;
use crate::server::state::outboxes::Outboxes;
use crate::server::state::shared::Shared;
use crate::server::state::snapshot::LogRecovery;
use crate::server::tls::identity::TlsIdentity;
use crate::server::turn::span::Sampling;
use crate::server::turn::{Common, Turn};
use crate::shard::{Placement, Shard, ShardSettings};
use crate::wire::Context;
use crossbeam_channel::{Receiver, Sender, unbounded};
use glommio::LocalExecutorBuilder;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Everything that a shard's thread needs.
pub struct ShardSpec {
    pub me: ShardId,
    pub shards: u16,
    pub core: usize,
    pub directory: PathBuf,
    pub segment_bytes: u32,
    pub keyring: Keyring,
    pub queues: Queues,
    pub hook: Option<HookSender>,
    pub sampling: Option<Arc<Sampling>>,
    pub fingerprint_seed: u64,
    pub options: Arc<Options>,
    pub context: Arc<Context>,
    pub epoch: Arc<Epoch>,
    pub shared: Arc<Shared>,
    pub mesh: Mesh,
    pub endpoint: ControlEndpoint,
    pub listener: Listener,
    pub connections_max: usize,
    pub descriptors: Arc<Descriptors>,
    pub places: Option<Arc<AddressPlaces>>,
    pub tls: Option<TlsIdentity>,
    /// Held until every executor exists.
    pub small_pages: Option<Arc<SmallPages>>,
    pub seed: u64,
    pub clock: Clock,
    pub reports: Sender<ShardStarted>,
    /// Receives the number of the run when all shards are open; disconnected if the start has failed.
    pub start: Receiver<u64>,
}

/// The reports of a shard's start: `Opened`, then `Listening`; `Failed` instead of either.
#[derive(Debug)]
pub enum ShardStarted {
    /// The log, as it was found.
    Opened(ShardId, LogEnd),
    Listening,
    Failed(StartError),
}

pub struct ShardExit {
    pub counters: Counters,
    pub failure: Option<RunError>,
}

pub fn run_shard(mut spec: ShardSpec) -> ShardExit {
    let (reports, core) = (spec.reports.clone(), spec.core);
    let executor = LocalExecutorBuilder::new(glommio::Placement::Fixed(spec.core))
        .name("mushan")
        .io_memory(host::IO_MEMORY_BYTES)
        .make();
    drop(spec.small_pages.take());
    let (counters, failure) = match executor {
        Ok(executor) => executor.run(async { run(spec) }),
        Err(error) => {
            let error = HostError::Core { core, source: error.into() };
            report(&reports, ShardStarted::Failed(error.into()));
            (Counters::default(), None)
        }
    };
    if let Some(error) = &failure {
        report(&reports, ShardStarted::Failed(error.clone().into()));
    }
    ShardExit { counters, failure }
}

fn run(spec: ShardSpec) -> (Counters, Option<RunError>) {
    let (me, reports, start) = (spec.me, spec.reports.clone(), spec.start.clone());
    let (reactor, found) = match build(spec) {
        Ok(built) => built,
        Err(error) => {
            report(&reports, ShardStarted::Failed(error));
            return (Counters::default(), None);
        }
    };
    report(&reports, ShardStarted::Opened(me, found));
    let Ok(run) = start.recv() else { return (Counters::default(), None) };
    reactor.run(run)
}

/// Nobody receives reports after the start.
fn report(reports: &Sender<ShardStarted>, report: ShardStarted) {
    let _ = reports.send(report);
}

fn build(spec: ShardSpec) -> Result<(Reactor, LogEnd), StartError> {
    let host = |source: io::Error| HostError::ShardRing { explained: host::refused_ring(&source), source };
    let options = RingOptions {
        entries: spec.options.ring_entries,
        receive_buffers: spec.options.receive_buffers,
        receive_buffer_bytes: spec.options.receive_buffer_bytes,
        huge_pages: spec.options.huge_pages,
    };
    let ring = Ring::new(&options).map_err(host)?;
    let clock = spec.clock;
    let settings = ShardSettings {
        me: spec.me,
        placement: Placement::new(spec.shards),
        limits: spec.options.limits,
        policies: Policies { hook: spec.options.hook.policy(), ..spec.options.policies },
        windows: spec.options.windows,
        upkeep: spec.options.upkeep,
        seed: spec.seed,
        fingerprint_seed: spec.fingerprint_seed,
    };
    let (answers, answered) = unbounded();
    let reply_sender = ReplySender { me: spec.me, answers, wakers: spec.mesh.wakers() };
    let ShardOpening { mut turn, found, recovery } = open(&spec, settings, clock, reply_sender.clone())?;
    let bounds = accept_bounds(&spec);
    // Before anything is accepted.
    spec.descriptors.note_log(spec.me, turn.storage_mut().files() * (1 + spec.options.fetch_threads));
    let jobs = Jobs {
        queues: spec.queues,
        settings,
        directory: Arc::new(spec.directory),
        segment_bytes: spec.segment_bytes,
        reply_sender,
        answers: answered,
        checkpoint_at: Some(Steady::default()),
    };
    let (reports, address) = (spec.reports, spec.options.listen);
    let opened = move |result: io::Result<()>| {
        let failed = |error| ShardStarted::Failed(listener::refused(address, "--listen", error));
        report(&reports, result.map_or_else(failed, |()| ShardStarted::Listening));
    };
    set_peers(&spec.options, spec.seed, &mut turn);
    spec.sampling.into_iter().for_each(|sampling| turn.sample(sampling));
    let mut accepting = Accepting::new(spec.listener, bounds, Box::new(opened));
    accepting.tls = spec.tls;
    let outboxes = Outboxes::new(host::outbox_bytes_max(&spec.options) / u64::from(spec.shards));
    let reactor = Reactor::new(Parts {
        me: spec.me,
        options: spec.options,
        shared: spec.shared,
        turn,
        ring,
        mesh: spec.mesh,
        accepting,
        outboxes,
        clock,
        jobs,
        hook: spec.hook,
        endpoint: spec.endpoint,
        epoch: spec.epoch,
        recovery,
    });
    Ok((reactor, found))
}

/// A shard whose log is open.
struct ShardOpening {
    turn: Turn<Disk>,
    found: LogEnd,
    recovery: LogRecovery,
}

fn accept_bounds(spec: &ShardSpec) -> AcceptBounds {
    let options = &spec.options;
    AcceptBounds {
        half_open: HalfOpen::new(options.handshakes_per_address_max, spec.seed),
        unannounced: HalfOpen::new(options.unannounced_per_proxy_max, spec.seed),
        places: spec.places.clone(),
        address_rates: AddressRates::new(options.accepts_per_address_per_minute, spec.seed),
        pace: Pace::new(options.accepts_per_second),
        connections_max: spec.connections_max,
        descriptors: spec.descriptors.clone(),
    }
}

/// Whose word counts about clients, and how often they may log in.
fn set_peers(options: &Options, seed: u64, turn: &mut Turn<Disk>) {
    turn.set_proxies(Arc::new(options.proxies.clone()));
    let logins = AddressRates::new(options.logins_per_address_per_minute, seed);
    turn.set_login_rates(Pace::new(options.logins_per_second), logins);
}

/// Opens the shard's log and takes up what it says, from the newest checkpoint that can be used.
fn open(
    spec: &ShardSpec,
    settings: ShardSettings,
    clock: Clock,
    reply_sender: ReplySender,
) -> Result<ShardOpening, StartError> {
    let began = Instant::now();
    let Queues { segments: jobs, space, .. } = spec.queues.clone();
    let disk =
        Disk::open(&spec.directory, spec.segment_bytes, Supplies { jobs, space, reply_sender: Some(reply_sender) })?;
    let (numbers, checkpoints) = read_checkpoints(&spec.directory)?;
    let opened = Shard::open(settings, disk, &checkpoints, clock.read());
    let (shard, survey) = opened.map_err(|error| refused(spec, error))?;
    let OpenedLog { found, records, cut_bytes, .. } = survey.log;
    let through = survey.begun_with.map(|at| numbers[at]);
    let recovery = LogRecovery { took: began.elapsed(), records };
    let took_ms = recovery.took.as_millis() as u64;
    tracing::info!(
        shard = spec.me.0,
        epoch = found.epoch,
        records,
        cut_bytes,
        checkpoint = through,
        took_ms,
        "log opened"
    );
    checkpoints::set_aside(&spec.directory, &numbers, &survey.unusable)
        .map_err(|error| StartError::disk("set aside a checkpoint in", &spec.directory, error))?;
    let (context, keyring) = (spec.context.clone(), spec.keyring.clone());
    let common = Common { me: spec.me, placement: settings.placement, context, keyring };
    Ok(ShardOpening { turn: Turn::new(shard, common, salt), found, recovery })
}

/// Newest first: the segment that each ends with, and its bytes.
fn read_checkpoints(directory: &Path) -> Result<(Vec<u32>, Vec<Mapped>), StartError> {
    let numbers = checkpoints::list(directory).map_err(|error| StartError::disk("list", directory, error))?;
    let read = |number: &u32| {
        let path = checkpoints::path(directory, *number);
        checkpoints::map(directory, *number).map_err(|error| StartError::disk("read", &path, error))
    };
    let bytes = numbers.iter().map(read).collect::<Result<_, _>>()?;
    Ok((numbers, bytes))
}

fn refused(spec: &ShardSpec, source: OpenError) -> DiskError {
    DiskError::Log { doing: "open", path: spec.directory.clone(), advice: advice(&source), source }
}

/// A random text of 16 characters (PROTOCOL 3.3).
fn salt() -> [u8; 16] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = secret::random::<16>().expect("the kernel has returned random bytes at the start");
    random.map(|byte| LETTERS[usize::from(byte % 64)])
}
