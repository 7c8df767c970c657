//! The data directory: its lock, who takes it over, its manifest, and how it is swapped for another.

pub(super) mod directory;
pub(super) mod epoch;
pub(super) mod manifest;
pub(super) mod runs;
pub(super) mod succession;
pub(super) mod swap;
