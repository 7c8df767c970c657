//! What the overview of the console shows: the server's numbers once a second, and their history in memory.

pub mod history;
mod interval;
pub mod live;
pub mod point;
pub mod rings;
pub mod sampler;
