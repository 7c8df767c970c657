//! One server and its load: starts the server, opens the connections, and measures.

use crate::bench::load::client::{Client, LoginTarget};
use crate::bench::load::crowd::{Crowd, CrowdOpened};
use crate::bench::load::generator::Load;
use crate::bench::load::options::LoadOptions;
use crate::bench::load::process::{CallCount, anonymous_bytes, cpu_ns, need_files};
use crate::bench::load::report::{Calls, Conditions, MeasuredLoad, MeasuredSpan, Report, Whole};
use crate::bench::load::server::{AdminApi, Prefill, ServerPlan, ServerProcess, Syncs, syncs};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::socket;
use crate::bench::load::template::LoadDialect;
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::minter::Minter;
use crate::terminal::progress::Progress;
use core_affinity::CoreId;
use rustls::ClientConfig;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
const DRAIN: Duration = Duration::from_secs(10);
/// Logins under way at a time, where logins are not measured.
const AT_ONCE: usize = 64;
/// By then, memory that a start or a login needed for a moment has been returned.
const SETTLING: Duration = Duration::from_millis(500);
/// How long perf counts.
const CALLS_SPAN: Duration = Duration::from_secs(1);

pub struct LoadTarget {
    pub dialect: LoadDialect,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    minter: Option<Minter>,
    pub pid: Option<u32>,
    data_dir: PathBuf,
    server: Option<ServerProcess>,
    pub conditions: Conditions,
}

/// The properties of a server that is started here.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    pub api: AdminApi,
    pub contents: Prefill,
    pub settings: &'a ComparedSettings,
}

impl LoadTarget {
    /// Starts a server, or uses the one of the flags, for this number of connections.
    pub fn open(
        options: &LoadOptions,
        dialect: LoadDialect,
        connections: usize,
        load_request: LoadRequest<'_>,
    ) -> Result<Self, Failure> {
        let parent = options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        Self::open_in(options, (dialect, connections), load_request, &parent)
    }

    /// The same, with the data directory in `parent`.
    pub fn open_in(
        options: &LoadOptions,
        (dialect, connections): (LoadDialect, usize),
        load_request: LoadRequest<'_>,
        parent: &Path,
    ) -> Result<Self, Failure> {
        need_files(connections)?;
        let mut conditions = Conditions::of_own_server(
            options.server_core,
            options.client_core,
            &options.profile,
            options.durability.name(),
        );
        conditions.shards = Some(options.shards);
        conditions.spare_core = options.spare_core;
        let tls = options.tls_certificate.as_deref().map(socket::trusting).transpose()?;
        if let Some(url) = &options.url {
            conditions = conditions.of_a_stranger();
            let minter = if dialect == LoadDialect::Bare { None } else { Some(Minter::open(parent)?) };
            let (address, pid) = (address_of(url)?, options.server_pid);
            return Ok(Self {
                dialect,
                address,
                tls,
                minter,
                pid,
                data_dir: parent.to_owned(),
                server: None,
                conditions,
            });
        }
        let server = ServerProcess::start(&ServerPlan {
            core: options.server_core,
            spare_core: options.spare_core,
            shards: options.shards,
            profile: load_request.settings.profile().unwrap_or(&options.profile),
            durability: options.durability.name(),
            environment: &[load_request.settings.environment(), options.tls_environment()].concat(),
            parent,
            contents: load_request.contents,
            api: load_request.api,
        })?;
        std::thread::sleep(SETTLING);
        Ok(Self {
            dialect,
            address: address_of(&server.url)?,
            tls,
            minter: Some(Minter::open(&server.data_dir)?),
            pid: Some(server.pid()),
            data_dir: server.data_dir.clone(),
            server: Some(server),
            conditions,
        })
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn account(&self, user: &str) -> Result<LoginTarget, Failure> {
        let token = match &self.minter {
            Some(minter) => minter.mint(&parse_user(user)?, TOKEN_TTL_MS),
            None => String::new(),
        };
        Ok(LoginTarget {
            user: user.to_owned(),
            token,
            address: self.address,
            dialect: self.dialect,
            tls: self.tls.clone(),
        })
    }

    /// Opens connections without measuring them.
    pub fn let_in(
        &self,
        crowd: &mut Crowd,
        count: usize,
        progress: &Progress,
        next: impl FnMut(usize) -> Result<Client, Failure>,
    ) -> Result<CrowdOpened, Failure> {
        // A relay pairs its connections in the order of their arrival.
        let arrival =
            crowd.let_in(count, if self.dialect == LoadDialect::Bare { 1 } else { AT_ONCE }, progress, next)?;
        std::thread::sleep(SETTLING);
        Ok(arrival)
    }

    /// The server's memory, if its process is known.
    pub fn memory(&self) -> Result<Option<u64>, Failure> {
        self.pid.map(anonymous_bytes).transpose()
    }

    /// CPU time of the server's process and of this process.
    pub fn cpu(&self) -> Result<(Option<u64>, u64), Failure> {
        Ok((self.pid.map(cpu_ns).transpose()?, cpu_ns(std::process::id())?))
    }

    /// Warm-up, measurement, drain; and a second measurement for perf if requested.
    pub fn measure(&self, load: &mut Load, options: &LoadOptions, scenario: &str) -> Result<MeasuredLoad, Failure> {
        let mut whole = Whole::default();
        let warm_up = options.span().mul_f64(0.25).clamp(Duration::from_millis(200), Duration::from_secs(2));
        whole.add(&load.run(warm_up, &Progress::none())?);
        let is_open = load.is_open();
        if is_open {
            whole.add(&load.drain(DRAIN)?);
        }
        let progress = options.progress(scenario);
        let (server_before, client_before) = self.cpu()?;
        let started = Instant::now();
        let mut tally = load.run(options.span(), &progress)?;
        let took = started.elapsed();
        let (server_after, client_after) = self.cpu()?;
        whole.add(&tally);
        let calls = self.count_calls(load, options, &mut whole)?;
        let drained = load.drain(DRAIN)?;
        if is_open && matches!(calls, Calls::NotAsked) {
            tally.add_latencies(&drained);
        }
        whole.add(&drained);
        whole.finish(load.unanswered());
        let span = MeasuredSpan {
            took,
            server_cpu_ns: server_after.zip(server_before).map(|(after, before)| after.saturating_sub(before)),
            client_cpu_ns: client_after.saturating_sub(client_before),
        };
        Ok(MeasuredLoad { tally, whole, span, calls })
    }

    fn count_calls(&self, load: &mut Load, options: &LoadOptions, whole: &mut Whole) -> Result<Calls, Failure> {
        let Some(pid) = self.pid.filter(|_pid| options.syscalls) else { return Ok(Calls::NotAsked) };
        let counting = match CallCount::start(pid, CALLS_SPAN) {
            Ok(counting) => counting,
            Err(why) => return Ok(Calls::Skipped(why)),
        };
        // perf takes a moment to attach, so the load runs a little longer than perf counts, at the same rate.
        let tally = load.run(CALLS_SPAN.mul_f64(1.5), &Progress::none())?;
        whole.add(&tally);
        let counted = counting.finish();
        let per_s = tally.delivered as f64 / CALLS_SPAN.mul_f64(1.5).as_secs_f64();
        Ok(match counted {
            Ok(calls) => Calls::PerDelivered(calls as f64 / CALLS_SPAN.as_secs_f64() / per_s.max(1.0)),
            Err(why) => Calls::Skipped(why),
        })
    }

    /// Stops a server that was started here; returns its counts of syncs.
    pub fn close(self) -> Result<Option<Syncs>, Failure> {
        self.server.map_or(Ok(None), |server| Ok(syncs(&server.stop()?)))
    }
}

/// Opens a target for this number of connections, loads it from the generator's core, and closes it. The report
/// contains the server's counts of syncs.
pub fn loaded(
    options: &LoadOptions,
    dialect: LoadDialect,
    connections: usize,
    load_request: LoadRequest<'_>,
    load: impl FnOnce(&LoadTarget) -> Result<Report, Failure> + Send,
) -> Result<Report, Failure> {
    let target = LoadTarget::open(options, dialect, connections, load_request)?;
    let mut report = on_core(options.client_core, || load(&target))?;
    report.add_syncs(target.close()?);
    Ok(report)
}

/// Runs the generator on a thread pinned to its core.
pub fn on_core<T: Send>(core: usize, work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let generator = scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: core });
            work()
        });
        generator.join().map_err(|_| Failure::new("the generator died"))?
    })
}

fn address_of(url: &str) -> Result<SocketAddr, Failure> {
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    let first = bare.to_socket_addrs().map_err(Failure::because(url))?.next();
    first.ok_or_else(|| Failure::new(format!("{url} has no address")))
}
