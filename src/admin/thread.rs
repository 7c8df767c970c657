//! The control thread, from its start before the shards to its end after the last answer.

use crate::admin::api::Api;
use crate::admin::base::connections::{self, Connections};
use crate::admin::base::orders::Orders;
use crate::admin::base::token::{AddressFile, AdminToken};
use crate::admin::console::logins::{ConsoleLogins, CookieScope};
use crate::admin::console::trail::AuditTrail;
use crate::admin::document;
use crate::admin::overview::rings::OverviewState;
use crate::admin::overview::sampler;
use crate::admin::people::erasure::agree_after_start;
use crate::admin::routes::router;
use crate::admin::watch::spans::SpanExport;
use crate::admin::webhooks::task;
use crate::admin::webhooks::webhook::Webhook;
use crate::server::follow::erased_users::ErasedUsers;
use crate::server::{Answers, Control, KeepServing, Operator, StartError, refused_to_listen, spawn_helper};
use crate::server::{HostError, TlsIdentity, wall_now};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// After all orders are answered: time for the last bytes of responses, and for requests that had only begun, in milliseconds.
const LINGER_MS: u64 = 3_000;

/// Starts the control thread, if the API is configured. It answers at once, and accepts orders once the shards are
/// ready.
pub fn serve(control: Control) -> Result<Option<Operator>, StartError> {
    let options = control.options.clone();
    let Some(listen) = options.admin.listen else {
        AddressFile::remove(&options.data_dir)?;
        return Ok(None);
    };
    let token = AdminToken::load_or_create(&options.data_dir)?;
    let webhooks = Webhook::open_all(&options)?;
    let trail = AuditTrail::open(&options.data_dir)?;
    let refuse = |error: io::Error| refused_to_listen(listen, "--admin-listen (the HTTP API's, or off)", error);
    let listener = TcpListener::bind(listen).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    let tls = control.tls.clone();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let written = AddressFile::write(&options.data_dir, scheme, address)?;
    if !address.ip().is_loopback() && tls.is_none() {
        tracing::warn!(%address, "other machines can reach the HTTP API over unencrypted HTTP: its token can be intercepted (admin.tls_certificate_file)");
    }

    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(HostError::system("start the control thread"))?;
    let Control { core, lanes, answers, keep_serving, hook, spans, certificates, acme, .. } = control;
    let client = SpanExport::client(&options.telemetry).map_err(HostError::system("prepare sending spans"))?;
    let sampling = spans.as_ref().map(|(sampling, _)| sampling.clone());
    let export = spans.zip(client).map(|((sampling, spans), client)| SpanExport { sampling, spans, client });
    let orders = Orders::new(lanes, options.admin.orders_max, options.admin.order_ms);
    let streams = Arc::new(Semaphore::new(options.admin.event_streams_max));
    let api = Arc::new(Api {
        options,
        orders,
        token,
        logins: ConsoleLogins::new(if tls.is_some() { CookieScope::Secure } else { CookieScope::Plain }),
        trail,
        overview: OverviewState::default(),
        document: LazyLock::new(document::text),
        streams,
        erased: Arc::new(ErasedUsers::default()),
        webhooks,
        events_sent: AtomicU64::new(0),
        places: Arc::default(),
        certificates,
        acme,
        hook,
        sampling,
        began: wall_now(),
        answered: Mutex::default(),
        requests_us: Mutex::default(),
        messages: Mutex::default(),
    });
    let listening = Listening { listener, tls, written };
    let ends = ControlEnds { answers, export, keep_serving };
    let work = move || run(&runtime, listening, api, ends);
    let thread = spawn_helper("mushan-admin", core, work).map_err(HostError::system("start the control thread"))?;
    Ok(Some(Operator { address, thread }))
}

/// What comes from the shards.
struct ControlEnds {
    answers: Answers,
    export: Option<SpanExport>,
    keep_serving: KeepServing,
}

/// The listening socket, and the file that contains its address.
struct Listening {
    listener: TcpListener,
    /// `None`: the API speaks plain HTTP.
    tls: Option<TlsIdentity>,
    written: AddressFile,
}

fn run(
    runtime: &Runtime,
    Listening { listener, tls, written }: Listening,
    api: Arc<Api>,
    ControlEnds { answers, export, keep_serving }: ControlEnds,
) {
    runtime.block_on(async move {
        let (orders, admin) = (&api.orders, &api.options.admin);
        let connections = Connections::new(admin);
        let (stop, is_stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(sampler::run(api.clone(), is_stopping.clone()));
        if let Some(export) = export {
            tasks.spawn(export.run(is_stopping.clone()));
        }
        for webhook in &api.webhooks {
            tasks.spawn(task::run(api.clone(), webhook.clone(), is_stopping.clone()));
        }
        let serving = connections::serve(listener, tls, router(api.clone()), connections.clone());
        let until_stopped = async {
            orders.lanes.told_to_stop().await;
            // First, so that no client finds another server at the address in the file.
            drop(written);
            connections.stop();
            stop.send_replace(true);
            let deadline_ms = orders.lanes.stop_deadline_ms(api.options.stop_deadline_ms);
            let stop_deadline = Duration::from_millis(deadline_ms);
            // After the deadline nobody waits for answers any more, and the shards may end.
            let _ = tokio::time::timeout(stop_deadline, orders.finish(keep_serving)).await;
            let last_requests = async { tokio::join!(connections.all_closed(), tasks.join_all()) };
            let linger = Duration::from_millis(orders.lanes.stop_deadline_ms(LINGER_MS));
            let _ = tokio::time::timeout(linger, last_requests).await;
        };
        let forever = async { tokio::join!(serving, orders.deliver(answers), agree_after_start(api.clone())) };
        tokio::select! {
            () = until_stopped => {}
            // The channel of answers ends with the last shard, and accepting ends with the stop: what remains is
            // closing.
            _ = async { forever.await; std::future::pending::<()>().await } => {}
        }
    });
}
