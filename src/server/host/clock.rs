//! Whether something synchronises the host's wall clock.

/// As the kernel says; `None` if it does not.
pub fn is_synchronised() -> Option<bool> {
    /// The bit of `timex.status` that is set while nothing disciplines the clock.
    const UNSYNCHRONISED: i32 = libc::STA_UNSYNC;
    // SAFETY: zeroes are a valid `timex`; with `modes` 0 the call only reads.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a `timex` of our own, which lives during the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & UNSYNCHRONISED == 0)
}
