//! Looks once a second at what the shards have published, on the control thread: no shard is asked.

use crate::admin::api::Api;
use crate::admin::overview::interval::ShardInterval;
use crate::admin::overview::live::LiveOverview;
use crate::admin::overview::point::{HostNumbers, OverviewPoint};
use crate::admin::watch::numbers::ServerNumbers;
use crate::admin::webhooks::handlers::lag_ms;
use crate::server::{DiskRoom, wall_now};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(1);
/// The unit of times in /proc, whatever the kernel's own clock rate: fixed on x86-64 and aarch64.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Default)]
struct Sampler {
    /// By shard; those that have published nothing yet are missing at the end.
    shards: Vec<ShardInterval>,
    /// When the process's CPU time was read last, and what it was, in seconds.
    cpu: Option<(Instant, f64)>,
}

/// Samples until the server stops.
pub async fn run(api: Arc<Api>, mut is_stopping: watch::Receiver<bool>) {
    let mut sampler = Sampler::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = is_stopping.wait_for(|is_stopping| *is_stopping) => return,
            _ = ticks.tick() => sampler.look(&api),
        }
    }
}

impl Sampler {
    fn look(&mut self, api: &Api) {
        let snapshots = api.orders.lanes.snapshots();
        if snapshots.iter().any(Option::is_none) {
            return;
        }
        for (index, shown) in snapshots.iter().flatten().enumerate() {
            match self.shards.get_mut(index) {
                Some(interval) => interval.advance(shown.clone()),
                None => self.shards.push(ShardInterval::of(shown.clone())),
            }
        }
        let numbers = ServerNumbers::of(api, &snapshots);
        let now = wall_now();
        let disk = DiskRoom::of(&api.options.data_dir).ok();
        let host = HostNumbers {
            cpu_cores: self.cpu_cores(),
            memory_bytes: memory_bytes(),
            disk_free_bytes: disk.map(|disk| disk.free_bytes),
            stream_lag_bytes: numbers.stream_lag_bytes,
            webhook_lag_ms: api.webhooks.iter().map(|webhook| lag_ms(&webhook.state(), now)).max().unwrap_or_default(),
        };
        let point = OverviewPoint::of(now.0, &self.shards, &host);
        let disk_bytes = disk.map(|disk| disk.total_bytes);
        let live = LiveOverview::of(api, &self.shards, &point, disk_bytes);
        api.overview.live.send_replace(live.written().into());
        api.overview.rings().push(point);
    }

    /// Cores that the process kept busy since the last look.
    fn cpu_cores(&mut self) -> f64 {
        let (now, spent) = (Instant::now(), cpu_seconds());
        let before = self.cpu.replace((now, spent));
        let Some((at, had)) = before else { return 0.0 };
        let seconds = now.duration_since(at).as_secs_f64();
        if seconds > 0.0 { ((spent - had) / seconds).max(0.0) } else { 0.0 }
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in brackets, which may contain any character.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, the 14th and 15th field; what follows the name begins with the 3rd.
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
}

fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_spends_time() {
        assert!(memory_bytes() > 1 << 20, "{}", memory_bytes());
        let began = Instant::now();
        while cpu_seconds() == 0.0 {
            assert!(began.elapsed() < Duration::from_secs(60), "a busy process spends time");
        }
    }
}
