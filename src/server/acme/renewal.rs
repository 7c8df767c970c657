//! The thread that orders a certificate when one is due, and tries again later when that fails.

use crate::model::Millis;
use crate::server::acme::order::{OrderError, order};
use crate::server::acme::store::AcmeStore;
use crate::server::base::clock::wall_now;
use crate::server::base::error::{ConfigurationError, HostError, StartError};
use crate::server::base::helper_thread;
use crate::server::config::acme::{AcmeChallenge, AcmeOptions};
use crate::server::config::options::Options;
use crate::server::config::tls::TlsOptions;
use crate::server::tls::challenges::AlpnChallenges;
use crate::server::tls::identity::TlsIdentity;
use crate::server::tls::watch::{Identities, Reload, read_again};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, Receiver, Sender};

/// The most time that one order may take.
const ORDER: Duration = Duration::from_secs(300);
/// How long after a failed order the next one follows: twice as long after each, up to the other. Authorities allow few
/// failures an hour.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 3_600);
/// Waits no longer at once, so that a clock that was set is seen.
const LOOK: Duration = Duration::from_secs(3_600);

/// Orders since the start, for the metrics.
#[derive(Debug, Default)]
pub struct AcmeMeters {
    pub issued: AtomicU64,
    pub failed: AtomicU64,
}

/// Certificates that are ordered, before their thread has begun.
pub struct Acme {
    pub meters: Arc<AcmeMeters>,
    renewal: Renewal,
}

struct Renewal {
    options: AcmeOptions,
    store: AcmeStore,
    challenges: AlpnChallenges,
    identity: TlsIdentity,
    meters: Arc<AcmeMeters>,
    /// Orders that failed since the last one that did not.
    failures: u32,
    /// When the next order follows one that failed.
    again_at: Option<Instant>,
}

/// Ends the thread when it is dropped, also in the middle of an order.
pub struct Renewing {
    begin: Option<Sender<()>>,
    #[expect(dead_code, reason = "dropping it tells the thread")]
    end: Sender<()>,
}

impl Renewing {
    /// The listener of clients accepts connections: an authority may ask.
    pub fn begin(&mut self) {
        // A thread that has ended orders nothing.
        let _ = self.begin.take().map(|begin| begin.send(()));
    }
}

impl Acme {
    /// Opens the store in the data directory, and gives the listener of clients its certificate. `None`: no authority is
    /// named.
    ///
    /// # Errors
    ///
    /// The stored certificate is wrong, the port of the challenge is taken, or the disk fails.
    pub fn open(options: &Options, data_dir: &Path, identities: &mut Identities) -> Result<Option<Self>, StartError> {
        if !options.acme.is_on() {
            return Ok(None);
        }
        let acme = options.acme.clone();
        if acme.challenge == AcmeChallenge::Http01 {
            let remedy = "needed for the challenge http-01; free the port, name another in tls.acme_http_listen, or allow \
                          the server to bind it (CAP_NET_BIND_SERVICE)";
            let address = acme.http_listen;
            TcpListener::bind(address).map_err(|source| ConfigurationError::Listen {
                address,
                remedy: format!("{source}: {remedy}"),
                source,
            })?;
        }
        let store = AcmeStore::open(data_dir, &acme.names)?;
        let challenges = AlpnChallenges::default();
        let files = TlsOptions {
            certificate_file: Some(store.certificate.clone()),
            key_file: Some(store.certificate.clone()),
            ..options.tls.clone()
        };
        let identity = TlsIdentity::answering(&files, Some(challenges.clone()), "tls.acme_directory_url")?;
        identities.clients = Some(identity.clone());
        let renewal = Renewal::new(acme, store, challenges, identity);
        Ok(Some(Self { meters: Arc::clone(&renewal.meters), renewal }))
    }

    /// Starts the thread, which waits for `begin`.
    pub fn renew(self, core: Option<usize>, helpers: &mut Vec<JoinHandle<()>>) -> Result<Renewing, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(HostError::system("start a runtime"))?;
        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = move || {
            if runtime.block_on(begun).is_ok() {
                runtime.block_on(self.renewal.run(ended));
            }
            // An order that was broken off may still wait for a name to be resolved.
            runtime.shutdown_background();
        };
        helpers.push(helper_thread::spawn("mushan-acme", core, work).map_err(HostError::system("start a thread"))?);
        Ok(Renewing { begin: Some(begin), end })
    }
}

impl Renewal {
    fn new(options: AcmeOptions, store: AcmeStore, challenges: AlpnChallenges, identity: TlsIdentity) -> Self {
        let meters = Arc::<AcmeMeters>::default();
        Self { options, store, challenges, identity, meters, failures: 0, again_at: None }
    }

    async fn run(mut self, mut ended: Receiver<()>) {
        loop {
            let wait = self.wait_from(wall_now(), Instant::now());
            tokio::select! {
                _ = &mut ended => return,
                () = tokio::time::sleep(wait.min(LOOK)) => {}
            }
            if wait > LOOK {
                continue;
            }
            tokio::select! {
                _ = &mut ended => return,
                () = self.order_now() => {}
            }
        }
    }

    /// How long until the next order.
    fn wait_from(&self, now: Millis, steady: Instant) -> Duration {
        if let Some(again_at) = self.again_at {
            return again_at.saturating_duration_since(steady);
        }
        let due = self.store.certificate().map_or(0, |stored| stored.renewal_is_due(&self.options.names));
        let due_ms = u64::try_from(due).unwrap_or_default().saturating_mul(1_000);
        Duration::from_millis(due_ms.saturating_sub(now.0))
    }

    async fn order_now(&mut self) {
        let ordered = tokio::time::timeout(ORDER, order(&self.options, &self.store, &self.challenges)).await;
        let ordered = ordered.unwrap_or(Err(OrderError::TooSlow(ORDER)));
        let taken = ordered.map(|()| read_again(&self.identity));
        self.note(taken, wall_now(), Instant::now());
    }

    /// Notes what came of an order, and so when the next one follows.
    fn note(&mut self, taken: Result<Reload, OrderError>, now: Millis, steady: Instant) {
        match taken {
            Ok(Reload::Done) => {
                let failures = std::mem::take(&mut self.failures);
                self.again_at = None;
                // Due again at once, by a wrong clock or for want of a name: such orders are as seldom as failed ones.
                if self.wait_from(now, steady).is_zero() {
                    self.failures = failures;
                    self.wait_longer(steady);
                }
                self.meters.issued.fetch_add(1, Ordering::Relaxed);
                let ends = self.identity.expires().unwrap_or_default();
                tracing::info!(names = %self.options.names.join(","), ends, "certificate issued: new connections use it");
            }
            // What was wrong is logged.
            Ok(Reload::Failed) => self.failed(steady),
            Err(error) => {
                self.failed(steady);
                let again_s = retry_after(self.failures).as_secs();
                tracing::error!(%error, again_s, "no certificate was issued; the previous one stays in use");
            }
        }
    }

    fn wait_longer(&mut self, steady: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.again_at = Some(steady + retry_after(self.failures));
    }

    fn failed(&mut self, steady: Instant) {
        self.wait_longer(steady);
        self.meters.failed.fetch_add(1, Ordering::Relaxed);
    }
}

fn retry_after(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    const NOW: Millis = Millis(1_900_000_000_000);

    /// A renewal for two names in a directory, which has ordered nothing yet.
    fn renewal(data_dir: &Path) -> Renewal {
        let names = ["im.example.org".to_owned(), "chat.example.org".to_owned()];
        let store = AcmeStore::open(data_dir, &names).expect("a disk with room");
        let file = || Some(store.certificate.clone());
        let files = TlsOptions { certificate_file: file(), key_file: file(), ..TlsOptions::default() };
        let challenges = AlpnChallenges::default();
        let identity = TlsIdentity::answering(&files, Some(challenges.clone()), "a test").expect("a certificate");
        let options = AcmeOptions { names: names.into(), ..AcmeOptions::default() };
        Renewal::new(options, store, challenges, identity)
    }

    /// A certificate of an authority for these names, as an order stores it; it lasts for centuries.
    fn issue(store: &AcmeStore, names: &[&str]) {
        let key = || KeyPair::generate().expect("a key");
        let mut signs = CertificateParams::default();
        signs.distinguished_name.push(DnType::CommonName, "authority");
        let authority = Issuer::new(signs, key());
        let (names, key): (Vec<String>, _) = (names.iter().map(|name| (*name).to_owned()).collect(), key());
        let issued = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signed");
        store.put(&key.serialize_pem(), &issued.pem()).expect("a disk with room");
    }

    #[test]
    fn a_certificate_that_is_due_again_at_once_is_ordered_as_seldom_as_after_failures() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut renewal = renewal(directory.path());
        let steady = Instant::now();
        assert_eq!(renewal.wait_from(NOW, steady), Duration::ZERO, "there is only the server's own");
        issue(&renewal.store, &["im.example.org"]);
        let waits: Vec<u64> = (0..3)
            .map(|_again| {
                renewal.note(Ok(Reload::Done), NOW, steady);
                renewal.wait_from(NOW, steady).as_secs()
            })
            .collect();
        assert_eq!(waits, [60, 120, 240], "the authority leaves a name out");
        assert_eq!(renewal.meters.issued.load(Ordering::Relaxed), 3);
        issue(&renewal.store, &["im.example.org", "chat.example.org"]);
        renewal.note(Ok(Reload::Done), NOW, steady);
        assert!(renewal.wait_from(NOW, steady) > Duration::from_secs(365 * 86_400), "all is well");
        renewal.note(Ok(Reload::Failed), NOW, steady);
        assert_eq!(renewal.wait_from(NOW, steady).as_secs(), 60, "what was before does not count");
    }

    /// Also where that takes longer than the thread sleeps at once.
    #[test]
    fn an_order_that_failed_often_is_tried_again_in_its_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut renewal = renewal(directory.path());
        let steady = Instant::now();
        (0..8).for_each(|_again| renewal.note(Err(OrderError::TooSlow(ORDER)), NOW, steady));
        let (wait, looked) = (renewal.wait_from(NOW, steady), steady + LOOK);
        assert_eq!(wait.as_secs(), 7_680);
        assert_eq!(renewal.wait_from(NOW, looked), wait - LOOK);
        assert_eq!(renewal.wait_from(NOW, steady + wait), Duration::ZERO);
        assert_eq!(renewal.meters.failed.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn orders_that_fail_come_more_and_more_seldom() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, u32::MAX].map(|failures| retry_after(failures).as_secs()).into();
        assert_eq!(waits, [60, 120, 240, 15_360, 21_600, 21_600]);
    }
}
