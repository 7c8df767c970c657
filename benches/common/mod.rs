//! Code that all benches share. With `MUSHAN_BENCH_SMOKE` set every measurement is as short as possible and only proves
//! that it runs.

// Each bench uses only a part of this module.
#![allow(dead_code, clippy::disallowed_methods)]

#[path = "../../tests/common/model.rs"]
pub mod model;

use criterion::Criterion;
use std::time::Duration;

pub fn is_smoke() -> bool {
    std::env::var_os("MUSHAN_BENCH_SMOKE").is_some()
}

/// The CPU time of this thread: a machine that others use too stretches every other clock.
pub fn thread_clock() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills what it is given.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures each function for `measurement`, after a second of warming up.
pub fn criterion(measurement: Duration) -> Criterion {
    let criterion = Criterion::default().without_plots();
    if is_smoke() {
        let tiny = Duration::from_millis(10);
        return criterion.sample_size(10).warm_up_time(tiny).measurement_time(tiny);
    }
    criterion.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(measurement)
}
