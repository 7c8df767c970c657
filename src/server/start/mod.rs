//! From options to a running server: opens everything, connects the lanes, starts every shard, and listens once all are
//! ready. No connection is accepted before that; one that comes while a server is taken over waits.

pub(super) mod demo;
pub(super) mod shard_thread;
pub(super) mod stopper;
pub(super) mod take_over;

use super::host;
use crate::log::LogEnd;
use crate::model::{Limits, ShardId};
use crate::server::acme::renewal::{Acme, Renewing};
use crate::server::auth::keyring::{KeySource, Keyring, PublicKeys};
use crate::server::auth::secret;
use crate::server::base::clock::Clock;
use crate::server::base::descriptors::Descriptors;
use crate::server::base::error::{ConfigurationError, HostError};
use crate::server::base::error::{RunError, StartError};
use crate::server::config::options::{Durability, Options};
use crate::server::data::directory::{DataDir, begin_run, segments_in};
use crate::server::data::epoch::Epoch;
use crate::server::disk::jobs::{self, Queues};
use crate::server::hook::asker::{self, Hook, HookSender};
use crate::server::host::container::ContainerLimits;
use crate::server::host::memory::SmallPages;
use crate::server::host::{cores, memory};
use crate::server::peer::places::AddressPlaces;
use crate::server::start::shard_thread::{ShardExit, ShardSpec, ShardStarted};
use crate::server::start::stopper::Stopper;
use crate::server::start::take_over::{Opening, Predecessor};
use crate::server::state::control::{self, Control, ControlEndpoint};
use crate::server::state::counters::Summary;
use crate::server::state::listener;
use crate::server::state::mesh;
use crate::server::state::pulse::ShardPulse;
use crate::server::tls::identity::TlsIdentity;
use crate::server::tls::watch::{Identities, Watching};
use crate::server::turn::span::Sampling;
use crate::wire::{Context, HandshakePolicy, ServerKey};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server that hands over waits for its helpers: for a checkpoint that is being written, for instance.
const HELPERS_PATIENCE: Duration = Duration::from_millis(200);

/// A running server. Dropping it does not stop it: call `stop`, then `wait`.
pub struct Server {
    /// The address on which the server listens; its port is never 0.
    pub address: SocketAddr,
    /// The address of the operator's HTTP API, if there is one.
    pub admin: Option<SocketAddr>,
    /// The core of each shard.
    pub cores: Vec<usize>,
    /// The most connections of each shard.
    pub connections_max: usize,
    pub data_dir: PathBuf,
    pub durability: Durability,
    /// How long nobody served when this server took over from another one; `None` if it did not.
    pub gap: Option<Duration>,
    keys: KeySource,
    identities: Identities,
    upkeep: CertificateUpkeep,
    stopper: Stopper,
    pulse: ShardPulse,
    shards: Vec<JoinHandle<ShardExit>>,
    operator: Option<Operator>,
    helpers: Vec<JoinHandle<()>>,
    _directory: DataDir,
}

/// The thread of the operator's HTTP API. It ends soon after the shards, or when it is told to stop.
pub struct Operator {
    pub address: SocketAddr,
    pub thread: JoinHandle<()>,
}

impl Server {
    /// `http`, or `https` where the operator's API speaks TLS.
    pub fn admin_scheme(&self) -> &'static str {
        self.identities.admin_scheme()
    }

    pub fn shards(&self) -> usize {
        self.cores.len()
    }

    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Whether each shard runs.
    pub fn pulse(&self) -> ShardPulse {
        self.pulse.clone()
    }

    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Whether a shard has failed, so that the server is ending.
    pub fn has_failed(&self) -> bool {
        self.stopper.shared.has_failed()
    }

    /// The sources of the server's keys, for reading them again.
    pub fn keys(&self) -> KeySource {
        self.keys.clone()
    }

    /// The certificates of the listeners that speak TLS, for reading them again.
    pub fn identities(&self) -> Identities {
        self.identities.clone()
    }

    /// Waits until the server has stopped, because it was asked to or because a shard failed.
    pub fn wait(self) -> Result<Summary, RunError> {
        let mut summary = Summary::default();
        let mut failure = None;
        for ended in join_all(self.shards) {
            summary.add(&ended.counters);
            failure = failure.or(ended.failure);
        }
        self.operator.into_iter().for_each(|operator| join(operator.thread));
        drop(self.upkeep);
        if self.stopper.successor().is_some() && !are_finished_soon(&self.helpers) {
            // Whoever waits for the directory gets it with the end of this process, which no helper outlives.
            std::mem::forget(self._directory);
        } else {
            self.helpers.into_iter().for_each(join);
        }
        match failure {
            None => Ok(summary),
            Some(error) => Err(error),
        }
    }
}

/// Starts a server without an operator's API; on return it accepts connections.
pub fn serve(options: Options) -> Result<Server, StartError> {
    serve_with_operator(options, None, |_control| Ok(None))
}

/// Starts a server and, before its shards, the operator's API: `serve` receives the channels to all shards. A `predecessor` is
/// taken over.
pub fn serve_with_operator(
    mut options: Options,
    predecessor: Option<&dyn Predecessor>,
    serve: impl FnOnce(Control) -> Result<Option<Operator>, StartError>,
) -> Result<Server, StartError> {
    let lockable = checked(&options)?;
    memory::prepare(&options);
    // Reads the keys first: a wrong file leaves no new directory behind.
    let keys = PublicKeys::configured(&options.auth)?;
    let mut identities = Identities::configured(&options)?;
    let available = cores::available()?;
    let (chosen, shards_of_new) = chosen_cores(&options, &available, lockable)?;
    let Opening { directory, bound, taken } = Opening::begin(&options, shards_of_new, predecessor)?;
    let acme = Acme::open(&options, &directory.path, &mut identities)?;
    lockable.fit(&mut options, directory.manifest.shards)?;
    let cores = cores::assign(directory.manifest.shards, &chosen, &available);
    let listener::Bound { address, listeners, claim } = bound;
    let (keys, options) = (KeySource::new(directory.secret.clone(), &options, keys), Arc::new(options));
    let spare_core = cores.free.first().copied();
    let hook = asker::start(&options, spare_core, u64::from_ne_bytes(secret::random()?))?;
    let (queues, mut helpers) = jobs::start(&options, spare_core).map_err(HostError::system("start a thread"))?;
    let stopper = Stopper::new(&directory, options.drain_ms)?;
    let (mut control, endpoints) = control::connect(options.clone(), spare_core, &stopper.shared, &stopper.wakers);
    let hook = hook.map(|hook| attach(hook, &mut control, &mut helpers));
    let origin = RunOrigin::begin(&options, &mut control)?;
    let mut upkeep = keep_certificates(&mut control, &identities, acme, &mut helpers)?;
    let (pulse, operator) = (control.lanes.pulse(), serve(control)?);
    let files = host::files_for_sockets_and_logs(&options, directory.manifest.shards);
    let connections_max = host::connections_max(&options, directory.manifest.shards, files);
    let plan = Plan {
        options: options.clone(),
        directory: &directory,
        cores: &cores.of_shards,
        stopper: &stopper,
        keyring: keys.keyring(),
        connections_max,
        hook,
        origin,
        descriptors: Descriptors::new(files, host::connections_total_max(&options), directory.manifest.shards),
        tls: identities.clients.clone(),
        small_pages: if lockable.is_bounded() { SmallPages::begin(&options) } else { None },
    };
    let (shards, operator) = beside(operator, &stopper, launch(plan, listeners, queues, endpoints))?;
    drop(claim);
    upkeep.renewing.iter_mut().for_each(Renewing::begin);
    let gap = taken.map(|taken| taken.finish(&stopper.shared));
    tracing::info!(%address, shards = shards.len(), cores = ?cores.of_shards, "serving");
    Ok(Server {
        address,
        admin: operator.as_ref().map(|operator| operator.address),
        cores: cores.of_shards,
        connections_max,
        data_dir: directory.path.clone(),
        durability: options.durability,
        gap,
        keys,
        identities,
        upkeep,
        stopper,
        pulse,
        shards,
        operator,
        helpers,
        _directory: directory,
    })
}

/// What was launched, and the operator's API beside it, which ends if nothing was.
fn beside<T>(
    operator: Option<Operator>,
    stopper: &Stopper,
    launched: Result<T, StartError>,
) -> Result<(T, Option<Operator>), StartError> {
    match launched {
        Ok(launched) => Ok((launched, operator)),
        Err(error) => {
            stopper.stop();
            operator.into_iter().for_each(|operator| join(operator.thread));
            Err(error)
        }
    }
}

/// The cores for shards, and how many shards a new data directory gets: no more than the CPU quota of this process's control
/// groups allows.
fn chosen_cores(
    options: &Options,
    available: &[usize],
    lockable: host::Lockable,
) -> Result<(Vec<usize>, usize), StartError> {
    let mut chosen = cores::choose(available, &options.cores, options.cores_left_free)?;
    let granted = ContainerLimits::of_this_process().shards_max();
    if options.cores.is_empty() {
        chosen = cores::spread(chosen, granted, rustix::system::uname().nodename().to_bytes());
    }
    let shards_of_new = host::shards_of_new(options, lockable, chosen.len().min(granted));
    Ok((chosen, shards_of_new))
}

/// Whether these options can be used on this host; and how much memory the host lets a process lock.
fn checked(options: &Options) -> Result<host::Lockable, StartError> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(ConfigurationError::Settings(problems).into());
    }
    let lockable = host::check()?;
    if let Some(shards) = options.shards {
        lockable.ring_entries(options, shards)?;
    }
    Ok(lockable)
}

/// The control thread reads the hook's numbers, and the server waits for its thread.
fn attach(hook: Hook, control: &mut Control, helpers: &mut Vec<JoinHandle<()>>) -> HookSender {
    control.hook = Some(hook.meters);
    helpers.push(hook.thread);
    hook.calls
}

/// The threads that keep certificates current; dropped when the shards have ended.
struct CertificateUpkeep {
    #[expect(dead_code, reason = "dropping it ends its thread")]
    watching: Option<Watching>,
    renewing: Option<Renewing>,
}

/// The control thread shows the certificates, and threads beside it watch their files and order new ones.
fn keep_certificates(
    control: &mut Control,
    identities: &Identities,
    acme: Option<Acme>,
    helpers: &mut Vec<JoinHandle<()>>,
) -> Result<CertificateUpkeep, StartError> {
    control.tls.clone_from(&identities.admin);
    control.certificates = identities.named().map(|(name, identity)| (name, identity.clone())).collect();
    control.acme = acme.as_ref().map(|acme| Arc::clone(&acme.meters));
    let renewing = acme.map(|acme| acme.renew(control.core, helpers)).transpose()?;
    let watching = identities.watch(control.core, helpers).map_err(HostError::system("start a thread"))?;
    Ok(CertificateUpkeep { watching, renewing })
}

/// What all shards of a run have in common from its beginning.
struct RunOrigin {
    clock: Clock,
    seed: u64,
    /// Which messages are sampled, if any.
    sampling: Option<Arc<Sampling>>,
}

impl RunOrigin {
    /// The control thread takes the spans.
    fn begin(options: &Options, control: &mut Control) -> Result<Self, StartError> {
        let (clock, seed) = (Clock::start(), u64::from_ne_bytes(secret::random()?));
        let telemetry = &options.telemetry;
        let is_sampling = telemetry.otlp_url.is_some();
        control.spans = is_sampling.then(|| Sampling::begin(telemetry.sample_one_in, seed, clock));
        Ok(Self { clock, seed, sampling: control.spans.as_ref().map(|(sampling, _)| sampling.clone()) })
    }
}

struct Plan<'a> {
    options: Arc<Options>,
    directory: &'a DataDir,
    cores: &'a [usize],
    stopper: &'a Stopper,
    keyring: Keyring,
    connections_max: usize,
    hook: Option<HookSender>,
    origin: RunOrigin,
    descriptors: Arc<Descriptors>,
    tls: Option<TlsIdentity>,
    small_pages: Option<Arc<SmallPages>>,
}

/// Starts one thread for each shard and returns when all accept connections. If one cannot, the others are stopped.
fn launch(
    plan: Plan<'_>,
    listeners: Vec<listener::Listener>,
    queues: Queues,
    endpoints: Vec<ControlEndpoint>,
) -> Result<Vec<JoinHandle<ShardExit>>, StartError> {
    let (reports, received) = unbounded();
    let mut threads = Vec::new();
    let mut starts = Vec::new();
    let shard_specs = shard_specs(&plan, listeners, queues, endpoints, &reports)?;
    let (stopper, data_dir) = (plan.stopper, &plan.directory.path);
    drop((reports, plan));
    for (spec, start) in shard_specs {
        starts.push(start);
        let name = format!("mushan-{}", spec.me.0);
        let thread = std::thread::Builder::new().name(name).spawn(move || shard_thread::run_shard(spec));
        threads.push(thread.map_err(HostError::system("start a thread"))?);
    }
    match oversee(data_dir, &received, starts) {
        Ok(()) => Ok(threads),
        Err(error) => {
            stopper.shared.fail();
            stopper.stop();
            join_all(threads);
            Err(error)
        }
    }
}

/// A token that is accepted within the clock leeway opens a session that lasts at least as long as the leeway.
fn session_limits(options: &Options) -> Limits {
    let token_grace_ms = options.limits.token_grace_ms.max(options.token_leeway_ms);
    Limits { token_grace_ms, ..options.limits }
}

type ShardSpecs = Vec<(ShardSpec, Sender<u64>)>;

fn shard_specs(
    plan: &Plan<'_>,
    listeners: Vec<listener::Listener>,
    queues: Queues,
    endpoints: Vec<ControlEndpoint>,
    reports: &Sender<ShardStarted>,
) -> Result<ShardSpecs, StartError> {
    let options = &plan.options;
    let shards = plan.directory.manifest.shards;
    host::check_maps(options, segments_in(&plan.directory.path));
    let RunOrigin { seed, clock, .. } = plan.origin;
    let context = Arc::new(Context {
        limits: session_limits(options),
        handshake: HandshakePolicy {
            subprotocols: options.subprotocols.clone(),
            origins: options.allowed_origins.clone(),
            forwarded: options.proxies.header,
            pages: demo::pages(options.demo, &plan.directory.secret, clock.read().wall),
        },
        server_version: env!("CARGO_PKG_VERSION"),
        // A new key at each start: PROTOCOL 3.3.
        server_key: ServerKey::of(secret::random()?),
        node_id: 0,
        inbox_epoch: plan.directory.manifest.inbox_epoch,
    });
    let DataDir { path, manifest, .. } = plan.directory;
    let epoch = Arc::new(Epoch::new(path.clone(), manifest.clone()));
    let places = AddressPlaces::new(options.connections_per_address_max, seed);
    let meshes = mesh::connect(options.windows, &plan.stopper.wakers);
    let parts = meshes.into_iter().zip(endpoints).zip(listeners).zip(plan.cores).zip(0..shards);
    Ok(parts
        .map(|((((mesh, endpoint), listener), core), shard)| {
            let (start, started) = unbounded();
            let spec = ShardSpec {
                me: ShardId(shard),
                shards,
                core: *core,
                directory: plan.directory.shard(ShardId(shard)),
                segment_bytes: plan.directory.manifest.segment_bytes,
                keyring: plan.keyring.clone(),
                queues: queues.clone(),
                hook: plan.hook.clone(),
                sampling: plan.origin.sampling.clone(),
                fingerprint_seed: plan.directory.manifest.seed,
                options: options.clone(),
                context: context.clone(),
                epoch: epoch.clone(),
                shared: plan.stopper.shared.clone(),
                mesh,
                endpoint,
                listener,
                connections_max: plan.connections_max,
                descriptors: plan.descriptors.clone(),
                places: places.clone(),
                tls: plan.tls.clone(),
                small_pages: plan.small_pages.clone(),
                seed,
                clock,
                reports: reports.clone(),
                start: started,
            };
            (spec, start)
        })
        .collect())
}

/// Opens every log first, then checks that the logs belong together, then runs every shard, then listens on every shard.
fn oversee(data_dir: &Path, reports: &Receiver<ShardStarted>, starts: Vec<Sender<u64>>) -> Result<(), StartError> {
    let died = || HostError::ShardEnded;
    let mut found = BTreeMap::new();
    for _shard in &starts {
        match reports.recv().map_err(|_gone| died())? {
            ShardStarted::Opened(shard, end) => found.insert(shard, end),
            ShardStarted::Failed(error) => return Err(error),
            ShardStarted::Listening => unreachable!("no shard listens before all logs are open"),
        };
    }
    let found: Vec<LogEnd> = found.into_values().collect();
    let run = begin_run(data_dir, &found, u32::from_ne_bytes(secret::random()?))?;
    // A shard that has ended has sent its error, which is received below.
    for start in &starts {
        let _ = start.send(run);
    }
    for _shard in &starts {
        match reports.recv().map_err(|_gone| died())? {
            ShardStarted::Listening => {}
            ShardStarted::Failed(error) => return Err(error),
            ShardStarted::Opened(..) => unreachable!("each log is opened once"),
        }
    }
    Ok(())
}

/// Whether all threads end before a client would notice the wait.
fn are_finished_soon(threads: &[JoinHandle<()>]) -> bool {
    let began = Instant::now();
    loop {
        let are_finished = threads.iter().all(JoinHandle::is_finished);
        if are_finished || began.elapsed() > HELPERS_PATIENCE {
            return are_finished;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn join_all(threads: Vec<JoinHandle<ShardExit>>) -> Vec<ShardExit> {
    threads.into_iter().map(join).collect()
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
