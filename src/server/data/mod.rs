//! The data directory: its lock, its manifest, and how it is swapped for another.

pub(super) mod directory;
pub(super) mod epoch;
pub(super) mod manifest;
pub(super) mod runs;
pub(super) mod swap;
