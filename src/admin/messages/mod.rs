//! Messages sent and taken back over HTTP, and the pages in which they are read.

pub mod reading;
pub mod sending;
