//! What tells the runs of a client apart.

use crate::terminal::failure::Failure;

/// Client message ids of two runs must differ.
pub fn run_id() -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(Failure::because("no randomness"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}
