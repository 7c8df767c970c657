//! The ranges of segments that were recently made resident, so that the kernel is asked once for many records.
//!
//! Invariant: the number of remembered ranges is fixed, however long the log; the kernel is asked again about a
//! forgotten one.

use std::cell::Cell;
use std::ops::Range;

/// Asking the kernel costs more than reading a record, and readers read records that are close to each other.
const WINDOW_BYTES: usize = 128 << 10;

#[derive(Debug)]
pub struct PopulatedRanges {
    /// A direct-mapped cache: each window has one possible place, which holds the latest window that maps to it; 0 is
    /// empty.
    found: Box<[Cell<u64>]>,
}

impl PopulatedRanges {
    pub fn new(places: usize) -> Self {
        Self { found: vec![Cell::new(0); places.next_power_of_two()].into() }
    }

    /// Whether each window that these bytes touch was found before or is found now by `find`.
    #[inline]
    pub fn hold(&self, segment: u32, bytes: Range<usize>, mut find: impl FnMut(Range<usize>) -> bool) -> bool {
        let windows = bytes.start / WINDOW_BYTES..bytes.end.div_ceil(WINDOW_BYTES);
        windows.into_iter().all(|window| {
            let name = u64::from(segment) << u32::BITS | window as u64;
            let place = &self.found[self.place_of(segment, window)];
            if place.get() == name {
                return true;
            }
            let is_found = find(window * WINDOW_BYTES..(window + 1) * WINDOW_BYTES);
            if is_found {
                place.set(name);
            }
            is_found
        })
    }

    /// Adjacent windows have adjacent places, and so have the segments of the default size.
    #[inline]
    fn place_of(&self, segment: u32, window: usize) -> usize {
        const SPREAD: usize = 512;
        (segment as usize).wrapping_mul(SPREAD).wrapping_add(window) & (self.found.len() - 1)
    }

    pub fn forget(&self) {
        self.found.iter().for_each(|place| place.set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows that `hold` asks for.
    fn asked(windows: &PopulatedRanges, segment: u32, bytes: Range<usize>) -> Vec<usize> {
        let mut asked = Vec::new();
        assert!(windows.hold(segment, bytes, |window| {
            assert_eq!(window.len(), WINDOW_BYTES);
            asked.push(window.start / WINDOW_BYTES);
            true
        }));
        asked
    }

    #[test]
    fn each_window_is_asked_about_once_until_it_is_forgotten() {
        let windows = PopulatedRanges::new(8);
        assert_eq!(asked(&windows, 1, 10..20), [0]);
        assert!(asked(&windows, 1, 20..WINDOW_BYTES).is_empty());
        assert_eq!(asked(&windows, 1, 20..WINDOW_BYTES + 1), [1]);
        assert_eq!(asked(&windows, 2, 10..20), [0], "of another segment");
        assert_eq!(asked(&windows, 2, 10..10 * WINDOW_BYTES).len(), 9, "more than there are places for");
        windows.forget();
        assert_eq!(asked(&windows, 2, 9 * WINDOW_BYTES..9 * WINDOW_BYTES + 1), [9]);
    }

    #[test]
    fn what_is_not_found_is_asked_about_again() {
        let windows = PopulatedRanges::new(8);
        assert!(!windows.hold(1, 0..1, |_window| false));
        assert_eq!(asked(&windows, 1, 0..1), [0]);
    }
}
