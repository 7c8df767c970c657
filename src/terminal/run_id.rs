//! A random id for each run of a client.

use crate::terminal::failure::Failure;

/// A prefix for client message ids, which must differ between runs.
pub fn run_id() -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(Failure::because("cannot get random bytes"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}
